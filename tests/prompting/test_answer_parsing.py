from __future__ import annotations

import pytest

from sama_plugin.prompting.answer_parsing import parse_answer


@pytest.mark.parametrize(
    ("raw", "text", "phrases"),
    [
        ("It stays still.", "It stays still.", []),
        ("", "", []),
        ("<p> The cross </p> [SEG].", "The cross.", ["The cross"]),
        (
            "<p> The cross </p> [SEG] hits <p> the disc </p> [SEG] .",
            "The cross hits the disc.",
            ["The cross", "the disc"],
        ),
        ("<p>two discs</p>[SEG][SEG] move.", "two discs move.", ["two discs", "two discs"]),
        ("[SEG]", "", [""]),
        ("<p> open [SEG] end", "open end", ["open"]),
        ("<p> one <p> two </p> [SEG]", "one two", ["two"]),
        ("</p> [SEG] <p> late </p>", "late", [""]),
        ("<p> a </p> then [SEG]", "a then", ["a"]),
        ("<vp></vp> <p> a\n b </p> [SEG]", "a b", ["a\n b"]),
    ],
)
def test_answer_is_taken_apart(raw: str, text: str, phrases: list[str]) -> None:
    assert parse_answer(raw) == (text, phrases)


def test_there_is_one_phrase_per_seg() -> None:
    raw = "[SEG] <p> a </p> [SEG] [SEG] <p> b [SEG] <p> c </p>"
    assert len(parse_answer(raw).phrases) == raw.count("[SEG]")
