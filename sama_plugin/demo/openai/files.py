"""`/v1/files`: videos that were uploaded and wait to be asked about; bounded in size and number, gone when idle."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from sama_plugin.demo.limits import Limits
from sama_plugin.demo.openai.errors import BadParameterError
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.uploads import shown_name, stored_name, without_stall
from sama_plugin.demo.work_folder import WorkFolder

PURPOSES = ("user_data", "vision", "assistants")
CHUNK_BYTES = 2**20
FORM_FIELDS = ("file", "purpose")
SLACK_S = 0.1


@dataclass
class StoredFile:
    """An upload.

    Attributes:
        id: the only key to it.
        name: as its owner calls it.
        purpose: as its owner says.
        size: bytes.
        digest: of its content.
        path: where it lies.
        created: Unix seconds.
        used_at: when it was last asked for, by the monotonic clock.
    """

    id: str
    name: str
    purpose: str
    size: int
    digest: str
    path: Path
    created: int
    used_at: float = field(default_factory=time.monotonic)

    def document(self) -> dict[str, Any]:
        """As OpenAI's `file` object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": self.created,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes."""
        with self.path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk


class FileShelf:
    """Uploads of a server.

    Args:
        work: folder of the server; uploads go with it.
        limits: on size, number and idle time.
    """

    def __init__(self, work: WorkFolder, limits: Limits):
        self._work, self._limits = work, limits
        self._files: dict[str, StoredFile] = {}
        self._num_coming = 0

    async def add(self, request: Request) -> StoredFile:
        """Take an upload.

        Raises:
            BadParameterError: the form is not OpenAI's.
            RefusedError: it is too large, empty, or one too many.
        """
        self._sweep()
        if len(self._files) + self._num_coming >= self._limits.files:
            raise RefusedError(
                "too_many_requests",
                f"{self._limits.files} files are kept, which is the most; delete one, or try again later.",
            )
        self._num_coming += 1
        try:
            async with _form_of(request, self._limits.stall_s) as form:
                stored = await self._store(_file_of(form), _purpose_of(form))
        finally:
            self._num_coming -= 1
        self._files[stored.id] = stored
        self._touch(stored)
        return stored

    def get(self, name: str) -> StoredFile:
        """An upload by its id.

        Raises:
            RefusedError: there is none.
        """
        self._sweep()
        if name not in self._files:
            raise RefusedError(
                "not_found",
                f"There is no such file: it was deleted, or nobody used it for {self._limits.idle_s:g} s. Upload it "
                "again.",
            )
        stored = self._files[name]
        self._touch(stored)
        return stored

    def remove(self, name: str) -> None:
        """Delete an upload; sessions about it have files of their own.

        Raises:
            RefusedError: there is none.
        """
        shutil.rmtree(self.get(name).path.parent, ignore_errors=True)
        del self._files[name]

    async def _store(self, file: UploadFile, purpose: str) -> StoredFile:
        folder = self._work.make_folder()
        path = folder / stored_name(file.filename or "")
        try:
            size, digest = await asyncio.to_thread(_copy, file.file, path)
            if not size:
                raise RefusedError("not_a_video", "The file is empty (0 bytes); expected a video file.")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        name = f"file-{secrets.token_urlsafe(18)}"
        return StoredFile(
            name, shown_name(file.filename or ""), purpose, size, digest, path, int(time.time())
        )

    def _touch(self, stored: StoredFile) -> None:
        """Somebody uses it; look again when it may be idle."""
        stored.used_at = time.monotonic()
        asyncio.get_running_loop().call_later(self._limits.idle_s + SLACK_S, self._sweep)

    def _sweep(self) -> None:
        """Delete what nobody used for long."""
        for name, stored in list(self._files.items()):
            if time.monotonic() - stored.used_at > self._limits.idle_s:
                shutil.rmtree(stored.path.parent, ignore_errors=True)
                del self._files[name]


@contextlib.asynccontextmanager
async def _form_of(request: Request, stall_s: float) -> AsyncIterator[FormData]:
    """The form of an upload, whose files are closed afterwards.

    Raises:
        BadParameterError: it is none.
        RefusedError: it is too large, or stalls.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadParameterError("The body is no form; send multipart/form-data with file and purpose.")
    stream = without_stall(request.stream(), stall_s)
    try:
        parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=len(FORM_FIELDS))
        form = await parser.parse()
    except MultiPartException as error:
        raise BadParameterError(f"The form cannot be read: {error.message}") from error
    try:
        yield form
    finally:
        await form.close()


def _file_of(form: FormData) -> UploadFile:
    for name in form:
        if name not in FORM_FIELDS:
            raise BadParameterError(
                f"{name[:40]!r} is no field of an upload; there are {' and '.join(FORM_FIELDS)}.",
                name[:40],
                "unknown_parameter",
            )
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise BadParameterError("The form has no file; send the video as its field file.", "file")
    return file


def _purpose_of(form: FormData) -> str:
    purpose = form.get("purpose")
    if purpose not in PURPOSES:
        raise BadParameterError(
            f"purpose is {str(purpose)[:40]!r}, expected {', '.join(PURPOSES)}: a video to be asked about.",
            "purpose",
        )
    return str(purpose)


def _copy(source: BinaryIO, path: Path) -> tuple[int, str]:
    """Write an upload where it stays; its size and digest."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as target:
        while chunk := source.read(CHUNK_BYTES):
            target.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
