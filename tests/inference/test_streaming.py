"""Streams, cancelling, threads, rewinding, windows, live and damaged videos."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_plugin.errors import CancelledError, DamagedVideoError, MediaError, PromptError
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.live import LiveClip
from sama_plugin.schema import FrameMasks
from tests.conftest import LoadedCheckpoint
from tests.inference.scripted import write_answers

BOTH = "<p> One </p> [SEG] and <p> two </p> [SEG]."


@pytest.fixture
def video(shapes_set: Path) -> Path:
    return shapes_set / "videos" / "00000.mp4"


@pytest.fixture
def session(loaded: LoadedCheckpoint, lively_model: Any, video: Path) -> VideoSession:
    return new_session(loaded._replace(model=lively_model), video)


def new_session(loaded: LoadedCheckpoint, video: Any, **settings: Any) -> VideoSession:
    settings = {"max_new_tokens": 40} | settings
    return VideoSession(loaded.model, loaded.tokenizer, loaded.image_processor, video, **settings)


def test_masks_are_streamed_as_the_answer_has_them(
    session: VideoSession, loaded: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, loaded.tokenizer, [BOTH])
    pieces = list(session.stream("Find both.", masks=True))
    texts = [piece for piece in pieces if isinstance(piece, str)]
    frames = [piece for piece in pieces if isinstance(piece, FrameMasks)]
    assert pieces == [*texts, *frames]
    assert "".join(texts) == BOTH
    answer = session.answers[-1]
    for thing in answer.objects:
        streamed = {piece.frame: piece.rle[thing.id] for piece in frames if thing.id in piece.rle}
        assert [streamed[i] for i in range(session.clip.num_frames)] == thing.rle


def test_answer_is_cancelled_before_its_next_token_or_frame(
    session: VideoSession, loaded: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.cancel()  # nothing is being made: no matter
    for kind in (str, FrameMasks):
        write_answers(monkeypatch, loaded.tokenizer, [BOTH])
        stream = session.stream("Find both.", masks=True)
        while not isinstance(next(stream), kind):
            pass
        session.cancel()
        with pytest.raises(CancelledError, match="cancelled"):
            next(stream)
        assert not session.answers
    write_answers(monkeypatch, loaded.tokenizer, ["Here.", BOTH])
    assert session.ask("Where?").counters["prefix_tokens_reused"] == 0
    assert len(session.ask("Find both.").objects) == 2


def test_what_was_read_ahead_of_a_cancelled_answer_is_forgotten(
    session: VideoSession, loaded: LoadedCheckpoint, lively_model: Any, video: Path
) -> None:
    session.ask("What is it?")
    stream = session.stream("What is it?")  # most of the answer is read with its first token
    next(stream)
    session.cancel()
    with pytest.raises(CancelledError):
        list(stream)
    other = new_session(loaded._replace(model=lively_model), video)
    other.ask("What is it?")
    assert session.ask("How does it move?").raw == other.ask("How does it move?").raw
    assert session._cache.lengths == other._cache.lengths


def test_answer_is_cancelled_from_another_thread(
    session: VideoSession, loaded: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, loaded.tokenizer, [BOTH])
    masks = iter(range(10))
    ground = session._ground

    def cancelling(*arguments: Any) -> Any:
        for frame in ground(*arguments):
            if next(masks) == 3:
                thread = threading.Thread(target=session.cancel)
                thread.start()
                thread.join()
            yield frame

    monkeypatch.setattr(session, "_ground", cancelling)
    with pytest.raises(CancelledError):
        session.ask("Find both.")
    assert next(masks) == 4


def test_session_is_one_threads_at_a_time(
    session: VideoSession, loaded: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, loaded.tokenizer, ["Left.", "Right."])
    errors: list[Exception] = []
    draft = session.draft

    def meanwhile(question: str) -> Any:
        for act in (
            lambda: session.ask("And now?"),
            lambda: session.region("r1", point=(30, 30)),
            lambda: session.rewind(0),
            session.forget,
        ):
            with pytest.raises(PromptError, match="at work in another thread") as caught:
                act()
            errors.append(caught.value)
        return draft(question)

    def from_another_thread(question: str) -> Any:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(meanwhile(question)))
        thread.start()
        thread.join()
        return found[0]

    with monkeypatch.context() as patch:
        patch.setattr(session, "draft", from_another_thread)
        assert session.ask("Where?").raw == "Left."
    assert len(errors) == 4
    assert session.ask("And now?").raw == "Right."


@pytest.mark.parametrize("turns", [-1, 3, 1.0, True, None])
def test_rewinding_to_no_turn_is_refused(
    session: VideoSession, loaded: LoadedCheckpoint, turns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, loaded.tokenizer, ["Left.", "Right."])
    session.ask("Where?")
    session.ask("And now?")
    with pytest.raises(PromptError, match=r"Cannot rewind to .* turns; expected a whole number from 0 to 2"):
        session.rewind(turns)
    assert len(session.answers) == 2


def test_rewinding_keeps_what_came_before_and_what_shows_the_video(
    session: VideoSession, loaded: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, loaded.tokenizer, ["Left.", BOTH, "Up.", "Down."])
    first = session.ask("Where?")
    session.ask("Find both.")
    session.rewind(1)
    assert session.answers == [first]
    assert not session.objects
    with pytest.raises(PromptError, match="means <obj1>, which was never defined"):
        session.ask("Is <obj1> red?")
    second = session.ask("And now?")
    assert second.counters["prefix_tokens_reused"] == first.counters["prefix_tokens_computed"] + len(
        session._turns[0].answer_ids
    )
    session.rewind(0)
    frames = 5 * 65 - 1  # of the dense frames, to the last of their slots
    again = session.ask("Where?").counters
    assert frames < again["prefix_tokens_reused"] < frames + 40
    assert (
        again["prefix_tokens_reused"] + again["prefix_tokens_computed"]
        == first.counters["prefix_tokens_computed"]
    )
    assert again["vision_frames_encoded"] == 0


@pytest.mark.parametrize("kind", [str, FrameMasks])
@pytest.mark.parametrize(
    "go_on", [lambda session: session.rewind(0), VideoSession.forget], ids=["rewind", "forget"]
)
def test_stream_is_over_when_the_session_goes_on(
    session: VideoSession, loaded: LoadedCheckpoint, go_on: Any, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, loaded.tokenizer, [BOTH])
    stream = session.stream("Find both.", masks=True)
    while not isinstance(next(stream), kind):
        pass
    go_on(session)
    with pytest.raises(PromptError, match="this turn does not count"):
        next(stream)
    write_answers(monkeypatch, loaded.tokenizer, ["Left."])
    assert session.ask("Where?").raw == "Left."


def test_window_is_all_that_is_seen_and_masked(
    loaded: LoadedCheckpoint, lively_model: Any, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = VideoClip.open(video)
    start, stop = 5, clip.num_frames - 4
    times = (float(clip.timestamps_s[start]), float(clip.timestamps_s[stop]))
    session = new_session(loaded._replace(model=lively_model), clip, window=times)
    assert all(start <= frame < stop for frame in session._features.sparse)
    write_answers(monkeypatch, loaded.tokenizer, [BOTH, BOTH])
    answer = session.ask("Find both.")
    assert answer.counters["sam2_frames_encoded"] == stop - start
    part = clip.window(start, stop)
    alone = new_session(loaded._replace(model=lively_model), part).ask("Find both.")
    for thing, other in zip(answer.objects, alone.objects, strict=True):
        assert thing.rle == [None] * start + other.rle + [None] * 4
        assert any(thing.rle)


@pytest.mark.parametrize("window", [(2.0, 1.0), (-1.0, None), (None, 1e6)])
def test_window_outside_the_video_is_refused(
    loaded: LoadedCheckpoint, video: Path, window: tuple[float | None, float | None]
) -> None:
    with pytest.raises(MediaError):
        new_session(loaded, video, window=window)


def test_frames_come_to_live_clips_only(session: VideoSession) -> None:
    with pytest.raises(PromptError, match="open the session on a LiveClip"):
        session.append_frames(np.zeros((1, 128, 160, 3), np.uint8))


def test_live_frames_of_another_size_change_nothing(
    loaded: LoadedCheckpoint, lively_model: Any, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = VideoClip.open(video)
    frames = clip.read(range(clip.num_frames))
    live = LiveClip(frames[:16], fps=clip.fps)
    session = new_session(loaded._replace(model=lively_model), live)
    write_answers(monkeypatch, loaded.tokenizer, [BOTH])
    answer = session.ask("Find both.")
    with pytest.raises(MediaError, match="none of them was kept"):
        session.append_frames(frames[16:, :64])
    assert len(answer.objects[0].rle) == live.num_frames == 16
    session.append_frames(frames[16:])
    count = clip.num_frames
    assert [len(thing.rle) for thing in answer.objects] == [count, count]
    assert any(answer.objects[0].rle[16:])
    assert answer.objects[0].spans_s[-1][1] > clip.timestamps_s[16]


@pytest.mark.parametrize("stage", ["frames", "masks"])
@pytest.mark.parametrize("good", [18, 9])
def test_video_that_breaks_in_the_middle_is_used_as_far_as_it_goes(
    loaded: LoadedCheckpoint,
    lively_model: Any,
    video: Path,
    stage: str,
    good: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clip = VideoClip.open(video)
    session = new_session(loaded._replace(model=lively_model), clip)
    if stage == "masks":
        write_answers(monkeypatch, loaded.tokenizer, ["Left."])
        session.ask("Where?")
    break_after(monkeypatch, good)
    write_answers(monkeypatch, loaded.tokenizer, [BOTH, "Right."])
    answer = session.ask("Find both.")
    assert session.clip.num_frames == good
    assert [len(thing.rle) for thing in answer.objects] == [good, good]
    assert any(answer.objects[0].rle)
    assert f"goes on with the first {good} frames" in caplog.text
    assert session.ask("Where now?").raw == "Right."
    assert all(frame < good for frame in session._features.sparse)
    for turns in (1, 0):  # as in a session that never saw the frames that cannot be read
        session.rewind(turns)
        write_answers(monkeypatch, loaded.tokenizer, ["Up."])
        session.forget()
        cold = session.draft("And now?")
        assert session.ask("And now?").counters["prefix_tokens_computed"] == len(cold.embeds)


def break_after(monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    """Let no clip give more than its first frames, as one does whose file is damaged there."""
    read, iterate = VideoClip.read, VideoClip.iter_frames

    def fail() -> None:
        raise DamagedVideoError(f"Frame {good} cannot be decoded.", good)

    def broken_read(self: VideoClip, indices: Any) -> np.ndarray:
        if any(i >= good for i in indices):
            fail()
        return read(self, indices)

    def broken_iterate(self: VideoClip, start: int = 0, stop: int | None = None) -> Any:
        for i, frame in iterate(self, start, stop):
            if i >= good:
                fail()
            yield i, frame

    monkeypatch.setattr(VideoClip, "read", broken_read)
    monkeypatch.setattr(VideoClip, "iter_frames", broken_iterate)


def test_budget_too_small_for_a_frame_is_told(
    loaded: LoadedCheckpoint, lively_model: Any, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session(loaded._replace(model=lively_model), video, sam2_budget_bytes=1000)
    write_answers(monkeypatch, loaded.tokenizer, [BOTH, "Left."])
    with pytest.raises(MediaError, match=r"one frame take \d+ bytes, but the budget for them is 1000"):
        session.ask("Find both.")
    write_answers(monkeypatch, loaded.tokenizer, ["Left."])
    assert session.ask("Where?").raw == "Left."


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"sam2_budget_bytes": 0}, (1.0, 1.8)),
        ({"sam2_budget_bytes": 10**6}, (0.5, 1.6)),
        ({"sam2_budget_bytes": 10**6, "sam2_beyond": "disk"}, (0.0, 0.0)),
        ({}, (0.0, 0.0)),
    ],
)
def test_any_budget_gives_the_same_masks_each_time(
    loaded: LoadedCheckpoint,
    lively_model: Any,
    video: Path,
    settings: dict[str, Any],
    share: tuple[float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = new_session(loaded._replace(model=lively_model), video, **settings)
    tracks = []
    for _ in range(2):
        write_answers(monkeypatch, loaded.tokenizer, [BOTH])
        answer = session.ask("Find both.")
        tracks.append([thing.rle for thing in answer.objects])
        encoded = answer.counters["sam2_frames_encoded"] / session.clip.num_frames
        session.rewind(0)
    assert tracks[0] == tracks[1]
    assert share[0] <= encoded <= share[1]


def test_region_behind_a_damage_is_named_with_the_way_out(
    loaded: LoadedCheckpoint, lively_model: Any, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session(loaded._replace(model=lively_model), video)
    mask = np.zeros((128, 160), dtype=bool)
    mask[10:40, 10:40] = True
    write_answers(monkeypatch, loaded.tokenizer, ["Left.", "That.", BOTH])
    session.ask("Where?")
    session.region("r1", frame=session._features.sparse[-1], mask=mask)
    session.ask("What is <r1>?")
    break_after(monkeypatch, 10)
    session.ask("Find both.")
    session.forget()
    with pytest.raises(PromptError, match=r"<r1> of turn 2 is on frame .* can be read; rewind to 1 turns"):
        session.ask("And now?")
    session.rewind(1)
    write_answers(monkeypatch, loaded.tokenizer, ["Up."])
    assert session.ask("And now?").raw == "Up."


def test_rewinding_after_many_new_frames_reads_the_new_layout(
    loaded: LoadedCheckpoint, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = VideoClip.open(video)
    frames = clip.read(range(clip.num_frames))
    session = new_session(loaded, LiveClip(frames[:1], fps=clip.fps))
    write_answers(monkeypatch, loaded.tokenizer, ["One.", "Two.", "Three.", "Four.", "Five."])
    for question in ("Where?", "When?"):
        session.ask(question)
    session.append_frames(frames[1:])
    session.ask("Why?")
    session.rewind(2)
    assert session.ask("How?").raw == "Four."
    session.rewind(1)
    assert session.ask("How?").raw == "Five."


def test_damage_known_from_the_start_is_said(
    loaded: LoadedCheckpoint, video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[: int(0.8 * video.stat().st_size)])
    session = new_session(loaded, cut)
    assert session.clip.damage is not None
    assert session.clip.damage in caplog.text


@pytest.mark.parametrize(
    "frames", [None, [np.zeros((128, 160, 3), np.uint8)], np.zeros((128, 160, 3), np.uint8)]
)
def test_live_frames_of_another_form_are_refused(loaded: LoadedCheckpoint, video: Path, frames: Any) -> None:
    live = LiveClip(VideoClip.open(video).read([0]))
    session = new_session(loaded, live)
    with pytest.raises(MediaError, match="none of them was kept"):
        session.append_frames(frames)
    with pytest.raises(MediaError, match="expected numbers; no frame was kept"):
        session.append_frames(np.zeros((1, 128, 160, 3), np.uint8), ["soon"])
    assert live.num_frames == 1
