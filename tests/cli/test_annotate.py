"""`sama annotate` whole: by rules, against a server that misbehaves, killed and gone on with."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sama_plugin.cli.main import main
from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.record_rules import find_defects
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import encode_mask
from tests.data.annotation.made_tracks import HEIGHT, WIDTH, line, rectangle_track
from tests.data.annotation.scripted_model import answer
from tests.data.chat_server import ChatServer, Misbehaviour, chat_server
from tests.forked import fork
from tests.grounding.tiny_sam2 import MemoryClip, new_head

KEY = "sk-secret-0123456789"
TROUBLE = {
    "drop": 0.1,
    "429": 0.06,
    "429-after": 0.06,
    "500": 0.06,
    "torn": 0.06,
    "broken": 0.06,
    "wrong": 0.06,
}


@pytest.fixture(autouse=True)
def quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sama_plugin.data.request_pace.FIRST_WAIT_S", 0.001)


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    """A file of SA-V's form: five objects, one of them too seldom to be annotated; its video is absent."""
    masks = [
        rectangle_track(line((8, 8), (56, 8))),
        rectangle_track(line((56, 24), (10, 40)), (6, 14)),
        rectangle_track([(20, 40)] * 20),
        rectangle_track([(50, 12)] * 20, seen=[(9, 19)]),
        rectangle_track([(30, 20)] * 20, (1, 1)),
    ]
    masks[4][1:] = False
    masks[4][0, 20, 30] = True
    rows = [[encode_mask(np.asarray(track[t])) for track in masks] for t in range(20)]
    path = tmp_path / "sav_000009_manual.json"
    path.write_text(json.dumps({"video_height": HEIGHT, "video_width": WIDTH, "masklet": rows}))
    return path


def asking(server: ChatServer, tracks: Path, out: Path, *more: str) -> list[str]:
    options = ["--endpoint", server.url, "--llm", "m", "--blank-frames", "--side", "64", "--pictures", "2"]
    return ["annotate", str(tracks), "--out", str(out), *options, *more]


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "annotation.jsonl").read_text().splitlines()][1:]


def check_clean(out: Path) -> list[dict[str, Any]]:
    """Records that keep every rule."""
    corpus = open_corpus(out / "records.json", out / "mask_dict.json", out)
    records = [corpus.record(k) for k in range(len(corpus))]
    for record in records:
        assert find_defects(record, lambda key, r=record: corpus.track(r, key), deep=True) == []
    return records


