"""What a conversation costs turn by turn, beside the same one computed anew at every turn: `sama bench turns`.

Three ways, with one model on one clip: `kept`, as a session works; `cold`, the same but everything forgotten before
each turn, whose text and masks have to be the same; `peers`, everything anew and SAM2 run for each `[SEG]` by itself,
as other projects do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.evaluation.metrics.region_similarity import region_similarity
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.encode import write_video
from sama_plugin.schema import GroundedAnswer

WAYS = ("kept", "cold", "peers")
ROUNDS = 4

SPLIT, SEED = "test", 300
"""Of the small world: a scene of 48 frames with three objects that are there all the time."""

TEXT = (
    "What does <r1> do?",
    "What is <r1>?",
    "What colour is <r1>?",
    "What shape is <r1>?",
    "How large is <r1>?",
)
ALL, ONE = "Describe the video with masks.", "Segment {}."
CONVERSATIONS: dict[str, tuple[str, ...]] = {
    "text": TEXT,
    "one object": (ONE,) * 5,
    "three objects": (ALL,) * 5,
    "mixed": (TEXT[0], ALL, TEXT[1], ALL, TEXT[2]),
}
"""`{}` is the name of an object that is in the video, `<r1>` is that object."""


class BenchClip(NamedTuple):
    """What is talked about.

    Attributes:
        video: its file.
        pointed: (H, W) bool; an object on the first frame.
        name: of that object.
    """

    video: Path
    pointed: np.ndarray
    name: str


class TurnCost(NamedTuple):
    """One turn.

    Attributes:
        seconds: of the whole turn; the least of the rounds.
        first_token_s: until the first token.
        answer: of the round that took least.
    """

    seconds: float
    first_token_s: float
    answer: GroundedAnswer


@dataclass(frozen=True)
class ConversationCost:
    """One conversation.

    Attributes:
        name: key of `CONVERSATIONS`.
        turns: way → its turns.
        same_text: whether `kept` and `cold` said the same.
        least_iou: of the masks of `kept` and `cold`, over objects and frames; 1 where there are none.
    """

    name: str
    turns: dict[str, list[TurnCost]]
    same_text: bool
    least_iou: float

    @property
    def later_to_first(self) -> float:
        """Median time of the turns from the second on, beside the first."""
        first, *later = (turn.seconds for turn in self.turns["kept"])
        return statistics.median(later) / first

    @property
    def kept_to_peers(self) -> float:
        """Time of the whole conversation beside that of `peers`."""
        kept, peers = (sum(turn.seconds for turn in self.turns[way]) for way in ("kept", "peers"))
        return kept / peers


def bench_clip(folder: Path) -> BenchClip:
    """Render the clip of the benchmark into a folder."""
    scene, frames, tracks = sample_clip(SEED, SPLIT)
    write_video(folder / "clip.mp4", frames, scene.fps)
    return BenchClip(folder / "clip.mp4", tracks[0, 0], scene.objects[0].name)


def measure_turns(
    parts: tuple[Any, Any, Any], clip: BenchClip, *, rounds: int = ROUNDS
) -> list[ConversationCost]:
    """Hold all conversations in all ways, in turns.

    Args:
        parts: model, tokenizer and image processor.
        clip: to talk about.
        rounds: of each; the least time of each turn counts.
    """
    _hold(parts, clip, CONVERSATIONS["mixed"], "kept")  # what is slow only once
    return [_measure(parts, clip, name, questions, rounds) for name, questions in CONVERSATIONS.items()]


def _measure(
    parts: tuple[Any, Any, Any], clip: BenchClip, name: str, questions: Sequence[str], rounds: int
) -> ConversationCost:
    made: dict[str, list[list[TurnCost]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            made[way].append(_hold(parts, clip, questions, way))
    turns = {
        way: [min(same, key=lambda t: t.seconds) for same in zip(*own, strict=True)]
        for way, own in made.items()
    }
    pairs = [(kept.answer, cold.answer) for kept, cold in zip(turns["kept"], turns["cold"], strict=True)]
    ious = [
        float(region_similarity(left.masks, right.masks).min())
        for kept, cold in pairs
        for left, right in zip(kept.objects, cold.objects, strict=False)
    ]
    return ConversationCost(name, turns, all(a.raw == b.raw for a, b in pairs), min(ious, default=1.0))


def _hold(parts: tuple[Any, Any, Any], clip: BenchClip, questions: Sequence[str], way: str) -> list[TurnCost]:
    session = VideoSession(*parts, video=clip.video, reuse=way != "peers")
    session.region("r1", frame=0, mask=clip.pointed)
    turns = []
    for question in questions:
        started = time.perf_counter()
        if way == "cold":
            session.forget()
        answer = session.ask(question.format(clip.name))
        turns.append(TurnCost(time.perf_counter() - started, answer.timing_s["first_token"], answer))
    return turns


def format_turns(costs: Sequence[ConversationCost]) -> str:
    """A table per conversation, then the ratios."""
    lines = []
    for cost in costs:
        lines.append(f"{cost.name}: seconds of each turn")
        lines.append(
            f"{'turn':>4}{'objects':>9}{'kept':>9}{'cold':>9}{'peers':>9}{'first token':>13}{'tower':>7}{'SAM2':>6}"
            f"{'reused':>8}{'computed':>10}"
        )
        for number, turn in enumerate(cost.turns["kept"], start=1):
            counters = turn.answer.counters
            seconds = "".join(f"{cost.turns[way][number - 1].seconds:>9.3f}" for way in WAYS)
            lines.append(
                f"{number:>4}{len(turn.answer.objects):>9}{seconds}{turn.first_token_s:>13.3f}"
                f"{counters['vision_frames_encoded']:>7}{counters['sam2_frames_encoded']:>6}"
                f"{counters['prefix_tokens_reused']:>8}{counters['prefix_tokens_computed']:>10}"
            )
        if len({len(turn.answer.objects) for turn in cost.turns["kept"]}) == 1:  # else turns do not compare
            lines.append(
                f"median of turns 2 to {len(cost.turns['kept'])} / turn 1: {cost.later_to_first:.2f}"
            )
        lines += [
            f"conversation, kept / peers: {cost.kept_to_peers:.2f}",
            f"kept and cold: {'the same text' if cost.same_text else 'OTHER TEXT'}, masks agree with IoU >= "
            f"{cost.least_iou:.4f}",
            "",
        ]
    lines.append(
        "tower, SAM2: frames encoded by each; reused, computed: tokens of the prompt; all of `kept`."
    )
    return "\n".join(lines)


def plot_turns(costs: Sequence[ConversationCost], path: Path) -> None:
    """Draw the seconds of each turn, one panel per conversation."""
    from sama_plugin.evaluation.line_plot import plot_lines

    panels = []
    for cost in costs:
        lines = {way: [turn.seconds for turn in cost.turns[way]] for way in ("kept", "peers")}
        panels.append((cost.name, list(range(1, len(cost.turns["kept"]) + 1)), lines))
    plot_lines(path, panels, x="turn", y="seconds")
