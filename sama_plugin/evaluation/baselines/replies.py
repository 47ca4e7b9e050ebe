"""What the baselines share: a dialogue that gives made replies, and finding the turn a question comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sama_plugin.constants import DATA_REGION
from sama_plugin.errors import DataError
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.prompting.placeholders import PLACEHOLDER
from sama_plugin.schema import GroundedAnswer, GroundedObject, RegionPrompt, Rle, Sample, Turn


class Reply(NamedTuple):
    """An answer before its objects have ids.

    Attributes:
        raw: with special tokens.
        tracks: per `[SEG]` of it one `Rle` or None per frame.
    """

    raw: str
    tracks: Sequence[list[Rle | None]]


class ReplyDialogue:
    """A dialogue whose answers a function makes of the questions alone.

    Args:
        reply: question → answer.
    """

    def __init__(self, reply: Callable[[str], Reply]) -> None:
        self._reply = reply
        self._num_objects = 0

    def ask(self, question: str, regions: Sequence[RegionPrompt]) -> GroundedAnswer:
        """See `Dialogue.ask`."""
        raw, tracks = self._reply(question)
        parsed = parse_answer(raw)
        objects = []
        for phrase, track in zip(parsed.phrases, tracks, strict=True):
            self._num_objects += 1
            objects.append(GroundedObject(f"obj{self._num_objects}", phrase, 1.0, track))
        return GroundedAnswer(question, parsed.text, raw, objects, {}, {})


class TurnFinder:
    """Tells which turn of a sample a question comes from; for baselines that may know the truth.

    Args:
        sample: its turns are asked in order, some of them perhaps not at all.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self._next = 0

    def find(self, question: str) -> Turn:
        """The next turn that has the words of the question.

        Raises:
            DataError: no turn that is left has them.
        """
        plain = PLACEHOLDER.sub(DATA_REGION, question)
        for number, turn in enumerate(self.sample.turns[self._next :], start=self._next):
            if PLACEHOLDER.sub(DATA_REGION, turn.question) == plain:
                self._next = number + 1
                return turn
        raise DataError(f"Sample '{self.sample.sample_id}' has no turn left that asks {question!r}.")


def clip_shape(sample: Sample) -> tuple[int, int, int]:
    """(T, H, W) of a sample's video: by its masks, where one shows something, else by the video itself.

    Raises:
        MediaError: the video is needed and cannot be read.
    """
    for track in sample.masks.values():
        shown = next((rle for rle in track if rle is not None), None)
        if shown is not None:
            return len(track), int(shown["size"][0]), int(shown["size"][1])
    clip = open_sample_clip(sample)
    return clip.num_frames, clip.height, clip.width
