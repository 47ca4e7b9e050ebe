"""A conversation about one video: regions in, text and masks out, objects of earlier answers by name.

question ─ placeholders ─ layout ─ stages 1-3 (`embed_batch`) ─ LLM ─ tokens ─► text
└ hidden state at [SEG] ─ SAM2 head ─► tracks
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sama_plugin.constants import SEG_TOKEN, SPECIAL_TOKENS
from sama_plugin.data.model_inputs import InputBuilder, RegionUse
from sama_plugin.errors import CheckpointError, MediaError, PromptError
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.inference.generation import Decoding, GeneratedToken, generate_tokens
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import dense_positions, sparse_indices
from sama_plugin.media.masks import decode_mask, mask_area, visible_spans
from sama_plugin.media.regions import region_prompt
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.placeholders import check_question, resolve_placeholders
from sama_plugin.prompting.tokenization import DialogueTokenizer, EncodedDialogue, check_length
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region, RegionPrompt


class VideoSession:
    """Ask about a video, turn by turn.

    Args:
        model: as `load_pretrained_model` gave it.
        tokenizer: its tokenizer.
        image_processor: its image processor.
        video: a video file, a folder of frames, or an open `VideoClip`.
        seed: of the sampling; the same seed and questions give the same answers.
        temperature: 0 is greedy.
        top_p: nucleus sampling; 1 keeps all.
        max_new_tokens: longest answer; it also ends where the model's context does.
        progress: whether to show a bar while masks are found, on a terminal.

    Attributes:
        clip: the video.
        regions: name → region, as defined so far.
        answers: one per finished turn.

    Raises:
        MediaError: the video cannot be read.
        PromptError: a decoding option or seed out of range.
        CheckpointError: a model whose tower or SAM2 was not loaded.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        video: str | Path | VideoClip,
        *,
        seed: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        progress: bool = False,
    ) -> None:
        _check_parts(model)
        self.model = model
        self.tokenizer = tokenizer
        self.clip = video if isinstance(video, VideoClip) else VideoClip.open(video)
        self.decoding = Decoding(temperature, top_p, max_new_tokens)
        self.progress = progress
        self.regions: dict[str, Region] = {}
        self.answers: list[GroundedAnswer] = []
        sama = model.sama
        self._builder = InputBuilder(sama, image_processor, model.get_vision_tower().num_patches_per_side)
        self._dialogue_tokenizer = DialogueTokenizer(tokenizer, template_by_name(sama.template))
        self._sparse = sparse_indices(self.clip.num_frames, sama.sampling)
        self._dense = dense_positions(len(self._sparse), sama.sampling.num_dense)
        self._layout = model.slot_layout(len(self._dense), len(self._sparse))
        self._dialogue = EncodedDialogue()
        self._uses: list[RegionUse] = []
        self._region_frames: list[int] = []
        self._features: Tensor | None = None
        self._num_encoded = 0
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
            raise PromptError(f"The seed is {seed!r}, expected a whole number from 0, below 2^63.")
        self._generator = torch.Generator().manual_seed(int(seed))

    def region(
        self,
        name: str,
        *,
        frame: int | None = None,
        time_s: float | None = None,
        point: Any = None,
        box: Any = None,
        scribble: Any = None,
        mask: Any = None,
    ) -> Region:
        """Point at something; see `media.regions.region_prompt` for the forms.

        Raises:
            PromptError: the name is taken or the region is unusable.
            MediaError: the frame or time is out of range, or the mask does not fit.
        """
        prompt = region_prompt(
            name, self.clip, frame=frame, time_s=time_s, point=point, box=box, scribble=scribble, mask=mask
        )
        return self.add_region(prompt)

    def add_region(self, prompt: RegionPrompt) -> Region:
        """Define a region from a prompt; clicks, boxes and scribbles become masks through SAM2 itself.

        Raises:
            PromptError: the name is taken, or SAM2 finds nothing there.
            MediaError: the frame is not in the clip, or the mask is not of its size.
        """
        if prompt.name in self.regions:
            raise PromptError(f"Region '{prompt.name}' is defined already; give the second one another name.")
        self.clip.check_frame(prompt.frame)
        size = (self.clip.height, self.clip.width)
        if prompt.mask is not None and prompt.mask.shape != size:
            raise MediaError(
                f"Region '{prompt.name}': the mask is {prompt.mask.shape}, frames of {self.clip.path} are {size}."
            )
        if prompt.mask is not None:
            mask = prompt.mask
        else:
            if self.model.sam2_head is None:
                raise CheckpointError(
                    f"Region '{prompt.name}': this checkpoint has no SAM2, so only masks can be pointed with."
                )
            head = self.model.sam2_head
            mask = head.mask_from_prompt(prompt, FeatureStore(head, self.clip))
        region = Region(prompt.name, prompt.frame, mask, prompt)
        self.regions[prompt.name] = region
        return region

    @property
    def objects(self) -> dict[str, GroundedObject]:
        """Objects of all answers so far, by id."""
        return {thing.id: thing for answer in self.answers for thing in answer.objects}

    def ask(self, question: str) -> GroundedAnswer:
        """Ask; wait for text and masks.

        Args:
            question: text; `<name>` means a region, `<objN>` an object of an earlier answer.

        Raises:
            PromptError: a name that is not defined, a reserved token, or a conversation too long for the model.
        """
        for _ in self.stream(question):
            pass
        return self.answers[-1]

    @torch.no_grad()
    def stream(self, question: str) -> Iterator[str]:
        """Ask; get the answer's text in pieces. The turn counts, with its masks, once the stream is read to its end.

        Args:
            question: as for `ask`.

        Yields:
            Pieces of the raw answer, special tokens kept.

        Raises:
            PromptError: as for `ask`, or another turn was finished before this one was; the conversation stays as it
                was.
        """
        started, before = time.perf_counter(), self._dialogue
        # A copy: an abandoned stream must not change what is drawn for the next question.
        generator = torch.Generator()
        generator.set_state(self._generator.get_state())
        vision_before = self._num_encoded
        dialogue, uses, region_frames = self._lay_out(question)
        embeds = self._embed(dialogue, uses, region_frames)
        encoded = time.perf_counter()
        tokens: list[GeneratedToken] = []
        shown, first_token = "", encoded
        for token in generate_tokens(
            self.model,
            embeds,
            decoding=self._decoding_within(embeds.shape[1]),
            stop_ids=self._stop_ids,
            generator=generator,
        ):
            first_token = time.perf_counter() if not tokens else first_token
            tokens.append(token)
            text = self._decode(tokens)
            if not text.endswith("�"):  # a character whose bytes are not all there yet
                yield text[len(shown) :]
                shown = text
        generated = time.perf_counter()
        raw = self._decode(tokens)
        if raw != shown:  # cut off within a character
            yield raw[len(shown) :]
        objects, sam2_frames = self._ground(tokens)
        if self._dialogue is not before:
            raise PromptError(
                "Another question was asked before this answer was read to its end, so this turn does not count; read "
                "one stream after the other."
            )
        self._dialogue_tokenizer.finish_turn(dialogue, [token.token_id for token in tokens])
        answer = GroundedAnswer(
            question=question,
            text=parse_answer(raw).text,
            raw=raw,
            objects=objects,
            timing_s={
                "encode": encoded - started,
                "first_token": first_token - started,
                "generate": generated - encoded,
                "ground": time.perf_counter() - generated,
            },
            counters={
                "vision_frames_encoded": self._num_encoded - vision_before,
                "sam2_frames_encoded": sam2_frames,
                "prefix_tokens_reused": 0,
                "prefix_tokens_computed": embeds.shape[1],
            },
        )
        self._dialogue, self._uses, self._generator = dialogue, uses, generator
        self.answers.append(answer)

    def _decoding_within(self, prompt_length: int) -> Decoding:
        room = max(1, self.model.context_length - prompt_length)
        return dataclasses.replace(self.decoding, max_new_tokens=min(self.decoding.max_new_tokens, room))

    @property
    def _stop_ids(self) -> set[int]:
        """End of turn, and whatever else is special but not SAMA's: after it, no answer goes on."""
        others = set(self._reserved_tokens) - set(SPECIAL_TOKENS)
        return {self._dialogue_tokenizer.end_ids[0], *self.tokenizer.convert_tokens_to_ids(sorted(others))}

    @property
    def _reserved_tokens(self) -> list[str]:
        """Also those that are special without a role, such as the header marks of Llama 3."""
        added = self.tokenizer.added_tokens_decoder.values()
        return [*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)]

    def _decode(self, tokens: Sequence[GeneratedToken]) -> str:
        ids = [token.token_id for token in tokens]
        text = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text.strip()

    def _lay_out(self, question: str) -> tuple[EncodedDialogue, list[RegionUse], list[int]]:
        """The conversation with this question, regions of all questions and the frames only they need.

        Nothing of the session changes.
        """
        check_question(question, self._reserved_tokens)
        known = {**self.regions, **self.objects}
        in_data_form, names = resolve_placeholders(question, known)
        dialogue = EncodedDialogue(
            list(self._dialogue.input_ids), list(self._dialogue.labels), list(self._dialogue.question_ids)
        )
        self._dialogue_tokenizer.start_turn(dialogue, in_data_form, self._layout)
        check_length(dialogue, self.model.context_length, self.clip.path)
        regions = [
            self.regions[name] if name in self.regions else self._object_region(name) for name in names
        ]
        region_frames = list(self._region_frames)
        uses = [RegionUse(region.mask, self._frame_slot(region.frame, region_frames)) for region in regions]
        return dialogue, self._uses + uses, region_frames

    def _object_region(self, name: str) -> Region:
        """An object of an earlier answer as a region: its mask on the sparse frame that shows most of it.

        Raises:
            PromptError: the object is nowhere visible.
        """
        rle = self.objects[name].rle
        shown = {frame: r for frame in self._sparse if (r := rle[frame]) is not None}
        shown = shown or {frame: r for frame, r in enumerate(rle) if r is not None}
        if not shown:
            raise PromptError(
                f"<{name}> has no mask on any frame, so it cannot be pointed at; ask about another one."
            )
        frame = max(shown, key=lambda f: mask_area(shown[f]))
        return Region(name, frame, decode_mask(shown[frame]))

    def _frame_slot(self, frame: int, region_frames: list[int]) -> int:
        """Row of `pixel_values` that shows a frame; one beyond the sparse ones is added to `region_frames`."""
        if frame in self._sparse:
            return self._sparse.index(frame)
        if frame not in region_frames:
            region_frames.append(frame)
        return len(self._sparse) + region_frames.index(frame)

    def _embed(self, dialogue: EncodedDialogue, uses: list[RegionUse], region_frames: list[int]) -> Tensor:
        """(1, L, N) float; frames seen before are not encoded again."""
        wanted = self._sparse + region_frames
        new = wanted[0 if self._features is None else len(self._features) :]
        if new:
            features = self._encode(self.clip.read(new))
            self._features = features if self._features is None else torch.cat([self._features, features])
            self._region_frames = region_frames
        assert self._features is not None, "a clip has at least one sparse frame"
        video = self._builder.video_inputs(None, len(self._sparse), self._dense, dialogue.question_ids, uses)
        input_ids = torch.tensor([dialogue.input_ids], device=self.model.device)
        return self.model.embed_batch(input_ids, [video], [self._features], [self.clip.path])

    def _encode(self, frames: np.ndarray) -> Tensor:
        """(n, H, W, 3) uint8 → (n, P, N) projected features."""
        self._num_encoded += len(frames)
        return self.model.encode_frames([self._builder.tower_pixels(frames)])[0]

    def _ground(self, tokens: Sequence[GeneratedToken]) -> tuple[list[GroundedObject], int]:
        """Masks of every `[SEG]`, all objects in one pass over the video; and how many frames SAM2 encoded for it."""
        seg_id = self.tokenizer.convert_tokens_to_ids(SEG_TOKEN)
        places = [place for place, token in enumerate(tokens) if token.token_id == seg_id]
        if not places or self.model.sama.grounding.head == "none":
            return [], 0
        # By token: a model may also spell `[SEG]` in letters, which is no object.
        phrases = [parse_answer(self._decode(tokens[: place + 1])).phrases[-1] for place in places]
        states = torch.stack([tokens[place].hidden_state for place in places])
        disable = None if self.progress else True  # None: off where stderr is no terminal
        total = self.clip.num_frames
        # One line below the answer, whose line has not ended yet.
        with tqdm(desc="masks", total=total, unit="frame", leave=False, disable=disable, position=1) as bar:

            def show(done: int, _: int) -> None:
                bar.update(done - bar.n)

            head = self.model.sam2_head
            before = 0 if head is None else head.frames_encoded
            tracks = self.model.ground_tracks(self.clip, states, self._encode, progress=show)
            encoded = 0 if head is None else head.frames_encoded - before
        first = len(self.objects) + 1
        objects = [
            GroundedObject(
                id=f"obj{first + i}",
                phrase=phrase,
                score=float(np.clip(track.score, 0, 1)),
                rle=track.rle,
                spans_s=visible_spans(track.rle, self.clip.timestamps_s, self.clip.duration_s),
                size=(self.clip.height, self.clip.width),
            )
            for i, (track, phrase) in enumerate(zip(tracks, phrases, strict=True))
        ]
        return objects, encoded


def _check_parts(model: Any) -> None:
    """A model needs its tower and SAM2, which lie beside the LLM's weights.

    Raises:
        CheckpointError: one of them was not loaded.
    """
    needs_sam2 = model.sama.grounding.head == "sam2" and model.sam2_head is None
    if needs_sam2 or not model.get_vision_tower().is_loaded:
        raise CheckpointError(
            f"The model came without its {'SAM2' if needs_sam2 else 'vision tower'}; load it with the host's "
            "`load_pretrained_model` or `from_pretrained` of its class."
        )
