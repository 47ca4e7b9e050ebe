from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sama_plugin.data.text_file import write_text


def test_text_is_written_into_a_new_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", ["ä", "\n", "b"])
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä\nb".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_file_stays_as_it_was_where_writing_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def pieces() -> Iterator[str]:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_text(path, pieces())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}
