"""LLaVA-Video, LLaVA-OneVision or another plain LLaVA-NeXT model: text through the host, no masks.

It has no way to be pointed at anything, so a region is put into words: its box, in shares of the frame, and when.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import sama_plugin
from sama_plugin.errors import DataError
from sama_plugin.evaluation.results import fingerprint_folder
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.masks import box_of_mask
from sama_plugin.prompting.placeholders import resolve_placeholders
from sama_plugin.schema import GroundedAnswer, RegionPrompt, Sample


class PlainLlavaDialogue:
    """A conversation with history; objects it never has.

    Args:
        answerer: has the model.
        clip: the video.
    """

    def __init__(self, answerer: PlainLlavaAnswerer, clip: VideoClip) -> None:
        self._answerer = answerer
        self._clip = clip
        self._frames = clip.read(spread_evenly(clip.num_frames, answerer.num_frames))
        self._words: dict[str, str] = {}
        self._turns: list[tuple[str, str | None]] = []

    def ask(self, question: str, regions: Sequence[RegionPrompt]) -> GroundedAnswer:
        """See `Dialogue.ask`.

        Raises:
            PromptError: a name that was never defined.
        """
        self._words.update({region.name: region_words(region, self._clip) for region in regions})
        resolve_placeholders(question, self._words)
        asked = question
        for name, words in self._words.items():
            asked = asked.replace(f"<{name}>", words)
        text = self._answerer.chat.answer(
            self._frames, [*self._turns, (asked, None)], max_new_tokens=self._answerer.max_new_tokens
        )
        self._turns.append((asked, text))
        return GroundedAnswer(question, text, text, [], {}, {})


class PlainLlavaAnswerer:
    """Answers with a plain model.

    Args:
        model: its checkpoint folder or hub id.
        frames: of the video that it sees, spread evenly; as many as it was trained with is best.
        max_new_tokens: longest answer.
        device: auto, cpu, cuda or cuda:N.
        template: conversation template of the host; empty goes by the model's type.

    Attributes:
        settings: fingerprint of the checkpoint and what shapes the answers.

    Raises:
        DataError: no model, or numbers that are none.
        CheckpointError: no such folder, or the host cannot load it.
        HostError: no such device or template.
    """

    def __init__(
        self,
        model: str = "",
        frames: int | str = 32,
        max_new_tokens: int | str = 256,
        device: str = "auto",
        template: str = "",
    ) -> None:
        if not model:
            raise DataError("The llava baseline needs a checkpoint: --answerer llava:model=DIR.")
        try:
            self.num_frames, self.max_new_tokens = int(frames), int(max_new_tokens)
        except ValueError:
            self.num_frames = 0
        if self.num_frames < 1 or self.max_new_tokens < 1:
            raise DataError(
                f"The llava baseline got frames={frames} and max_new_tokens={max_new_tokens}, expected whole numbers "
                "from 1."
            )
        sama_plugin.register()
        from sama_plugin.host.plain_chat import PlainChat

        self.chat = PlainChat(model, device=device, template=template or None)
        self.settings = {
            "checkpoint": fingerprint_folder(self.chat.folder),
            "frames": self.num_frames,
            "max_new_tokens": self.max_new_tokens,
            "template": self.chat.template,
        }

    def start(self, sample: Sample) -> PlainLlavaDialogue:
        """Open the video; nothing else of the sample is read."""
        return PlainLlavaDialogue(self, open_sample_clip(sample))


def spread_evenly(num_frames: int, most: int) -> list[int]:
    """Frames of a clip that a plain model sees, the first and the last among them, as in the host's video recipe."""
    shown: list[int] = np.linspace(0, num_frames - 1, min(num_frames, most)).round().astype(int).tolist()
    return shown


def region_words(region: RegionPrompt, clip: VideoClip) -> str:
    """A region as words.

    Args:
        region: a mask; benchmarks point with nothing else.
        clip: that it is in.
    """
    assert region.mask is not None, "benchmarks point with masks"
    x0, y0, x1, y1 = box_of_mask(np.asarray(region.mask))
    box = ", ".join(
        f"{value:.2f}" for value in (x0 / clip.width, y0 / clip.height, x1 / clip.width, y1 / clip.height)
    )
    return f"the object in the box [{box}] at {clip.timestamps_s[region.frame]:.1f} s"
