"""What can be wrong with a data set: a table of codes, one per rule, and the defects that are found by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sama_plugin.errors import DataError

Loss = Literal["file", "record", "round", "description", "mask", "video", "nothing"]


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        code: stable name, for scripts.
        costs: what the reader leaves out because of it. `mask`: every round and description that means that mask;
            `video`: the samples about it fail when they are opened, and training passes over them.
        meaning: what is wrong, one clause.
    """

    code: str
    costs: Loss
    meaning: str


_RULES = (
    Rule("file-missing", "file", "a file of records or of masks is not there"),
    Rule("file-cut", "file", "a JSON file or pickle ends in the middle: half written, or half copied"),
    Rule("file-damaged", "file", "a JSON file or pickle cannot be read"),
    Rule("file-form", "file", "the records are no list, or the masks no mapping of ids to tracks"),
    Rule("pickle-refused", "file", "a pickle asks for more than plain containers: it could run code"),
    Rule("dictionary-foreign", "file", "Sa2VA's masks, keyed by a count of expressions, in place of SAMA's"),
    Rule("key-twice", "nothing", "a key stands twice in one object of a JSON file; the last one counts"),
    Rule("root-missing", "video", "the folder that all media of a source lie in is not there"),
    Rule("record-form", "record", "a record lacks a field, or a field has another type than the format says"),
    Rule("record-twice", "nothing", "a record repeats an earlier one word for word"),
    Rule("video-id-twice", "nothing", "two videos of one folder have the same `video_id`"),
    Rule("record-empty", "record", "a record has neither a conversation nor descriptions"),
    Rule("dataset-unknown", "record", "the path of the video names none of the data sets that have masks"),
    Rule("video-outside", "record", "the path of the video is absolute or leads out of the media root"),
    Rule("odd-tail", "round", "a conversation ends with a message that has no answer"),
    Rule(
        "round-form", "round", "a message, or the ids that go with it, have another form than the format says"
    ),
    Rule("role-unknown", "round", "a message is from somebody else than `human` and `gpt`"),
    Rule("turns-not-alternating", "round", "`human` and `gpt` do not take turns"),
    Rule("question-empty", "round", "a question has no text"),
    Rule("answer-empty", "round", "an answer has no text"),
    Rule("region-count", "round", "a question has another number of `<mask>` than of ids in `obj_masks`"),
    Rule(
        "seg-count",
        "round",
        "an answer has another number of `[SEG]` than of entries with ids in `groundtruth`",
    ),
    Rule("phrase-brackets", "nothing", "the `<p>` and `</p>` of an answer are no pairs, or hold no text"),
    Rule("rows-spare", "nothing", "`obj_masks` or `groundtruth` goes on after the last round"),
    Rule("region-unseen", "round", "a region's object is visible on no frame"),
    Rule("description-form", "description", "a description's key is not `<objN>`, or it is no plain text"),
    Rule("description-empty", "description", "a description has no text"),
    Rule("description-object", "description", "a description is of an object that `anno_map` does not have"),
    Rule("description-unseen", "description", "a described object is visible on no frame"),
    Rule(
        "object-twice",
        "description",
        "two objects of `anno_map` have the same id; the later one is not described",
    ),
    Rule(
        "bench-id-missing",
        "nothing",
        "some questions or descriptions of a benchmark have an id, but not this one",
    ),
    Rule("bench-id-twice", "nothing", "two questions, or two descriptions, have the same id"),
    Rule("mask-missing", "mask", "an id that a record means is not in the mask dictionary"),
    Rule("track-form", "mask", "a track is no list of run lengths and nulls"),
    Rule("track-length", "mask", "a track has another number of entries than there are frames"),
    Rule("mask-size", "mask", "a mask has another size than the video"),
    Rule("mask-damaged", "mask", "run lengths that cannot be decoded, or do not fill the mask"),
    Rule("media-missing", "video", "the video or the folder of frames is not there"),
    Rule("media-damaged", "video", "the video cannot be read to its end"),
    Rule("frame-missing", "video", "a frame that the record names is not in the folder"),
    Rule("frame-damaged", "video", "a frame cannot be read to its end"),
    Rule("frame-size", "video", "a frame has another size than the others, or than the record says"),
)
RULES = {rule.code: rule for rule in _RULES}
"""Code → rule, in the order in which they are looked at."""


@dataclass(frozen=True)
class Defect:
    """Something wrong, and where.

    Attributes:
        code: of `RULES`.
        message: what is wrong, got and expected, one clause without a full stop.
        record: index in the file, 0-based; None where it is about a whole file.
        round: of the conversation, 0-based; None where it is about more than a round.
        thing: key of a description, such as `<obj1>`; empty where it is about none.
        mask_id: id in the mask dictionary; empty where it is about none.
    """

    code: str
    message: str
    record: int | None = None
    round: int | None = None
    thing: str = ""
    mask_id: str = ""

    def __post_init__(self) -> None:
        assert self.code in RULES, f"{self.code} is no code of RULES"

    @property
    def place(self) -> str:
        """Where in its record, such as `round 2`; empty if it is about all of it."""
        parts = [f"round {self.round}"] if self.round is not None else []
        return ", ".join(
            [*parts, *(part for part in (self.thing, self.mask_id and f"mask {self.mask_id}") if part)]
        )

    def __str__(self) -> str:
        where = f"record {self.record}" if self.record is not None else ""
        place = ", ".join(part for part in (where, self.place) if part)
        return f"{place}: {self.message} ({self.code})" if place else f"{self.message} ({self.code})"


class DefectError(DataError):
    """A defect that leaves nothing to go on with, or that a strict reader met.

    Attributes:
        defect: what is wrong.
    """

    def __init__(self, message: str, defect: Defect):
        super().__init__(message)
        self.defect = defect


def format_counts(counts: Mapping[str, int]) -> str:
    """Numbers of defects by code, the most frequent first, such as `3 mask-missing, 1 odd-tail`."""
    return ", ".join(f"{count} {code}" for code, count in Counter(counts).most_common())


def file_fault(code: str, message: str) -> DefectError:
    """The error for a file that cannot be used."""
    return DefectError(message, Defect(code, message.rstrip(".")))


def missing_file(path: Path) -> DefectError:
    """The error for a file that is not there."""
    return file_fault("file-missing", f"{path} does not exist; check the folder and the file name.")
