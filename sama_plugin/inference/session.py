"""A conversation about one video: regions in, text and masks out, objects of earlier answers by name.

question ─ placeholders ─ layout ─ stages 1-3 (`clip_features`) ─ LLM (`generation`) ─ tokens ─► text
└ hidden state at [SEG] ─ mask head ─► tracks

A conversation only appends: features of frames, the LLM's keys and values and SAM2's features are kept, so a turn
computes its own tokens and masks only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from tqdm import tqdm

from sama_plugin.constants import FRAME_TOKEN_INDEX, SEG_TOKEN, SPECIAL_TOKENS
from sama_plugin.errors import (
    CancelledError,
    CheckpointError,
    DamagedVideoError,
    MediaError,
    PromptError,
    SamaError,
)
from sama_plugin.grounding.feature_store import DEFAULT_BUDGET, FeatureStore
from sama_plugin.grounding.prediction import GroundFrame
from sama_plugin.inference.clip_features import ClipFeatures
from sama_plugin.inference.decoding import Decoding
from sama_plugin.inference.generation import GeneratedToken, generate_tokens
from sama_plugin.inference.prefix_cache import PrefixCache
from sama_plugin.inference.turns import AskedTurn, Draft, Run
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.live import LiveClip
from sama_plugin.media.masks import decode_mask, encode_mask, mask_area, visible_spans
from sama_plugin.media.regions import check_region_name, region_prompt
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.placeholders import PLACEHOLDER, check_question, resolve_placeholders
from sama_plugin.prompting.tokenization import DialogueTokenizer, EncodedDialogue, check_length
from sama_plugin.schema import FrameMasks, GroundedAnswer, GroundedObject, Region, RegionPrompt, Rle

logger = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")


class VideoSession:
    """Ask about a video, turn by turn.

    Args:
        model: as `load_pretrained_model` gave it.
        tokenizer: its tokenizer.
        image_processor: its image processor.
        video: a video file, a folder of frames, an open `VideoClip`, or a `LiveClip` that grows.
        window: (start, end) seconds that the conversation is about, None for an end that is open; the whole video if
            None. Frames outside get no masks.
        seed: of the sampling; the same seed and questions give the same answers.
        temperature: 0 is greedy.
        top_p: nucleus sampling; 1 keeps all.
        max_new_tokens: longest answer; it also ends where the model's context does.
        progress: whether to show a bar while masks are found, on a terminal.
        reuse: False computes every turn anew, and finds each object's masks alone, as others do: for comparison.
        sam2_budget_bytes: of SAM2's image features that are kept.
        sam2_beyond: what becomes of features beyond it: `recompute`, or `disk` (all are then rounded to float16).

    Attributes:
        clip: the video.
        decoding: how answers are made; another one counts from the next question on.
        regions: name → region, as defined so far.
        answers: one per finished turn.

    Raises:
        MediaError: the video cannot be read, or the window is not in it.
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
        window: tuple[float | None, float | None] | None = None,
        seed: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        progress: bool = False,
        reuse: bool = True,
        sam2_budget_bytes: int = DEFAULT_BUDGET,
        sam2_beyond: str = "recompute",
    ) -> None:
        _check_parts(model)
        self._generator = _seeded(seed)
        self.model = model
        self.tokenizer = tokenizer
        self.decoding = Decoding(temperature, top_p, max_new_tokens)
        self.progress = progress
        self.reuse = reuse
        self.clip = video if isinstance(video, VideoClip) else VideoClip.open(video)
        self.regions: dict[str, Region] = {}
        self.answers: list[GroundedAnswer] = []
        if self.clip.damage:
            logger.warning("%s", self.clip.damage)
        self._sam2_settings: dict[str, Any] = {"budget_bytes": sam2_budget_bytes, "beyond": sam2_beyond}
        self._dialogue_tokenizer = DialogueTokenizer(tokenizer, template_by_name(model.sama.template))
        self._window = window or (None, None)
        self._span = self.clip.span(*self._window)
        self._features = ClipFeatures(model, image_processor, self.clip, self._span)
        self._sam2_encoded = 0
        self._store = self._new_store()
        self._cache = PrefixCache(model)
        self._turns: list[AskedTurn] = []
        self._dialogue = EncodedDialogue()
        self._num_cached = 0
        self._run: Run | None = None
        self._lock = threading.Lock()

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

    def add_region(self, prompt: RegionPrompt, *, replace: bool = False) -> Region:
        """Define a region from a prompt; clicks, boxes and scribbles become masks through SAM2 itself.

        Args:
            prompt: what was pointed with.
            replace: draw a region of that name anew, such as after a further click; it keeps its place.

        Raises:
            PromptError: the name is taken, or is to be replaced and a question means it; SAM2 finds nothing there.
            MediaError: the frame is not in the clip, or the mask is not of its size.
        """
        if prompt.name in self.regions:
            if not replace:
                raise PromptError(
                    f"Region '{prompt.name}' is defined already; give the second one another name."
                )
            self._check_unmeant(prompt.name)
        self.clip.check_frame(prompt.frame)
        mask = prompt.mask
        if mask is not None:
            self._check_fits(f"Region '{prompt.name}'", [mask.shape])
        if mask is None:
            if self._store is None:
                raise CheckpointError(
                    f"Region '{prompt.name}': this checkpoint has no SAM2, so only masks can be pointed with."
                )
            with self._alone():
                mask = self.model.sam2_head.mask_from_prompt(prompt, self._store)
        region = Region(prompt.name, prompt.frame, mask, prompt)
        self.regions[prompt.name] = region
        return region

    def rename_region(self, name: str, new_name: str) -> Region:
        """Call a region by another name; it keeps its place.

        Raises:
            PromptError: there is none of that name, a question means it, or the new name is taken or cannot be used.
        """
        self._check_unmeant(name)
        check_region_name(new_name)
        if new_name != name and new_name in self.regions:
            raise PromptError(f"Region '{new_name}' is defined already; give '{name}' another name.")
        region = self.regions[name]
        prompt = region.prompt and dataclasses.replace(region.prompt, name=new_name)
        renamed = dataclasses.replace(region, name=new_name, prompt=prompt)
        self.regions = {r.name: r for r in (renamed if r is region else r for r in self.regions.values())}
        return renamed

    def remove_region(self, name: str) -> None:
        """Forget a region.

        Raises:
            PromptError: there is none of that name, or a question means it.
        """
        self._check_unmeant(name)
        del self.regions[name]

    def restore(self, regions: Sequence[Region], answers: Sequence[GroundedAnswer]) -> None:
        """Take up regions and turns of another session about the same video, such as one that was lost.

        They follow those that are there. Nothing is asked. The next turn reads them, answers as their `raw` text has
        them; sampling does not know of them, and their objects are not tracked on where the video grows.

        Args:
            regions: with their masks, in order.
            answers: turns in order; their questions mean regions, these too, and objects of the answers before.

        Raises:
            PromptError: the name of a region is taken, a question means what is not there, or a turn spells tokens
                that it cannot have; all is then as it was.
            MediaError: masks that are broken or do not fit the video; likewise.
        """
        for region in regions:
            if region.name in self.regions:
                raise PromptError(f"Region '{region.name}' is defined already; it cannot be restored.")
            self.clip.check_frame(region.frame)
            self._check_fits(f"Region '{region.name}'", [region.mask.shape])
        for thing in (thing for answer in answers for thing in answer.objects):
            if len(thing.rle) != self.clip.num_frames:
                raise MediaError(
                    f"Object '{thing.id}' has masks for {len(thing.rle)} frames, but '{self.clip.path}' has "
                    f"{self.clip.num_frames}; was it another video?"
                )
            self._check_fits(f"Object '{thing.id}'", [rle["size"] for rle in thing.rle if rle is not None])
        with self._alone():
            self._run = None
            own_regions, num_own = self.regions, len(self._turns)
            self.regions = {**own_regions, **{region.name: region for region in regions}}
            try:
                for answer in answers:
                    self._turns.append(self._turn_of(answer))
                    self.answers.append(answer)
            except SamaError:
                self.regions = own_regions
                del self._turns[num_own:], self.answers[num_own:]
                raise
            self._dialogue = self._lay_out_turns()

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
            CancelledError: `cancel` was called meanwhile.
        """
        with self._alone():
            for _ in self._answer(question):
                pass
            return self.answers[-1]

    @overload
    def stream(self, question: str, *, masks: Literal[False] = False) -> Iterator[str]: ...

    @overload
    def stream(self, question: str, *, masks: bool) -> Iterator[str | FrameMasks]: ...

    def stream(self, question: str, *, masks: bool = False) -> Iterator[str | FrameMasks]:
        """Ask; get the answer in pieces. The turn counts, with its masks, once the stream is read to its end.

        Leaving the stream, or `cancel` from any thread, gives the turn up; the session is then as it was.

        Args:
            question: as for `ask`.
            masks: give masks too, frame by frame as they are found, after the text. Where the video turns out to be
                damaged, they are found once more in what is left of it.

        Yields:
            Pieces of the raw answer, special tokens kept; then, if wanted, `FrameMasks`.

        Raises:
            PromptError: as for `ask`, or the session went on before the stream was read to its end, or it is in use by
                another thread.
            CancelledError: `cancel` was called.
        """
        pieces = self._answer(question)
        while True:
            with self._alone():
                piece = next(pieces, None)
            if piece is None:
                return
            if masks or isinstance(piece, str):
                yield piece

    def cancel(self) -> None:
        """Stop the answer that is being made, from any thread, before its next token or frame; none is no matter."""
        run = self._run  # another thread may end it meanwhile
        if run is not None:
            run.is_cancelled = True

    def reseed(self, seed: int) -> None:
        """Let the sampling of the next answers begin anew.

        Raises:
            PromptError: a seed out of range.
        """
        generator = _seeded(seed)
        with self._alone():
            self._generator = generator

    def rewind(self, num_turns: int) -> None:
        """Go back to where the conversation had so many turns; regions stay, objects of later answers are gone.

        Args:
            num_turns: to keep; 0 begins anew.

        Raises:
            PromptError: not from 0 to the number of turns there are.
        """
        if (
            isinstance(num_turns, bool)
            or not isinstance(num_turns, int)
            or not 0 <= num_turns <= len(self._turns)
        ):
            raise PromptError(
                f"Cannot rewind to {num_turns!r} turns; expected a whole number from 0 to {len(self._turns)}, the "
                "turns there are."
            )
        with self._alone():
            self._run = None
            if num_turns == len(self._turns):
                return
            self._generator.set_state(self._turns[num_turns].random_state)
            # What only shows the video stays.
            ids = self._dialogue.input_ids
            start = len(ids) - ids[::-1].index(FRAME_TOKEN_INDEX)
            left = self._turns[num_turns - 1].num_cached if num_turns else start
            self._num_cached = min(self._num_cached, left)
            del self._turns[num_turns:], self.answers[num_turns:]
            self._dialogue = self._lay_out_turns()

    def append_frames(self, frames: np.ndarray, timestamps_s: np.ndarray | None = None) -> None:
        """Let a live video go on: objects found so far are tracked on, and the next question sees the new frames.

        The frames that the LLM sees are chosen anew over the longer video, so the next turn reads the conversation
        again; features of frames that stay are kept.

        Args:
            frames: (n, H, W, 3) uint8 RGB.
            timestamps_s: (n,) float seconds; by the clip's frame rate if None.

        Raises:
            PromptError: the session's video is no `LiveClip`.
            MediaError: frames that do not fit; nothing is changed.
        """
        if not isinstance(self.clip, LiveClip):
            raise PromptError(
                f"'{self.clip.path}' does not grow; open the session on a LiveClip to append frames to it."
            )
        with self._alone():
            self._run = None
            num_before = self.clip.num_frames
            self.clip.append(frames, timestamps_s)
            if self.clip.num_frames == num_before:
                return
            self._look_at(self.clip)
            for turn, answer in zip(self._turns, self.answers, strict=True):
                self._track_on(turn, answer)

    def forget(self) -> None:
        """Drop all that is kept to make turns cheap; the next one computes the whole conversation anew."""
        with self._alone():
            self._run = None
            self._forget()

    def draft(self, question: str) -> Draft:
        """Bring a question into the form the LLM reads: the first half of a turn. Changes nothing a user sees.

        Raises:
            PromptError: as for `ask`.
        """
        started, encoded_before = time.perf_counter(), self._features.num_encoded
        draft = self._while_readable(lambda: self._draft(question))
        draft.counters["vision_frames_encoded"] = self._features.num_encoded - encoded_before
        draft.timing_s["encode"] = time.perf_counter() - started
        return draft

    def finish(self, draft: Draft, tokens: Sequence[GeneratedToken]) -> Iterator[FrameMasks]:
        """Find the masks of an answer: the second half of a turn, which counts once this is read to its end."""
        started, clip = time.perf_counter(), self.clip
        sam2_before, vision_before = self._sam2_frames(), self._features.num_encoded
        raw = self.decode(tokens)
        objects = self._objects_of(tokens)
        while objects:
            try:
                yield from self._ground(draft.turn, objects, tokens)
                break
            except DamagedVideoError as error:
                self._shorten(error)
        draft.turn.answer_ids = [token.token_id for token in tokens]
        self._dialogue_tokenizer.finish_turn(draft.dialogue, draft.turn.answer_ids)
        draft.turn.num_cached = len(draft.dialogue.input_ids) - len(self._dialogue_tokenizer.end_ids)
        draft.timing_s["ground"] = time.perf_counter() - started
        draft.counters["sam2_frames_encoded"] = self._sam2_frames() - sam2_before
        draft.counters["vision_frames_encoded"] += self._features.num_encoded - vision_before
        self.answers.append(
            GroundedAnswer(
                question=draft.question,
                text=parse_answer(raw).text,
                raw=raw,
                objects=objects,
                timing_s=draft.timing_s,
                counters=draft.counters,
                num_tokens=len(tokens),
                is_cut=len(tokens) >= draft.decoding.max_new_tokens,
            )
        )
        self._turns.append(draft.turn)
        self._dialogue, self._num_cached = draft.dialogue, draft.turn.num_cached
        if self.clip is not clip:  # shortened: what was read shows frames that are no more
            self._dialogue, self._num_cached = self._lay_out_turns(), 0
        self._generator = draft.generator

    @property
    def stop_ids(self) -> set[int]:
        """End of turn, and whatever else is special but not SAMA's: after it, no answer goes on."""
        others = set(self._reserved_tokens) - set(SPECIAL_TOKENS)
        return {self._dialogue_tokenizer.end_ids[0], *self.tokenizer.convert_tokens_to_ids(sorted(others))}

    def decode(self, tokens: Sequence[GeneratedToken]) -> str:
        """Tokens of an answer as text, special ones kept."""
        ids = [token.token_id for token in tokens]
        text = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text.strip()

    def _answer(self, question: str) -> Iterator[str | FrameMasks]:
        """A whole turn, in pieces."""
        run = self._run = Run(question)
        try:
            yield from self._pieces(run)
        finally:
            if self._run is run:
                self._run = None

    @torch.inference_mode()
    def _pieces(self, run: Run) -> Iterator[str | FrameMasks]:
        """The pieces of a turn."""
        started = time.perf_counter()
        if not self.reuse:
            self._forget()
        draft = self.draft(run.question)
        self._cache.crop(0, self._num_cached)  # an answer that was given up may have left more
        tokens: list[GeneratedToken] = []
        shown = ""
        for (token,) in generate_tokens(
            self.model,
            self._cache,
            [draft.embeds],
            decodings=[draft.decoding],
            stop_ids=self.stop_ids,
            generators=[draft.generator],
            seen=draft.dialogue.input_ids,
        ):
            assert token is not None, "a single row never rests"
            self._check(run)
            draft.timing_s.setdefault("first_token", time.perf_counter() - started)
            tokens.append(token)
            text = self.decode(tokens)
            if not text.endswith("�"):  # a character whose bytes are not all there yet
                yield text[len(shown) :]
                self._check(run)  # before the next token goes into the cache
                shown = text
        draft.timing_s["generate"] = time.perf_counter() - started - draft.timing_s["encode"]
        draft.timing_s.setdefault("first_token", draft.timing_s["encode"])
        raw = self.decode(tokens)
        if raw != shown:  # cut off within a character
            yield raw[len(shown) :]
        self._check(run)
        for found in self.finish(draft, tokens):
            yield found
            self._check(run)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time.

        Raises:
            PromptError: another thread is at work in this session.
        """
        if not self._lock.acquire(blocking=False):
            raise PromptError(
                f"The session about '{self.clip.path}' is at work in another thread; wait for it, or give each "
                "thread a session of its own."
            )
        try:
            yield
        finally:
            self._lock.release()

    def _check(self, run: Run) -> None:
        """See that an answer still counts.

        Raises:
            CancelledError: `cancel` was called.
            PromptError: the session went on without it.
        """
        if run.is_cancelled:
            raise CancelledError("The answer was cancelled, so this turn does not count.")
        if self._run is not run:
            raise PromptError(
                "Another question was asked before this answer was read to its end, or the session was rewound or got "
                "more frames, so this turn does not count; read one stream after the other."
            )

    def _check_unmeant(self, name: str) -> None:
        """See that a region can be changed: what a question means stays as it was when it was asked.

        Raises:
            PromptError: there is no such region, or a question means it.
        """
        if name not in self.regions:
            raise PromptError(f"There is no region '{name}'; there are {', '.join(self.regions) or 'none'}.")
        run = self._run
        if run is not None and not run.is_cancelled and name in PLACEHOLDER.findall(run.question):
            raise PromptError(
                f"Region '{name}' is meant by the question that is being answered; wait for the end of the answer, or "
                "cancel it first."
            )
        for number, answer in enumerate(self.answers):
            if name in PLACEHOLDER.findall(answer.question):
                raise PromptError(
                    f"Region '{name}' is meant by question {number + 1}, so it stays as it is; define another one, or "
                    f"rewind to {number} turns first."
                )

    def _check_fits(self, what: str, sizes: Iterable[Sequence[int]]) -> None:
        """See that masks are of the video's size.

        Raises:
            MediaError: one is not.
        """
        size = (self.clip.height, self.clip.width)
        for other in sizes:
            if tuple(other) != size:
                raise MediaError(
                    f"{what}: the mask is {tuple(other)}, frames of {self.clip.path} are {size}."
                )

    def _turn_of(self, answer: GroundedAnswer) -> AskedTurn:
        """A finished turn from what a user sees of it.

        Raises:
            PromptError: the question means what is not there, or one of the two spells tokens that it cannot have.
        """
        check_question(answer.question, self._reserved_tokens)
        for token in set(self._reserved_tokens) - set(SPECIAL_TOKENS):
            if token in answer.raw:
                raise PromptError(f"An answer to be restored contains {token!r}, which no answer does.")
        question, names = resolve_placeholders(answer.question, {**self.regions, **self.objects})
        regions = [self._meant_by(name) for name in names]
        answer_ids = self._dialogue_tokenizer.answer_ids(answer.raw)
        return AskedTurn(question, regions, self._generator.get_state(), answer_ids)

    def _meant_by(self, name: str) -> Region:
        """The region of a name, or an object of an earlier answer as one."""
        return self.regions[name] if name in self.regions else self._object_region(name)

    def _new_store(self) -> FeatureStore | None:
        """SAM2's features of the frames the conversation is about; None for a model without SAM2."""
        head = self.model.sam2_head
        return None if head is None else FeatureStore(head, self.clip, **self._sam2_settings)

    def _forget(self) -> None:
        self._features.forget()
        self._cache.crop(0, 0)
        self._num_cached = 0
        self._renew_store()

    def _renew_store(self) -> None:
        if self._store is not None:
            self._sam2_encoded += self._store.frames_encoded
            self._store.close()
            self._store = self._new_store()

    def _sam2_frames(self) -> int:
        """Frames SAM2 encoded for this session so far."""
        return self._sam2_encoded + (0 if self._store is None else self._store.frames_encoded)

    def _look_at(self, clip: VideoClip) -> None:
        """Take up a clip that has become longer or shorter."""
        self.clip, self._span = clip, clip.span(*self._window)
        self._features.choose_frames(clip, self._span)
        self._num_cached = 0
        self._dialogue = self._lay_out_turns()

    def _lay_out_turns(self) -> EncodedDialogue:
        """The finished turns as tokens of the frames that are seen now."""
        dialogue = EncodedDialogue()
        for turn in self._turns:
            self._dialogue_tokenizer.start_turn(dialogue, turn.question, self._features.layout)
            self._dialogue_tokenizer.finish_turn(dialogue, turn.answer_ids)
            turn.num_cached = len(dialogue.input_ids) - len(self._dialogue_tokenizer.end_ids)
        return dialogue

    def _while_readable(self, step: Callable[[], ValueT]) -> ValueT:
        """A step that reads the video; where it breaks in the middle, once more with what can be read."""
        while True:
            try:
                return step()
            except DamagedVideoError as error:
                self._shorten(error)

    def _shorten(self, error: DamagedVideoError) -> None:
        """Go on with the frames before the damage, and say so.

        Raises:
            DamagedVideoError: none of them is in the window.
        """
        if error.num_readable <= self._span.start:
            raise error
        clip = self.clip.window(0, error.num_readable)
        logger.warning("%s The conversation goes on with the first %d frames.", error, clip.num_frames)
        if self._store is not None:
            self._store.clip = clip
        self._window = (self._window[0], None)
        self._look_at(clip)
        for answer in self.answers:
            for thing in answer.objects:
                del thing.rle[clip.num_frames :]
            self._tell_spans(answer.objects)

    def _draft(self, question: str) -> Draft:
        check_question(question, self._reserved_tokens)
        in_data_form, names = resolve_placeholders(question, {**self.regions, **self.objects})
        turn = AskedTurn(in_data_form, [self._meant_by(n) for n in names], self._generator.get_state())
        so_far = self._dialogue
        dialogue = EncodedDialogue(list(so_far.input_ids), list(so_far.labels), list(so_far.question_ids))
        self._dialogue_tokenizer.start_turn(dialogue, in_data_form, self._features.layout)
        check_length(dialogue, self.model.context_length, self.clip.path)
        self._check_regions([*self._turns, turn])
        cached = self._num_cached
        read = sum(turn.num_cached <= cached for turn in self._turns)  # turns that are read already
        embeds = self._features.embed(
            dialogue.input_ids[cached:],
            dialogue.question_ids[read:],
            [region for other in [*self._turns, turn][read:] for region in other.regions],
            is_start=cached == 0,
        )
        generator = torch.Generator()
        generator.set_state(turn.random_state)
        room = max(1, self.model.context_length - len(dialogue.input_ids))
        longest = min(self.decoding.max_new_tokens, room)
        counters = {"prefix_tokens_reused": cached, "prefix_tokens_computed": len(embeds)}
        decoding = dataclasses.replace(self.decoding, max_new_tokens=longest)
        return Draft(question, turn, dialogue, embeds, decoding, generator, counters, {})

    def _check_regions(self, turns: Sequence[AskedTurn]) -> None:
        """See that the frames of all regions can still be read.

        Raises:
            PromptError: one of them is behind a damage that was found later.
        """
        for number, turn in enumerate(turns):
            for region in turn.regions:
                if region.frame >= self.clip.num_frames:
                    raise PromptError(
                        f"<{region.name}> of turn {number + 1} is on frame {region.frame}, but only "
                        f"{self.clip.num_frames} frames of '{self.clip.path}' can be read; rewind to {number} turns."
                    )

    @property
    def _reserved_tokens(self) -> list[str]:
        """Also those that are special without a role, such as the header marks of Llama 3."""
        added = self.tokenizer.added_tokens_decoder.values()
        return [*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)]

    def _object_region(self, name: str) -> Region:
        """An object of an earlier answer as a region: its mask on the sparse frame that shows most of it.

        Raises:
            PromptError: the object is nowhere visible.
        """
        rle = self.objects[name].rle
        shown = {frame: r for frame in self._features.sparse if (r := rle[frame]) is not None}
        shown = shown or {frame: r for frame, r in enumerate(rle) if r is not None}
        if not shown:
            raise PromptError(
                f"<{name}> has no mask on any frame, so it cannot be pointed at; ask about another one."
            )
        frame = max(shown, key=lambda f: mask_area(shown[f]))
        return Region(name, frame, decode_mask(shown[frame]))

    def _seg_places(self, tokens: Sequence[GeneratedToken]) -> list[int]:
        """Where an answer has `[SEG]`: by token, as a model may also spell it in letters, which is no object."""
        seg_id = self.tokenizer.convert_tokens_to_ids(SEG_TOKEN)
        return [place for place, token in enumerate(tokens) if token.token_id == seg_id]

    def _objects_of(self, tokens: Sequence[GeneratedToken]) -> list[GroundedObject]:
        """Objects of an answer, still without masks."""
        if self.model.sama.grounding.head == "none":
            return []
        first = len(self.objects) + 1
        return [
            GroundedObject(
                id=f"obj{first + i}",
                phrase=parse_answer(self.decode(tokens[: place + 1])).phrases[-1],
                score=0.0,
                rle=[],
                size=(self.clip.height, self.clip.width),
            )
            for i, place in enumerate(self._seg_places(tokens))
        ]

    def _ground(
        self, turn: AskedTurn, objects: list[GroundedObject], tokens: Sequence[GeneratedToken]
    ) -> Iterator[FrameMasks]:
        """Find the masks of the objects of an answer, all in one pass over the video; fills them in."""
        states = torch.stack([tokens[place].hidden_state for place in self._seg_places(tokens)])
        turn.groundings = []
        disable = None if self.progress else True  # None: off where stderr is no terminal
        # One line below the answer, whose line has not ended yet.
        with tqdm(
            desc="masks", total=len(objects) * len(self._span), leave=False, disable=disable, position=1
        ) as bar:
            for thing in objects:
                thing.rle = [None] * self.clip.num_frames
            for first, own in [(0, objects)] if self.reuse else [(i, [o]) for i, o in enumerate(objects)]:
                if not self.reuse:
                    self._renew_store()
                grounding = self.model.ground(
                    self._store or self.clip,
                    states[first : first + len(own)],
                    self._features.encode,
                    start=self._span.start,
                    stop=None if self._window[1] is None else self._span.stop,
                )
                for frame in grounding.frames:
                    yield _fill_in(own, frame)
                    bar.update(len(frame.objects))
                for thing, score in zip(own, grounding.scores, strict=True):
                    thing.score = float(np.clip(score, 0, 1))
                if isinstance(self.clip, LiveClip):
                    turn.groundings.append((first, grounding))
        self._tell_spans(objects)

    def _track_on(self, turn: AskedTurn, answer: GroundedAnswer) -> None:
        """Follow the objects of an answer through frames that came after it."""
        for thing in answer.objects:
            thing.rle += [None] * (self.clip.num_frames - len(thing.rle))
        for first, grounding in turn.groundings:
            for frame in grounding.extend():
                _fill_in(answer.objects[first:], frame)
        self._tell_spans(answer.objects)

    def _tell_spans(self, objects: Sequence[GroundedObject]) -> None:
        for thing in objects:
            thing.spans_s = visible_spans(thing.rle, self.clip.timestamps_s, self.clip.duration_s)


def _fill_in(objects: Sequence[GroundedObject], frame: GroundFrame) -> FrameMasks:
    """Write the masks of a frame into the objects they are of."""
    rles: dict[str, Rle | None] = {}
    for index, mask in zip(frame.objects.tolist(), frame.masks, strict=True):
        thing = objects[index]
        rles[thing.id] = thing.rle[frame.frame_idx] = encode_mask(mask) if mask.any() else None
    return FrameMasks(frame.frame_idx, rles)


def _seeded(seed: int) -> torch.Generator:
    """A source of random numbers.

    Raises:
        PromptError: a seed out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise PromptError(f"The seed is {seed!r}, expected a whole number from 0, below 2^63.")
    return torch.Generator().manual_seed(int(seed))


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
