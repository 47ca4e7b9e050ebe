"""A loaded model as an answerer: each dialogue is a `VideoSession`, as a user would have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sama_plugin.inference.session import VideoSession
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.schema import GroundedAnswer, RegionPrompt, Sample


class SessionDialogue:
    """A conversation held by a `VideoSession`."""

    def __init__(self, session: VideoSession) -> None:
        self.session = session

    def ask(self, question: str, regions: Sequence[RegionPrompt]) -> GroundedAnswer:
        """Define the new regions, then ask; see `Dialogue.ask`."""
        for region in regions:
            self.session.add_region(region)
        return self.session.ask(question)


class SessionAnswerer:
    """Answers with a model.

    Args:
        model: as `load_pretrained_model` gave it.
        tokenizer: its tokenizer.
        image_processor: its image processor.
        session_options: more arguments of `VideoSession`, e.g. `seed`, `temperature`, `max_new_tokens`.
    """

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any, **session_options: Any) -> None:
        self.parts = (model, tokenizer, image_processor)
        self.session_options = session_options

    def start(self, sample: Sample) -> SessionDialogue:
        """Open the sample's video; nothing else of the sample is read."""
        return SessionDialogue(
            VideoSession(*self.parts, video=open_sample_clip(sample), **self.session_options)
        )
