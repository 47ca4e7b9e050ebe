"""The forms of records that a mixture can name, each with the reader that makes samples of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.data.indexed_samples import IndexedSamples
from sama_plugin.data.sources.own import read_own
from sama_plugin.data.sources.sama239k import read_corpus
from sama_plugin.schema import Sample


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
    return [record.sample for record in read_corpus(corpus, part=files.part)]


FORMS: Mapping[str, Form] = {
    "sama239k": Form(read_sama239k, needs=("mask_path", "video_root")),
    "own": Form(lambda files: read_own(files.records, files.video_root)),
}
"""Name in `form:` of a mixture's entry → its reader."""
