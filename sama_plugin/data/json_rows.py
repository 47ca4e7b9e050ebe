"""Entries of a large JSON file, read one at a time: where each begins is found once, what it says is not kept."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sama_plugin.data.json_stream import Entry, JsonStream
from sama_plugin.errors import DataError


class JsonRows(Sequence[Any]):
    """What the entries of a list say, by position, parsed when asked for.

    The file is gone through when it is first needed; who loops over all then gets them in the same go. It holds two
    numbers per entry and no open file, so it can be shared between processes.

    Args:
        path: JSON, a list at its outermost.

    Raises:
        DataError: when gone through: missing, malformed, cut off or of another form.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: _Spans | None = None

    def __len__(self) -> int:
        return len(self._spans.starts)

    def __iter__(self) -> Iterator[Any]:
        if self._found is not None:
            yield from (self._found.read(place) for place in range(len(self)))
            return
        spans = _Spans(self.path)
        for entry in spans.find("["):
            spans.add(entry)
            yield entry.value
        self._found = spans

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._spans.read(index)

    @property
    def _spans(self) -> _Spans:
        if self._found is None:
            for _ in self:
                pass
        assert self._found is not None, "the loop ended"
        return self._found


class JsonTable(Mapping[str, Any]):
    """What the entries of an object say, by their keys, the last of those of one key; see `JsonRows`.

    Args:
        path: JSON, an object at its outermost.

    Raises:
        DataError: missing, malformed, cut off or of another form.
    """

    def __init__(self, path: Path) -> None:
        self._spans = _Spans(path)
        self._places: dict[str, int] = {}
        for place, entry in enumerate(self._spans.find("{")):
            self._places[entry.key] = place
            self._spans.add(entry)

    def __getitem__(self, key: str) -> Any:
        return self._spans.read(self._places[key])

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Spans:
    """Where the entries of a file lie, bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starts, self.sizes = array("q"), array("q")
        self._end = 0

    def find(self, outermost: str) -> Iterator[Entry]:
        """Go through the file once."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        with tqdm(
            total=size, unit="B", unit_scale=True, desc=self.path.name, disable=None, leave=False
        ) as bar:
            stream = JsonStream(self.path, outermost, on_bytes=bar.update)
            for entry in stream:
                self._end = stream.tell()
                yield entry

    def add(self, entry: Entry) -> None:
        """Remember the entry that was found last."""
        size = len(entry.text.encode())
        self.starts.append(self._end - size)
        self.sizes.append(size)

    def read(self, place: int) -> Any:
        """What an entry says.

        Raises:
            DataError: the file is not what it was.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.starts[place])
                return json.loads(file.read(self.sizes[place]))
        except (OSError, ValueError) as error:
            raise DataError(
                f"Entry {place} of {self.path} cannot be read ({error}); the file was changed or moved."
            ) from error
