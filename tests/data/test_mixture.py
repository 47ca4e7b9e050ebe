from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.data.mixture import SourceConfig, read_mixture, read_source, read_sources, read_task_weights
from sama_plugin.data.sources import forms
from sama_plugin.errors import DataError

ENTRY = "{json_path: r.json, mask_path: m.json, video_root: v"
SHAPES = {"json_path": "records.json", "mask_path": "mask_dict.json", "video_root": "."}


def write(folder: Path, text: str) -> Path:
    path = folder / "mixture.yaml"
    path.write_text(text)
    return path


def test_sources_are_read_with_their_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path, f"datasets:\n  - {ENTRY}}}\n  - {ENTRY}, frames: single, kinds: [name], repeat: 2}}\n"
    )
    plain, single = read_mixture(path)
    assert plain == SourceConfig("r.json", "m.json", "v")
    assert single == SourceConfig("r.json", "m.json", "v", frames="single", kinds=("name",), repeat=2)


def test_mixtures_of_the_repository_can_be_read() -> None:
    folder = Path(__file__).resolve().parents[2] / "data_configs"
    found = sorted(folder.rglob("*.yaml"))
    assert found
    assert all(read_mixture(path) for path in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: [", "is not valid YAML"),
        ("", "has no 'datasets' list"),
        ("datasets: []", "has no 'datasets' list"),
        ("datasets: {a: 1}", "has no 'datasets' list"),
        ("[1, 2]", "has no 'datasets' list"),
        (
            f"{{datasets: [{ENTRY}}}], weight: 1}}",
            "has 'weight', expected 'datasets', 'include' and 'weights'",
        ),
        ("datasets: [shapes]", r"datasets\[0\] is 'shapes', expected the fields of SourceConfig"),
        ("datasets: [null]", r"datasets\[0\] is None, expected the fields of SourceConfig"),
        (
            "datasets: [{json_path: r.json}]",
            r"datasets\[0\]: r\.json lacks mask_path, video_root, which records of form 'sama239k' need",
        ),
        (f"datasets: [{ENTRY}, frame: clip}}]", r"datasets\[0\]: unknown key 'frame'.*did you mean frames"),
        ("datasets: [{mask_path: m.json}]", r"datasets\[0\] lacks json_path, which SourceConfig needs"),
        (
            f"datasets: [{ENTRY}, form: sama293k}}]",
            "form is 'sama293k', which there is not; did you mean sama239k",
        ),
        (f"datasets: [{ENTRY}, index_path: 3}}]", "index_path is 3, expected a path"),
        (f"datasets: [{ENTRY}, frames: all}}]", "frames is 'all', expected 'clip' or 'single'"),
        (f"datasets: [{ENTRY}, kinds: name}}]", "kinds is 'name', expected a list"),
        (f"datasets: [{ENTRY}, tasks: none}}]", "tasks is 'none', expected a list"),
        (f"datasets: [{ENTRY}, merge: 0}}]", "merge is 0, expected a whole number from 1"),
        (f"datasets: [{ENTRY}, repeat: 1.5}}]", "repeat is 1.5, expected a whole number from 1"),
    ],
)
def test_malformed_mixture_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_mixture(write(tmp_path, text))


def test_missing_mixture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.yaml does not exist"):
        read_mixture(tmp_path / "nothing.yaml")


def test_source_is_repeated_and_whole(shapes_set: Path) -> None:
    once = read_source(SourceConfig(**SHAPES), shapes_set)
    assert [s.sample_id for s in once] == [f"test_{v:05d}_{d}/{2 * v + d}" for v in (0, 1) for d in (0, 1)]
    assert [s.sample_id for s in read_source(SourceConfig(**SHAPES, repeat=3), shapes_set)] == [
        s.sample_id for s in once
    ] * 3


def test_kinds_keep_only_their_turns(shapes_set: Path) -> None:
    kept = read_source(SourceConfig(**SHAPES, kinds=("motion",)), shapes_set)
    assert kept
    assert {turn.kind for sample in kept for turn in sample.turns} == {"motion"}


def test_merge_joins_dialogues_about_one_video(shapes_set: Path) -> None:
    apart = read_source(SourceConfig(**SHAPES), shapes_set)
    joined = read_source(SourceConfig(**SHAPES, merge=9), shapes_set)
    assert len(joined) == 2
    for i, sample in enumerate(joined):
        first, second = apart[2 * i], apart[2 * i + 1]
        assert sample.turns == first.turns + second.turns
        assert sample.video_path == first.video_path == second.video_path
        assert sample.masks == first.masks | second.masks


