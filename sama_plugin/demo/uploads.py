"""A visitor's file on its way to the disk: bounded while it comes, under a name of ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from sama_plugin.demo.refusals import RefusedError
from sama_plugin.media.decode import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

NAME_CHARS = 120
DEFAULT_NAME = "video"


def shown_name(name: str) -> str:
    """What a file is called, as it may be shown: its last part, without what no line holds; never a path of ours."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return printable[:NAME_CHARS] or DEFAULT_NAME


def stored_name(name: str) -> str:
    """How a file is called on the disk: one name for all, with a picture's suffix, which decides how it is read."""
    suffix = Path(shown_name(name)).suffix.lower()
    return DEFAULT_NAME + (suffix if suffix in IMAGE_SUFFIXES else "")


async def save_upload(chunks: AsyncIterator[bytes], path: Path, max_bytes: int, stall_s: float) -> None:
    """Write what comes, unless it is too much; what was written stays, for its folder is removed then.

    Args:
        chunks: the file's bytes.
        path: where to.
        max_bytes: that are taken.
        stall_s: without a byte, after which it is given up, seconds.

    Raises:
        RefusedError: it is larger, it stalls, the disk refuses, or there is nothing.
    """
    size = 0
    try:
        with path.open("wb") as file:
            async for chunk in without_stall(chunks, stall_s):
                size += len(chunk)
                if size > max_bytes:
                    raise too_large(max_bytes)
                file.write(chunk)
    except OSError as error:
        logger.error("An upload cannot be written.", exc_info=error)
        raise RefusedError(
            "no_room",
            "The server's disk cannot take the file, it is full perhaps; try a smaller one, or later.",
        ) from error
    if not size:
        raise RefusedError("not_a_video", "The file is empty (0 bytes); expected a video file.")


async def without_stall(chunks: AsyncIterator[bytes], stall_s: float) -> AsyncGenerator[bytes, None]:
    """What comes, as long as it comes.

    Args:
        chunks: of a body.
        stall_s: without a byte, after which it is given up, seconds.

    Raises:
        RefusedError: it stalls.
    """
    try:
        while True:
            yield await asyncio.wait_for(anext(chunks), stall_s)
    except StopAsyncIteration:
        return
    except asyncio.TimeoutError:
        raise RefusedError(
            "bad_request", f"No byte of the request came for {stall_s:g} s; send it again."
        ) from None


def too_large(max_bytes: int) -> RefusedError:
    """The refusal of a body that is."""
    return RefusedError(
        "too_large", f"This is larger than {max_bytes / 2**20:g} MB, which is the most that is taken."
    )
