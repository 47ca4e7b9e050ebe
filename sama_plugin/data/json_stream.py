"""A large JSON file entry by entry: memory stays flat, and every entry comes as the text that the file has for it."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sama_plugin.data.defects import DefectError, file_fault, missing_file
from sama_plugin.data.json_file import half_character, unreadable_value

CHUNK_BYTES = 1 << 22
MAX_ENTRY_CHARS = 1 << 28
"""An entry that is longer is taken for a file whose brackets do not close, before it fills the memory."""

NUMBER_TAIL = 3
"""A number that is cut at the end of what is read leaves at most so many characters unread, as in `1e-`."""

CLOSING = {"[": "]", "{": "}"}
FORMS = {"[": "a list", "{": "an object"}
WHITESPACE = " \t\r\n"
DECODER = json.JSONDecoder()


class Entry(NamedTuple):
    """One entry of the outermost list or object.

    Attributes:
        key: of an object's entry; the position in a list, as text.
        text: JSON, character by character as in the file.
        value: what it means.
    """

    key: str
    text: str
    value: Any


def content_digest() -> Any:
    """A fresh digest of the kind by which files are compared."""
    return hashlib.blake2b(digest_size=16)


class JsonStream:
    """The entries of one file, in their order; to be gone through once.

    Args:
        path: JSON, UTF-8.
        outermost: `[` or `{`, what it has to be.
        start: byte behind the last entry that is known already; 0 begins at the beginning.
        known: entries before `start`.
        on_bytes: told how many bytes were read, chunk by chunk.

    Raises:
        DefectError: when gone through: the file is missing, malformed, cut off, or of another form.
    """

    def __init__(
        self,
        path: Path,
        outermost: str,
        *,
        start: int = 0,
        known: int = 0,
        on_bytes: Callable[[int], object] = lambda count: None,
    ) -> None:
        self.path, self.outermost = path, outermost
        self._start, self._count, self._on_bytes = start, known, on_bytes
        self._digest = content_digest()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._base, self._told = 0, 0  # a byte, and the character of `_text` that it is the place of

    @property
    def digest(self) -> str:
        """Hex digest of the bytes read so far; of the whole file at the end."""
        return str(self._digest.hexdigest())

    def tell(self) -> int:
        """The byte behind the last entry, from which another stream can go on."""
        self._base += len(self._text[self._told : self._at].encode())
        self._told = self._at
        return self._base

    def __iter__(self) -> Iterator[Entry]:
        try:
            with self.path.open("rb") as file:
                self._file = file
                yield from self._entries()
        except FileNotFoundError as error:
            raise missing_file(self.path) from error
        except OSError as error:
            raise file_fault("file-damaged", f"{self.path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise self._fault(f"bytes that are no UTF-8 ({error.reason})", "file-damaged") from error

    def _entries(self) -> Iterator[Entry]:
        opening = self._peek()
        if opening in CLOSING and opening != self.outermost:
            expected = FORMS[self.outermost]
            raise file_fault("file-form", f"{self.path} holds {FORMS[opening]}, expected {expected}.")
        self._expect(opening, self.outermost)
        self._skip_known()
        is_first = self._count == 0
        while (mark := self._peek()) != CLOSING[self.outermost]:
            if not is_first:
                self._expect(mark, ",")
            is_first = False
            yield self._entry()
            self._count += 1
        self._at += 1
        if rest := self._peek():
            raise self._fault(f"{rest!r} behind its end", "file-damaged")

    def _skip_known(self) -> None:
        """Read up to `start` for the digest only."""
        while self._start > self._base + len(self._text.encode()):
            self._at = len(self._text)
            if not self._grow():
                raise self._fault("an earlier end than it had", "file-cut")
        if self._start:
            behind = self._text.encode()[self._start - self._base :]
            self._text, self._at, self._base = behind.decode(), 0, self._start

    def _entry(self) -> Entry:
        key = str(self._count)
        if self.outermost == "{":
            key, _ = self._decode()
            if not isinstance(key, str):
                raise self._fault(f"{key!r} where a name in quotes should be", "file-damaged")
            self._expect(self._peek(), ":")
        value, text = self._decode()
        return Entry(key, text, value)

    def _decode(self) -> tuple[Any, str]:
        """The value that begins here, and its text."""
        self._peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._grow():
                    continue
                is_cut = error.msg.startswith("Unterminated") or not self._text[error.pos :].strip()
                raise self._fault(error.msg, "file-cut" if is_cut else "file-damaged") from error
            except (RecursionError, ValueError) as error:
                raise self._fault(unreadable_value(error), "file-damaged") from error
            if len(self._text) - end <= NUMBER_TAIL and self._grow():
                continue
            text, self._at = self._text[self._at : end], end
            if half := half_character(text, value):
                raise self._fault(half, "file-damaged")
            return value, text

    def _peek(self) -> str:
        """The next character that is not blank, where reading goes on; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in WHITESPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._grow():
                return ""

    def _expect(self, found: str, wanted: str) -> None:
        if found != wanted:
            if not found:
                raise self._fault("no end: it was cut off", "file-cut")
            raise self._fault(f"{found!r} where {wanted!r} should be", "file-damaged")
        self._at += 1

    def _grow(self) -> bool:
        """Read more and forget what is done with; at the end of the file False, and nothing has moved."""
        if len(self._text) - self._at > MAX_ENTRY_CHARS:
            what = f"more than {MAX_ENTRY_CHARS} characters in it: a bracket is not closed"
            raise self._fault(what, "file-damaged")
        chunk = self._file.read(max(CHUNK_BYTES, len(self._text) - self._at))
        more = self._decoder.decode(chunk, final=not chunk)
        if not chunk:
            return False
        self._digest.update(chunk)
        self._on_bytes(len(chunk))
        self.tell()
        self._text, self._at, self._told = self._text[self._at :] + more, 0, 0
        return True

    def _fault(self, what: str, code: str) -> DefectError:
        return file_fault(
            code,
            f"{self.path} is not valid JSON: entry {self._count}, near byte {self.tell()}, has {what}; "
            "get the file anew if it was half copied.",
        )


def file_digest(path: Path) -> str:
    """The digest that `JsonStream` finds, of any file.

    Raises:
        DefectError: it cannot be read.
    """
    digest = content_digest()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except OSError as error:
        raise file_fault("file-damaged", f"{path} cannot be read: {error.strerror}.") from error
    return str(digest.hexdigest())
