"""The forms of records that a mixture can name, each with the reader that makes samples of its files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.data.indexed_samples import IndexedSamples
from sama_plugin.data.sources.gcg import read_gcg_flickr, read_gcg_grandf, read_gcg_refcocog
from sama_plugin.data.sources.llava import read_llava
from sama_plugin.data.sources.mevis import read_mevis
from sama_plugin.data.sources.osprey import read_osprey, read_osprey_description, read_osprey_short
from sama_plugin.data.sources.own import read_own
from sama_plugin.data.sources.ref_sav import read_ref_sav
from sama_plugin.data.sources.ref_youtube_vos import read_ref_youtube_vos
from sama_plugin.data.sources.refcoco import read_refcoco
from sama_plugin.data.sources.revos import read_revos
from sama_plugin.data.sources.sama239k import read_corpus
from sama_plugin.data.sources.video_chat import read_video_chat
from sama_plugin.schema import Sample

logger = logging.getLogger(__name__)

LARGE_BYTES = 1 << 28
"""Plain files from this size on are better read by an index."""


@dataclass(frozen=True)
class SourceFiles:
    """Where one source lies.

    Attributes:
        records: its records, or whatever file names its questions and answers.
        masks: its masks; None where the entry gives none.
        video_root: folder its videos or pictures are relative to; that of `records` where the entry gives none.
        index: of the records; None looks beside them.
        part: what is made of a record that has a conversation and descriptions, see `sama239k.PARTS`.
    """

    records: Path
    masks: Path | None
    video_root: Path
    index: Path | None = None
    part: str = "either"


@dataclass(frozen=True)
class Form:
    """One form of records.

    Attributes:
        read: files → samples in their order, in memory or read on access (then with `turn_columns`, see
            `data.selection.Dialogues`); a `DataError` says what is wrong with them.
        needs: fields that an entry of this form has to give beside `json_path`.
    """

    read: Callable[[SourceFiles], Sequence[Sample]]
    needs: tuple[str, ...] = ()


def read_sama239k(files: SourceFiles) -> Sequence[Sample]:
    """What is in a file of SAMA-239K records: read on access where it has an index, else read now."""
    assert files.masks is not None, "the form needs it"
    corpus = open_corpus(files.records, files.masks, files.video_root, "sama239k", files.index)
    if isinstance(corpus, IndexedCorpus):
        return IndexedSamples(corpus, files.part)
    if (size := _size_of(files.records, files.masks)) > LARGE_BYTES:
        logger.warning(
            "%s and its masks are %.1f GB, which every process loads; run once: sama data prepare",
            files.records,
            size / 1e9,
        )
    return [record.sample for record in read_corpus(corpus, part=files.part)]


def _size_of(records: Path, masks: Path) -> int:
    """Bytes of the records and of all masks."""
    files = [records, *(masks.iterdir() if masks.is_dir() else [masks])]
    return sum(file.stat().st_size for file in files if file.is_file())


def _with_masks(read: Callable[[Path, Path, Path], Sequence[Sample]]) -> Form:
    """A form whose masks are a file of their own."""

    def read_files(files: SourceFiles) -> Sequence[Sample]:
        assert files.masks is not None, "the form needs it"
        return read(files.records, files.masks, files.video_root)

    return Form(read_files, needs=("mask_path", "video_root"))


def _without_masks(read: Callable[[Path, Path], Sequence[Sample]]) -> Form:
    """A form whose masks, if there are any, stand in the records or beside the videos."""
    return Form(lambda files: read(files.records, files.video_root), needs=("video_root",))


FORMS: Mapping[str, Form] = {
    "sama239k": Form(read_sama239k, needs=("mask_path", "video_root")),
    "own": Form(lambda files: read_own(files.records, files.video_root)),
    "mevis": _with_masks(read_mevis),
    "revos": _with_masks(read_revos),
    "ref_youtube_vos": _with_masks(read_ref_youtube_vos),
    "ref_sav": _without_masks(read_ref_sav),
    "refcoco": _with_masks(read_refcoco),
    "refcoco_plus": _with_masks(partial(read_refcoco, source="refcoco_plus")),
    "refcocog": _with_masks(partial(read_refcoco, source="refcocog")),
    "gcg_refcocog": _without_masks(read_gcg_refcocog),
    "gcg_grandf": _without_masks(read_gcg_grandf),
    "gcg_openpsg": _without_masks(partial(read_gcg_grandf, source="gcg_openpsg")),
    "gcg_flickr": _without_masks(read_gcg_flickr),
    "osprey": _without_masks(read_osprey),
    "osprey_part": _without_masks(partial(read_osprey, source="osprey_part")),
    "osprey_lvis": _without_masks(partial(read_osprey, source="osprey_lvis")),
    "osprey_short": _without_masks(read_osprey_short),
    "osprey_description": _without_masks(read_osprey_description),
    "llava": _without_masks(read_llava),
    "video_chat": _without_masks(read_video_chat),
}
"""Name in `form:` of a mixture's entry → its reader."""
