"""Readers of the public mixture on tiny corpora in the published layouts: right samples, every defect by its name."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.lazy_samples import LazySamples
from sama_plugin.data.mixture import read_mixture, read_sources
from sama_plugin.data.selection import Selection, TurnColumns, text_length
from sama_plugin.data.sources.forms import FORMS, SourceFiles
from sama_plugin.errors import DataError, MediaError
from sama_plugin.media.masks import decode_mask
from sama_plugin.schema import Sample
from tests.data.made_samples import make_dataset
from tests.data.sources.made_corpora import (
    MAKERS,
    YOUTUBE_COUNTS,
    box_mask,
    make_mevis,
    make_ref_sav,
    make_ref_youtube_vos,
    make_refcoco,
    write_json,
    write_picture,
)

LEFT_OUT = {
    "mevis": {"expression-empty": 1, "mask-missing": 1, "record-form": 1},
    "ref_sav": {"expression-empty": 1},
    "gcg_refcocog": {"phrase-missing": 2, "mask-missing": 1, "caption-without-phrases": 1},
    "gcg_flickr": {"too-small": 1},
    "osprey_description": {"description-empty": 1, "region-count": 1},
    "llava": {
        "odd-tail": 1,
        "reserved-token": 1,
        "turns-not-alternating": 1,
        "image-unnamed": 1,
        "round-empty": 1,
        "record-form": 1,
    },
    "refcoco": {"mask-missing": 1, "image-missing": 1, "expression-empty": 1},
    "gcg_grandf": {"mask-missing": 1, "phrase-outside": 1},
    "osprey": {"mask-missing": 1, "reserved-token": 1},
}
LEFT_OUT |= dict.fromkeys(("refcoco_plus", "refcocog"), LEFT_OUT["refcoco"])
LEFT_OUT |= dict.fromkeys(("osprey_part", "osprey_lvis", "osprey_short"), LEFT_OUT["osprey"])
LEFT_OUT |= {"gcg_openpsg": LEFT_OUT["gcg_grandf"]}
"""What was planted."""


def read(name: str, folder: Path) -> LazySamples:
    samples = FORMS[name].read(MAKERS[name](folder))
    assert isinstance(samples, LazySamples)
    return samples


def masks_of(sample: Sample, ids: tuple[str, ...], frame: int) -> np.ndarray:
    """Union of some masks on a frame."""
    rles = [rle for i in ids if (rle := sample.masks[i][frame]) is not None]
    return np.any([decode_mask(rle) for rle in rles], axis=0) if rles else box_mask()


def test_every_public_form_has_a_corpus_here() -> None:
    assert set(MAKERS) == set(FORMS) - {"sama239k", "own"}


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_left_out_is_counted_by_its_name(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = read(name, tmp_path)
    assert dict(samples.left_out.counts) == LEFT_OUT.get(name, {})
    assert (f"{name}: left out: " in caplog.text) == (name in LEFT_OUT)


@pytest.mark.parametrize("name", MAKERS)
def test_columns_are_those_of_the_samples(name: str, tmp_path: Path) -> None:
    samples = read(name, tmp_path)
    rows = [(i, t.task, t.kind, text_length(t)) for i, sample in enumerate(samples) for t in sample.turns]
    expected = TurnColumns.of_rows(rows, [], [sample.video_path for sample in samples])
    columns = samples.turn_columns()
    for field in ("dialogue", "task", "kind", "length"):
        assert getattr(columns, field).tolist() == getattr(expected, field).tolist()
    assert list(columns.videos) == expected.videos
    assert {sample.source for sample in samples} == {name}
    assert {sample.num_drawn for sample in samples} == {columns.num_drawn}


@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_samples_are_learned_from(name: str, tmp_path: Path, loaded: Any) -> None:
    samples = read(name, tmp_path)
    dataset = make_dataset(loaded, samples)
    batch = SamaCollator(0)([dataset[i] for i in range(len(dataset))])
    assert math.isfinite(float(loaded.model(**batch).loss))
    segs = sum(len(turn.target_ids) for example in samples for turn in example.turns)
    assert any(target is not None for target in batch["grounding"]) == (segs > 0)


def test_mevis(tmp_path: Path) -> None:
    (sample,) = read("mevis", tmp_path)
    assert sample.sample_id == "mevis/birds"
    assert sample.video_path == str(tmp_path / "JPEGImages/birds")
    assert sample.frame_names == ("00000", "00001", "00002")
    both, left = sample.turns
    assert "the birds flying away" in both.question
    assert "away.." not in both.question
    assert both.answer.count("[SEG]") == 1
    assert (both.target_ids, left.target_ids) == ((("4", "5"),), (("4",),))
    assert both.task == "grounding"
    assert list(sample.masks) == ["4", "5"]
    np.testing.assert_array_equal(masks_of(sample, ("4", "5"), 0), box_mask((4, 4, 30, 20)))
    np.testing.assert_array_equal(masks_of(sample, ("4", "5"), 2), box_mask((40, 4, 50, 20)))


def test_union_of_objects_never_passes_one(tmp_path: Path, loaded: Any) -> None:
    dataset = make_dataset(loaded, read("mevis", tmp_path))
    example = dataset[0]
    which = [turn.target_ids[0] for turn in example.turns].index(("4", "5"))
    target = example.grounding.gt_masks[which, 0]
    assert float(target.max()) == 1.0
    assert float(target.mean()) == pytest.approx(26 * 16 / (40 * 64), abs=0.005)  # a sum: 0.2125


def test_revos(tmp_path: Path) -> None:
    (sample,) = read("revos", tmp_path)
    asked, nothing = sample.turns
    assert asked.question == "Which animal could catch a mouse?"
    assert (nothing.task, nothing.target_ids, "[SEG]" in nothing.answer) == ("none", (), False)
    assert "the dog in the back" in nothing.question
    assert sample.video_path == str(tmp_path / "JPEGImages/UVO/cat")


def test_ref_youtube_vos_counts_expressions(tmp_path: Path) -> None:
    samples = read("ref_youtube_vos", tmp_path)
    assert [sample.sample_id for sample in samples] == ["ref_youtube_vos/zebra", "ref_youtube_vos/apple"]
    for sample, counts in zip(samples, YOUTUBE_COUNTS.values(), strict=True):
        assert len(sample.turns) == len(counts)
        for turn in sample.turns:
            ((mask_id,),) = turn.target_ids
            assert f"thing {mask_id}" in turn.question
            assert int(masks_of(sample, (mask_id,), 0).sum()) == 8 * (int(mask_id) + 1)
            assert sample.masks[mask_id][1] is None


def test_ref_youtube_vos_of_two_releases_is_refused(tmp_path: Path) -> None:
    files = make_ref_youtube_vos(tmp_path)
    tracks = pickle.loads(files.masks.read_bytes())
    del tracks["3"]
    files.masks.write_bytes(pickle.dumps(tracks))
    with pytest.raises(DataError, match=r"holds 4 masks, expected one mask for each of the 5 expressions"):
        FORMS["ref_youtube_vos"].read(files)


class Attack:
    def __reduce__(self) -> Any:
        return print, ("this must not be printed",)


@pytest.mark.parametrize(
    ("name", "make"), [("ref_youtube_vos", make_ref_youtube_vos), ("refcoco", make_refcoco)]
)
def test_pickle_that_runs_code_is_refused(
    name: str, make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = make(tmp_path)
    path = files.masks if name == "ref_youtube_vos" else files.records
    path.write_bytes(pickle.dumps({"0": Attack()}))
    with pytest.raises(DataError, match=r"is refused: it asks for builtins\.print"):
        FORMS[name].read(files)
    assert capsys.readouterr().out == ""


def test_ref_sav(tmp_path: Path) -> None:
    (sample,) = read("ref_sav", tmp_path)
    assert sample.video_path == str(tmp_path / "sav_000/sav_000001.mp4")
    assert sample.frame_step == 4
    kite, house = sample.turns
    assert kite.question.endswith("A red kite. It drifts to the right.") or "A red kite." in kite.question
    assert (kite.target_ids, house.target_ids) == ((("2",),), (("0",),))
    assert [rle is None for rle in sample.masks["2"]] == [False, True, False]
    np.testing.assert_array_equal(masks_of(sample, ("2",), 2), box_mask((16, 0, 22, 6)))


def test_ref_sav_tells_all_missing_annotations_at_once(tmp_path: Path) -> None:
    files = make_ref_sav(tmp_path)
    videos = {
        f"sav_{n}": {"anno_path": f"x/sav_{n}.json", "video_path": "x/v.mp4", "objects": {}} for n in range(5)
    }
    write_json(files.records, videos)
    with pytest.raises(
        DataError, match=r"5 of 5 annotations are missing, such as .*sav_0\.json, .*sav_2\.json\."
    ):
        FORMS["ref_sav"].read(files)


def test_ref_sav_object_without_channel_is_named(tmp_path: Path) -> None:
    files = make_ref_sav(tmp_path)
    row = {"video_path": "x/sav_000/sav_000001.mp4", "anno_path": "x/sav_000/sav_000001_manual.json"}
    write_json(files.records, {"v": {**row, "objects": {"7": {"formated": "A fly."}}}})
    (sample,) = FORMS["ref_sav"].read(files)
    with pytest.raises(DataError, match=r"Sample 'ref_sav/v': object 7 is not in frame 0 .*3 objects there"):
        sample.masks["7"]


def test_refcoco(tmp_path: Path) -> None:
    (sample,) = read("refcoco", tmp_path)
    assert sample.sample_id == "refcoco/7"
    assert sample.video_path == str(tmp_path / "train2014/COCO_train2014_000000000007.jpg")
    assert [turn.target_ids for turn in sample.turns] == [(("70",),), (("70",),), (("71",),)]
    assert all(
        word in turn.question
        for word, turn in zip(("blue cup", "the cup", "plate"), sample.turns, strict=True)
    )
    assert sample.turns[1].question != "the cup?"
    np.testing.assert_array_equal(masks_of(sample, ("70",), 0), box_mask((4, 4, 24, 20), (14, 8, 34, 20)))


def test_gcg_refcocog(tmp_path: Path) -> None:
    (sample,) = read("gcg_refcocog", tmp_path)
    (turn,) = sample.turns
    assert turn.answer == (
        "A woman, a <p> man </p> [SEG] and a <p> man </p> [SEG] at <p> the </p> [SEG] <p> red car door </p> [SEG]."
    )
    assert turn.target_ids == tuple((f"gcg_refcocog/12/{i}",) for i in range(4))
    expected = [(0, 0, 15, 10), (20, 0, 28, 8), (30, 10, 50, 30), (40, 10, 50, 30)]
    for mask_id, box in enumerate(expected):
        np.testing.assert_array_equal(masks_of(sample, (f"gcg_refcocog/12/{mask_id}",), 0), box_mask(box))


def test_gcg_grandf(tmp_path: Path) -> None:
    (sample,) = read("gcg_grandf", tmp_path)
    assert sample.turns[0].answer == "<p> A dog </p> [SEG] lies on <p> grass </p> [SEG]."
    np.testing.assert_array_equal(masks_of(sample, ("gcg_grandf/1/0",), 0), box_mask((0, 0, 15, 10)))


def test_gcg_flickr(tmp_path: Path) -> None:
    (sample,) = read("gcg_flickr", tmp_path)
    assert sample.turns[0].answer == "<p> Two dogs </p> [SEG] play <p> ball </p> [SEG]"
    np.testing.assert_array_equal(masks_of(sample, ("gcg_flickr/1/1",), 0), box_mask((30, 0, 36, 6)))


def test_osprey(tmp_path: Path) -> None:
    (sample,) = read("osprey", tmp_path)
    first, second = sample.turns
    assert (
        first.question
        == "In the picture: region1 <mask>, region2 <mask>.\nHow does region1 relate to region2?"
    )
    assert first.answer == "region1 stands left of region2."
    one, two = first.region_ids
    assert second.region_ids == ()
    assert second.question == "Which is larger?"
    assert sample.video_path == str(tmp_path / "coco/val2014/COCO_val2014_000000000003.jpg")
    np.testing.assert_array_equal(masks_of(sample, (one,), 0), box_mask((2, 2, 12, 12)))
    np.testing.assert_array_equal(masks_of(sample, (two,), 0), box_mask((20, 2, 40, 22)))


def test_osprey_short(tmp_path: Path) -> None:
    (sample,) = read("osprey_short", tmp_path)
    assert all(
        turn.question.endswith("? Answer the question using a single word or phrase.")
        for turn in sample.turns
    )


def test_osprey_description(tmp_path: Path) -> None:
    (sample,) = read("osprey_description", tmp_path)
    (turn,) = sample.turns
    assert turn.question.count("<mask>") == 1
    assert (turn.answer, turn.task) == ("region2: a large blue box.", "referring")
    np.testing.assert_array_equal(masks_of(sample, turn.region_ids, 0), box_mask((20, 2, 40, 22)))


def test_llava(tmp_path: Path) -> None:
    picture, text = read("llava", tmp_path)
    assert picture.turns[0].question == "What is this?\nA. a wall\nB. a tree"
    assert picture.video_path == str(tmp_path / "images/coco/train2017/a.jpg")
    assert (text.video_path, text.turns[0].question, text.turns[0].answer) == ("", "Hi", "Hello.")
    assert {turn.task for sample in (picture, text) for turn in sample.turns} == {"general"}


def test_video_chat(tmp_path: Path) -> None:
    (sample,) = read("video_chat", tmp_path)
    assert sample.video_path == str(tmp_path / "Activity_Videos/v_1.mp4")
    assert sample.turns[0].question == "What happens?"


def test_masks_are_not_read_until_they_are_asked_for(tmp_path: Path) -> None:
    files = make_mevis(tmp_path)
    samples = FORMS["mevis"].read(files)
    files.masks.unlink()
    (sample,) = samples
    assert "5" in sample.masks
    with pytest.raises(DataError, match=r"mask_dict\.json cannot be read"):
        sample.masks["5"]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("fault", ["gone", "cut"])
def test_missing_and_cut_files_are_named(name: str, fault: str, tmp_path: Path) -> None:
    files = MAKERS[name](tmp_path)
    for path in filter(None, (files.records, files.masks)):
        content = path.read_bytes()
        if fault == "gone":
            path.unlink()
        else:
            path.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=path.name.replace("(", r"\(").replace(")", r"\)")):
            FORMS[name].read(files)
        path.write_bytes(content)


def test_nothing_that_can_be_used_is_an_error_that_says_why(tmp_path: Path) -> None:
    path = write_json(tmp_path / "chat.json", [{"id": 1, "conversations": []}, {"id": 2}])
    with pytest.raises(
        DataError,
        match=r"llava has nothing that can be used: 1 conversation-empty, the first: llava/1; 1 record",
    ):
        FORMS["llava"].read(SourceFiles(path, None, tmp_path))


def test_frame_that_is_not_there_is_named(tmp_path: Path, loaded: Any) -> None:
    dataset = make_dataset(loaded, read("mevis", tmp_path))
    (tmp_path / "JPEGImages/birds/00001.jpg").unlink()
    with pytest.raises(MediaError, match=r"lacks 1 of 3 frames, such as 00001"):
        dataset[0]


def test_damaged_picture_is_named(tmp_path: Path, loaded: Any) -> None:
    samples = read("gcg_flickr", tmp_path)
    picture = tmp_path / "images/36979.jpg"
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.raises(MediaError, match=r"36979\.jpg"):
        make_dataset(loaded, samples)[0]
    write_picture(picture)


def test_track_of_another_length_is_named(tmp_path: Path) -> None:
    files = make_mevis(tmp_path)
    write_json(files.masks, {"4": [None], "5": [None]})
    (sample,) = FORMS["mevis"].read(files)
    with pytest.raises(DataError, match=r"Sample 'mevis/birds': mask '4': it has 1 entries for 3 frames"):
        sample.masks["4"]


@pytest.mark.parametrize(("size", "own"), [("1b", 5), ("4b", 3), ("8b", 3)])
def test_the_papers_mixture_names_every_form_with_its_weight(size: str, own: int) -> None:
    sources = read_mixture(Path(__file__).resolve().parents[3] / f"data_configs/paper_{size}.yaml")
    assert {source.form for source in sources} == set(FORMS) - {"own"}
    weights = {source.form: source.repeat for source in sources if source.repeat > 1}
    assert {source.part: source.repeat for source in sources if source.form == "sama239k"} == {
        "conversation": own,
        "description": own,
    }
    assert weights.pop("sama239k") == own
    assert weights == {
        **dict.fromkeys(("refcoco", "refcoco_plus", "refcocog"), 4),
        **dict.fromkeys(("mevis", "ref_youtube_vos", "ref_sav"), 4),
        **dict.fromkeys(("revos", "gcg_grandf"), 10),
    }


def test_all_faults_of_a_mixture_are_told_at_once(tmp_path: Path) -> None:
    for name in ("mevis", "refcoco", "llava", "video_chat"):
        (tmp_path / name).mkdir()
        MAKERS[name](tmp_path / name)
    entries = [
        "  - {form: mevis, json_path: mevis/meta_expressions.json, mask_path: mevis/none.json, video_root: v}",
        "  - {form: refcoco, json_path: 'refcoco/refcoco/refs(unc).p', "
        "mask_path: refcoco/refcoco/instances.json, video_root: nowhere}",
        "  - {form: llava, json_path: llava/llava_v1_5_mix665k.json, video_root: '${PICTURES}'}",
        "  - {form: video_chat, json_path: video_chat/video_chat.json, video_root: video_chat/Activity_Videos}",
    ]
    path = tmp_path / "mixture.yaml"
    path.write_text("\n".join(["datasets:", *entries]))
    with pytest.raises(DataError) as error:
        read_sources(path, tmp_path, {})
    message = str(error.value)
    assert f"line 2: no file {tmp_path}/mevis/none.json" in message
    assert "line 3: 1 of 1 videos are missing, such as" in message
    assert "nowhere/COCO_train2014_000000000007.jpg" in message
    assert "line 4: ${PICTURES} is not set" in message
    assert "line 5" not in message


def test_records_about_one_picture_become_one_example(tmp_path: Path) -> None:
    files = MAKERS["osprey"](tmp_path)
    (record, *_) = json.loads(files.records.read_text())
    other = {**record, "annotation": record["annotation"][::-1]}
    write_json(files.records, [record, other])
    (example,) = Selection(FORMS["osprey"].read(files), merge=2)
    boxes = [box_mask((2, 2, 12, 12)), box_mask((20, 2, 40, 22))]
    found = [masks_of(example, (i,), 0) for turn in example.turns for i in turn.region_ids]
    np.testing.assert_array_equal(found, [*boxes, *boxes[::-1]])


def test_annotation_of_another_form_is_named(tmp_path: Path) -> None:
    files = MAKERS["gcg_flickr"](tmp_path)
    content = json.loads(files.records.read_text())
    del content["annotations"][1]["tokens_positive"]
    write_json(files.records, content)
    with pytest.raises(
        DataError,
        match=r"GCG_train\.json, annotation 1 is not in the published form: KeyError 'tokens_positive'",
    ):
        FORMS["gcg_flickr"].read(files)
