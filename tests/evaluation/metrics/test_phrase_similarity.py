from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import DataError, HostError
from sama_plugin.evaluation.metrics.phrase_similarity import LexicalSimilarity, content_stems, open_similarity


@pytest.mark.parametrize(
    ("phrase", "stems"),
    [
        ("The walking dogs", ["walk", "dog"]),
        ("a boss's red bus", ["boss", "s", "red", "bus"]),
        ("boxes in the class", ["box", "class"]),
        ("of the", ["of", "the"]),
        ("", []),
    ],
)
def test_stems_by_hand(phrase: str, stems: list[str]) -> None:
    assert content_stems(phrase) == stems


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [
        ("the small red circle", "red circle", 4 / 5),
        ("a dog", "The dogs running on the left", 2 / 4),
        ("dog", "cat", 0),
        ("ball ball", "ball", 2 / 3),
        ("", "dog", 0),
        ("", "", 0),
    ],
)
def test_scores_by_hand(first: str, second: str, score: float) -> None:
    assert LexicalSimilarity().compare([first], [second])[0, 0] == pytest.approx(score)
    assert LexicalSimilarity().compare([second], [first])[0, 0] == pytest.approx(score)


def test_every_pair_is_compared() -> None:
    made = LexicalSimilarity().compare(["dog", "cat"], ["cat", "dog", "cow"])
    assert made.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert LexicalSimilarity().compare([], ["dog"]).shape == (0, 1)
    assert np.array_equal(LexicalSimilarity().compare(["dog"], []), np.zeros((1, 0)))


def test_default_is_offline() -> None:
    assert open_similarity().name == "lexical"


@pytest.mark.parametrize("name", ["bert:", "w2v", ""])
def test_unknown_names_raise(name: str) -> None:
    with pytest.raises(DataError, match=r"expected 'lexical' or 'bert:PATH'"):
        open_similarity(name)


def test_a_folder_without_a_model_is_named(tmp_path) -> None:
    with pytest.raises(HostError, match=r"cannot be loaded: .*'lexical', which needs none"):
        open_similarity(f"bert:{tmp_path}")
