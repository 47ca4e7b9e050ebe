"""The process that has the model: a `VideoSession` for each of the server's sessions.

Model work is done one step after the other: an answer lets go between its tokens and frames, so that a region of
another visitor, or of the same, need not wait for its end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from sama_plugin.demo.answer_events import AnswerEvents
from sama_plugin.demo.child_loop import Task
from sama_plugin.demo.fair_lock import FairLock
from sama_plugin.demo.memory import trim_memory
from sama_plugin.demo.model_source import FinishedTurn, ModelSource
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.inference.decoding import Decoding
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import FrameMasks, GroundedAnswer, Region, RegionPrompt, Rle

logger = logging.getLogger(__name__)

THREADS = 4
"""That wait for the model, one of them at work."""


class ModelService:
    """Does jobs that need the model; `operations` says which.

    Args:
        source: of the model.
    """

    num_threads = THREADS

    def __init__(self, source: ModelSource):
        self._parts, self._options = source.load(*source.arguments)
        names = [field.name for field in dataclasses.fields(Decoding)]
        self._decoding = Decoding(**{k: v for k, v in self._options.items() if k in names})
        self._sessions: dict[str, VideoSession] = {}
        self._model = FairLock()
        self.operations: dict[str, Callable[..., Any]] = {
            "open": self.open,
            "close": self.close,
            "ask": self.ask,
            "rewind": self.rewind,
            "restore": self.restore,
            "add_region": self.add_region,
            "rename_region": self.rename_region,
            "remove_region": self.remove_region,
        }

    def facts(self) -> dict[str, Any]:
        """Where the model is."""
        _, model, _ = self._parts
        return {"device": str(model.device), "dtype": str(model.dtype).removeprefix("torch.")}

    def do(self, task: Task, operation: str, arguments: tuple[Any, ...]) -> Any:
        """Do one of `operations`."""
        return self.operations[operation](task, *arguments)

    def open(
        self, _: Task, name: str, clip: VideoClip, regions: list[Region], answers: list[GroundedAnswer]
    ) -> None:
        """Begin a session, or go on with one that another process had."""
        tokenizer, model, image_processor = self._parts
        with self._model.hold():
            session = VideoSession(model, tokenizer, image_processor, clip, **self._options)
            if regions or answers:
                session.restore(regions, answers)
            self._sessions[name] = session

    def close(self, _: Task, name: str) -> None:
        """End a session, and give its memory back."""
        with self._model.hold():
            session = self._sessions.pop(name, None)
            if session is not None:
                session.forget()
            del session
            release_memory()

    def ask(
        self,
        task: Task,
        name: str,
        question: str,
        num_turns: int,
        num_frames: int,
        decoding: Mapping[str, Any],
    ) -> FinishedTurn:
        """Answer a question; says `Event`s.

        Args:
            task: the job.
            name: of the session.
            question: the visitor's words.
            num_turns: that the server knows of; later ones do not count.
            num_frames: of the video, that the server knows of.
            decoding: options of `Decoding` for this answer that differ from the server's; `seed` begins its sampling
                anew.
        """
        with self._model.hold():
            session = self._as_known(name, num_turns)
            options = {name: value for name, value in decoding.items() if name != "seed"}
            session.decoding = dataclasses.replace(self._decoding, **options)
            if "seed" in decoding:
                session.reseed(decoding["seed"])
        events = AnswerEvents(len(session.objects))
        for piece in self._pieces(task, session, question):
            for event in events.feed(piece):
                task.say(event)
        for event in events.finish():
            task.say(event)
        if session.clip.num_frames == num_frames:
            return FinishedTurn(session.answers[-1:], None)
        return FinishedTurn(session.answers, session.clip)

    def _session(self, name: str) -> VideoSession:
        """The session.

        Raises:
            RefusedError: an earlier process had it, and this one was not told yet.
        """
        if name not in self._sessions:
            raise RefusedError("worker_crashed", "The process that had this conversation died; ask again.")
        return self._sessions[name]

    def _as_known(self, name: str, num_turns: int) -> VideoSession:
        """The session with the turns that the server knows of: the last one may be cancelled when it is finished.

        Raises:
            RefusedError: as `_session`.
        """
        session = self._session(name)
        if len(session.answers) != num_turns:
            session.rewind(num_turns)
        return session

    def _pieces(self, task: Task, session: VideoSession, question: str) -> Iterator[str | FrameMasks]:
        """An answer, between whose pieces others may have the model; left early, the turn does not count."""
        with contextlib.closing(session.stream(question, masks=True)) as pieces:  # type: ignore[type-var]
            while True:
                with self._model.hold():
                    task.check()
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece

    def rewind(self, _: Task, name: str, num_turns: int) -> None:
        """Go back to where there were so many turns, or fewer."""
        session = self._session(name)
        with self._model.hold():
            session.rewind(min(num_turns, len(session.answers)))

    def restore(self, _: Task, name: str, num_turns: int, answers: list[GroundedAnswer]) -> None:
        """Take up turns after those that the server knows of."""
        with self._model.hold():
            self._as_known(name, num_turns).restore([], answers)

    def add_region(self, _: Task, name: str, prompt: RegionPrompt, replace: bool) -> Rle:
        """Find the mask that is meant."""
        with self._model.hold():
            return encode_mask(self._session(name).add_region(prompt, replace=replace).mask)

    def rename_region(self, _: Task, name: str, old: str, new: str) -> None:
        """Call a region otherwise."""
        with self._model.hold():
            self._session(name).rename_region(old, new)

    def remove_region(self, _: Task, name: str, region: str) -> None:
        """Forget a region."""
        with self._model.hold():
            self._session(name).remove_region(region)


def release_memory() -> None:
    """Give what is not used any more back to the system, and to other programs on the GPU."""
    trim_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
