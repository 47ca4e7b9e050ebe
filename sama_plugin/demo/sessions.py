"""What the server itself knows of a conversation: enough to show it, and to begin it anew in another process."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sama_plugin.demo.documents import prompt_document, turn_document, video_document
from sama_plugin.demo.model_source import FinishedTurn
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.waiting_line import Ticket
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import decode_mask
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
        regions: by name.
        answers: one per turn.
        tickets: of questions that are answered or wait.
        home: generation of the model's process that has the session; 0 for none.
        lock: of what must not happen twice at once: opening it there, changing regions.
    """

    def __init__(self, name: str, clip: VideoClip, folder: Path):
        self.id = name
        self.clip = clip
        self.folder = folder
        self.regions: dict[str, PointedRegion] = {}
        self.answers: list[GroundedAnswer] = []
        self.tickets: set[Ticket] = set()
        self.home = 0
        self.lock = asyncio.Lock()
        self._used_at = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since anybody asked for anything."""
        return time.monotonic() - self._used_at

    def touch(self) -> None:
        """Somebody asks for something."""
        self._used_at = time.monotonic()

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
