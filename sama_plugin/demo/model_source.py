"""What the server and the model's process tell each other; light, since the server itself holds no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import GroundedAnswer

if TYPE_CHECKING:
    from sama_plugin.demo.child_loop import Service


@dataclass(frozen=True)
class ModelSource:
    """How a process of its own comes by the model.

    Attributes:
        load: gives ((tokenizer, model, image processor), options of `VideoSession`); a function of a module.
        arguments: of `load`.
        folder: of the checkpoint, or its hub id.
    """

    load: Callable[..., tuple[tuple[Any, Any, Any], dict[str, Any]]]
    arguments: tuple[Any, ...]
    folder: Path

    @property
    def name(self) -> str:
        """Of the checkpoint, as visitors see it."""
        return self.folder.name


class FinishedTurn(NamedTuple):
    """What an answer changed.

    Attributes:
        answers: the new one; all of them if the video turned out to be shorter, which cuts the masks of all.
        clip: the video as it is now known; None if nothing new is known.
    """

    answers: list[GroundedAnswer]
    clip: VideoClip | None


def build_model_service(source: ModelSource) -> Service:
    """Load the model; for the process that is to have it."""
    from sama_plugin.demo.model_service import ModelService

    return ModelService(source)
