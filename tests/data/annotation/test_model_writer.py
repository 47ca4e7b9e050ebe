"""A model's texts are checked, asked for again once, judged, or rejected with reasons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_plugin.data.annotation import model_writer
from sama_plugin.data.annotation.facts import measure_video
from sama_plugin.data.annotation.marking import mark_frames
from sama_plugin.data.annotation.model_writer import ModelWriter
from sama_plugin.data.annotation.prompts import load_prompts
from sama_plugin.data.annotation.writer import LoadedVideo, Outcome
from sama_plugin.data.endpoint import Endpoint
from tests.data.annotation.made_tracks import make_video, rectangle_track
from tests.data.annotation.scripted_model import answer, prompt_of, rounds_about
from tests.data.chat_server import Misbehaviour, chat_server

Answer = Callable[[dict[str, Any]], str]


@pytest.fixture(scope="module")
def loaded() -> LoadedVideo:
    video = make_video([rectangle_track([(12 * k + 8, 20)] * 8) for k in range(3)], ["cup", "cat", "jar"])
    return LoadedVideo(video, measure_video(video), Path("nowhere.mp4"))


def ask(
    loaded: LoadedVideo, reply: Answer, plan: list[str] | None = None, what: str = "converse", **settings: Any
) -> tuple[Outcome, list[dict[str, Any]]]:
    with (
        chat_server(reply, Misbehaviour(plan=list(plan or []))) as server,
        Endpoint(server.url, "m", price_out=1000.0) as endpoint,
    ):
        writer = ModelWriter(endpoint, load_prompts(), (2, 4), pictures=2, side=64, is_blank=True, **settings)
        if what == "describe":
            outcome = writer.describe(loaded, 1)
        else:
            outcome = writer.converse(loaded, [0, 1, 2], {0: "A cup that stands there.", 2: "A jar."}, 1)
    return outcome, server.requests


def test_a_description_is_asked_for_with_the_object_marked(loaded: LoadedVideo) -> None:
    outcome, (request,) = ask(loaded, answer, what="describe")
    assert outcome.state == "kept"
    assert outcome.text.startswith("A thing of kind")
    kinds = [part["type"] for part in request["messages"][1]["content"]]
    assert kinds == ["image_url", "image_url", "text"]
    assert "called obj1" in prompt_of(request)
    assert "A cat that covers" in prompt_of(request)
    assert outcome.usage.cost == pytest.approx(0.02)


def test_a_dialogue_is_told_of_objects_and_facts_and_judged(loaded: LoadedVideo) -> None:
    outcome, requests = ask(loaded, answer)
    assert outcome.state == "kept"
    assert [one.task for one in outcome.rounds] == ["referring", "multi_turn", "grounding"]
    assert "<obj0>: A cup that stands there.\n<obj1>: (no description)" in prompt_of(requests[0])
    assert "what tells the objects apart" in prompt_of(requests[0])
    assert "Round 2\nQuestion: Segment it." in prompt_of(requests[1])
    assert [request["temperature"] for request in requests] == [0.7, 0.0]
    assert outcome.usage.requests == 2


def test_a_judge_sees_the_pictures_that_were_drawn_for_the_dialogue(
    loaded: LoadedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(model_writer, "mark_frames", lambda *how: drawn.append(how) or mark_frames(*how))
    _, requests = ask(loaded, answer)
    shown = [request["messages"][1]["content"][:-1] for request in requests]
    assert shown[0] == shown[1]
    assert len(drawn) == 1


def test_what_is_wrong_is_told_once_and_then_repaired(loaded: LoadedVideo) -> None:
    outcome, requests = ask(loaded, answer, ["wrong"], has_verdicts=False)
    assert outcome.state == "repaired"
    assert "Round 1: the question names <obj90>" in outcome.reasons[0]
    first, second = (request["messages"] for request in requests)
    assert second[:2] == first
    assert [message["role"] for message in second[2:]] == ["assistant", "user"]
    assert "names <obj90>" in second[3]["content"]
    assert outcome.usage.requests == 2


@pytest.mark.parametrize("deed", ["broken", "wrong"])
def test_what_stays_wrong_is_rejected_with_both_reasons(loaded: LoadedVideo, deed: str) -> None:
    outcome, requests = ask(loaded, answer, [deed, deed])
    assert outcome.state == "rejected"
    assert len(requests) == 2
    assert len(outcome.reasons) >= 2
    assert outcome.rounds == ()
    assert outcome.usage.requests == 2


def test_a_description_that_leaks_is_repaired(loaded: LoadedVideo) -> None:
    said = iter(["The thing in the red box on the table.", "The thing that stands on the table."])
    outcome, _ = ask(loaded, lambda _: json.dumps({"description": next(said)}), what="describe")
    assert (outcome.state, outcome.text) == ("repaired", "The thing that stands on the table.")
    assert outcome.reasons == ("The description speaks of the colour of a mark.",)


def test_rounds_that_are_judged_wrong_go_with_what_needs_them(loaded: LoadedVideo) -> None:
    def judge(body: dict[str, Any]) -> str:
        value = json.loads(answer(body))
        if "verdicts" in value:
            value["verdicts"][0].update(is_right=False, reason="it moves")
        return json.dumps(value)

    outcome, _ = ask(loaded, judge)
    assert [one.question for one in outcome.rounds] == ["Find the last one."]
    assert outcome.reasons == ("Round 1 was judged wrong: it moves",)


def test_a_dialogue_that_cannot_be_judged_is_rejected(loaded: LoadedVideo) -> None:
    def judge(body: dict[str, Any]) -> str:
        value = json.loads(answer(body))
        return json.dumps({"verdicts": []} if "verdicts" in value else value)

    outcome, _ = ask(loaded, judge)
    assert outcome.state == "rejected"
    assert "Verdict: There are verdicts for rounds [], expected [1, 2, 3]." in outcome.reasons


def test_too_few_rounds_are_refused(loaded: LoadedVideo) -> None:
    outcome, _ = ask(loaded, lambda _: json.dumps({"rounds": rounds_about(["<obj0>"])[:1]}))
    assert outcome.reasons[0] == "There are 1 rounds, expected 2 to 4."


def test_an_outcome_survives_its_line() -> None:
    video = make_video([rectangle_track([(12 * k + 8, 20)] * 8) for k in range(3)])
    outcome, _ = ask(LoadedVideo(video, measure_video(video), Path()), answer)
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    assert np.isfinite(outcome.usage.cost)
