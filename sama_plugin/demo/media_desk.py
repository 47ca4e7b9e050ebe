"""Where the server has visitors' files read and written: in processes that may die, or be ended, without harm."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path

from sama_plugin.demo.child import Child
from sama_plugin.demo.exports import EXPORTS
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.media_service import MediaService
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.sessions import Session
from sama_plugin.demo.work_folder import WorkFolder
from sama_plugin.media.decode import VideoClip

EXAMPLES = {"shapes-1": 1, "shapes-2": 2}
"""Id of a clip that is there already → seed of its scene."""

SIDE_PROCESSES = 2
"""That open at once, and as many that export: who waits for a long export holds up no upload."""


class MediaDesk:
    """Opens files, reads frames, writes exports.

    Args:
        limits: on videos.
        work: where the examples lie.

    Attributes:
        examples: id → clip that is there already.
    """

    def __init__(self, limits: Limits, work: WorkFolder):
        self.examples = {name: work.path / f"{name}.mp4" for name in EXAMPLES}
        self._limits = limits
        self._frames = Child("frames", MediaService, is_lasting=True)
        self._opening = asyncio.Semaphore(SIDE_PROCESSES)
        self._exporting = asyncio.Semaphore(SIDE_PROCESSES)

    async def start(self) -> None:
        """Make the examples, and get ready to read frames."""
        await self._frames.start()
        for name, path in self.examples.items():
            await self._frames.call("example", path, EXAMPLES[name])

    async def stop(self) -> None:
        """End it."""
        await self._frames.stop()

    def example(self, name: str) -> Path:
        """A clip that is there already.

        Raises:
            RefusedError: there is none of that id.
        """
        if name not in self.examples:
            raise RefusedError(
                "not_found", f"There is no example {name[:40]!r}; there are: {', '.join(self.examples)}."
            )
        return self.examples[name]

    async def open(self, path: Path, name: str) -> VideoClip:
        """Look into a file, in a process that ends with it.

        Args:
            path: of the file.
            name: as its owner calls it.

        Raises:
            RefusedError: it is no video, or larger than the limits.
        """
        try:
            async with self._opening, Child("opening a video", MediaService) as child:
                work = child.call("open", path, name, self._limits)
                clip: VideoClip = await asyncio.wait_for(work, self._limits.open_s)
                return clip
        except asyncio.TimeoutError:
            raise RefusedError(
                "too_large",
                f"Looking into '{name}' takes longer than {self._limits.open_s:g} s; make it smaller, or encode it "
                "anew as an mp4.",
            ) from None
        except RefusedError as refusal:
            if refusal.code != "worker_crashed":
                raise
            raise RefusedError("not_a_video", f"'{name}' cannot be read: its decoder died.") from None

    async def frame(self, session: Session, frame: int, width: int | None = None) -> bytes:
        """A frame of the video as JPEG.

        Args:
            session: whose video.
            frame: index.
            width: pixels, of a smaller picture; None keeps its size.

        Raises:
            RefusedError: no such frame, or it cannot be decoded.
        """
        if not 0 <= frame < session.clip.num_frames:
            raise RefusedError(
                "not_found",
                f"There is no frame {frame}; the video has {session.clip.num_frames}, counted from 0.",
            )
        try:
            picture: bytes = await self._frames.call("frame", session.handle, session.clip, frame, width)
        except RefusedError as refusal:
            raise session.without_path(refusal) from refusal
        return picture

    async def forget(self, session: Session) -> None:
        """Close the decoder of a session that is no more."""
        with contextlib.suppress(RefusedError):  # a process that dies forgets too
            await self._frames.call("forget", session.handle)

    async def export(self, session: Session, kind: str) -> Path:
        """Write a file of `EXPORTS`, to be removed by the caller; it goes with the session at the latest.

        Raises:
            RefusedError: no such file, or it cannot be made.
        """
        if kind not in EXPORTS:
            raise RefusedError(
                "not_found", f"There is no export {kind[:40]!r}; there are: {', '.join(EXPORTS)}."
            )
        path = session.folder / f"{secrets.token_hex(8)}-{kind}"
        regions = [region.region() for region in session.regions.values()]
        try:
            async with self._exporting, Child("export", MediaService) as child:
                await child.call("export", path, kind, session.clip, session.answers, regions)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, RefusedError):
                raise session.without_path(error) from error
            raise
        return path
