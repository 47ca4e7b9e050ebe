"""What the server itself knows of a conversation: enough to show it, and to begin it anew in another process."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sama_plugin.demo.documents import prompt_document, turn_document, video_document
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.model_source import FinishedTurn
from sama_plugin.demo.refusals import RefusedError, refusal_of
from sama_plugin.demo.waiting_line import Ticket
from sama_plugin.errors import SamaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import decode_mask
from sama_plugin.media.regions import check_region_name
from sama_plugin.prompting.placeholders import check_question, resolve_placeholders
from sama_plugin.schema import GroundedAnswer, Region, RegionPrompt, Rle


@dataclasses.dataclass
class PointedRegion:
    """A region as the server keeps it.

    Attributes:
        prompt: what it was made from; its mask is left out.
        rle: the mask.
        colour: `#rrggbb`.
    """

    prompt: RegionPrompt
    rle: Rle
    colour: str

    def document(self) -> dict[str, Any]:
        """As plain values."""
        prompt = self.prompt
        return {
            "name": prompt.name,
            "frame": prompt.frame,
            "kind": prompt.kind,
            "colour": self.colour,
            "rle": self.rle,
            **prompt_document(prompt),
        }

    def region(self) -> Region:
        """As the model knows it."""
        mask = decode_mask(self.rle)
        prompt = dataclasses.replace(self.prompt, mask=mask) if self.prompt.kind == "mask" else self.prompt
        return Region(prompt.name, prompt.frame, mask, prompt)


class Session:
    """A visitor's conversation about a video.

    Args:
        name: its id, the only key to it.
        clip: the video.
        folder: of its files.

    Attributes:
        handle: how the processes know it, whatever its id is by now.
        regions: by name.
        answers: one per turn.
        tickets: of questions that are answered or wait.
        used_at: when somebody asked for anything last, or got it, by `time.monotonic`.
        num_requests: so far, of anything.
        home: generation of the model's process that has the session; 0 for none.
        lock: of what must not happen twice at once: opening it there, changing regions.
    """

    def __init__(self, name: str, clip: VideoClip, folder: Path):
        self.id = self.handle = name
        self.clip = clip
        self.folder = folder
        self.regions: dict[str, PointedRegion] = {}
        self.answers: list[GroundedAnswer] = []
        self.tickets: set[Ticket] = set()
        self.home = 0
        self.lock = asyncio.Lock()
        self.used_at = time.monotonic()
        self.num_requests = 0

    @property
    def idle_s(self) -> float:
        """Seconds since anybody asked for anything, or got it."""
        return time.monotonic() - self.used_at

    @property
    def is_busy(self) -> bool:
        """Whether something is being done for it."""
        return bool(self.tickets) or self.lock.locked()

    def without_path(self, refusal: RefusedError) -> RefusedError:
        """A refusal that names the video as its owner does, not as it lies here."""
        path = re.escape(str(self.folder)) + r"[\\/][\w.]+"
        return RefusedError(refusal.code, re.sub(path, lambda _: self.clip.path, refusal.message))

    def touch(self) -> None:
        """Somebody asks for something."""
        self.num_requests += 1
        self.rest()

    def rest(self) -> None:
        """What somebody asked for is done."""
        self.used_at = time.monotonic()

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "id": self.id,
            "name": self.clip.path,
            "video": video_document(self.clip),
            "regions": [region.document() for region in self.regions.values()],
            "turns": [turn_document(answer) for answer in self.answers],
            "idle_s": self.idle_s,
        }

    def region(self, name: str) -> PointedRegion:
        """One of the regions.

        Raises:
            RefusedError: there is none of that name.
        """
        if name not in self.regions:
            have = ", ".join(self.regions) or "none yet"
            raise RefusedError("not_found", f"There is no region '{name}'; there are: {have}.")
        return self.regions[name]

    def rename_region(self, old: str, new: str) -> None:
        """Call a region otherwise; its place among them stays."""
        region = self.regions[old]
        region.prompt = dataclasses.replace(region.prompt, name=new)
        self.regions = {new if name == old else name: kept for name, kept in self.regions.items()}

    def names(self) -> Iterator[str]:
        """What a question may mean: regions, and objects of the answers."""
        yield from self.regions
        for answer in self.answers:
            yield from (thing.id for thing in answer.objects)

    def take_turn(self, turn: FinishedTurn) -> GroundedAnswer:
        """Add an answer; gives it."""
        if turn.clip is not None:
            self.clip = turn.clip
            self.answers = []
        self.answers.extend(turn.answers)
        return self.answers[-1]

    def cancel(self) -> None:
        """Give up what is answered and what waits."""
        for ticket in self.tickets:
            ticket.cancel()

    def check_new_region(self, name: Any, limits: Limits) -> None:
        """See that there is room for one more region, of this name if one is given.

        Raises:
            RefusedError: there is not, or the name is taken or cannot be used.
        """
        if len(self.regions) >= limits.regions:
            raise RefusedError(
                "bad_request",
                f"There are {len(self.regions)} regions, which is the most; remove one, or draw one anew.",
            )
        if name is not None:
            self.check_name(name)

    def check_name(self, name: Any) -> None:
        """See that a region may be called so.

        Raises:
            RefusedError: the name is taken or cannot be used.
        """
        try:
            check_region_name(name)
        except SamaError as error:
            raise refusal_of(error) from error
        if name in self.regions:
            raise RefusedError("bad_request", f"There is a region '{name}' already; choose another name.")

    def check_question(self, question: Any, limits: Limits) -> None:
        """Refuse what can be refused before it waits for its turn.

        Raises:
            RefusedError: no text, too much of it, a name that is not defined, or too many turns.
        """
        try:
            check_question(question, ())
            if not self.tickets:  # else an answer that comes may bring what it means
                resolve_placeholders(question, list(self.names()))
        except SamaError as error:
            raise refusal_of(error) from error
        if len(question) > limits.question_chars:
            raise RefusedError(
                "bad_request",
                f"The question has {len(question)} letters, at most {limits.question_chars} are taken.",
            )
        if len(self.answers) + len(self.tickets) >= limits.turns:
            raise RefusedError(
                "bad_request",
                f"There are {limits.turns} turns, which is the most; go back to an earlier one, or open the video "
                "again.",
            )
