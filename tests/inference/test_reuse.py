"""Whatever a conversation does, a turn that relies on what was kept equals one that computes everything anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import sama_plugin
from sama_plugin.data.shapes import make_shapes
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.live import LiveClip
from sama_plugin.schema import GroundedAnswer
from tests.conftest import LoadedCheckpoint, load_checkpoint

QUESTIONS = (
    "What is in the video?",
    "Segment the circles.",
    "Describe the video with masks.",
    "What moves?",
    "Which object leaves?",
)


@pytest.fixture(scope="module")
def shipped() -> LoadedCheckpoint:
    return load_checkpoint(Path(sama_plugin.shipped_checkpoint()))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> VideoClip:
    folder = tmp_path_factory.mktemp("reuse")
    make_shapes(folder, 11, 1, progress=False)
    return VideoClip.open(folder / "videos" / "00000.mp4")


def agree(warm: GroundedAnswer, cold: GroundedAnswer) -> None:
    """Same text, same objects, same masks; a pixel on the border may fall either way by rounding."""
    assert warm.raw == cold.raw
    for kept, anew in zip(warm.objects, cold.objects, strict=True):
        assert (kept.id, kept.phrase) == (anew.id, anew.phrase)
        assert kept.score == pytest.approx(anew.score, abs=1e-3)
        assert len(kept.rle) == len(anew.rle)
        assert (kept.masks != anew.masks).mean() < 1e-3


def test_five_turns_encode_nothing_twice(shipped: LoadedCheckpoint, clip: VideoClip) -> None:
    warm, cold = (VideoSession(*parts(shipped), video=clip) for _ in range(2))
    seen_sam2 = False
    for number, question in enumerate(("Describe the video with masks.", *QUESTIONS[:4])):
        before = len(warm._dialogue.input_ids)
        answer = warm.ask(question)
        cold.forget()
        anew = cold.ask(question)
        agree(answer, anew)
        counters = answer.counters
        own = len(warm._turns[-1].answer_ids) + len(warm._dialogue_tokenizer.end_ids)
        assert counters["prefix_tokens_reused"] == (
            0 if number == 0 else before - len(warm._dialogue_tokenizer.end_ids)
        )
        assert (
            counters["prefix_tokens_computed"]
            == len(warm._dialogue.input_ids) - own - counters["prefix_tokens_reused"]
        )
        assert anew.counters["prefix_tokens_reused"] == 0
        assert (counters["vision_frames_encoded"] == 0) == (number > 0)
        if seen_sam2:
            assert counters["sam2_frames_encoded"] == 0
        seen_sam2 |= bool(answer.objects)
    assert seen_sam2


def test_without_reuse_each_object_is_found_alone_and_the_same(
    shipped: LoadedCheckpoint, clip: VideoClip
) -> None:
    kept = VideoSession(*parts(shipped), video=clip)
    alone = VideoSession(*parts(shipped), video=clip, reuse=False)
    for question in (QUESTIONS[2], QUESTIONS[1]):
        warm, cold = kept.ask(question), alone.ask(question)
        agree(warm, cold)
        assert cold.counters["prefix_tokens_reused"] == 0
        found = [thing for thing in cold.objects if any(thing.rle)]
        assert found  # what is not is only tried on some frames
        assert cold.counters["sam2_frames_encoded"] >= len(found) * clip.num_frames
    assert len(kept.objects) > 1


def parts(shipped: LoadedCheckpoint) -> tuple[Any, Any, Any]:
    return shipped.model, shipped.tokenizer, shipped.image_processor


def test_any_conversation_equals_its_cold_run(shipped: LoadedCheckpoint, clip: VideoClip) -> None:
    """Asks, regions, rewinds, answers that are given up, and frames that come in, in any order."""

    class Conversation(RuleBasedStateMachine):
        @initialize(
            seed=st.integers(0, 3),
            temperature=st.sampled_from([0.0, 0.0, 0.8]),
            first=st.sampled_from([1, 18]),
        )
        def begin(self, seed: int, temperature: float, first: int) -> None:
            options = {"seed": seed, "temperature": temperature, "max_new_tokens": 60}
            self.frames = clip.read(range(clip.num_frames))
            self.shown = first
            self.warm, self.cold = (
                VideoSession(*parts(shipped), video=LiveClip(self.frames[:first], fps=clip.fps), **options)
                for _ in range(2)
            )

        @property
        def both(self) -> tuple[VideoSession, VideoSession]:
            return self.warm, self.cold

        @rule(question=st.sampled_from(QUESTIONS))
        def ask(self, question: str) -> None:
            self.cold.forget()
            agree(self.warm.ask(question), self.cold.ask(question))

        @precondition(lambda self: any(thing.spans_s for thing in self.warm.objects.values()))
        @rule(data=st.data())
        def ask_about_an_object(self, data: st.DataObject) -> None:
            seen = [name for name, thing in self.warm.objects.items() if thing.spans_s]
            self.ask(f"What does <{data.draw(st.sampled_from(seen))}> do?")

        @precondition(lambda self: len(self.warm.regions) < 2)
        @rule(share=st.floats(0, 0.99), x=st.integers(20, 60))
        def ask_about_a_region(self, share: float, x: int) -> None:
            frame = int(share * self.shown)
            name = f"r{len(self.warm.regions) + 1}"
            for session in self.both:
                session.region(name, frame=frame, mask=box(x, self.frames.shape[1:3]))
            self.ask(f"What is <{name}>?")

        @rule(question=st.sampled_from(QUESTIONS), pieces=st.integers(1, 6), is_cancelled=st.booleans())
        def give_up(self, question: str, pieces: int, is_cancelled: bool) -> None:
            stream = self.warm.stream(question, masks=True)
            for _, _ in zip(range(pieces), stream, strict=False):
                pass
            if is_cancelled:
                self.warm.cancel()
            stream.close()  # type: ignore[attr-defined]
            self.warm.rewind(len(self.cold.answers))  # a short answer was read to its end

        @precondition(lambda self: self.warm.answers)
        @rule(data=st.data())
        def rewind(self, data: st.DataObject) -> None:
            turns = data.draw(st.integers(0, len(self.warm.answers)))
            for session in self.both:
                session.rewind(turns)

        @precondition(lambda self: self.shown < clip.num_frames)
        @rule(count=st.sampled_from([1, 3, 15]))
        def append_frames(self, count: int) -> None:
            for session in self.both:
                session.append_frames(self.frames[self.shown : self.shown + count])
            self.shown = min(self.shown + count, clip.num_frames)

        @invariant()
        def all_answers_agree(self) -> None:
            if hasattr(self, "warm"):
                for warm, cold in zip(self.warm.answers, self.cold.answers, strict=True):
                    agree(warm, cold)
                assert all(len(thing.rle) == self.shown for thing in self.warm.objects.values())

    run_state_machine_as_test(
        Conversation,
        settings=settings(
            max_examples=8, stateful_step_count=6, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def box(left: int, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[20:50, left : left + 30] = True
    return mask
