"""Random boxes that stand still: what masks are worth that know how large things are, but not where."""

from __future__ import annotations

import hashlib

import numpy as np

from sama_plugin.constants import PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.errors import DataError
from sama_plugin.evaluation.baselines.replies import Reply, ReplyDialogue, clip_shape
from sama_plugin.media.masks import encode_mask, mask_of_box
from sama_plugin.schema import Rle, Sample

LEAST_SHARE, LARGEST_SHARE = 0.1, 0.6
"""Of the frame's height and width: the sides of a box, each drawn evenly between them."""

WORDS = f"{PHRASE_START} Something {PHRASE_END} {SEG_TOKEN}"


class RandomAnswerer:
    """Grounds random boxes in every answer; does not look at the truth.

    What it draws depends on the seed, the sample and the question's place in the dialogue alone, so neither the number
    of processes nor a kill changes it.

    Args:
        seed: whole number from 0.
        count: boxes per answer, from 1.

    Raises:
        DataError: no such numbers.
    """

    def __init__(self, seed: int | str = 0, count: int | str = 1) -> None:
        self.seed, self.count = _whole("seed", seed, 0), _whole("count", count, 1)

    def start(self, sample: Sample) -> ReplyDialogue:
        """Begin a dialogue."""
        num_frames, height, width = clip_shape(sample)
        turns = "\n".join(turn.question for turn in sample.turns)
        key = hashlib.sha256(f"{self.seed}\0{sample.sample_id}\0{turns}".encode()).digest()
        generator = np.random.default_rng(list(key))

        def reply(question: str) -> Reply:
            boxes = [_random_box(generator, height, width) for _ in range(self.count)]
            return Reply(" ".join([WORDS] * self.count), [[box] * num_frames for box in boxes])

        return ReplyDialogue(reply)


def _random_box(generator: np.random.Generator, height: int, width: int) -> Rle:
    """A box inside the frame, as a mask."""
    share_y, share_x = generator.uniform(LEAST_SHARE, LARGEST_SHARE, 2)
    y0, x0 = generator.uniform(0, 1 - share_y) * height, generator.uniform(0, 1 - share_x) * width
    box = (x0, y0, x0 + share_x * width, y0 + share_y * height)
    return encode_mask(mask_of_box(box, height, width))


def _whole(name: str, value: int | str, least: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise DataError(f"The random baseline's {name} is {value!r}, expected a whole number from {least}.")
    return number
