from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sama_plugin.data.endpoint import Endpoint
from sama_plugin.errors import DataError, EndpointError
from sama_plugin.evaluation.metrics.caption_scores import CaptionPair
from sama_plugin.evaluation.metrics.clair import PROMPT, REMINDER, judge_pair, parse_score, score_clair

VIDEOS = {
    "a": [CaptionPair("<p> A dog </p> [SEG] runs.", "The dog runs."), CaptionPair("It stops.", "")],
    "b": [CaptionPair("A cat.", "A cow.")],
}


class Scripted:
    """Says what it was told to, in turns; keeps what it was asked."""

    model = "scripted"

    def __init__(self, *replies: str | Exception) -> None:
        self.replies, self.asked = list(replies), []

    def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        schema: Any = None,
        *,
        temperature: float,
        max_tokens: int,
    ) -> Any:
        assert temperature == 0
        self.asked.append(messages)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return SimpleNamespace(text=reply)


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict]]]:
    """A judge behind a real URL that gives 80 of 100 to dogs and 10 to the rest."""
    asked: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            score = 80 if "dog" in body["messages"][0]["content"] else 10
            text = f'```json\n{{"score": {score}, "reason": "so"}}\n```'
            answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1", asked
        running.shutdown()


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"score": 75, "reason": "alike"}', 0.75),
        ('Sure: {"score": "40", "reason": "braces } in it"} Bye {', 0.4),
        ('{"score": 0.5, "reason": "low"}', 0.005),
        ("I would say 85 out of 100.", 0.85),
        ("0.9", 0.9),
        ('{"rating": 60}', 0.6),
        ("Score: 250", None),
        ('{"score": -3}', None),
        ("I cannot say.", None),
        ('{"score": NaN}', None),
        ("", None),
    ],
)
def test_scores_are_read(reply: str, score: float | None) -> None:
    assert parse_score(reply) == (None if score is None else pytest.approx(score))


def test_a_reply_that_is_none_is_asked_for_again() -> None:
    judge = Scripted("Hm.", '{"score": 30}')
    assert judge_pair(judge, "a dog", "a cat") == 0.3
    assert [message["content"] for message in judge.asked[1][1:]] == ["Hm.", REMINDER]
    assert judge_pair(Scripted("Hm.", "Well."), "a dog", "a cat") is None


def test_both_texts_are_put_in_whatever_they_hold() -> None:
    judge = Scripted('{"score": 1}')
    judge_pair(judge, "a {reference}", "{candidate} {0}", prompt="{candidate}|{reference}")
    assert judge.asked[0][0]["content"] == "- a {reference}|- {candidate} {0}"


def test_videos_are_averaged_and_unclear_replies_counted() -> None:
    made = score_clair(VIDEOS, Scripted('{"score": 80}', "Hm.", "Hm."), workers=1)
    assert made.videos == {"a": (0.8 + 0) / 2}
    assert (made.num_judged, made.num_unclear, made.judge, made.absent) == (2, 1, "scripted", None)


def test_a_judge_that_never_gives_a_score_leaves_nothing() -> None:
    made = score_clair({"b": VIDEOS["b"]}, Scripted("Hm.", "Hm."))
    assert made.videos == {}
    assert made.absent == "no reply of the judge 'scripted' holds a score"


def test_a_judge_that_fails_in_the_middle_leaves_nothing() -> None:
    made = score_clair(
        VIDEOS, Scripted('{"score": 80}', EndpointError("no quota left.", "limited")), workers=1
    )
    assert made.videos == {}
    assert made.absent == "the judge 'scripted' did not answer: no quota left."


def test_without_a_judge_the_metric_is_absent() -> None:
    made = score_clair(VIDEOS, None)
    assert made.videos == {}
    assert "no judge was named" in (made.absent or "")


def test_an_unreachable_judge_leaves_the_metric_absent() -> None:
    with Endpoint("http://127.0.0.1:9/v1", "nobody", tries=1) as judge:
        made = score_clair(VIDEOS, judge)
    assert made.videos == {}
    assert "'nobody' did not answer: http://127.0.0.1:9/v1 cannot be reached" in (made.absent or "")


def test_a_real_endpoint_judges_once(server: tuple[str, list[dict]], tmp_path: Path) -> None:
    url, asked = server
    for _ in range(2):
        with Endpoint(url, "judge", cache=tmp_path) as judge:
            made = score_clair(VIDEOS, judge)
        assert made.videos == {"a": pytest.approx(0.4), "b": pytest.approx(0.1)}
    assert len(asked) == 2, "the empty answer is not sent, and nothing is sent again"
    assert {body["temperature"] for body in asked} == {0}
    assert all("[SEG]" not in body["messages"][0]["content"] for body in asked)


def test_another_prompt_and_variant_can_be_given() -> None:
    judge = Scripted('{"score": 50}')
    long = {"a": [CaptionPair("word " * 400, "word " * 400)]}
    score_clair(long, judge, "official", prompt="Same? {candidate} {reference}")
    assert judge.asked[0][0]["content"].count("word") == 600


@pytest.mark.parametrize(("prompt", "variant"), [("Same? {candidate}", "corrected"), (PROMPT, "exact")])
def test_a_prompt_without_fields_or_an_unknown_variant_raises(prompt: str, variant: str) -> None:
    with pytest.raises(DataError, match="expected one of"):
        score_clair(VIDEOS, None, variant, prompt=prompt)
