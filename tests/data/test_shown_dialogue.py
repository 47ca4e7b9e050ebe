from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sama_plugin.data.shown_dialogue import Piece, answer_pieces, list_things, question_pieces
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import Sample, Turn


def sample_of(*turns: Turn, **settings: Any) -> Sample:
    rle = encode_mask(np.ones((4, 6), dtype=bool))
    ids = {mask_id for turn in turns for mask_id in turn.mask_ids}
    return Sample("s", "video.mp4", turns, {mask_id: [rle, None, rle] for mask_id in ids}, **settings)


def test_marks_of_a_question_know_their_regions() -> None:
    turn = Turn("Does <mask> see <mask>", "No.", ("7", "9"))
    assert question_pieces(turn) == [
        Piece("text", "Does "),
        Piece("mark", "", ("7",)),
        Piece("text", " see "),
        Piece("mark", "", ("9",)),
    ]


@pytest.mark.parametrize(
    ("answer", "targets", "phrases"),
    [
        ("<p> The goat </p> [SEG] runs.", (("1",),), [("The goat", ("1",))]),
        ("<p> Both </p> [SEG]", (("1", "2"),), [("Both", ("1", "2"))]),
        ("<p> A </p> [SEG][SEG] and <p> B </p>", (("1",), ("2",)), [("A", ("1", "2")), ("B", ())]),
        ("[SEG] <p> after </p>", (("1",),), [("after", ())]),
        ("<p> no moon </p> [SEG]", ((),), [("no moon", ())]),
        ("<p> open", (), [("open", ())]),
        ("no phrase at all", (), []),
    ],
)
def test_phrases_know_the_objects_that_follow_them(
    answer: str, targets: tuple[tuple[str, ...], ...], phrases: list[tuple[str, tuple[str, ...]]]
) -> None:
    pieces = answer_pieces(Turn("?", answer, (), targets))
    assert [(piece.text.strip(), piece.ids) for piece in pieces if piece.role == "phrase"] == phrases
    assert [piece.ids for piece in pieces if piece.role == "mark"] == list(targets)


def test_things_are_numbered_as_they_come_and_named_by_their_phrase() -> None:
    sample = sample_of(
        Turn("What is <mask>?", "A <p> herd of goats </p> [SEG].", ("b",), (("a", "b"),)),
        Turn("Where is it?", "<p> The tall goat </p> [SEG] is left.", (), (("a",),)),
    )
    things = list_things(sample, {"b": "A small goat."})
    assert [(one.mask_id, one.number) for one in things.values()] == [("b", 1), ("a", 2)]
    assert (things["b"].label, things["a"].label) == ("1", "2 tall goat")
    assert (things["b"].is_pointed_at, things["a"].is_pointed_at) == (True, False)
    assert things["b"].is_shown
    assert (things["b"].description, things["a"].description) == ("A small goat.", "")
    assert things["a"].seen == [0, 2]
    assert things["a"].colour != things["b"].colour
