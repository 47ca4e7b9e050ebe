"""One object that fills every frame, whatever is asked: what masks are worth that say nothing."""

from __future__ import annotations

import numpy as np

from sama_plugin.constants import PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.evaluation.baselines.replies import Reply, ReplyDialogue, clip_shape
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import Sample

WORDS = f"{PHRASE_START} Everything {PHRASE_END} {SEG_TOKEN}."


class WholeFrameAnswerer:
    """Grounds everything in every answer; does not look at the truth."""

    def start(self, sample: Sample) -> ReplyDialogue:
        """Begin a dialogue."""
        num_frames, height, width = clip_shape(sample)
        full = encode_mask(np.ones((height, width), dtype=bool))
        return ReplyDialogue(lambda question: Reply(WORDS, [[full] * num_frames]))
