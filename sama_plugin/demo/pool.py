"""The server's sessions, whichever face asks for them: the page's routes, the OpenAI endpoint, or Python.

    pool = SessionPool(source, limits, work)
    await pool.start()
    session = await pool.create(chunks, "clip.mp4")            # an async iterator of bytes; or create_from_example
    await pool.put_region(session, {"frame": 3, "box": [10, 10, 60, 60]})
    async for event in pool.ask(session, "What is <r1>?"):     # `answer_events.Event`s; the last is `done`
        ...
    await pool.close(session)
    await pool.stop()

Everything that is not granted raises `RefusedError`. The pool itself holds no model and decodes no video: the model
has a process of its own, visitors' files are read in others (`pool.media`). It keeps of each session what is needed to
go on when the model's process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import sama_plugin
from sama_plugin.demo.answer_events import Event
from sama_plugin.demo.child import Child
from sama_plugin.demo.documents import turn_document
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.media_desk import MediaDesk
from sama_plugin.demo.memory import trim_memory
from sama_plugin.demo.model_source import ModelSource, build_model_service
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.region_requests import (
    next_colour,
    next_name,
    read_colour,
    read_region,
    without_mask,
)
from sama_plugin.demo.sessions import PointedRegion, Session
from sama_plugin.demo.uploads import save_upload, shown_name, stored_name
from sama_plugin.demo.waiting_line import Ticket, WaitingLine
from sama_plugin.demo.work_folder import WorkFolder
from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import GroundedAnswer

logger = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")

ID_BYTES = 18
SWEEP_S = 15.0


class SessionPool:
    """All sessions of a server; see the module. Use it in one event loop.

    Args:
        source: of the model.
        limits: on everything.
        work: where files are kept; removed when the pool stops.

    Attributes:
        model: the process that has the model.
        media: reads and writes visitors' files.
        line: of the questions.
        sessions: by id.
    """

    def __init__(self, source: ModelSource, limits: Limits, work: WorkFolder):
        self.limits = limits
        self.work = work
        self.name = source.name
        self.model = Child("model", build_model_service, source, is_lasting=True)
        self.media = MediaDesk(limits, work)
        self.line = WaitingLine(limits.queue)
        self.sessions: dict[str, Session] = {}
        self._num_opening = 0
        self._background: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Load the model, and make the examples.

        Raises:
            RefusedError: the model cannot be loaded; its message says why.
        """
        await asyncio.gather(self.model.start(), self.media.start())
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
            **(self.model.facts or {}),
            "limits": self.limits.as_dict(),
            "sessions": len(self.sessions),
            "queue": len(self.line),
            "examples": [{"id": name, "name": path.name} for name, path in self.media.examples.items()],
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
                path = folder / stored_name(name)
                await save_upload(chunks, path, self.limits.upload_bytes, self.limits.stall_s)
                return self._add(await self.media.open(path, shown_name(name)), folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    async def create_from_example(self, name: str) -> Session:
        """Begin a session about a clip that is there already.

        Raises:
            RefusedError: too many sessions, or no such clip.
        """
        path = self.media.example(name)
        with self._room():
            return self._add(await self.media.open(path, path.name), self.work.make_folder())

    def get(self, name: str) -> Session:
        """A session by its id.

        Raises:
            RefusedError: there is none.
        """
        if name not in self.sessions:
            raise self._no_session()
        session = self.sessions[name]
        session.touch()
        return session

    def renew_id(self, session: Session) -> None:
        """Pass a session on: who knew its id does not know what it will be about."""
        del self.sessions[session.id]
        session.id = secrets.token_urlsafe(ID_BYTES)
        self.sessions[session.id] = session

    def leave(self, session: Session) -> None:
        """A page is gone: close its session, unless it comes back, as one does that is loaded anew."""
        self._spawn(self._close_left(session))

    async def close(self, session: Session) -> None:
        """End a session: its answers stop, its files and what the model keeps of it go."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.cancel()
        shutil.rmtree(session.folder, ignore_errors=True)
        trim_memory()
        await self._to_its_end(self._forget(session))

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
        return await self._to_its_end(self._put_region(session, body, name))

    async def change_region(self, session: Session, name: str, body: Mapping[str, Any]) -> PointedRegion:
        """Give a region another name, or another colour.

        Raises:
            RefusedError: there is no such region, or the name or colour cannot be used.
        """
        return await self._to_its_end(self._change_region(session, name, body))

    async def remove_region(self, session: Session, name: str) -> None:
        """Forget a region.

        Raises:
            RefusedError: there is no such region.
        """
        await self._to_its_end(self._remove_region(session, name))

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
        session.check_question(question, self.limits)
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

    async def rewind(self, session: Session, num_turns: Any) -> None:
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
        del session.answers[num_turns:]
        async with session.lock:
            if session.home == self.model.generation:
                await self.model.call("rewind", session.handle, len(session.answers))

    async def restore(self, session: Session, answers: list[GroundedAnswer]) -> None:
        """Add turns that were not asked here, as somebody tells them.

        Raises:
            RefusedError: they do not fit the video, or a question means what is not there.
        """
        async with session.lock:
            await self._bring_home(session)
            await self.model.call("restore", session.handle, len(session.answers), answers)
            session.answers.extend(answers)

    async def _put_region(self, session: Session, body: Mapping[str, Any], name: str | None) -> PointedRegion:
        async with session.lock:
            if name is None:
                session.check_new_region(body.get("name"), self.limits)
                prompt = read_region(
                    body, body.get("name") or next_name(session.regions), session.clip, self.limits.points
                )
                colour = next_colour(len(session.regions))
            else:
                colour = session.region(name).colour
                prompt = read_region({**body, "name": name}, name, session.clip, self.limits.points)
            colour = read_colour(body) or colour
            rle = await self._call(session, "add_region", prompt, name is not None)
            region = PointedRegion(without_mask(prompt), rle, colour)
            session.regions[prompt.name] = region
            return region

    async def _change_region(self, session: Session, name: str, body: Mapping[str, Any]) -> PointedRegion:
        async with session.lock:
            region, colour, new = session.region(name), read_colour(body), body.get("name")
            if new is not None and new != name:
                session.check_name(new)
                await self._call(session, "rename_region", name, new)
                session.rename_region(name, new)
            region.colour = colour or region.colour
            return region

    async def _remove_region(self, session: Session, name: str) -> None:
        async with session.lock:
            session.region(name)
            await self._call(session, "remove_region", name)
            del session.regions[name]

    async def _forget(self, session: Session) -> None:
        """Have the processes forget a session that is closed."""
        await self.media.forget(session)
        async with session.lock:  # where it is being opened, it is open then
            if session.home == self.model.generation:
                with contextlib.suppress(RefusedError):  # a process that dies forgets too
                    await self.model.call("close", session.handle)

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
                job = await self.model.job("ask", session.handle, question, *known, decoding)
                ticket.assign(job)
                async for event in job:
                    put(event)
                ticket.check()
                put(Event("done", turn_document(session.take_turn(job.result))))
        except RefusedError as refusal:
            put(session.without_path(refusal))
        finally:
            session.tickets.discard(ticket)
            session.rest()
            put(None)

    async def _call(self, session: Session, operation: str, *arguments: Any) -> Any:
        """Have the model's process do something for a session, which is locked meanwhile."""
        try:
            await self._bring_home(session)
            return await self.model.call(operation, session.handle, *arguments)
        except RefusedError as refusal:
            raise session.without_path(refusal) from refusal
        finally:
            session.rest()

    async def _bring_home(self, session: Session) -> None:
        """See that the model's process has the session, which is locked meanwhile; not one that is closed."""
        await self.model.until_ready()
        if session.id not in self.sessions:
            raise self._no_session()
        home = self.model.generation
        if session.home != home:
            regions = [region.region() for region in session.regions.values()]
            await self.model.call("open", session.handle, session.clip, regions, session.answers)
            session.home = home

    async def _sweep(self) -> None:
        """Close what nobody uses any more."""
        while True:
            await asyncio.sleep(min(SWEEP_S, self.limits.idle_s / 4))
            for session in list(self.sessions.values()):
                if session.idle_s > self.limits.idle_s and not session.is_busy:
                    logger.info("A session was idle for %.0f s and is closed.", session.idle_s)
                    await self.close(session)

    async def _close_left(self, session: Session) -> None:
        """Close a session whose page has not come back."""
        num_requests = session.num_requests
        await asyncio.sleep(self.limits.grace_s)
        if session.num_requests == num_requests:
            await self.close(session)

    def _no_session(self) -> RefusedError:
        return RefusedError(
            "no_session",
            f"There is no such session: it was closed, or nobody used it for {self.limits.idle_s:g} s. "
            "Open the video again.",
        )

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

    async def _to_its_end(self, work: Coroutine[Any, Any, ValueT]) -> ValueT:
        """Do what must not be done by half: if who asked goes away meanwhile, that is heeded when it is done."""
        task = self._spawn(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    def _spawn(self, work: Coroutine[Any, Any, ValueT]) -> asyncio.Task[ValueT]:
        """Do something beside what is awaited."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
