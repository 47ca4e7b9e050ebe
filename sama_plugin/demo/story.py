"""The demo's conversation: a scene of the small world → questions that have an answer, and whether it came.

Questions are made from what the scene holds, in the words the dialogues of the small world use, so that they
can be answered whatever the scene is; the truth stands beside each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from sama_plugin.data.shapes.rounds import motion_phrase
from sama_plugin.data.shapes.world import COLOURS, SHAPES, Scene
from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.evaluation.metrics.region_similarity import region_similarity
from sama_plugin.evaluation.metrics.text_match import answer_matches, says_none
from sama_plugin.media.masks import box_of_mask, decode_track
from sama_plugin.schema import GroundedAnswer, GroundedObject, RegionPrompt

SPLIT = "test"
GOOD_MASK = 0.5
"""Least mean IoU over the clip at which a mask counts as right."""

REGION_NAME = "r1"
RELATION_QUESTIONS = {
    "hit": "Segment what {obj} hits.",
    "follow": "Segment what {obj} follows.",
    "behind": "Segment what {obj} passes behind.",
}


@dataclass(frozen=True)
class StoryTurn:
    """A question and the truth.

    Attributes:
        question: `{obj}` stands for the object that `refers` grounded.
        truth: the right answer in words.
        answer_key: what a right answer in words says, see `answer_matches`; None for masks and denials.
        target: object of the scene whose mask is right; None where there is none to find.
        refers: number of the earlier turn whose object the question means.
        regions: those the question means for the first time.
    """

    question: str
    truth: str
    answer_key: str | None = None
    target: int | None = None
    refers: int | None = None
    regions: tuple[RegionPrompt, ...] = ()


@dataclass(frozen=True, eq=False)
class Story:
    """A rendered scene and the conversation about it.

    Attributes:
        scene: what happens.
        frames: (T, H, W, 3) uint8 RGB.
        tracks: (K, T, H, W) bool; true masks of the scene's objects.
        turns: at least five.
    """

    scene: Scene
    frames: np.ndarray
    tracks: np.ndarray
    turns: tuple[StoryTurn, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and a word on why, e.g. the IoU of its mask."""

    is_right: bool
    remark: str = ""


def make_story(seed: int) -> Story:
    """Render a scene of unseen kind and make the conversation; the same seed gives the same story.

    Args:
        seed: 0 or more.
    """
    scene, frames, tracks = sample_clip(seed, SPLIT)
    return Story(scene, frames, tracks, make_turns(scene, tracks))


def make_turns(scene: Scene, tracks: np.ndarray) -> tuple[StoryTurn, ...]:
    """About a region, a grounding, what the grounded object acts on and does, and what is not there.

    Args:
        scene: any scene.
        tracks: (K, T, H, W) bool; its true masks.
    """
    things = scene.objects
    relation = scene.relations[0] if scene.relations else None
    subject = relation.subject if relation else len(things) - 1
    others = [
        k for k in range(len(things)) if relation is None or k not in (relation.subject, relation.target)
    ]
    pointed = next((k for k in others if k != subject), (relation.target if relation else 0))
    turns = [
        StoryTurn(
            f"What is <{REGION_NAME}>?",
            f"A {things[pointed].name}.",
            answer_key=things[pointed].name,
            regions=(_box_around(tracks[pointed]),),
        ),
        StoryTurn(f"What does <{REGION_NAME}> do?", *_motion(scene, pointed)),
        StoryTurn(f"Segment the {things[subject].name}.", f"The {things[subject].name}.", target=subject),
    ]
    grounding = len(turns) - 1
    if relation is not None:
        name = things[relation.target].name
        question = RELATION_QUESTIONS[relation.kind]
        turns.append(StoryTurn(question, f"The {name}.", target=relation.target, refers=grounding))
    turns.append(StoryTurn("What does {obj} do?", *_motion(scene, subject), refers=grounding))
    absent = _absent_thing(scene)
    turns.append(StoryTurn(f"Where is the {absent}?", f"There is no {absent}."))
    return tuple(turns)


def find_meant(answer: GroundedAnswer, track: np.ndarray) -> GroundedObject | None:
    """The object of an answer that a later question means: the visible one nearest the truth.

    Args:
        answer: of the turn meant.
        track: (T, H, W) bool; the true mask.
    """
    shown = [thing for thing in answer.objects if any(thing.rle)]
    return max(shown, key=lambda thing: _similarity(thing, track), default=None)


def judge(turn: StoryTurn, answer: GroundedAnswer, tracks: np.ndarray) -> Verdict:
    """Compare an answer with the truth.

    Args:
        turn: the question.
        answer: what was said.
        tracks: (K, T, H, W) bool; true masks.
    """
    shown = [thing for thing in answer.objects if any(thing.rle)]
    if turn.target is not None:
        if len(shown) != 1:
            return Verdict(False, f"{len(shown)} objects, expected 1")
        similarity = _similarity(shown[0], tracks[turn.target])
        return Verdict(similarity >= GOOD_MASK, f"mask IoU {similarity:.2f}")
    if turn.answer_key is None:
        remark = f"{len(shown)} objects, expected none" if shown else ""
        return Verdict(says_none(answer.raw) and not shown, remark)
    return Verdict(answer_matches(answer.raw, turn.answer_key))


def _similarity(thing: GroundedObject, track: np.ndarray) -> float:
    return float(region_similarity(track, decode_track(thing.rle, track.shape[1:])).mean())


def _motion(scene: Scene, k: int) -> tuple[str, str]:
    """Truth in a sentence, and its key."""
    words = motion_phrase(scene.objects[k])
    return f"It {words}.", words


def _box_around(track: np.ndarray) -> RegionPrompt:
    """A box on the first frame that shows the object nearly whole."""
    areas: Sequence[int] = track.sum(axis=(1, 2)).tolist()
    frame = next(t for t, area in enumerate(areas) if area >= 0.9 * max(areas))
    x0, y0, x1, y1 = box_of_mask(track[frame])
    return RegionPrompt(REGION_NAME, "box", frame, box_xyxy=(float(x0), float(y0), float(x1), float(y1)))


def _absent_thing(scene: Scene) -> str:
    """Colour and shape of nothing in the scene; each of them is there, though, wherever that is possible."""
    there = {(thing.colour, thing.shape) for thing in scene.objects}
    colours = list(dict.fromkeys([*(thing.colour for thing in scene.objects), *COLOURS]))
    shapes = list(dict.fromkeys([*(thing.shape for thing in scene.objects), *SHAPES]))
    return " ".join(next(pair for pair in product(colours, shapes) if pair not in there))
