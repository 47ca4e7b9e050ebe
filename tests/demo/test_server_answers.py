"""Asking, over HTTP: what streams, what counts, what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.demo.trial.own_server import OwnServer
from sama_plugin.demo.trial.visits import Visitor
from sama_plugin.media.masks import decode_mask
from tests.conftest import load_checkpoint

DESCRIBE = "Describe the video with masks."
FOLLOW_UP = "What does <obj1> do?"


def turns_of(visitor: Visitor, session: str) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = visitor.client.get(f"/api/sessions/{session}").json()["turns"]
    return turns


def without_cost(turn: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in turn.items() if key not in ("timing_s", "counters")}


@pytest.fixture(scope="module")
def expected(shapes_set: Path) -> list[Any]:
    """What a session in this process answers."""
    import sama_plugin
    from sama_plugin.inference.session import VideoSession

    loaded = load_checkpoint(Path(sama_plugin.shipped_checkpoint()))
    video = sorted((shapes_set / "videos").glob("*.mp4"))[0]
    chat = VideoSession(loaded.model, loaded.tokenizer, loaded.image_processor, video)
    return [chat.ask(DESCRIBE), chat.ask(FOLLOW_UP)]


def test_an_answer_streams_and_is_that_of_a_session(
    visitor: Visitor, session: str, expected: list[Any]
) -> None:
    events = list(visitor.ask(session, DESCRIBE))
    turn = events[-1][1]
    assert [kind for kind, _ in events[:2]] == ["queue", "text"]
    assert events[0][1] == {"position": 0}
    assert events[-1][0] == "done"
    assert (
        "".join(data["text"] for kind, data in events if kind == "text") == turn["text"] == expected[0].text
    )
    assert [thing["rle"] for thing in turn["objects"]] == [thing.rle for thing in expected[0].objects]
    told = [data for kind, data in events if kind == "object"]
    assert told == [{key: thing[key] for key in told[0]} for thing in turn["objects"]]
    for thing in told:
        assert turn["text"][thing["start"] : thing["end"]] == thing["phrase"]
    masks: dict[str, dict[int, Any]] = {thing["id"]: {} for thing in turn["objects"]}
    for data in (data for kind, data in events if kind == "masks"):
        for name, rle in data["rles"].items():
            masks[name][data["frame"]] = rle
    assert masks == {thing["id"]: dict(enumerate(thing["rle"])) for thing in turn["objects"]}
    assert decode_mask(next(rle for rle in turn["objects"][0]["rle"] if rle)).any()
    assert turns_of(visitor, session) == [turn]


def test_frames_come_while_an_answer_is_made(visitor: Visitor, session: str) -> None:
    seen = []
    for kind, _ in visitor.ask(session, DESCRIBE):
        if kind in ("text", "masks"):
            path = f"/api/sessions/{session}/frames/{len(seen)}.jpg"
            seen.append(visitor.client.get(path).status_code)
            if len(seen) == 8:
                break
    assert seen == [200] * 8
    assert turns_of(visitor, session) == []


def test_a_rewound_conversation_goes_on_as_if_nothing_had_been(
    visitor: Visitor, session: str, expected: list[Any]
) -> None:
    for question in (DESCRIBE, FOLLOW_UP, "Where is the ball?"):
        visitor.answer(session, question)
    kept = visitor.client.post(f"/api/sessions/{session}/rewind", json={"turns": 1}).json()
    assert [turn["question"] for turn in kept["turns"]] == [DESCRIBE]
    assert visitor.answer(session, FOLLOW_UP)["text"] == expected[1].text
    for turns in (-1, 3, "1", True, None):
        refused = visitor.client.post(f"/api/sessions/{session}/rewind", json={"turns": turns})
        assert refused.status_code == 422


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (None, "expected text"),
        (["a"], "expected text"),
        ("What is <r9>?", "never defined"),
        ("What is <script>?", "never defined"),
        ("Segment [SEG]", "reserved"),
        ("x" * 4001, "at most 4000"),
        ("\ud800", "UTF-8"),
    ],
)
def test_a_question_that_cannot_be_used_is_refused_at_once(
    visitor: Visitor, shared_session: str, question: Any, said: str
) -> None:
    response = visitor.client.post(
        f"/api/sessions/{shared_session}/ask",
        content=json.dumps({"question": question}),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422
    assert said in response.json()["error"]["message"]


def test_html_in_a_question_comes_back_as_the_text_it_is(visitor: Visitor, session: str) -> None:
    question = "What is this? <img src=x onerror=alert(1)> & \"'"
    assert visitor.answer(session, question)["question"] == question
    response = visitor.client.get(f"/api/sessions/{session}")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_cancelled_answer_does_not_count(visitor: Visitor, session: str, expected: list[Any]) -> None:
    kinds = []
    for kind, data in visitor.ask(session, DESCRIBE):
        kinds.append(data["code"] if kind == "error" else kind)
        if kinds.count("text") == 1 and kind == "text":
            assert visitor.client.post(f"/api/sessions/{session}/cancel").status_code == 204
    assert kinds[-1] == "cancelled"
    assert turns_of(visitor, session) == []
    assert visitor.answer(session, DESCRIBE)["text"] == expected[0].text


def test_an_answer_whose_reader_is_gone_is_given_up(
    visitor: Visitor, session: str, expected: list[Any]
) -> None:
    for kind, _ in visitor.ask(session, DESCRIBE):
        if kind == "text":
            break
    end = time.monotonic() + 30
    while visitor.client.get("/api/status").json()["queue"] and time.monotonic() < end:
        time.sleep(0.05)
    assert visitor.client.get("/api/status").json()["queue"] == 0
    assert turns_of(visitor, session) == []
    assert visitor.answer(session, DESCRIBE)["text"] == expected[0].text


def test_two_tabs_on_one_session_are_answered_one_after_the_other(
    server: OwnServer, visitor: Visitor, session: str
) -> None:
    got: dict[str, list[tuple[str, Any]]] = {}

    def ask(question: str) -> None:
        got[question] = list(Visitor(server, visitor.video).ask(session, question))

    questions = [DESCRIBE, "What moves?", "Where is the ball?"]
    tabs = [threading.Thread(target=ask, args=(question,)) for question in questions]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert all(got[question][-1][0] == "done" for question in questions)
    assert sorted(turn["question"] for turn in turns_of(visitor, session)) == sorted(questions)
    first_told = sorted(events[0][1]["position"] for events in got.values())
    assert first_told[0] == 0
    assert first_told[-1] > 0


def test_a_killed_model_is_told_and_the_conversation_goes_on(
    server: OwnServer, visitor: Visitor, session: str, expected: list[Any]
) -> None:
    body = {"frame": 0, "box": [20, 20, 80, 80]}
    region = visitor.client.post(f"/api/sessions/{session}/regions", json=body).json()
    before = visitor.answer(session, DESCRIBE)
    last: tuple[str, Any] = ("", None)
    is_killed = False  # text that was on its way comes all the same
    for last in visitor.ask(session, FOLLOW_UP):
        if last[0] == "text" and not is_killed:
            is_killed = True
            os.kill(server.model_pid(), signal.SIGKILL)
    assert (last[0], last[1]["code"]) == ("error", "worker_crashed")
    assert "try again" in last[1]["message"]
    document = visitor.client.get(f"/api/sessions/{session}").json()
    assert (document["regions"], document["turns"]) == ([region], [before])
    assert visitor.client.get(f"/api/sessions/{session}/frames/0.jpg").status_code == 200
    assert visitor.answer(session, FOLLOW_UP)["text"] == expected[1].text
    assert visitor.answer(session, "What is <r1>?")["text"]
