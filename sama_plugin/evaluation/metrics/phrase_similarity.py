"""How alike two phrases are, by an encoder one can choose; every result says which.

`lexical` needs nothing and is the default: shared words, function words and endings apart. `bert:PATH` is the measure
of the SAMA release, with a model from a folder or a hub cache.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sama_plugin.errors import DataError, HostError

LEXICAL = "lexical"
BERT_PREFIX = "bert:"
MAX_TOKENS = 512

FUNCTION_WORDS = frozenset(
    {
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "its",
        "his",
        "her",
        "their",
        "and",
        "or",
        "is",
        "are",
    }
    | {"was", "were", "be", "of", "in", "on", "at", "to", "with", "by", "from", "for"}
)
ENDINGS = ("ing", "ed", "es", "s")
SHORTEST_STEM = 3


class PhraseSimilarity(Protocol):
    """Compares every phrase of one list with every phrase of another.

    Attributes:
        name: kept in the results.
    """

    name: str

    def compare(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Similarities, (len(first), len(second)) float64, at most 1."""
        ...


class LexicalSimilarity:
    """F1 of the words two phrases share, as in SQuAD's answer score, on stems of content words.

    Deterministic, offline and checkable by hand, and stricter than BERT's mean vectors, under which most pairs of
    noun phrases lie above the threshold of 0.5. Synonyms (`man`, `person`) do not meet.
    """

    name = LEXICAL

    def compare(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """See `PhraseSimilarity`."""
        left, right = ([Counter(content_stems(phrase)) for phrase in side] for side in (first, second))
        scores = np.zeros((len(left), len(right)))
        for i, mine in enumerate(left):
            for k, theirs in enumerate(right):
                shared = (mine & theirs).total()
                scores[i, k] = 2 * shared / (mine.total() + theirs.total()) if shared else 0.0
        return scores


def content_stems(phrase: str) -> list[str]:
    """Words of a phrase in lower case, without function words and common endings, in order.

    `The walking dogs` gives `walk dog`; a phrase of function words only keeps them.

    Args:
        phrase: any text.
    """
    words = re.findall(r"\w+", phrase.casefold())
    content = [word for word in words if word not in FUNCTION_WORDS] or words
    return [_stem(word) for word in content]


def _stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= SHORTEST_STEM:
            return word[: -len(ending)]
    return word


class BertSimilarity:
    """Cosine of mean token vectors of a BERT.

    Args:
        path: folder with model and tokenizer, or a hub name that is cached here.

    Raises:
        HostError: the model cannot be loaded.

    Source: official `get_bert_embedding` and `text_similarity_bert`, with `bert-base-uncased`. Differs: no; a
    phrase is encoded once.
    """

    def __init__(self, path: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.name = BERT_PREFIX + path
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path)
            self._model: Any = AutoModel.from_pretrained(path).eval()
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise HostError(
                f"The text encoder '{path}' cannot be loaded: {reason} Give the folder of a BERT, or "
                f"'{LEXICAL}', which needs none."
            ) from error
        self._vectors: dict[str, np.ndarray] = {}

    def compare(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """See `PhraseSimilarity`; from -1 to 1."""
        if not first or not second:
            return np.zeros((len(first), len(second)))
        left, right = (np.stack([self._encode(phrase) for phrase in side]) for side in (first, second))
        return left @ right.T

    def _encode(self, phrase: str) -> np.ndarray:
        """(E,) float64 of length 1."""
        import torch

        if phrase not in self._vectors:
            inputs = self._tokenizer(phrase, return_tensors="pt", max_length=MAX_TOKENS, truncation=True)
            with torch.no_grad():
                states = self._model(**inputs).last_hidden_state[0]  # (L, E)
            vector = states.mean(dim=0).double().numpy()
            self._vectors[phrase] = vector / np.linalg.norm(vector)
        return self._vectors[phrase]


def open_similarity(name: str = LEXICAL) -> PhraseSimilarity:
    """Make a similarity by name.

    Args:
        name: `lexical`, or `bert:PATH`.

    Raises:
        DataError: another name.
        HostError: its model cannot be loaded.
    """
    if name == LEXICAL:
        return LexicalSimilarity()
    path = name.removeprefix(BERT_PREFIX)
    if path in ("", name):
        raise DataError(
            f"There is no phrase similarity '{name}'; expected '{LEXICAL}' or '{BERT_PREFIX}PATH'."
        )
    return BertSimilarity(path)
