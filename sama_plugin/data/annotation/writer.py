"""What writes descriptions and dialogues, and what becomes of each: kept, repaired, or rejected with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sama_plugin.data.annotation.facts import VideoFacts
from sama_plugin.data.annotation.rounds import TaggedRound
from sama_plugin.data.annotation.rule_writer import write_description, write_dialogues
from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.data.annotation.verification import description_faults, dialogue_faults
from sama_plugin.data.endpoint import Usage

KEPT, REPAIRED, REJECTED = "kept", "repaired", "rejected"


@dataclass(frozen=True)
class LoadedVideo:
    """A video in memory.

    Attributes:
        video: its tracks.
        facts: what its masks tell.
        media: its file or folder; it may be missing.
    """

    video: TrackedVideo
    facts: VideoFacts
    media: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one piece of work.

    Attributes:
        state: `KEPT`, `REPAIRED` (used after it was asked for again) or `REJECTED`.
        text: of a description.
        rounds: of a dialogue.
        reasons: of a repair, a rejection, or of rounds that were left out.
        usage: of the model behind it.
    """

    state: str
    text: str = ""
    rounds: tuple[TaggedRound, ...] = ()
    reasons: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "state": self.state,
            "text": self.text,
            "rounds": [one.to_json() for one in self.rounds],
            "reasons": list(self.reasons),
            "usage": asdict(self.usage),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        """Undo `to_json`."""
        rounds = tuple(TaggedRound.from_json(one) for one in value["rounds"])
        return cls(value["state"], value["text"], rounds, tuple(value["reasons"]), Usage(**value["usage"]))


class Writer(Protocol):
    """Writes about the objects of a video; safe to call from several threads."""

    def describe(self, loaded: LoadedVideo, number: int) -> Outcome:
        """Describe one object."""

    def converse(
        self, loaded: LoadedVideo, numbers: Sequence[int], descriptions: Mapping[int, str], index: int
    ) -> Outcome:
        """Write dialogue `index` about some objects."""


@dataclass(frozen=True)
class RuleWriter:
    """Writes from masks alone: no model, no pictures.

    Attributes:
        seed: of every choice.
        dialogues: per video.
        rounds: of a dialogue, at most.
    """

    seed: int
    dialogues: int
    rounds: int

    def describe(self, loaded: LoadedVideo, number: int) -> Outcome:
        """See `Writer`."""
        text = write_description(loaded.video, loaded.facts, number, self.seed)
        faults = description_faults(text)
        return Outcome(REJECTED, reasons=tuple(faults)) if faults else Outcome(KEPT, text)

    def converse(
        self, loaded: LoadedVideo, numbers: Sequence[int], descriptions: Mapping[int, str], index: int
    ) -> Outcome:
        """See `Writer`; a dialogue does not depend on the descriptions."""
        made = write_dialogues(loaded.video, loaded.facts, numbers, self.seed, self.dialogues, self.rounds)
        if index >= len(made):
            return Outcome(REJECTED, reasons=("There is nothing more to ask that is clear.",))
        faults = dialogue_faults(made[index], numbers, 1, self.rounds)
        return (
            Outcome(REJECTED, reasons=tuple(faults)) if faults else Outcome(KEPT, rounds=tuple(made[index]))
        )
