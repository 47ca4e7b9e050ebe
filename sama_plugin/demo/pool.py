"""The server's sessions, whichever face asks for them: the page's routes, the OpenAI endpoint, or Python.

    pool = SessionPool(source, limits, work)
    await pool.start()
    session = await pool.create(chunks, "clip.mp4")            # an async iterator of bytes; or create_from_example
    await pool.put_region(session, {"frame": 3, "box": [10, 10, 60, 60]})
    async for event in pool.ask(session, "What is <r1>?"):     # `answer_events.Event`s; the last is `done`
        ...
    await pool.close(session)
    await pool.stop()

Everything that is not granted raises `RefusedError`. The pool itself holds no model and decodes no video: the model has a
process of its own, visitors' files are read in others (see `child`). It keeps of each session what is needed to go on
when the model's process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import sama_plugin
from sama_plugin.demo.answer_events import Event
from sama_plugin.demo.child import Child
from sama_plugin.demo.documents import turn_document
from sama_plugin.demo.exports import EXPORTS
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.media_service import MediaService
from sama_plugin.demo.model_source import ModelSource, build_model_service
from sama_plugin.demo.refusals import RefusedError, refusal_of
from sama_plugin.demo.region_requests import (
    next_colour,
    next_name,
    read_colour,
    read_region,
    without_mask,
)
from sama_plugin.demo.sessions import PointedRegion, Session
from sama_plugin.demo.uploads import save_upload, shown_name
from sama_plugin.demo.waiting_line import Ticket, WaitingLine
from sama_plugin.demo.work_folder import WorkFolder
from sama_plugin.errors import SamaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.regions import check_region_name
from sama_plugin.prompting.placeholders import check_question, resolve_placeholders

logger = logging.getLogger(__name__)

EXAMPLES = {"shapes-1": 1, "shapes-2": 2}
"""Id of a clip that is there already → seed of its scene."""

ID_BYTES = 18
SIDE_PROCESSES = 2
"""That open or export at once."""

SWEEP_S = 15.0


class SessionPool:
    """All sessions of a server; see the module. Use it in one event loop.

    Args:
        source: of the model.
        limits: on everything.
        work: where files are kept; removed when the pool stops.

    Attributes:
        model: the process that has the model.
        media: the process that reads frames.
        line: of the questions.
        sessions: by id.
    """

    def __init__(self, source: ModelSource, limits: Limits, work: WorkFolder):
        self.limits = limits
        self.work = work
        self.name = source.name
        self.model = Child("model", build_model_service, source, is_lasting=True)
        self.media = Child("frames", MediaService, is_lasting=True)
        self.line = WaitingLine(limits.queue)
        self.sessions: dict[str, Session] = {}
        self._examples = {name: work.path / f"{name}.mp4" for name in EXAMPLES}
        self._num_opening = 0
        self._side = asyncio.Semaphore(SIDE_PROCESSES)
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the model, and make the examples.

        Raises:
            RefusedError: the model cannot be loaded; its message says why.
        """
        await asyncio.gather(self.model.start(), self.media.start(), self._render_examples())
        self._spawn(self._sweep())

    async def stop(self) -> None:
        """End everything, and remove all files."""
        for session in self.sessions.values():
            session.cancel()
        for task in self._background:
            task.cancel()
        await asyncio.gather(self.model.stop(), self.media.stop())
        self.work.remove()

    def status(self) -> dict[str, Any]:
        """What the server is and has."""
        return {
            "version": sama_plugin.__version__,
            "model": self.name,
            "device": (self.model.facts or {}).get("device"),
            "limits": self.limits.as_dict(),
            "sessions": len(self.sessions),
            "queue": len(self.line),
            "examples": [{"id": name, "name": path.name} for name, path in self._examples.items()],
        }

    async def create(self, chunks: AsyncIterator[bytes], name: str) -> Session:
        """Take a video and begin a session about it.

        Args:
            chunks: the file's bytes.
            name: as its owner calls it.

        Raises:
            RefusedError: too many sessions, or a file that cannot be used.
        """
        with self._room():
            folder = self.work.make_folder()
            try:
                path = folder / "video"
                await save_upload(chunks, path, self.limits.upload_bytes, self.limits.stall_s)
                return self._add(await self._open(path, shown_name(name)), folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    async def create_from_example(self, name: str) -> Session:
        """Begin a session about a clip that is there already.

        Raises:
            RefusedError: too many sessions, or no such clip.
        """
        if name not in self._examples:
            raise RefusedError(
                "not_found", f"There is no example {name[:40]!r}; there are: {', '.join(self._examples)}."
            )
        with self._room():
            path = self._examples[name]
            clip = await self._open(path, path.name)
            return self._add(clip, self.work.make_folder())

    def get(self, name: str) -> Session:
        """A session by its id.

        Raises:
            RefusedError: there is none.
        """
        if name not in self.sessions:
            raise RefusedError(
                "no_session",
                f"There is no such session: it was closed, or nobody used it for {self.limits.idle_s:g} s. "
                "Open the video again.",
            )
        session = self.sessions[name]
        session.touch()
        return session

    async def close(self, session: Session) -> None:
        """End a session: its answers stop, its files and what the model keeps of it go."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.cancel()
        shutil.rmtree(session.folder, ignore_errors=True)
        if session.home == self.model.generation:
            with contextlib.suppress(RefusedError):  # a process that dies forgets too
                await asyncio.shield(self.model.call("close", session.id))

    async def frame(self, session: Session, frame: int, width: int | None = None) -> bytes:
        """A frame of the video as JPEG.

        Raises:
            RefusedError: no such frame, or it cannot be decoded.
        """
        if not 0 <= frame < session.clip.num_frames:
            raise RefusedError(
                "not_found",
                f"There is no frame {frame}; the video has {session.clip.num_frames}, counted from 0.",
            )
        picture: bytes = await self.media.call("frame", session.clip, frame, width)
        return picture

    async def put_region(
        self, session: Session, body: Mapping[str, Any], name: str | None = None
    ) -> PointedRegion:
        """Point at something; SAM2 makes a mask of it.

        Args:
            session: the session.
            body: see `region_requests.read_region`; also `name` and `colour`.
            name: of a region that is there, to be drawn anew.

        Raises:
            RefusedError: too many regions, a name that is taken, or nothing that can be used.
        """
        async with session.lock:
            if name is None:
                self._check_new_region(session, body)
                prompt = read_region(body, body.get("name") or next_name(session.regions), session.clip)
                colour = next_colour(len(session.regions))
            else:
                colour = session.region(name).colour
                prompt = read_region({**body, "name": name}, name, session.clip)
            colour = read_colour(body) or colour
            await self._bring_home(session)
            rle = await self.model.call("add_region", session.id, prompt, name is not None)
            region = PointedRegion(without_mask(prompt), rle, colour)
            session.regions[prompt.name] = region
            return region

    async def change_region(self, session: Session, name: str, body: Mapping[str, Any]) -> PointedRegion:
        """Give a region another name, or another colour.

        Raises:
            RefusedError: there is no such region, or the name or colour cannot be used.
        """
        async with session.lock:
            region = session.region(name)
            region.colour = read_colour(body) or region.colour
            new = body.get("name")
            if new is not None and new != name:
                self._check_name(session, new)
                await self._bring_home(session)
                await self.model.call("rename_region", session.id, name, new)
                session.rename_region(name, new)
            return region

    async def remove_region(self, session: Session, name: str) -> None:
        """Forget a region.

        Raises:
            RefusedError: there is no such region.
        """
        async with session.lock:
            session.region(name)
            await self._bring_home(session)
            await self.model.call("remove_region", session.id, name)
            del session.regions[name]

    async def ask(
        self, session: Session, question: Any, decoding: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and get the answer while it is made; left early, it is cancelled and does not count.

        Args:
            session: the session.
            question: text; `<name>` means a region, `<objN>` an object of an earlier answer.
            decoding: `temperature`, `top_p`, `max_new_tokens` of this answer, where they differ from the server's, and
                the `seed` of its sampling, if it is to begin anew.

        Yields:
            `queue` at least once, `text`, `object` and `masks` as they come, `done`.

        Raises:
            RefusedError: before the first event if the question cannot be used or the line is full; later `cancelled`,
                `worker_crashed`, ...
        """
        self._check_question(session, question)
        ticket = self.line.join()
        session.tickets.add(ticket)
        events: asyncio.Queue[Event | RefusedError | None] = asyncio.Queue()
        # A task of its own: a visitor who reads slowly does not hold up the line.
        work = self._answer(session, question, dict(decoding or {}), ticket, events.put_nowait)
        task = self._spawn(work)
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, RefusedError):
                    raise event
                yield event
        finally:
            if not task.done():
                ticket.cancel()

    def rewind(self, session: Session, num_turns: Any) -> None:
        """Go back to where there were so many turns; what is being answered is cancelled.

        Raises:
            RefusedError: there are not so many.
        """
        is_number = isinstance(num_turns, int) and not isinstance(num_turns, bool)
        if not is_number or not 0 <= num_turns <= len(session.answers):
            raise RefusedError(
                "bad_request",
                f"Cannot go back to that; expected a number of turns from 0 to {len(session.answers)}.",
            )
        session.cancel()
        del session.answers[num_turns:]  # the model's process is told with the next question

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
        async with self._side, Child("export", MediaService) as child:
            await child.call("export", path, kind, session.clip, session.answers, regions)
        return path

    async def _answer(
        self,
        session: Session,
        question: str,
        decoding: dict[str, Any],
        ticket: Ticket,
        put: Callable[[Event | RefusedError | None], None],
    ) -> None:
        """Wait, have the question answered, hand on what comes."""
        try:
            with ticket:
                async for position in ticket.positions():
                    put(Event("queue", {"position": position}))
                async with session.lock:
                    await self._bring_home(session)
                known = len(session.answers), session.clip.num_frames
                job = await self.model.job("ask", session.id, question, *known, decoding)
                ticket.assign(job)
                async for event in job:
                    put(event)
                ticket.check()
                put(Event("done", turn_document(session.take_turn(job.result))))
        except RefusedError as refusal:
            put(refusal)
        finally:
            session.tickets.discard(ticket)
            session.touch()
            put(None)

    async def _bring_home(self, session: Session) -> None:
        """See that the model's process has the session, which is locked meanwhile."""
        await self.model.until_ready()
        home = self.model.generation
        if session.home != home:
            regions = [region.region() for region in session.regions.values()]
            await self.model.call("open", session.id, session.clip, regions, session.answers)
            session.home = home

    async def _open(self, path: Path, name: str) -> VideoClip:
        """Look into a file, in a process that ends with it."""
        try:
            async with self._side, Child("opening a video", MediaService) as child:
                work = child.call("open", path, name, self.limits)
                clip: VideoClip = await asyncio.wait_for(work, self.limits.open_s)
                return clip
        except asyncio.TimeoutError:
            raise RefusedError(
                "too_large",
                f"Looking into '{name}' takes longer than {self.limits.open_s:g} s; make it smaller, or encode it "
                "anew as an mp4.",
            ) from None
        except RefusedError as refusal:
            if refusal.code != "worker_crashed":
                raise
            raise RefusedError("not_a_video", f"'{name}' cannot be read: its decoder died.") from None

    async def _render_examples(self) -> None:
        async with Child("examples", MediaService) as child:
            for name, path in self._examples.items():
                await child.call("example", path, EXAMPLES[name])

    async def _sweep(self) -> None:
        """Close what nobody uses any more."""
        while True:
            await asyncio.sleep(min(SWEEP_S, self.limits.idle_s / 4))
            for session in list(self.sessions.values()):
                if session.idle_s > self.limits.idle_s and not session.tickets:
                    logger.info("A session was idle for %.0f s and is closed.", session.idle_s)
                    await self.close(session)

    @contextlib.contextmanager
    def _room(self) -> Any:
        """Hold a place for a session while its video comes."""
        if len(self.sessions) + self._num_opening >= self.limits.sessions:
            raise RefusedError(
                "too_many_sessions",
                f"{self.limits.sessions} sessions are open, which is the most; close one, or try again later.",
            )
        self._num_opening += 1
        try:
            yield
        finally:
            self._num_opening -= 1

    def _add(self, clip: VideoClip, folder: Path) -> Session:
        session = Session(secrets.token_urlsafe(ID_BYTES), clip, folder)
        self.sessions[session.id] = session
        return session

    def _check_new_region(self, session: Session, body: Mapping[str, Any]) -> None:
        if len(session.regions) >= self.limits.regions:
            raise RefusedError(
                "bad_request",
                f"There are {len(session.regions)} regions, which is the most; remove one, or draw one anew.",
            )
        if body.get("name") is not None:
            self._check_name(session, body["name"])

    def _check_name(self, session: Session, name: Any) -> None:
        try:
            check_region_name(name)
        except SamaError as error:
            raise refusal_of(error) from error
        if name in session.regions:
            raise RefusedError("bad_request", f"There is a region '{name}' already; choose another name.")

    def _check_question(self, session: Session, question: Any) -> None:
        """Refuse what can be refused before it waits for its turn."""
        limits = self.limits
        try:
            check_question(question, ())
            if len(question) > limits.question_chars:
                raise RefusedError(
                    "bad_request",
                    f"The question has {len(question)} letters, at most {limits.question_chars} are taken.",
                )
            if not session.tickets:  # else an answer that comes may bring what it means
                resolve_placeholders(question, list(session.names()))
        except SamaError as error:
            raise refusal_of(error) from error
        if len(session.answers) + len(session.tickets) >= limits.turns:
            raise RefusedError(
                "bad_request",
                f"There are {limits.turns} turns, which is the most; go back to an earlier one, or open the video "
                "again.",
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside what is awaited."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
