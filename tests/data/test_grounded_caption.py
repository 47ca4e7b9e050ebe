from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.grounded_caption import GroundedPhrase, caption_sample, locate
from sama_plugin.data.lazy_samples import LeftOut

GROUNDED = re.compile(r"<p> (.*?) </p> \[SEG\]")
CAPTIONS = st.text(st.sampled_from("ab ,."), min_size=1, max_size=8)
SPANS = st.lists(st.tuples(st.integers(-1, 8), st.integers(0, 9)), max_size=5)


@pytest.mark.parametrize(
    ("caption", "phrase", "taken", "found"),
    [
        ("A woman and a man.", "man", (), (14, 17)),
        ("A man and a MAN.", "Man", ((2, 5),), (12, 15)),
        ("A man.", "man", ((2, 5),), (2, 5)),
        ("A (red) car", "(red)", (), (2, 7)),
        ("A man.", "dog", (), None),
        ("A man.", " ", (), None),
        ("Two men", "man", (), None),
    ],
)
def test_phrases_are_found_as_whole_words(
    caption: str, phrase: str, taken: tuple, found: tuple[int, int] | None
) -> None:
    assert locate(caption, phrase, taken) == found


@settings(max_examples=300, deadline=None)
@given(CAPTIONS, SPANS)
def test_marks_change_nothing_else_of_a_caption(caption: str, spans: list[tuple[int, int]]) -> None:
    left_out = LeftOut()
    phrases = [GroundedPhrase(span, [span]) for span in spans]
    sample = caption_sample("id", Path("x.png"), caption, phrases, left_out, "test")
    if sample is None:
        assert left_out.counts["caption-without-phrases"] == 1
        return
    (turn,) = sample.turns
    assert GROUNDED.sub(r"\1", turn.answer) == caption
    words = GROUNDED.findall(turn.answer)
    assert all(word == word.strip() != "" for word in words)
    assert turn.target_ids == tuple((f"id/{i}",) for i in range(len(words)))
    lost = left_out.counts["phrase-outside"] + left_out.counts["phrase-overlap"]
    assert len(words) + lost >= len(set(spans))
