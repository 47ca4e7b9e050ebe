"""OpenAI's own client against the real server with the shipped checkpoint: the same text and masks as a session has."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from PIL import Image

import sama_plugin
from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.model_source import ModelSource
from sama_plugin.demo.server import build_app
from sama_plugin.demo.story import SPLIT
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.encode import write_video
from sama_plugin.schema import GroundedAnswer
from tests.conftest import load_checkpoint
from tests.demo.served import Served, load_shipped, serve

SCENE, FRAMES = 44, 6
PATIENCE_S = 60.0
DESCRIBE_ALL, ASK_REGION = "Describe all objects with masks.", "What does <r1> do?"
REGION = "r1=box@0.2s:20,20,90,90"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of a clip of the small world."""
    scene, frames, _ = sample_clip(SCENE, SPLIT)
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    write_video(path, frames[:FRAMES], scene.fps)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Limits(sessions=4, files=2, chat_bytes=2**20)
    source = ModelSource(load_shipped, (), Path(sama_plugin.shipped_checkpoint()))
    with serve(build_app(source, limits=limits, work=tmp_path_factory.mktemp("work"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0)


@pytest.fixture(scope="module")
def model(client: openai.OpenAI) -> str:
    (only,) = client.models.list().data
    return only.id


@pytest.fixture(scope="module")
def talk(video: Path) -> list[GroundedAnswer]:
    """The conversation that the tests have with the server, held with a session."""
    loaded = load_checkpoint(Path(sama_plugin.shipped_checkpoint()))
    session = VideoSession(loaded.model, loaded.tokenizer, loaded.image_processor, video)
    session.ask(DESCRIBE_ALL)
    session.ask("What does <obj1> do?")
    return session.answers


def shown(video: Path, question: str) -> dict[str, Any]:
    """A user's message with the video in it."""
    data = base64.b64encode(video.read_bytes()).decode()
    part = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}
    return {"role": "user", "content": [part, {"type": "text", "text": question}]}


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def send(
    served: Served, method: str, path: str, body: bytes = b"", kind: str = "application/json"
) -> tuple[int, Any]:
    """A request as curl would make it; status and JSON."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def wait_for(happened: Callable[[], object]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.005)


def test_models_are_listed(client: openai.OpenAI, model: str) -> None:
    assert client.models.retrieve(model).id == model
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-4o' here"):
        client.models.retrieve("gpt-4o")


def test_a_stream_has_the_text_and_masks_of_a_session(
    client: openai.OpenAI, model: str, video: Path, talk: list[GroundedAnswer]
) -> None:
    file = client.files.create(file=video, purpose="user_data")
    assert (file.filename, file.bytes) == ("clip.mp4", video.stat().st_size)
    content = [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": DESCRIBE_ALL}]
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": content}],
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = stream
    (expected, _) = talk
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == expected.text
    kinds = ["text" if delta.content else "masks" if hasattr(delta, "sama") else "" for delta in deltas[1:-1]]
    assert kinds == sorted(kinds, reverse=True)  # text first
    told = [delta.sama for delta in deltas if hasattr(delta, "sama")]
    assert len(expected.objects) > 1
    for thing, got in zip(expected.objects, told[-1]["objects"], strict=True):
        found = [one["masks"] for one in told[:-1] if thing.id in one["masks"]["rles"]]
        streamed = {one["frame"]: one["rles"][thing.id] for one in found}
        assert [streamed[frame] for frame in range(FRAMES)] == thing.rle == got["rle"]
        assert (got["id"], got["phrase"]) == (thing.id, thing.phrase)
        assert expected.text[got["start"] : got["end"]] == thing.phrase
    assert told[-1]["raw"] == expected.raw
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert last.usage.completion_tokens == expected.num_tokens
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="no such file"):
        client.files.retrieve(file.id)


def test_a_history_that_comes_again_is_not_computed_again(
    client: openai.OpenAI, model: str, video: Path, talk: list[GroundedAnswer]
) -> None:
    messages: list[Any] = [shown(video, DESCRIBE_ALL)]
    first = client.chat.completions.create(model=model, messages=messages)
    message = first.choices[0].message
    assert (message.content, message.sama["raw"]) == (talk[0].text, talk[0].raw)
    assert [thing["rle"] for thing in message.sama["objects"]] == [thing.rle for thing in talk[0].objects]
    messages += [{"role": "assistant", "content": message.content}, said("What does <obj1> do?")]
    second = client.chat.completions.create(model=model, messages=messages)
    assert second.choices[0].message.content == talk[1].text
    assert second.choices[0].message.sama["session"] == message.sama["session"]
    assert second.usage.prompt_tokens_details.cached_tokens == first.usage.total_tokens
    assert second.choices[0].message.sama["counters"]["vision_frames_encoded"] == 0
    again = client.chat.completions.create(model=model, messages=messages, max_tokens=1)
    assert again.usage.prompt_tokens == second.usage.prompt_tokens
    assert again.usage.prompt_tokens_details.cached_tokens == first.usage.total_tokens
    assert (again.choices[0].finish_reason, again.usage.completion_tokens) == ("length", 1)


def test_a_lost_conversation_goes_on_by_what_the_client_sends_back(
    client: openai.OpenAI, served: Served, model: str, video: Path, talk: list[GroundedAnswer]
) -> None:
    messages: list[Any] = [shown(video, DESCRIBE_ALL)]
    message = client.chat.completions.create(model=model, messages=messages).choices[0].message
    assert send(served, "DELETE", f"/api/sessions/{message.sama['session']}")[0] == 204
    follow_up = said("What does <obj1> do?")
    answer = (
        client.chat.completions.create(model=model, messages=[*messages, message, follow_up])
        .choices[0]
        .message
    )
    assert answer.content == talk[1].text
    assert answer.sama["session"] != message.sama["session"]
    assert answer.sama["counters"]["prefix_tokens_reused"] == 0
    text_alone = {"role": "assistant", "content": "A disc."}
    with pytest.raises(openai.BadRequestError, match="means <obj1>, which was never defined"):
        client.chat.completions.create(model=model, messages=[*messages, text_alone, follow_up])
    other = client.chat.completions.create(
        model=model, messages=[*messages, text_alone, said("Where?")], max_tokens=2
    )
    sama = other.choices[0].message.sama
    # Rewound and restored; it may be somebody else's conversation, which the old id must not show.
    shown_by = {
        name: send(served, "GET", f"/api/sessions/{name}")[0]
        for name in (answer.sama["session"], sama["session"])
    }
    assert list(shown_by.values()) == [404, 200]
    assert sama["counters"]["prefix_tokens_reused"] > sama["counters"]["prefix_tokens_computed"]
    assert sama["counters"]["vision_frames_encoded"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"raw": "Something <p> else </p> [SEG]"}, "says something else than"),
        ({"objects": []}, "but there are 0 objects"),
        ({"objects": "all"}, "is text, expected a list"),
        ({"raw": 5}, "is a number, expected text"),
    ],
)
def test_a_history_that_cannot_have_been_is_refused(
    client: openai.OpenAI,
    model: str,
    video: Path,
    talk: list[GroundedAnswer],
    change: dict[str, Any],
    words: str,
) -> None:
    objects = [{"id": thing.id, "score": thing.score, "rle": thing.rle} for thing in talk[0].objects]
    sama = {"raw": talk[0].raw, "objects": objects} | change
    reply = {"role": "assistant", "content": talk[0].text, "sama": sama}
    with pytest.raises(openai.BadRequestError, match=words):
        client.chat.completions.create(
            model=model, messages=[shown(video, "Segment all of them."), reply, said("And?")]
        )


def test_regions_are_pointed_at_and_sessions_named(client: openai.OpenAI, model: str, video: Path) -> None:
    answers = [
        client.chat.completions.create(
            model=model, messages=[shown(video, ASK_REGION)], extra_body={"regions": [region]}
        )
        .choices[0]
        .message
        for region in (REGION, {"name": "r1", "time_s": 0.2, "box": [20, 20, 90, 90]})
    ]
    assert answers[0].content == answers[1].content
    named = {"session": answers[1].sama["session"]}
    more = (
        client.chat.completions.create(model=model, messages=[said(DESCRIBE_ALL)], extra_body=named)
        .choices[0]
        .message
    )
    assert more.sama["counters"]["prefix_tokens_reused"] > 0
    address = {"type": "video_url", "video_url": {"url": f"sama:{named['session']}"}}
    content = [address, {"type": "text", "text": "What is <obj1>?"}]
    assert more.sama["objects"][0]["id"] == "obj1"
    assert (
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}], max_tokens=3
        )
        .choices[0]
        .message.content
    )
    for region, words in (
        ({"name": "r2", "frame": 99, "box": [0, 0, 9, 9]}, "99"),
        ({"name": "r2", "time_s": 99, "box": [0, 0, 9, 9]}, "99"),
        ({"name": "r2", "frame": 1, "time_s": 0.1, "box": [0, 0, 9, 9]}, "expected one of them"),
        ({"name": "r2", "mask": "/etc/passwd"}, "mask"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            client.chat.completions.create(
                model=model, messages=[said("What is <r2>?")], extra_body={**named, "regions": [region]}
            )


def test_a_picture_is_a_clip_of_one_frame(client: openai.OpenAI, model: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(buffer, format="PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Segment it."}]
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    assert all(len(thing["rle"]) == 1 for thing in answer.choices[0].message.sama["objects"])


def test_the_streaming_helper_and_the_async_client_work(
    served: Served, client: openai.OpenAI, model: str, video: Path, talk: list[GroundedAnswer]
) -> None:
    with client.chat.completions.stream(model=model, messages=[shown(video, DESCRIBE_ALL)]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == talk[0].text
    assert final.choices[0].message.sama["raw"] == talk[0].raw

    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0) as other:
            asked = [
                other.chat.completions.create(model=model, messages=[shown(video, DESCRIBE_ALL)])
                for _ in range(2)
            ]
            return [answer.choices[0].message for answer in await asyncio.gather(*asked)]

    one, other = asyncio.run(ask())
    assert one.content == other.content == talk[0].text
    # One has waited for the other's session, and has got it under an id of its own.
    assert [reply.sama["counters"]["vision_frames_encoded"] for reply in (one, other)] == [0, 0]
    assert one.sama["session"] != other.sama["session"]


def test_an_answer_that_fails_in_its_midst_ends_with_an_error(
    served: Served, client: openai.OpenAI, model: str, video: Path
) -> None:
    stream = iter(
        client.chat.completions.create(model=model, messages=[shown(video, DESCRIBE_ALL)], stream=True)
    )
    next(stream)
    for session in list(served.app.state.pool.sessions):
        assert send(served, "POST", f"/api/sessions/{session}/cancel")[0] == 204
    with pytest.raises(openai.APIError, match="was cancelled") as caught:
        list(stream)
    assert caught.value.code == "cancelled"


def test_a_client_that_goes_away_cancels_its_answer(
    served: Served,
    client: openai.OpenAI,
    model: str,
    video: Path,
    talk: list[GroundedAnswer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = served.app.state.pool
    stream = client.chat.completions.create(model=model, messages=[shown(video, DESCRIBE_ALL)], stream=True)
    next(iter(stream))
    with monkeypatch.context() as patch:
        patch.setattr(pool, "limits", Limits(queue=1))
        with pytest.raises(openai.RateLimitError, match="1 requests are answered or wait"):
            client.chat.completions.create(model=model, messages=[shown(video, DESCRIBE_ALL)])
    stream.close()
    wait_for(lambda: not len(pool.line))
    before = set(pool.sessions)
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer another"}
    body = {"model": model, "messages": [shown(video, DESCRIBE_ALL)]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    wait_for(lambda: len(pool.line))
    connection.close()
    wait_for(lambda: not len(pool.line))
    (begun,) = pool.sessions.keys() - before
    assert pool.sessions[begun].answers == []
    answer = client.chat.completions.create(model=model, messages=[shown(video, DESCRIBE_ALL)])
    assert answer.choices[0].message.content == talk[0].text


def test_many_conversations_do_not_crowd_out_others(
    served: Served, client: openai.OpenAI, model: str, video: Path
) -> None:
    for word in "ab":
        other = openai.OpenAI(base_url=f"{served.url}/v1", api_key=word, max_retries=0)
        other.chat.completions.create(model=model, messages=[shown(video, "What?")], max_tokens=1)
    assert len(served.app.state.pool.sessions) <= 2 + 1  # half of all, and one that a request named


def test_errors_are_those_that_the_client_knows(
    client: openai.OpenAI, served: Served, model: str, video: Path
) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-4o'"):
        create(model="gpt-4o", messages=[shown(video, "What?")])
    with pytest.raises(openai.NotFoundError, match="no such session") as caught:
        create(model=model, messages=[said("What?")], extra_body={"session": "../.."})
    assert caught.value.code == "no_session"
    with pytest.raises(openai.BadRequestError, match="No message has a video"):
        create(model=model, messages=[said("What?")])
    with pytest.raises(openai.BadRequestError, match="stop is not supported") as refused:
        create(model=model, messages=[shown(video, "What?")], stop=["."])
    assert (refused.value.param, refused.value.code) == ("stop", "unsupported_parameter")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=video, purpose="batch")
    files = [client.files.create(file=video, purpose="vision") for _ in range(2)]
    with pytest.raises(openai.RateLimitError, match="2 files are kept"):
        client.files.create(file=video, purpose="vision")
    for file in files:
        client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError, match="There is no GET /v1/assistants here"):
        client.get("/assistants", cast_to=object)


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status", "words"),
    [
        ("POST", "chat/completions", b"{", "application/json", 400, "not JSON"),
        ("POST", "chat/completions", b"[" * 100_000, "application/json", 400, "nested too deeply"),
        ("POST", "chat/completions", b" " * (2**20 + 1), "application/json", 413, "larger|longer"),
        (
            "POST",
            "chat/completions",
            b'{"model": "\\ud800", "messages": []}',
            "application/json",
            400,
            "no question",
        ),
        (
            "POST",
            "chat/completions",
            b"a=b",
            "application/x-www-form-urlencoded",
            400,
            "expected application/json",
        ),
        ("POST", "files", b"{}", "application/json", 400, "expected multipart/form-data"),
        ("POST", "files", b"x", "multipart/form-data", 400, "cannot be read"),
        ("POST", "files", b"--b\r\n\r\n", "multipart/form-data; boundary=b", 400, "no file|cannot be read"),
        ("GET", "files/..%2F..%2Fetc%2Fpasswd", b"", "", 404, "There is no"),
        ("PUT", "chat/completions", b"", "", 404, "There is no PUT"),
    ],
)
def test_what_is_no_request_is_told_in_openais_form(
    served: Served, method: str, path: str, body: bytes, kind: str, status: int, words: str
) -> None:
    got, document = send(served, method, f"/v1/{path}", body, kind)
    assert got == status, document
    assert re.search(words, document["error"]["message"])
    assert set(document["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x89PNG\r\n\x1a\n" + bytes(64)])
def test_bytes_that_are_no_video_are_refused(client: openai.OpenAI, model: str, content: bytes) -> None:
    url = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    message = {
        "role": "user",
        "content": [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "?"}],
    }
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[message])  # type: ignore[list-item]
    assert caught.value.code == "not_a_video"


def test_the_page_about_it_does_what_it_says(
    served: Served,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "openai.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    (tmp_path / "clip.mp4").write_bytes(video.read_bytes())
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks:
        assert "http://127.0.0.1:7860" in page
        exec(block.replace("http://127.0.0.1:7860", served.url), namespace)  # a page of ours
    assert namespace["masks"]
    assert namespace["answer"].usage.prompt_tokens_details.cached_tokens > 0
    assert "stop stop is not supported here" in capsys.readouterr().out
    namespace["client"].files.delete(namespace["file"].id)
