"""A history that a client tells again → the session that has it, so that only the new turn is computed.

A client of OpenAI's API sends the whole conversation each time. The session that answered it is kept: what it has
in common with the history stays, what goes further is forgotten, and what it lacks is restored from what the client
says. A session is found by its id (in the request, or in the answers that the client sends back), else by its video
and by who asks; one that a request names is never taken for another conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sama_plugin.demo.openai.errors import BadParameterError
from sama_plugin.demo.openai.files import FileShelf
from sama_plugin.demo.openai.messages import Round, Video
from sama_plugin.demo.openai.request import ChatRequest
from sama_plugin.demo.openai.restoring import restore_answers, with_frame
from sama_plugin.demo.pool import SessionPool
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.sessions import Session
from sama_plugin.prompting.placeholders import PLACEHOLDER
from sama_plugin.schema import GroundedAnswer

logger = logging.getLogger(__name__)


@dataclass
class KeptChat:
    """What this face knows of a session.

    Attributes:
        session: it.
        video: digest of its content; None of one that the page began.
        owner: who began it; None of one that the page began.
        is_named: a request named it, so it is no cache that may go.
        regions: name → the request that it was made by.
        lock: held while a request is answered.
    """

    session: Session
    video: str | None = None
    owner: str | None = None
    is_named: bool = False
    regions: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeptChats:
    """Sessions of this face.

    Args:
        pool: that has the sessions.
        files: uploads that requests may mean.
    """

    def __init__(self, pool: SessionPool, files: FileShelf):
        self._pool, self._files = pool, files
        self._chats: dict[str, KeptChat] = {}
        self._num_requests = 0
        self._opening = asyncio.Lock()
        self._released = asyncio.Event()

    @contextlib.asynccontextmanager
    async def prepare(self, request: ChatRequest, owner: str) -> AsyncIterator[Session]:
        """The session that has a request's history and regions, which is nobody else's until it is left.

        Args:
            request: what is asked for.
            owner: who asks; conversations of others are not found by their history.

        Raises:
            BadParameterError: there is no video, or the history cannot be restored.
            RefusedError: too many wait, what is named is not there, or the video or a region cannot be used.
        """
        if self._num_requests >= self._pool.limits.queue:
            raise RefusedError(
                "too_many_requests",
                f"{self._num_requests} requests are answered or wait, which is the most; try again in a moment.",
            )
        self._num_requests += 1
        try:
            chat = await self._take(request, owner)
            try:
                chat.session.touch()
                await self._align(chat, request)
                yield chat.session
            finally:
                chat.lock.release()
                self._released.set()
        finally:
            self._num_requests -= 1

    async def _take(self, request: ChatRequest, owner: str) -> KeptChat:
        """Wait for the session, which may be closed meanwhile, until it is there and free; its lock is then held.

        The model answers one question at a time anyway, so that nothing is lost by waiting for a session that has the
        video in place of beginning another one.
        """
        while True:
            chat = await self._find(request, owner)
            await chat.lock.acquire()
            if chat.session.id in self._pool.sessions:
                return chat
            chat.lock.release()

    async def _find(self, request: ChatRequest, owner: str) -> KeptChat:
        self._forget_closed()
        video = request.chat.video
        digest = await self._digest(video)
        if request.session is not None:
            return self._named(request.session, digest)
        told = _told_session(request.chat.rounds)
        found = self._candidates(digest, owner, told)
        if not found and video is not None:
            async with self._opening:
                found = self._candidates(digest, owner, told) or [await self._begin(video, digest, owner)]
        if not found:
            raise BadParameterError(
                "No message has a video, and no session is named that is still there; send the video again.",
                "messages",
            )
        return max(found, key=lambda chat: self._closeness(chat, request, told))

    def _candidates(self, digest: str | None, owner: str, told: str | None) -> list[KeptChat]:
        """Sessions that may go on: the one that is told, and those of the same owner about the same video."""
        return [
            chat
            for chat in self._chats.values()
            if (chat.session.id == told if digest is None else chat.video == digest)
            and (chat.session.id == told or (chat.owner == owner and not chat.is_named))
        ]

    def _named(self, name: str, digest: str | None) -> KeptChat:
        """The session a request names."""
        session = self._pool.get(name)
        chat = self._chats.setdefault(name, KeptChat(session))
        if digest is not None and chat.video != digest:
            raise BadParameterError(
                "The session is about another video than the one sent, or was begun on the page; leave one out.",
                "session",
            )
        chat.is_named = True
        return chat

    async def _begin(self, video: Video, digest: str | None, owner: str) -> KeptChat:
        """A new session about a video."""
        await self._make_room()
        if isinstance(video.value, bytes):
            session = await self._pool.create(_one_chunk(video.value), f"video{video.suffix}")
        else:
            stored = self._files.get(video.value)
            session = await self._pool.create(stored.chunks(), stored.name)
        chat = self._chats[session.id] = KeptChat(session, digest, owner)
        return chat

    async def _make_room(self) -> None:
        """Close sessions that no client named, those used longest ago first: this face has half of all at most."""
        limit = self._pool.limits.sessions
        while True:
            self._forget_closed()
            spare = [chat for chat in self._chats.values() if not chat.is_named]
            if len(spare) < max(1, limit // 2) and len(self._pool.sessions) < limit:
                return
            resting = [chat for chat in spare if not chat.lock.locked()]
            if resting:
                chat = min(resting, key=lambda chat: chat.session.used_at)
                logger.info("Closing a session of the OpenAI endpoint to make room for another.")
                await self._pool.close(chat.session)
            elif spare:
                self._released.clear()
                await self._released.wait()
            else:
                return  # others have them all

    async def _digest(self, video: Video | None) -> str | None:
        """Of the content of a video; None where only a session is named, or nothing."""
        if video is None or video.kind == "session":
            return None
        if isinstance(video.value, bytes):
            return (await asyncio.to_thread(hashlib.sha256, video.value)).hexdigest()
        return self._files.get(video.value).digest

    def _closeness(self, chat: KeptChat, request: ChatRequest, told: str | None) -> tuple[int, bool, int]:
        answers = chat.session.answers
        common = _num_common(answers, request.chat.rounds, _changed(chat, request.regions))
        return common, chat.session.id == told, -len(answers)

    async def _align(self, chat: KeptChat, request: ChatRequest) -> None:
        """Bring a session to where the history ends."""
        session, rounds = chat.session, request.chat.rounds
        rest: Sequence[Round] = ()
        if rounds or not chat.is_named:
            common = _num_common(session.answers, rounds, _changed(chat, request.regions))
            if common < len(session.answers):
                await self._pool.rewind(session, common)
                if not chat.is_named and session.id != _told_session(rounds):
                    self._pass_on(chat)
            rest = rounds[common:]
        await self._set_regions(chat, request)
        if rest:
            await self._pool.restore(session, await asyncio.to_thread(restore_answers, session, rest))

    async def _set_regions(self, chat: KeptChat, request: ChatRequest) -> None:
        """Define what is not defined in the same way, and forget what an earlier conversation left."""
        session = chat.session
        wanted = {region["name"] for region in request.regions}
        meant = {name for told in request.chat.rounds for name in PLACEHOLDER.findall(told.question)}
        if not chat.is_named:
            for name in session.regions.keys() - wanted - meant:
                await self._pool.remove_region(session, name)
        for region in request.regions:
            name, asked = region["name"], _canonical(region)
            is_there = name in session.regions
            if not is_there or chat.regions.get(name) != asked:
                body = with_frame(region, session.clip)
                await self._pool.put_region(session, body, name if is_there else None)
                chat.regions[name] = asked

    def _pass_on(self, chat: KeptChat) -> None:
        """Let another conversation have a session; whoever had the one before cannot look on by its id."""
        del self._chats[chat.session.id]
        self._pool.renew_id(chat.session)
        self._chats[chat.session.id] = chat

    def _forget_closed(self) -> None:
        for name in self._chats.keys() - self._pool.sessions.keys():
            del self._chats[name]


def _told_session(rounds: Sequence[Round]) -> str | None:
    """The session that the last answer came from, if the client sent that back."""
    sama = rounds[-1].reply.sama if rounds else None
    session = sama.get("session") if sama is not None else None
    return session if isinstance(session, str) else None


def _num_common(answers: Sequence[GroundedAnswer], rounds: Sequence[Round], changed: Collection[str]) -> int:
    """Rounds of a history that are turns of a session, from the start."""
    for number, (answer, told) in enumerate(zip(answers, rounds, strict=False)):
        raw = told.reply.sama.get("raw") if told.reply.sama is not None else None
        is_same = (
            answer.question == told.question
            and answer.text.split() == told.reply.text.split()
            and raw in (None, answer.raw)
        )
        if not is_same or set(PLACEHOLDER.findall(told.question)) & set(changed):
            return number
    return min(len(answers), len(rounds))


def _changed(chat: KeptChat, regions: Iterable[dict[str, Any]]) -> set[str]:
    """Names of regions that are now to be others than they were."""
    return {
        region["name"]
        for region in regions
        if region["name"] in chat.session.regions and chat.regions.get(region["name"]) != _canonical(region)
    }


def _canonical(region: dict[str, Any]) -> str:
    return json.dumps(region, sort_keys=True)


async def _one_chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data
