"""Opening, looking and leaving, over HTTP."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from sama_plugin.demo.limits import Limits
from sama_plugin.demo.trial.own_server import OwnServer
from sama_plugin.demo.trial.visits import Visitor
from sama_plugin.media.decode import VideoClip


def test_status_says_what_the_server_is_and_takes(visitor: Visitor) -> None:
    status = visitor.client.get("/api/status").json()
    assert status["model"] == "llava-sama-qwen-tiny"
    assert (status["device"], status["dtype"]) == ("cpu", "float32")
    assert status["limits"].keys() == Limits().as_dict().keys()
    assert status["limits"]["sessions"] == 5
    assert [example["id"] for example in status["examples"]] == ["shapes-1", "shapes-2"]


def test_document_of_an_upload_is_that_of_the_file(visitor: Visitor) -> None:
    response = visitor.open(name="a/b\\<i>my clip</i>.mp4")
    clip = VideoClip.open(visitor.video)
    document = response.json()
    assert response.status_code == 201
    assert document["name"] == "i>.mp4"
    assert document["video"] == {
        "num_frames": clip.num_frames,
        "width": clip.width,
        "height": clip.height,
        "fps": clip.fps,
        "duration_s": clip.duration_s,
        "timestamps_s": clip.timestamps_s.tolist(),
    }
    assert visitor.client.get(f"/api/sessions/{document['id']}").json()["turns"] == []


def test_frames_are_exact_and_may_be_kept(visitor: Visitor, session: str) -> None:
    clip = VideoClip.open(visitor.video)
    for frame in (clip.num_frames - 1, 0, 7):
        response = visitor.client.get(f"/api/sessions/{session}/frames/{frame}.jpg")
        shown = np.asarray(Image.open(io.BytesIO(response.content))).astype(int)
        others = [np.abs(shown - other).mean() for other in clip.read(range(clip.num_frames))]
        assert int(np.argmin(others)) == frame
        assert "immutable" in response.headers["cache-control"]
    small = visitor.client.get(f"/api/sessions/{session}/frames/0.jpg", params={"width": 40})
    assert Image.open(io.BytesIO(small.content)).size == (40, 32)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("frames/-1.jpg", 404, "not_found"),
        ("frames/100000.jpg", 404, "not_found"),
        ("frames/x.jpg", 422, "bad_request"),
        ("frames/0.jpg?width=0", 422, "bad_request"),
        ("export/other.txt", 404, "not_found"),
        ("nothing", 404, "not_found"),
    ],
)
def test_what_is_not_there_is_said(visitor: Visitor, session: str, path: str, status: int, code: str) -> None:
    response = visitor.client.get(f"/api/sessions/{session}/{path}")
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/close"),
        ("GET", "/frames/0.jpg"),
        ("POST", "/regions"),
        ("PUT", "/regions/r1"),
        ("PATCH", "/regions/r1"),
        ("DELETE", "/regions/r1"),
        ("POST", "/ask"),
        ("POST", "/cancel"),
        ("POST", "/rewind"),
        ("GET", "/export/overlay.mp4"),
    ],
)
def test_requests_without_a_session_are_told_so(visitor: Visitor, method: str, path: str) -> None:
    response = visitor.client.request(method, f"/api/sessions/nobody{path}", json={})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_session")


def test_one_session_more_than_allowed_is_refused_until_one_is_closed(visitor: Visitor) -> None:
    opened = [visitor.example().json()["id"] for _ in range(5)]
    refused = visitor.example()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_sessions")
    visitor.close(opened[0])
    assert visitor.example().status_code == 201


def test_a_page_that_goes_away_closes_its_session_unless_it_comes_back(
    server: OwnServer, visitor: Visitor
) -> None:
    gone, back = visitor.open().json()["id"], visitor.open().json()["id"]
    for session in (gone, back):
        assert visitor.client.post(f"/api/sessions/{session}/close").status_code == 204
    end = time.monotonic() + 30
    while visitor.client.get("/api/status").json()["sessions"] > 1 and time.monotonic() < end:
        assert visitor.client.get(f"/api/sessions/{back}").status_code == 200
        time.sleep(0.1)
    assert visitor.client.get(f"/api/sessions/{gone}").status_code == 404
    assert visitor.client.get(f"/api/sessions/{back}").status_code == 200


def test_closed_sessions_leave_no_file(server: OwnServer, visitor: Visitor) -> None:
    session = visitor.open().json()["id"]
    assert [path.name for path in server.files()] == ["video"]
    visitor.close(session)
    assert server.files() == []
    assert visitor.client.get(f"/api/sessions/{session}").status_code == 404
