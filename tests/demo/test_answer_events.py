"""From raw pieces to what a page shows."""

from __future__ import annotations

import pytest

from sama_plugin.demo.answer_events import AnswerEvents, Event
from sama_plugin.prompting.answer_parsing import locate_phrases, parse_answer
from sama_plugin.schema import FrameMasks

RAW = "The <p> red ball </p> [SEG] hits <p>a box</p>[SEG] , then a < b , and [SEG"


def events_of(pieces: list[str], num_objects: int = 0) -> list[Event]:
    events = AnswerEvents(num_objects)
    told = [event for piece in pieces for event in events.feed(piece)]
    return [*told, *events.finish()]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_text_is_the_clean_answer_however_it_is_cut(size: int) -> None:
    told = events_of([RAW[k : k + size] for k in range(0, len(RAW), size)])
    text = parse_answer(RAW).text
    assert "".join(event.data["text"] for event in told if event.kind == "text") == text
    assert text == "The red ball hits a box, then a < b, and [SEG"
    things = [event.data for event in told if event.kind == "object"]
    assert [(thing["id"], thing["phrase"]) for thing in things] == [("obj1", "red ball"), ("obj2", "a box")]
    assert [text[thing["start"] : thing["end"]] for thing in things] == ["red ball", "a box"]


def test_objects_are_counted_over_the_conversation_and_come_when_their_seg_does() -> None:
    events = AnswerEvents(3)
    assert [event.kind for event in events.feed("A <p>ball</p>")] == ["text"]
    (thing,) = events.feed("[SEG]")
    assert (thing.kind, thing.data["id"], thing.data["colour"]) == ("object", "obj4", "#f0e442")
    assert list(events.feed(FrameMasks(2, {"obj4": None}))) == [
        Event("masks", {"frame": 2, "rles": {"obj4": None}})
    ]


@pytest.mark.parametrize(
    ("raw", "spans"),
    [
        ("<p>a</p>[SEG][SEG]", ["a", "a"]),
        ("none[SEG]", [""]),
        ("open <p> a b [SEG]", ["a b"]),
        ("x  y <p> , odd </p> [SEG]", [", odd"]),
    ],
)
def test_phrases_are_located_in_the_clean_text(raw: str, spans: list[str]) -> None:
    parsed = parse_answer(raw)
    assert [parsed.text[start:end] for start, end in locate_phrases(raw)] == spans == parsed.phrases