def test_tasks_keep_only_their_turns(shapes_set: Path) -> None:
    kept = read_source(SourceConfig(**SHAPES, kinds=("motion",), tasks=("grounding",)), shapes_set)
    every = read_source(SourceConfig(**SHAPES, kinds=("motion",)), shapes_set)
    of_task = [turn for sample in every for turn in sample.turns if turn.task == "grounding"]
    assert [turn for sample in kept for turn in sample.turns] == of_task
    assert of_task


def test_kinds_that_nobody_asks_are_refused(shapes_set: Path) -> None:
    with pytest.raises(DataError, match=r"no question of kinds smell and tasks any"):
        read_source(SourceConfig(**SHAPES, kinds=("smell",)), shapes_set)


def test_all_faults_of_a_mixture_are_listed_with_their_lines(shapes_set: Path, tmp_path: Path) -> None:
    (tmp_path / "records.json").write_bytes((shapes_set / "records.json").read_bytes())
    (tmp_path / "mask_dict.json").write_bytes((shapes_set / "mask_dict.json").read_bytes())
    path = write(
        tmp_path,
        "# a comment\ndatasets:\n"
        f"  - {ENTRY}}}\n"
        "  - json_path: records.json\n    mask_path: mask_dict.json\n    video_root: .\n"
        "  - {json_path: records.json, mask_path: other.json, video_root: .}\n",
    )
    with pytest.raises(DataError) as error:
        read_sources(path, tmp_path)
    message = str(error.value)
    assert message.startswith(
        f"{path}: line 3: no file {tmp_path / 'r.json'} and no file {tmp_path / 'm.json'}; "
    )
    assert "line 4: " in message
    assert "videos are missing, such as " in message
    assert f"line 7: no file {tmp_path / 'other.json'}. Mend" in message


def test_sources_come_with_their_samples(shapes_set: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: .}]")
    [(source, samples)] = read_sources(path, shapes_set)
    assert source == SourceConfig(**SHAPES)
    assert samples == read_source(source, shapes_set)


def test_weights_of_tasks_are_read(tmp_path: Path) -> None:
    entry = f"datasets: [{ENTRY}}}]\n"
    assert read_task_weights(write(tmp_path, entry)) == {}
    assert read_task_weights(write(tmp_path, entry + "weights: {grounding: 2}")) == {"grounding": 2.0}
    with pytest.raises(DataError, match="weights is 'even', expected numbers by task"):
        read_task_weights(write(tmp_path, entry + "weights: even"))


def test_variables_of_paths_are_filled_in(shapes_set: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "datasets: [{json_path: '${SHAPES}/records.json', mask_path: '${SHAPES}/mask_dict.json', "
        "video_root: '${SAMA_ROOT}'}]",
    )
    [(_, samples)] = read_sources(path, shapes_set, {"SHAPES": str(shapes_set)})
    assert samples == read_source(SourceConfig(**SHAPES), shapes_set)
    [(_, samples)] = read_sources(path, tmp_path, {"SHAPES": str(shapes_set), "SAMA_ROOT": str(shapes_set)})
    assert samples == read_source(SourceConfig(**SHAPES), shapes_set)


def test_variables_that_are_not_set_are_named_with_their_lines_and_a_remedy(tmp_path: Path) -> None:
    entry = "  - {json_path: '${%s}/r.json', mask_path: '${B}/m.json', video_root: v}\n"
    path = write(tmp_path, "datasets:\n" + entry % "SAMA_ROOT" + entry % "A" + entry % "A")
    with pytest.raises(DataError) as error:
        read_sources(path, Path(), {"A": ""})
    message = str(error.value)
    assert (
        "line 2: ${B}, ${SAMA_ROOT} is not set; run: export B=/path/to/its/folder export SAMA_ROOT="
        in message
    )
    assert (
        "(or give SAMA_ROOT as --root); line 3 and line 4: ${A}, ${B} is not set; run: export A=" in message
    )


def test_included_entries_come_first_and_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"datasets:\n  - {ENTRY}, repeat: 3}}\n")
    path = write(tmp_path, f"include: base.yaml\ndatasets:\n  - {ENTRY}}}\n")
    assert [source.repeat for source in read_mixture(path)] == [3, 1]
    with pytest.raises(DataError, match=r"base\.yaml, line 2 and line 3: no file"):
        read_sources(path, tmp_path)


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ("3", "include is 3, expected names of mixture files"),
        ("none.yaml", r"none\.yaml does not exist"),
        ("[mixture.yaml]", r"mixture\.yaml is included by .*, so it cannot include others"),
    ],
)
def test_what_cannot_be_included_is_told(tmp_path: Path, include: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_mixture(write(tmp_path, f"include: {include}\ndatasets: [{ENTRY}}}]"))


def test_large_plain_files_are_read_with_a_word_about_the_index(
    shapes_set: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forms, "LARGE_BYTES", 1000)
    assert read_source(SourceConfig(**SHAPES), shapes_set)
    assert "which every process loads; run once: sama data prepare" in caplog.text
