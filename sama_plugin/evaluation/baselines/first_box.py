"""The true box of each object's first visible frame, held still: what a tracker must beat."""

from __future__ import annotations

from sama_plugin.evaluation.baselines.replies import Reply, ReplyDialogue, TurnFinder
from sama_plugin.evaluation.targets import union_rles
from sama_plugin.media.masks import box_of_mask, decode_mask, encode_mask, mask_of_box
from sama_plugin.schema import Rle, Sample


class FirstBoxAnswerer:
    """Says the true words, so that only masks are measured; before its first frame an object has none."""

    def start(self, sample: Sample) -> ReplyDialogue:
        """Begin a dialogue."""
        finder = TurnFinder(sample)

        def reply(question: str) -> Reply:
            turn = finder.find(question)
            return Reply(turn.answer, [hold_first_box(union_rles(sample, ids)) for ids in turn.target_ids])

        return ReplyDialogue(reply)


def hold_first_box(track: list[Rle | None]) -> list[Rle | None]:
    """The box of the first mask from its frame to the end; None everywhere if nothing is ever visible."""
    first = next(((frame, rle) for frame, rle in enumerate(track) if rle is not None), None)
    if first is None:
        return list(track)
    frame, rle = first
    mask = decode_mask(rle)
    box = encode_mask(mask_of_box(box_of_mask(mask), *mask.shape))
    return [None] * frame + [box] * (len(track) - frame)
