"""Is a video file whole? Compares the sizes its container announces with the bytes that are there.

A decoder plays a file that was cut off as if it simply ended earlier, so the container has to be asked.
MP4/MOV boxes, Matroska/WebM elements, AVI chunks and GIF blocks say how long they are, and the packets of
MPEG-TS have one length; other formats pass unchecked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from sama_plugin.errors import MediaError

MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide")
MATROSKA_MAGIC = b"\x1a\x45\xdf\xa3"
TS_PACKET_BYTES = 188
TS_SYNC = b"G"


def find_missing(path: Path) -> str | None:
    """Tell whether a file ends before its own container does.

    Args:
        path: an existing file.

    Returns:
        What is cut off, in a few words with byte counts; None for a whole file and for unknown formats.

    Raises:
        MediaError: the file is empty.
    """
    size = os.path.getsize(path)
    if size == 0:
        raise MediaError(f"Video '{path}' is empty (0 bytes); expected a video file, copy it again.")
    with path.open("rb") as file:
        head = file.read(TS_PACKET_BYTES + 1)
        if head[4:8] in MP4_BOXES:
            missing = _missing_in_mp4(file, size)
        elif head[:4] == MATROSKA_MAGIC:
            missing = _missing_in_matroska(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            missing = _missing_in_avi(head, size)
        elif head[:4] == b"GIF8":
            missing = _missing_in_gif(file, size)
        elif head[:1] == head[TS_PACKET_BYTES:] == TS_SYNC:
            missing = _missing_in_ts(file, size)
        else:
            missing = None
    return f"{missing}, the file has {size} bytes" if missing else None


def _missing_in_mp4(file: BinaryIO, size: int) -> str | None:
    """Walk the top-level boxes; the index `moov` must be among them."""
    position, has_index = 0, False
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:
            length = size - position
        if length < 8:
            break
        if name in MP4_BOXES and position + length > size:
            return f"its box '{name.decode()}' should end at byte {position + length}"
        has_index = has_index or name == b"moov"
        position += length
    return None if has_index else "its index (box 'moov') is missing"


def _missing_in_matroska(file: BinaryIO, size: int) -> str | None:
    """Walk the top-level elements: the EBML header and the segment, whose length live streams leave open."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(12)
        id_bytes = 9 - head[0].bit_length()
        length_bytes = 9 - head[id_bytes].bit_length() if id_bytes < len(head) else 9
        if id_bytes > 4 or length_bytes > 8 or len(head) < id_bytes + length_bytes:
            return None
        marker = 1 << (7 * length_bytes)
        length = int.from_bytes(head[id_bytes : id_bytes + length_bytes], "big") - marker
        if length == marker - 1:
            return None
        position += id_bytes + length_bytes + length
    return f"its segment should end at byte {position}" if position > size else None


def _missing_in_avi(head: bytes, size: int) -> str | None:
    """Compare the length of the first RIFF chunk; 0 means the writer never filled it in."""
    length = int.from_bytes(head[4:8], "little") + 8
    return f"its first chunk should end at byte {length}" if length > size else None


def _missing_in_ts(file: BinaryIO, size: int) -> str | None:
    """See whether what is left after the last whole packet begins as a packet does."""
    left = size % TS_PACKET_BYTES
    file.seek(size - left)
    return f"its last packet should have {TS_PACKET_BYTES} bytes" if file.read(1) == TS_SYNC else None


def _missing_in_gif(file: BinaryIO, size: int) -> str | None:
    """Walk the blocks up to the trailer; a missing trailer alone is forgiven."""

    def colour_table_bytes(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    file.seek(6)
    screen = file.read(7)
    if len(screen) < 7:
        return "it ends inside its header"
    file.seek(colour_table_bytes(screen[4]), os.SEEK_CUR)
    while (kind := file.read(1)) in (b"\x21", b"\x2c"):
        if kind == b"\x21":
            file.seek(1, os.SEEK_CUR)
        else:
            descriptor = file.read(9)
            file.seek(colour_table_bytes(descriptor[-1] if len(descriptor) == 9 else 0) + 1, os.SEEK_CUR)
        while (length := file.read(1)) not in (b"\x00", b""):
            file.seek(length[0], os.SEEK_CUR)
        if not length:
            return f"it ends inside a block, at byte {max(file.tell(), size)}"
    return None if kind in (b"\x3b", b"") else f"no block begins at byte {file.tell() - 1}"