def test_rules_need_neither_video_nor_key(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        assert main(["annotate", str(tracks), "--out", str(out), "--dialogues", "3"]) == 0
    assert "1 videos: 4 objects (0 repaired, 0 rejected), 3 dialogues" in capsys.readouterr().out
    records = check_clean(outs[0])
    assert len(records) == 3
    assert len(records[0]["description"]) == 4
    assert [record["description"] for record in records[1:]] == [{}, {}]
    assert {record["frame_step"] for record in records} == {4}
    assert any(turn["needs_history"] for record in records for turn in record["turns"])
    report = json.loads((outs[0] / "report.json").read_text())
    assert report["rejected"] == [
        {"id": "sav_000009_manual/obj4", "reasons": ["covers 0.033% of the picture, least 0.100%"]}
    ]
    for name in ("records.json", "mask_dict.json", "report.json", "annotation.jsonl"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()


def test_a_finished_run_is_left_alone_and_more_dialogues_are_added(tracks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["annotate", str(tracks), "--out", str(out), "--dialogues", "1"]) == 0
    before = (out / "annotation.jsonl").read_bytes()
    assert main(["annotate", str(tracks), "--out", str(out), "--dialogues", "1"]) == 0
    assert (out / "annotation.jsonl").read_bytes() == before
    assert main(["annotate", str(tracks), "--out", str(out), "--dialogues", "2"]) == 0
    assert (out / "annotation.jsonl").read_bytes().startswith(before)
    assert len(check_clean(out)) == 2


def test_other_tracks_are_another_run(tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "a"
    assert main(["annotate", str(tracks), "--out", str(out)]) == 0
    kept = (out / "records.json").read_bytes()
    content = json.loads(tracks.read_text())
    swapped = [[row[1], row[0], *row[2:]] for row in content["masklet"]]
    tracks.write_text(json.dumps({**content, "masklet": swapped}))
    assert main(["annotate", str(tracks), "--out", str(out)]) == 2
    assert "with other tracks or names of its objects than it has now" in capsys.readouterr().err
    assert (out / "records.json").read_bytes() == kept
    tracks.write_text(json.dumps(content))
    assert main(["annotate", str(tracks), "--out", str(out)]) == 0


def test_another_seed_is_another_run(tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["annotate", str(tracks), "--out", str(tmp_path / "out")]) == 0
    assert main(["annotate", str(tracks), "--out", str(tmp_path / "out"), "--seed", "1"]) == 2
    assert "writer.seed is 0 there and 1 now" in capsys.readouterr().err


def test_a_server_that_misbehaves_costs_nothing(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    with chat_server(answer, Misbehaviour(TROUBLE, seed=3)) as server:
        command = asking(server, tracks, out, "--concurrency", "4", "--tries", "20", "--dialogues", "3")
        assert main([*command, "--price-in", "5"]) == 0
        count = len(server.requests)
        assert main([*command, "--price-in", "5"]) == 0
    assert len(server.requests) == count
    counts = Counter(row["dialogue"] for row in rows_of(out))
    assert counts == {
        f"sav_000009_manual/{name}": 1 for name in (*[f"obj{k}" for k in range(4)], "choice", *_talks(3))
    }
    check_clean(out)
    assert "cost 0.0" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["usage"]["cost"] > 0
    assert report["objects"]["left"] == report["dialogues"]["left"] == 0


def _talks(count: int) -> list[str]:
    return [f"dialogue{k}" for k in range(count)]


def test_the_key_is_in_no_file(
    tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    out = tmp_path / "out"
    with chat_server(answer, Misbehaviour(TROUBLE, seed=1), key=KEY) as server:
        assert main(asking(server, tracks, out, "--key-env", "MY_KEY", "--tries", "20", "-v")) == 0
    said = capsys.readouterr()
    kept = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    assert "MY_KEY" not in kept
    assert KEY not in kept + said.out + said.err


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (["401"], "does not accept requests without a key"),
        (["429"] * 99, "429: slow down"),
        (["drop"] * 99, "cannot be reached"),
        (["404"] * 99, "refuses the request"),
    ],
)
def test_an_endpoint_that_is_down_ends_the_run_and_nothing_is_lost(
    tracks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
    plan: list[str],
    words: str,
) -> None:
    out = tmp_path / "out"
    with chat_server(answer, Misbehaviour(plan=["well", "well", *plan])) as server:
        code = main(asking(server, tracks, out, "--tries", "1"))
        said = " ".join((*capsys.readouterr(), caplog.text))
        assert words in said
        assert code == (1 if "left for another run" in said else 2)
        before = rows_of(out)
    with chat_server(answer) as server:
        assert main(asking(server, tracks, out)) == 0
    assert rows_of(out)[: len(before)] == before
    assert set(Counter(row["dialogue"] for row in rows_of(out)).values()) == {1}
    check_clean(out)


def run_alone(command: list[str]) -> None:
    sys.exit(main(command))


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_and_gone_on_with_each_object_is_annotated_once(
    tracks: Path, tmp_path: Path, kills: int
) -> None:
    out, rng = tmp_path / "out", random.Random(kills)
    trouble = Misbehaviour({**TROUBLE, "slow": 0.2}, seed=kills, slow_s=0.1)
    with chat_server(answer, trouble) as server:
        command = asking(
            server, tracks, out, "--concurrency", "2", "--tries", "20", "--dialogues", str(2 * kills)
        )
        for _ in range(kills):
            wanted = num_lines(out) + rng.randint(1, 2)
            process = fork(run_alone, command)
            while process.is_alive() and num_lines(out) < wanted:
                time.sleep(0.002)
            assert process.is_alive(), "it was done before it was killed"
            process.kill()
            process.join()
        process = fork(run_alone, command)
        process.join()
        assert process.exitcode == 0
    counts = Counter(row["dialogue"] for row in rows_of(out))
    names = [*[f"obj{k}" for k in range(4)], "choice", *_talks(2 * kills)]
    assert counts == {f"sav_000009_manual/{name}": 1 for name in names}
    check_clean(out)


def num_lines(out: Path) -> int:
    path = out / "annotation.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


ASKING = ["x.json", "--endpoint", "http://h/v1", "--llm", "m"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name a file with tracks"),
        (["no.json"], "no.json does not exist"),
        (["x.json", "--llm", "m"], "--llm is given without --endpoint"),
        (["x.json", "--prompts", "mine"], "--prompts is given without --endpoint"),
        (["x.json", "--key-env", "KEY"], "--key-env is given without --endpoint"),
        *(
            (["x.json", *option.split()], f"{option.split()[0]} is given without --endpoint")
            for option in ("--rate 5", "--price-out 2", "--temperature 0", "--no-verdicts", "--blank-frames")
        ),
        (["x.json", "--endpoint", "http://h/v1"], "--endpoint is given without --llm"),
        (["x.json", "--rounds", "0"], "--rounds is 0, expected 1 or more"),
        (["x.json", "--min-seen", "2"], "--min-seen is 2.0, expected a share"),
        (["x.json", "--seed", "-1"], "--seed is -1, expected 0 or more"),
        ([*ASKING, "--rate", "0"], "--rate is 0.0, expected more than 0"),
    ],
)
def test_bad_options_are_refused(options: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["annotate", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_video_is_told_before_anything_is_paid(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with chat_server(answer) as server:
        command = [word for word in asking(server, tracks, tmp_path / "out") if word != "--blank-frames"]
        assert main(command) == 2
    assert "1 of 1 videos are missing" in capsys.readouterr().err
    assert server.requests == []


def test_a_video_that_cannot_be_read_is_left_and_told(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    good = tracks.with_name("sav_000010_manual.json")
    good.write_text(tracks.read_text())
    write_video(tmp_path / "sav_000010.mp4", [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 80, 24)
    (tmp_path / "sav_000009.mp4").write_bytes(b"no video")
    with chat_server(answer) as server:
        command = asking(server, tracks, tmp_path / "out")
        command.insert(1, str(good))
        command.remove("--blank-frames")
        assert main(command) == 1
        assert "left for another run: 4 objects" in capsys.readouterr().out
        assert "sav_000009_manual/obj0: " in caplog.text
        (tmp_path / "sav_000009.mp4").write_bytes((tmp_path / "sav_000010.mp4").read_bytes())
        assert main(command) == 0
    assert {record["video"] for record in check_clean(tmp_path / "out")} == {
        "sav_000009.mp4",
        "sav_000010.mp4",
    }


def test_prompts_can_be_copied_and_used(tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["annotate", "--copy-prompts", str(tmp_path / "mine")]) == 0
    (tmp_path / "mine/system.txt").write_text("Speak like a sailor.")
    with chat_server(answer) as server:
        assert main(asking(server, tracks, tmp_path / "out", "--prompts", str(tmp_path / "mine"))) == 0
    assert {r["messages"][0]["content"] for r in server.requests} == {"Speak like a sailor."}


def test_masks_that_do_not_decode_cost_only_their_video(tracks: Path, tmp_path: Path) -> None:
    content = json.loads(tracks.read_text())
    content["masklet"][3][0]["counts"] = "0"
    broken = tracks.with_name("sav_000010_manual.json")
    broken.write_text(json.dumps(content))
    assert main(["annotate", str(tracks), str(broken), "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    (why,) = [row["reasons"][0] for row in report["rejected"] if row["id"] == "sav_000010_manual/choice"]
    assert "run lengths" in why
    assert {record["video"] for record in check_clean(tmp_path / "out")} == {"sav_000009.mp4"}


def test_masks_that_do_not_decode_do_not_keep_a_run_from_going_on(tmp_path: Path) -> None:
    track = [encode_mask(np.asarray(mask)) for mask in rectangle_track([(20, 20)] * 20)]
    broken = [{**track[0], "counts": "0"}, *track[1:]]
    (tmp_path / "mask_dict.json").write_text(json.dumps({"0": track, "1": broken}))
    frames = [f"{k:05d}" for k in range(20)]
    videos = {name: {"frames": frames, "objects": {"0": {"anno_ids": [k]}}} for k, name in enumerate("ab")}
    records = [{"video": name, "anno_map": [k], "frames": frames} for k, name in enumerate("ab")]
    for number, content in enumerate(({"videos": videos}, records)):
        path, out = tmp_path / f"{number}.json", tmp_path / f"out{number}"
        path.write_text(json.dumps(content))
        for _ in range(2):
            assert main(["annotate", str(path), "--out", str(out)]) == 0
        report = json.loads((out / "report.json").read_text())
        assert "b/choice" in {row["id"] for row in report["rejected"]}


def test_a_video_of_which_nothing_is_chosen_is_not_measured(
    tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sama_plugin.data.annotation.work.measure_video", None)
    assert main(["annotate", str(tracks), "--out", str(tmp_path / "out"), "--min-area", "1"]) == 1
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["objects"]["given"], report["objects"]["chosen"]) == (5, 0)


def test_files_of_clicks_load_sam2_once_and_other_files_never(
    tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    model = SimpleNamespace(model=SimpleNamespace(sam2_head=new_head()))
    monkeypatch.setattr("sama_plugin.cli.annotate.load_model", lambda args: loads.append(args) or model)
    assert main(["annotate", str(tracks), "--out", str(tmp_path / "a")]) == 0
    assert loads == []
    prompts = []
    for name in "bc":
        write_video(tmp_path / f"{name}.mp4", MemoryClip(6).frames, 10.0)
        row = {"video": f"{name}.mp4", "objects": [{"at": "box@0:10,20,50,60"}]}
        prompts.append(tmp_path / f"{name}.json")
        prompts[-1].write_text(json.dumps({"prompts": [row]}))
    out = tmp_path / "d"
    main(["annotate", str(prompts[0]), str(tracks), str(prompts[1]), "--out", str(out)])
    assert len(loads) == 1
    chosen = [row["dialogue"] for row in rows_of(out) if row["dialogue"].endswith("/choice")]
    assert chosen == ["b.mp4/choice", "sav_000009_manual/choice", "c.mp4/choice"]
