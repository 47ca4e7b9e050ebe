"""The model that `lmms-eval` runs: each question in a `VideoSession`, as a user would ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from tqdm import tqdm

import sama_plugin
from sama_plugin.constants import SPECIAL_TOKENS
from sama_plugin.errors import HostError
from sama_plugin.evaluation.lmms_eval.questions import cut_at, plain_question, read_options
from sama_plugin.evaluation.lmms_eval.tracks import asked_expression, write_tracks
from sama_plugin.evaluation.lmms_eval.visuals import is_same_video, open_visuals
from sama_plugin.inference.likelihood import answer_likelihood
from sama_plugin.inference.session import VideoSession


class SamaLmms(lmms):
    """SAMA in `lmms-eval`.

    Args:
        pretrained: checkpoint folder or hub id; empty is the shipped one.
        device: auto, cpu, cuda, cuda:N; of several processes each takes its own GPU.
        dtype: float32, float16 or bfloat16; None goes by the device.
        bits: 4 or 8 to quantise the LLM's weights.
        batch_size: 1; documents are answered one after the other.
        max_batch_size: the same.

    Raises:
        HostError: another batch size, or a device that is not there.
        CheckpointError: no such checkpoint, or a damaged one.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "",
        device: str | None = None,
        dtype: str | None = None,
        bits: int | None = None,
        batch_size: int | str | None = 1,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if any(size not in (None, 1, "1") for size in (batch_size, max_batch_size)):
            raise HostError(
                f"batch_size is {batch_size}, but SAMA answers one document at a time; set it to 1."
            )
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.local_process_index, self.accelerator.num_processes
        if self._world_size > 1 and torch.cuda.is_available():
            device = f"cuda:{self._rank}"
        sama_plugin.register()
        from sama_plugin.host.loading import load_sama_model

        self.tokenizer, self.model, self.image_processor, _ = load_sama_model(
            pretrained or sama_plugin.shipped_checkpoint(),
            device_map=device or "auto",
            torch_dtype=dtype,
            load_8bit=bits == 8,
            load_4bit=bits == 4,
        )
        self._session: VideoSession | None = None
        self._shown: Any = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device  # type: ignore[no-any-return]

    @property
    def _hides_progress(self) -> bool | None:
        """None: where stderr is no terminal."""
        return None if self._rank == 0 else True

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answer questions about videos and pictures.

        Args:
            requests: with arguments (question, options, what is shown, number, task, split).

        Raises:
            MediaError: a question about something else, or that cannot be read.
            PromptError: options out of range, or more than the model's context holds.
        """
        answers = []
        for request in tqdm(
            requests, desc="answers", unit="question", disable=None if self.rank == 0 else True
        ):
            question, options, doc_to_visual, number, task, split = request.args
            session = self._open(doc_to_visual, number, task, split)
            session.decoding = read_options(options)
            answer = self._answer(session, question)
            answers.append(cut_at(answer, options.get("until") or ()))
        return answers

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """How likely given answers are; `lmms-eval` wants a loss, of which its tasks take the least.

        `lmms-eval` 0.7.3 turns these pairs into text before its tasks read them, so there tasks of the output type
        `multiple_choice` fail with any model.

        Args:
            requests: with arguments (question, answer or what makes it, what is shown, number, task, split).

        Returns:
            Of each the mean over its tokens of minus the logarithm of their probability, and whether greedy decoding
            would have given it.

        Raises:
            MediaError: as for `generate_until`.
            PromptError: an empty answer.
        """
        made = []
        for request in tqdm(requests, desc="answers", unit="answer", disable=self._hides_progress):
            question, answer, doc_to_visual, number, task, split = request.args
            session = self._open(doc_to_visual, number, task, split)
            given = answer if isinstance(answer, str) else answer(self.task_dict[task][split][number])
            likelihood = answer_likelihood(session, self._plain(question), given.strip())
            made.append((-likelihood.log_probability / likelihood.num_tokens, likelihood.is_greedy))
        return made

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Tasks that show new pictures in each round are not for SAMA, which talks about one video.

        Raises:
            HostError: always.
        """
        raise HostError(
            "SAMA does not take tasks of output type generate_until_multi_round, which change what is seen between "
            "rounds; choose tasks of generate_until or loglikelihood."
        )

    def _open(self, doc_to_visual: Callable[[Any], Any], number: int, task: str, split: str) -> VideoSession:
        """A session without turns; the last one again where the same is shown, which it has encoded already."""
        shown = doc_to_visual(self.task_dict[task][split][number])
        if self._session is not None and is_same_video(shown, self._shown):
            self._session.rewind(0)
            return self._session
        clip = open_visuals(shown, f"task '{task}', document {number}")
        self._session = VideoSession(self.model, self.tokenizer, self.image_processor, clip)
        self._shown = shown
        return self._session

    def _answer(self, session: VideoSession, question: str) -> str:
        expression = asked_expression(question)
        if expression is None:
            return session.ask(self._plain(question)).text
        answer = session.ask(f"Please segment {self._plain(expression)}.")
        return write_tracks(expression, answer.objects, session.clip.timestamps_s)

    def _plain(self, question: str) -> str:
        return plain_question(question, {*SPECIAL_TOKENS, *self.tokenizer.all_special_tokens})
