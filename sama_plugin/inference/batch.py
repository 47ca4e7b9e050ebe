"""Many conversations side by side: their turns go through the LLM together, each with its own video."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from sama_plugin.errors import PromptError, SamaError
from sama_plugin.inference.generation import GeneratedToken, generate_tokens
from sama_plugin.inference.prefix_cache import PrefixCache
from sama_plugin.inference.session import VideoSession
from sama_plugin.inference.turns import Draft
from sama_plugin.schema import GroundedAnswer


class SessionBatch:
    """Sessions of one model that are asked together.

    Args:
        sessions: B of them, fresh; each is asked through the batch only from now on.

    Raises:
        PromptError: no session, or sessions of several models.
    """

    def __init__(self, sessions: Sequence[VideoSession]) -> None:
        if not sessions or any(session.model is not sessions[0].model for session in sessions):
            raise PromptError(
                f"A batch got {len(sessions)} sessions, expected one or more, all of one model."
            )
        self.sessions = list(sessions)
        self._cache = PrefixCache(sessions[0].model, len(sessions))

    @torch.inference_mode()
    def ask(self, questions: Sequence[str | None]) -> list[GroundedAnswer | SamaError | None]:
        """Ask each session its own question.

        Args:
            questions: B; None for a session that rests.

        Returns:
            B answers; the error instead where a question could not be answered, which leaves its session as it was.
        """
        results: list[GroundedAnswer | SamaError | None] = [None] * len(self.sessions)
        drafts: dict[int, Draft] = {}
        for row, (session, question) in enumerate(zip(self.sessions, questions, strict=True)):
            if question is None:
                continue
            try:
                drafts[row] = session.draft(question)
            except SamaError as error:
                results[row] = error
        if not drafts:
            return results
        for row, tokens in self._generate(drafts).items():
            session = self.sessions[row]
            try:
                for _ in session.finish(drafts[row], tokens):
                    pass
                results[row] = session.answers[-1]
            except SamaError as error:
                results[row] = error
        return results

    def _generate(self, drafts: dict[int, Draft]) -> dict[int, list[GeneratedToken]]:
        """Answers of all drafts, token by token together."""
        some = next(iter(drafts.values()))
        model, session = self.sessions[0].model, self.sessions[0]
        rows = [drafts.get(row) for row in range(len(self.sessions))]
        for row, draft in drafts.items():
            self._cache.crop(row, draft.counters["prefix_tokens_reused"])
        tokens: dict[int, list[GeneratedToken]] = {row: [] for row in drafts}
        started, first_token_s = time.perf_counter(), None
        steps = generate_tokens(
            model,
            self._cache,
            [some.embeds[:0] if draft is None else draft.embeds for draft in rows],
            decodings=[(some if draft is None else draft).decoding for draft in rows],
            stop_ids=session.stop_ids,
            generators=[(some if draft is None else draft).generator for draft in rows],
        )
        for step in steps:
            first_token_s = first_token_s or time.perf_counter() - started
            for row, token in enumerate(step):
                if token is not None:
                    tokens[row].append(token)
        generate_s = time.perf_counter() - started
        for draft in drafts.values():  # all wait for the last
            draft.timing_s["first_token"] = draft.timing_s["encode"] + (first_token_s or 0.0)
            draft.timing_s["generate"] = generate_s
        return tokens
