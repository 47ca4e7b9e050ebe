"""Files that are read are never written over: what a command makes goes to another place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sama_plugin.data.corpus import CorpusFiles, mask_files
from sama_plugin.data.index_tables import index_beside
from sama_plugin.errors import DataError


def check_inputs_kept(inputs: Iterable[Path], targets: Iterable[Path]) -> None:
    """See that no file to be written is one that is read.

    Args:
        inputs: files that are read; they need not exist.
        targets: files to be written.

    Raises:
        DataError: one is both.
    """
    read = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in read and target.exists():
            raise DataError(
                f"Writing '{target}' would destroy the data that is read from it; choose another place."
            )


def check_corpora_kept(corpora: Iterable[CorpusFiles], targets: Iterable[Path]) -> None:
    """See that no file to be written is one of the corpora's: records, index or masks.

    Raises:
        DataError: one is.
    """
    read: list[Path] = []
    for files in corpora:
        read += [files.records, index_beside(files.records), *mask_files(files.masks)]
    check_inputs_kept(read, targets)
