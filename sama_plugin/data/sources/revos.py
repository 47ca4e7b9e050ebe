"""ReVOS: expressions that take reasoning, some of them questions, some meaning nothing in the video.

Published layout: as MeViS (`meta_expressions_train_.json`, `mask_dict.json`); a video's name is the path of its folder
of frames below the data set's root, and an expression that means nothing has an empty `anno_id`.
"""

from __future__ import annotations

from pathlib import Path

from sama_plugin.data.lazy_samples import LazySamples
from sama_plugin.data.sources.mevis import read_mevis


def read_revos(meta: Path, masks: Path, root: Path) -> LazySamples:
    """A sample per video, a turn per expression; see `read_mevis`.

    Args:
        meta: `meta_expressions_train_.json`.
        masks: `mask_dict.json`.
        root: of the data set.

    Raises:
        DataError: files missing or malformed, or nothing that can be used.

    Source: published layout; official `VideoReVOSDataset` (spec §6.4). Differs: see `data.referring`.
    """
    return read_mevis(meta, masks, root, "revos")
