"""`sama chat` on a small checkpoint: what it prints and writes; bad input ends in one line and no files."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_plugin.cli import chat
from sama_plugin.cli.main import main
from sama_plugin.inference import outputs
from sama_plugin.media.encode import write_video

HEIGHT, WIDTH, NUM_FRAMES = 48, 64, 12
Usage = namedtuple("Usage", "total used free")
Chat = Callable[..., int]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (NUM_FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    write_video(path, frames, 6.0)
    return path


@pytest.fixture
def run_chat(tiny_checkpoint: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """`sama chat` with the small checkpoint, on the clip unless told another one."""
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")

    def run(*arguments: str, video: Path = video, model: Path = tiny_checkpoint) -> int:
        options = ["--model", str(model), "--device", "cpu", "--max-new-tokens", "3"]
        return main(["chat", str(video), *options, *arguments])

    return run


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What stderr says, which must be one line of ours."""
    shown = capsys.readouterr().err
    assert shown.startswith("sama: ")
    assert shown.count("\n") == 1
    return shown


def test_questions_are_answered_in_order_and_files_named(
    run_chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    asked = ["--region", "r1=box@3:8,8,40,40", "--ask", "What is <r1>?", "--ask", "Segment it."]
    assert run_chat(*asked, "--out", str(out), "--json", str(out / "more" / "a.json")) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = [line for line in shown.out.splitlines() if line]
    assert lines[0].endswith("clip.mp4: 12 frames, 64x48, 2.0 s")
    assert lines[1] == "<r1> is a box on frame 3"
    assert [line for line in lines if line.startswith("you")] == [
        "you    What is <r1>?",
        "you    Segment it.",
    ]
    assert sum(line.startswith("sama   ") for line in lines) == 2
    files = ["overlay.mp4", "strip.png", "answer.json", "more/a.json"]
    assert lines[-1] == "written: " + ", ".join(str(out / name) for name in files)
    assert sorted(p.name for p in out.iterdir()) == ["answer.json", "more", "overlay.mp4", "strip.png"]
    assert (out / "answer.json").read_bytes() == (out / "more" / "a.json").read_bytes()
    document = json.loads((out / "answer.json").read_text())
    assert [turn["question"] for turn in document["turns"]] == ["What is <r1>?", "Segment it."]
    assert [region["name"] for region in document["regions"]] == ["r1"]


def test_json_on_stdout_is_nothing_but_json(run_chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chat("--ask", "What is there?", "--json", "-") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["turns"][0]["question"] == "What is there?"
    assert "you    What is there?" in shown.err


def test_same_seed_gives_the_same_words(run_chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for seed in ("1", "1", "2"):
        assert run_chat("--ask", "What?", "--json", "-", "--temperature", "5", "--seed", seed) == 0
        said.append(json.loads(capsys.readouterr().out)["turns"][0]["raw"])
    assert said[0] == said[1] != said[2]


def test_one_frame_video_works(run_chat: Chat, tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", [np.full((HEIGHT, WIDTH, 3), 9, np.uint8)], 5)
    arguments = ["--ask", "What is there?", "--out", str(tmp_path / "o")]
    assert run_chat(*arguments, video=tmp_path / "one.mp4") == 0
    assert len(list((tmp_path / "o").iterdir())) == 3


def test_video_that_ends_early_is_used_and_said_to(
    run_chat: Chat, video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video.write_bytes(video.read_bytes()[:-1000])
    assert run_chat("--ask", "What is there?", "--json", str(tmp_path / "a.json")) == 0
    used = json.loads((tmp_path / "a.json").read_text())["video"]["num_frames"]
    assert 0 < used < NUM_FRAMES
    assert [f"ends early: {used} of {NUM_FRAMES} frames are used" in said for said in caplog.messages] == [
        True
    ]


def test_prompt_takes_regions_questions_and_saves(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["", "/region r1=point@0:30,20", "What is <r1>?", "/save", f"/save {tmp_path / 's'}", "/what"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert run_chat() == 0
    shown = capsys.readouterr().out
    assert "<r1> is a point on frame 0" in shown
    assert "sama: /save needs a folder" in shown
    assert "strip.png" in shown
    assert shown.count("/quit") == 2  # at the start, and for the command it does not know
    assert len(list((tmp_path / "s").iterdir())) == 3


def test_prompt_survives_bad_input_and_ctrl_c(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sama_plugin.inference.session as session_module

    generate = session_module.generate_tokens
    calls: list[int] = []

    def interrupted_once(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return generate(*args, **kwargs)

    monkeypatch.setattr(session_module, "generate_tokens", interrupted_once)
    lines = ["What is <r9>?", "/region r1=box@99:1,2,3,4", "What?", "What else?", "/quit", "Never asked."]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert run_chat("--out", str(tmp_path / "o")) == 0
    shown = capsys.readouterr().out
    assert "sama: The question means <r9>, which was never defined" in shown
    assert "sama: Region 'r1': Frame 99 is not in" in shown
    assert "sama: stopped; this answer does not count." in shown
    turns = json.loads((tmp_path / "o" / "answer.json").read_text())["turns"]
    assert [turn["question"] for turn in turns] == ["What else?"]


def test_ctrl_c_at_the_prompt_ends_the_conversation_and_keeps_it(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["What?"])

    def typed(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert run_chat("--out", str(tmp_path / "o")) == 0
    assert len(json.loads((tmp_path / "o" / "answer.json").read_text())["turns"]) == 1


@pytest.mark.parametrize("end", [KeyboardInterrupt(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")])
def test_conversation_from_a_pipe_is_kept_when_it_breaks(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    class Broken(io.StringIO):
        def readline(self, *args: int) -> str:  # type: ignore[override]
            line = super().readline(*args)
            if not line:
                raise end
            return line

    monkeypatch.setattr("sys.stdin", Broken("What?\n"))
    assert run_chat("--out", str(tmp_path / "o")) == 0
    assert len(json.loads((tmp_path / "o" / "answer.json").read_text())["turns"]) == 1


def test_outputs_that_would_replace_the_video_are_refused_before_the_model_is_loaded(
    run_chat: Chat, no_model: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "overlay.mp4"
    write_video(video, [np.full((HEIGHT, WIDTH, 3), 9, np.uint8)] * 2, 5)
    for places in (["--out", str(tmp_path)], ["--json", str(video)]):
        assert run_chat("--ask", "What?", *places, video=video) == 2
        assert "would change the video" in capsys.readouterr().err


def test_end_of_input_without_a_question_writes_nothing(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run_chat("--out", str(tmp_path / "o")) == 0
    assert not (tmp_path / "o").exists()


# Bad input: one line, code 2, nothing written, and found before the model is loaded.


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_model(args: object) -> None:
        raise AssertionError("the model was loaded before the input was checked")

    monkeypatch.setattr(chat, "load_model", load_model)


def bad_video(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "truncated":
        path.write_bytes((folder / "clip.mp4").read_bytes()[:900])
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "text", "folder"])
def test_unreadable_video_is_refused(
    kind: str, run_chat: Chat, no_model: None, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bad_video(tmp_path, kind)
    assert run_chat("--ask", "What?", "--out", str(tmp_path / "o"), video=path) == 2
    assert path.name in one_line(capsys)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("r1=box@12:1,2,30,40", "Frame 12 is not in"),
        ("r1=box@-1:1,2,30,40", "Frame -1 is not in"),
        ("r1=box@9.5s:1,2,30,40", "9.5"),
        ("r1=box@0:30,2,1,40", "Region 'r1'"),
        ("r1=box@0:100,2,200,40", "Region 'r1'"),
        ("r1=point@0:64,10", "outside the frame"),
        ("r1=mask@0:empty.png", "Region 'r1'"),
        ("r1=mask@0:wrong.png", "Region 'r1'"),
        ("r1=mask@0:none.png", "none.png"),
        ("obj1=box@0:1,2,30,40", "reserved"),
        ("r1=ball@0:1,2", "'ball'"),
        ("r1", "malformed"),
    ],
)
def test_unusable_region_is_refused(
    spec: str,
    words: str,
    run_chat: Chat,
    no_model: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (WIDTH, HEIGHT), 0).save("empty.png")
    Image.new("L", (WIDTH + 1, HEIGHT), 255).save("wrong.png")
    assert run_chat("--region", spec, "--ask", "What is <r1>?", "--out", "o") == 2
    assert words in one_line(capsys)
    assert not Path("o").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ask", "What is <r1>?"], "<r1>, which was never defined"),
        (["--ask", "What is <obj1>?"], "<obj1>, which was never defined"),
        (["--ask", "  "], "empty"),
        (["--ask", "Say [SEG]."], "'[SEG]'"),
        (
            ["--region", "r1=box@0:1,2,30,40", "--region", "r1=box@0:1,2,30,40", "--ask", "What?"],
            "defined twice",
        ),
        (["--ask", "What?", "--temperature", "-1"], "temperature -1"),
        (["--ask", "What?", "--top-p", "0"], "top_p 0"),
        (["--ask", "What?", "--max-new-tokens", "0"], "max_new_tokens 0"),
    ],
)
def test_unusable_question_is_refused(
    arguments: list[str],
    words: str,
    run_chat: Chat,
    no_model: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_chat(*arguments, "--out", str(tmp_path / "o")) == 2
    assert words in one_line(capsys)
    assert not (tmp_path / "o").exists()


def test_place_that_cannot_be_written_is_refused(
    run_chat: Chat, no_model: None, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_chat("--ask", "What?", "--out", str(video)) == 2
    assert "is not a folder" in one_line(capsys)
    assert run_chat("--ask", "What?", "--json", str(tmp_path)) == 2
    assert "it is a folder; name a file" in one_line(capsys)


def test_full_disk_is_refused(
    run_chat: Chat,
    no_model: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda _: Usage(1, 1, 1000))
    assert run_chat("--ask", "What?", "--out", str(tmp_path / "o")) == 2
    assert "No space left for" in one_line(capsys)
    assert not (tmp_path / "o").exists()


def test_disk_that_fills_up_while_writing_leaves_nothing(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_answer_file", full)
    assert run_chat("--ask", "What?", "--out", str(tmp_path / "o")) == 2
    assert "No space left on device" in one_line(capsys)
    assert not (tmp_path / "o").exists()


def test_ctrl_c_in_mid_answer_leaves_nothing(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sama_plugin.inference.session as session_module

    generate = session_module.generate_tokens
    calls: list[int] = []

    def interrupted(*args: object, **kwargs: object) -> object:
        calls.append(1)
        for token in generate(*args, **kwargs):
            yield token
            if len(calls) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(session_module, "generate_tokens", interrupted)
    arguments = ["--ask", "What?", "--ask", "And now?", "--out", str(tmp_path / "o")]
    assert run_chat(*arguments, "--json", str(tmp_path / "a.json")) == 130
    assert one_line(capsys) == "sama: interrupted; nothing half-written is left.\n"
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_conversation_longer_than_the_context_is_refused(
    run_chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_chat("--ask", "why " * 3000, "--out", str(tmp_path / "o")) == 2
    assert "2048" in one_line(capsys)
    assert not (tmp_path / "o").exists()


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "does not exist"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "sam2" / "model.safetensors").unlink(), "sam2"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "tokenizer_config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json or"),
        (
            lambda folder: (folder / "vision_tower" / "config.json").write_text("[]"),
            "no config of a vision tower",
        ),
        (
            lambda folder: (folder / "vision_tower" / "config.json").write_text("{"),
            "no config of a vision tower",
        ),
        (
            lambda folder: (folder / "vision_tower" / "preprocessor_config.json").write_text("{}"),
            "expects 128",
        ),
        (lambda folder: change_config(folder, model_type=["llava_sama_qwen"]), "model_type"),
        (lambda folder: change_config(folder, num_hidden_layers="four"), "config.json"),
        (lambda folder: change_config(folder, mm_vision_tower=None), "mm_vision_tower is None"),
        (lambda folder: change_config(folder, mm_projector_type="sama_zzz"), "config.json"),
        (lambda folder: change_config(folder, sama={"sampling": {"interval": 0}}), "interval is 0, expected"),
        (lambda folder: change_config(folder, model_type="llava_qwen"), "model_type 'llava_qwen'"),
        (lambda folder: change_config(folder, intermediate_size=72), "mlp"),
    ],
)
def test_damaged_or_foreign_checkpoint_is_refused(
    damage: Callable[[Path], None],
    words: str,
    run_chat: Chat,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    damage(folder)
    assert run_chat("--ask", "What?", "--out", str(tmp_path / "o"), model=folder) == 2
    assert words in one_line(capsys)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("question", ["caf\udce9?", "\ud800"])
def test_bytes_that_are_no_text_are_refused(
    run_chat: Chat, question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_chat("--ask", question) == 2
    assert "no UTF-8 text" in one_line(capsys)


def test_picture_that_would_fill_the_memory_is_refused(
    run_chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (WIDTH, HEIGHT)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert run_chat("--region", f"r1=mask@0:{path}", "--ask", "What is <r1>?") == 2
    assert "cannot be read as a picture" in one_line(capsys)


def test_outputs_that_stand_in_each_other_s_way_are_refused(
    run_chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert run_chat("--ask", "What?", "--out", str(out), "--json", str(out)) == 2
    assert "is the folder of --out" in one_line(capsys)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert run_chat("--ask", "What?", "--json", str(fifo)) == 2
    assert "no regular file" in one_line(capsys)
    (out / "answer.json").mkdir(parents=True)
    (out / "overlay.mp4").write_text("old")
    assert run_chat("--ask", "What?", "--out", str(out)) == 2
    assert "it is a folder" in one_line(capsys)
    assert (out / "overlay.mp4").read_text() == "old"


def test_link_is_written_through(run_chat: Chat, tmp_path: Path) -> None:
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    assert run_chat("--ask", "What?", "--json", str(link)) == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["turns"]


def test_device_that_is_not_there_is_refused(run_chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chat("--ask", "What?", "--device", "abacus") == 2
    assert "--device is 'abacus'" in one_line(capsys)
    assert run_chat("--ask", "What?", "--device", "meta") == 2
    assert "device_map is 'meta', expected auto, cpu or cuda:N" in one_line(capsys)


def test_rewinding_at_the_prompt(
    run_chat: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["What is it?", "And that?", "/rewind 1", "/rewind", "/rewind 5", "/quit"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    assert run_chat() == 0
    shown = capsys.readouterr().out
    assert "1 answers are left" in shown
    assert "sama: /rewind needs the number of answers to keep" in shown
    assert "sama: Cannot rewind to 5 turns; expected a whole number from 0 to 1" in shown


def test_part_of_a_video_is_asked_about(run_chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chat("--ask", "What?", "--from", "0.5s", "--to", "1.5", "--json", "-") == 0
    turn = json.loads(capsys.readouterr().out)["turns"][0]
    assert turn["counters"]["vision_frames_encoded"] <= 6
    assert run_chat("--ask", "What?", "--from", "1.5", "--to", "0.5") == 2
    assert "ends before it begins" in one_line(capsys)
    assert run_chat("--ask", "What?", "--to", "99s") == 2
    assert "is outside" in one_line(capsys)


@pytest.mark.parametrize("size", ["96", "256"])
def test_sam2_sees_frames_of_another_size(
    run_chat: Chat, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    point = ["--region", "r1=box@0:8,8,40,40", "--ask", "What is <r1>?"]
    assert run_chat(*point, "--sam2-size", size) == 0
    assert "you    What is <r1>?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sam2-size", "100"], "expected a multiple of 32"),
        (["--sam2-memory", "-1"], "expected megabytes from 0"),
        (["--sam2-memory", "0.001", "--region", "r1=point@0:9,9"], "set it to"),
    ],
)
def test_sizes_and_budgets_that_cannot_be_are_refused(
    run_chat: Chat, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_chat("--ask", "What?", *options) == 2
    assert message in one_line(capsys)


def test_batch_takes_everything_from_its_file(
    tiny_checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, out = tmp_path / "jobs.jsonl", tmp_path / "answers.jsonl"
    jobs.write_text(json.dumps({"video": "clip.mp4", "ask": ["What?", "Where?"]}) + "\n")
    options = ["--model", str(tiny_checkpoint), "--device", "cpu", "--max-new-tokens", "3"]
    command = ["chat", "--batch", str(jobs), *options]
    for wrong in (
        [],
        ["--json", "-"],
        ["--json", str(out), "--ask", "What?"],
        ["--json", str(out), "--from", "1"],
    ):
        assert main([*command, *wrong]) == 2
        assert "--batch takes videos, questions" in one_line(capsys)
    assert main(["chat", str(video), "--batch", str(jobs), "--json", str(out)]) == 2
    assert "leave VIDEO" in one_line(capsys)
    assert main([*command, "--json", str(jobs)]) == 2
    assert "is the batch file itself" in one_line(capsys)
    assert main([*command, "--json", str(out)]) == 0
    assert capsys.readouterr().out == f"1 conversations answered, 0 failed: {out}\n"
    assert main([*command, "--json", str(out), "--seed", "3"]) == 2
    assert "settings.seed is 0 there and 3 now" in one_line(capsys)
    jobs.write_text(jobs.read_text() + json.dumps({"video": "none.mp4", "ask": ["What?"]}) + "\n")
    assert main([*command, "--json", str(out)]) == 1
    assert capsys.readouterr().out == f"1 conversations answered, 1 failed: {out}\n"
    assert main(["chat"]) == 2
    assert "There is no VIDEO to talk about" in one_line(capsys)
