"""A tiny folder of shapes without videos, and answerers that stand in for a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.errors import PromptError
from sama_plugin.media.masks import encode_track
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.schema import GroundedAnswer, GroundedObject, RegionPrompt, Rle, Sample

NUM_FRAMES, HEIGHT, WIDTH = 4, 24, 32
LEFT_BOX, RIGHT_BOX = (4, 12), (18, 28)


def box_track(columns: tuple[int, int], frames: range = range(NUM_FRAMES)) -> np.ndarray:
    """(T, H, W) bool; rows 4 to 16 of some columns, on some frames."""
    track = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), dtype=bool)
    for frame in frames:
        track[frame, 4:16, columns[0] : columns[1]] = True
    return track


def make_turn(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "regions": [], "targets": [], **more}


RED, BLUE = 10, 11
FIRST_DIALOGUE = [
    make_turn("What is <mask>?", "A red star.", regions=[RED], kind="name", answer_key="red star"),
    make_turn(
        "Segment all stars.",
        "<p> The red star </p> [SEG] and <p> the blue star </p> [SEG].",
        targets=[[RED], [BLUE]],
        kind="several",
        answer_key=None,
    ),
    make_turn(
        "What colour is <mask>?",
        "Blue.",
        regions=[BLUE],
        kind="obj_colour",
        refers=[1],
        needs_history=True,
        answer_key="blue",
    ),
    make_turn("Segment the green star.", "There is no green star.", kind="attribute", answer_key="none"),
]
SECOND_DIALOGUE = [
    make_turn(
        "When is <mask> visible?",
        "From 50% to 100%.",
        regions=[BLUE],
        span=[2, 3],
        kind="when",
        answer_key="50-100",
    ),
    make_turn(
        "Segment it.",
        "<p> The blue star </p> [SEG].",
        targets=[[BLUE]],
        kind="it_segment",
        needs_history=True,
        answer_key=None,
    ),
    make_turn(
        "Segment what <mask> hits.",
        "It hits nothing.",
        regions=[BLUE],
        refers=[0],
        needs_history=True,
        kind="obj_relation",
        answer_key="none",
    ),
]


def write_shapes(folder: Path, dialogues: list[list[dict[str, Any]]] | None = None) -> Path:
    """A data folder: a red star on the left in all frames, a blue one on the right in the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    tracks = {RED: box_track(LEFT_BOX), BLUE: box_track(RIGHT_BOX, range(2, 4))}
    records = [
        {
            "video": f"videos/{number:05d}.mp4",
            "video_id": f"test_{number:05d}",
            "frames": None,
            "conversation": [
                {"from": speaker, "value": turn[key]}
                for turn in turns
                for speaker, key in (("human", "question"), ("gpt", "answer"))
            ],
            "obj_masks": [turn["regions"] for turn in turns],
            "groundtruth": [turn["targets"] for turn in turns],
            "turns": [
                {k: v for k, v in turn.items() if k not in ("question", "answer", "regions", "targets")}
                for turn in turns
            ],
            "held_out": number == 1,
        }
        for number, turns in enumerate(dialogues or [FIRST_DIALOGUE, SECOND_DIALOGUE])
    ]
    (folder / "records.json").write_text(json.dumps(records))
    (folder / "mask_dict.json").write_text(
        json.dumps({str(k): encode_track(track) for k, track in tracks.items()})
    )
    return folder


class FakeDialogue:
    """Keeps what it was asked and checks, as a session does, that every name is known.

    Attributes:
        asked: questions in order.
        regions: regions by name.
        num_objects: produced so far.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.asked: list[str] = []
        self.regions: dict[str, RegionPrompt] = {}
        self.num_objects = 0

    def ask(self, question: str, regions: Sequence[RegionPrompt]) -> GroundedAnswer:
        for region in regions:
            if region.name in self.regions:
                raise PromptError(f"Region '{region.name}' is defined twice.")
            self.regions[region.name] = region
        known = {*self.regions, *(f"obj{k + 1}" for k in range(self.num_objects))}
        for name in re.findall(r"<(\w+)>", question):
            if name not in known:
                raise PromptError(f"<{name}> was never defined.")
        self.asked.append(question)
        raw, tracks = self.reply(question)
        phrases = parse_answer(raw).phrases
        objects = []
        for phrase, track in zip(phrases, tracks, strict=True):
            self.num_objects += 1
            objects.append(GroundedObject(f"obj{self.num_objects}", phrase, 1.0, track))
        return GroundedAnswer(question, parse_answer(raw).text, raw, objects, {}, {})

    def reply(self, question: str) -> tuple[str, list[list[Rle | None]]]:
        """Raw answer and a track per `[SEG]`; silent here."""
        return "", []


class OracleDialogue(FakeDialogue):
    """Says and shows the truth of the turn whose words the question has."""

    def reply(self, question: str) -> tuple[str, list[list[Rle | None]]]:
        plain = re.sub(r"<\w+>", "<mask>", question)
        turn = next(turn for turn in self.sample.turns if turn.question == plain)
        return turn.answer, [self.sample.masks[ids[0]] for ids in turn.target_ids]


class GrabberDialogue(FakeDialogue):
    """Grounds the left half of every frame, whatever is asked."""

    def reply(self, question: str) -> tuple[str, list[list[Rle | None]]]:
        return "<p> The thing </p> [SEG].", [encode_track(box_track((0, WIDTH // 2)))]


class FakeAnswerer:
    """Starts dialogues of one class and keeps them."""

    def __init__(self, kind: type[FakeDialogue] = OracleDialogue) -> None:
        self.kind = kind
        self.dialogues: list[FakeDialogue] = []

    def start(self, sample: Sample) -> FakeDialogue:
        self.dialogues.append(self.kind(sample))
        return self.dialogues[-1]
