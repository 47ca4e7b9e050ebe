"""How words are scored: by which similarity phrases are held against each other, and who judges captions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sama_plugin.data.endpoint import Endpoint
from sama_plugin.evaluation.metrics.phrase_similarity import LEXICAL


@dataclass(frozen=True)
class TextScoring:
    """Choices that shape scores of words; kept with the results.

    Attributes:
        similarity: of phrases, see `open_similarity`.
        judge_url: of a model behind an OpenAI-compatible URL; None: what needs a judge is absent.
        judge_model: its name there.
        judge_key_env: environment variable with its key; None sends none.
        judge_cache: folder of its kept replies; None keeps none.
    """

    similarity: str = LEXICAL
    judge_url: str | None = None
    judge_model: str = ""
    judge_key_env: str | None = None
    judge_cache: Path | None = None

    def open_judge(self) -> Endpoint | None:
        """The judge, if one is named.

        Raises:
            HostError: a package or its key is missing, or the URL is none.
        """
        if self.judge_url is None:
            return None
        return Endpoint(self.judge_url, self.judge_model, key_env=self.judge_key_env, cache=self.judge_cache)

    @property
    def settings(self) -> dict[str, str]:
        """What differs from the defaults, for the results."""
        chosen = {}
        if self.similarity != LEXICAL:
            chosen["similarity"] = self.similarity
        if self.judge_url is not None:
            chosen["judge"] = self.judge_model
        return chosen


DEFAULT_SCORING = TextScoring()
