"""What can be wrong with a prediction and is scored all the same: a rule for each case, so that none is silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.errors import MediaError
from sama_plugin.evaluation.metrics.mask_input import resize_mask
from sama_plugin.media.masks import decode_mask
from sama_plugin.schema import GroundedObject, Rle

FAULTS = {
    "missing_predictions": "a question without one scores as an empty answer",
    "extra_predictions": "for what is not asked; not scored",
    "duplicate_predictions": "the first counts",
    "refused_questions": "an error came in place of an answer; scores as an empty answer",
    "empty_answers": "neither words nor objects; scored as they are",
    "short_tracks": "masks for fewer frames than the video has; the rest is empty",
    "long_tracks": "masks for more frames; those behind the last do not count",
    "resized_masks": "masks of another size than the ground truth; resized, nearest pixel",
    "unreadable_masks": "no run lengths, or broken ones; scored as empty",
    "masks_without_phrase": "they are not found, whatever they show",
    "phrases_without_mask": "a `[SEG]` without a mask is no object",
    "not_numbers": "a score that is no finite number counts as 0",
    "torn_lines": "a line that was cut off does not count",
}
"""Rule → what it means; all are counted in the results."""

NAMED = 3
"""Cases of a rule that are named in the log."""


class Fault(NamedTuple):
    """A case of a rule.

    Attributes:
        rule: key of `FAULTS`.
        said: where, and what was found.
    """

    rule: str
    said: str


def count_faults(faults: Iterable[Fault]) -> dict[str, int]:
    """Cases of every rule, also those without any."""
    found = Counter(fault.rule for fault in faults)
    return {rule: found[rule] for rule in FAULTS}


def describe_faults(faults: Sequence[Fault], rules: Mapping[str, str] = FAULTS) -> list[str]:
    """A sentence per rule that has cases, the first of them named."""
    said = []
    for rule, meaning in rules.items():
        cases = [fault.said for fault in faults if fault.rule == rule]
        if cases:
            more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
            said.append(f"{rule}: {len(cases)} ({'; '.join(cases[:NAMED])}{more}); {meaning}.")
    return said


def fit_track(
    rles: Sequence[Rle | None], num_frames: int, size: tuple[int, int], where: str
) -> tuple[np.ndarray, list[Fault]]:
    """Bring the masks of a predicted object to the frames and the size of the ground truth.

    Args:
        rles: one per frame; None is an empty mask.
        num_frames: T.
        size: (H, W).
        where: named in the faults.

    Returns:
        (T, H, W) bool, and what did not fit.

    Raises:
        MediaError: a mask that cannot be decoded; those of predictions are sorted out where they are read.
    """
    masks = np.zeros((num_frames, *size), dtype=bool)
    faults: list[Fault] = []
    if len(rles) != num_frames:
        rule = "short_tracks" if len(rles) < num_frames else "long_tracks"
        faults.append(Fault(rule, f"{where}: masks for {len(rles)} of {num_frames} frames"))
    resized: list[str] = []
    for frame, rle in enumerate(rles[:num_frames]):
        if rle is None:
            continue
        try:
            mask = decode_mask(rle)
        except MediaError as error:
            raise MediaError(f"{where}, frame {frame}: {error}") from error
        if mask.shape != size:
            resized.append(f"frame {frame} is {mask.shape}, expected {size}")
            mask = resize_mask(mask, *size)
        masks[frame] = mask
    if resized:
        faults.append(Fault("resized_masks", f"{where}: {len(resized)} frames, first {resized[0]}"))
    return masks, faults


def fit_objects(
    question_id: str, shown: Sequence[GroundedObject], shape: tuple[int, ...], faults: list[Fault]
) -> list[np.ndarray]:
    """`fit_track` of the objects of an answer.

    Args:
        question_id: named in the faults.
        shown: objects of the answer.
        shape: (T, H, W) of the ground truth.
        faults: what does not fit is added.

    Returns:
        Each (T, H, W) bool.
    """
    tracks = []
    for thing in shown:
        where = f"question '{question_id}', {thing.id}"
        track, own = fit_track(thing.rle, shape[0], (shape[1], shape[2]), where)
        tracks.append(track)
        faults += own
    return tracks
