from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_plugin.errors import MediaError, PromptError
from sama_plugin.evaluation.lmms_eval.questions import cut_at, plain_question, read_options
from sama_plugin.evaluation.lmms_eval.tracks import asked_expression, inner_point, write_tracks
from sama_plugin.evaluation.lmms_eval.visuals import is_same_video, open_visuals, stack_pictures
from sama_plugin.host.shipped import shipped_checkpoint
from sama_plugin.inference.likelihood import answer_likelihood
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import GroundedObject
from tests.conftest import load_checkpoint

RESERVED = {"[SEG]", "<p>", "</p>", "<|im_end|>"}


@pytest.mark.parametrize(
    ("asked", "plain"),
    [
        ("<image>\nWhat is it?", "What is it?"),
        ("Is <div> a tag?", "Is < div> a tag?"),
        ("Say [SEG] and <|im_end|>.", "Say [ SEG] and < |im_end|>."),
        ("<p>One</p> <video>", "< p>One< /p>"),
        ("A. yes\nB. no", "A. yes\nB. no"),
    ],
)
def test_nothing_in_a_question_means_a_region(asked: str, plain: str) -> None:
    assert plain_question(asked, RESERVED) == plain


def test_options_of_tasks_become_decoding(caplog: pytest.LogCaptureFixture) -> None:
    greedy = read_options({"max_new_tokens": 16, "temperature": 0.7, "do_sample": False, "top_p": None})
    assert (greedy.temperature, greedy.top_p, greedy.max_new_tokens) == (0, 1, 16)
    assert read_options({"temperature": 0.7, "top_p": 0.9}).temperature == 0.7
    assert read_options({}).max_new_tokens == 1024
    read_options({"num_beams": 3})
    assert "num_beams is 3" in caplog.text
    with pytest.raises(PromptError, match="max_new_tokens -1"):
        read_options({"max_new_tokens": -1})


def test_answers_end_at_stops() -> None:
    assert cut_at("Yes.\n\nNo.", ["\n\n"]) == "Yes."
    assert cut_at("Yes. ###", "###") == "Yes."
    assert cut_at("Yes.", []) == "Yes."


def test_pictures_become_frames_of_one_size() -> None:
    frames = stack_pictures([Image.new("RGB", (4, 2), "red"), Image.new("L", (3, 5), 90)])
    assert frames.shape == (2, 5, 4, 3)
    assert frames[0, :2].tolist() == [[[255, 0, 0]] * 4] * 2
    assert not frames[0, 2:].any()
    assert (frames[1, :, :3] == 90).all()


def test_a_video_is_opened_and_what_is_none_is_said(shapes_set: Path) -> None:
    video = str(next((shapes_set / "videos").glob("*.mp4")))
    assert open_visuals([video], "here").num_frames > 1
    assert open_visuals([Image.new("RGB", (4, 2))], "here").num_frames == 1
    for shown, what in ((None, "0 of nothing"), ([video, video], "2 of str"), ([{"array": 1}], "1 of dict")):
        with pytest.raises(MediaError, match=f"task 'x' shows {what}"):
            open_visuals(shown, "task 'x'")
    assert is_same_video([video], (video,))
    assert not is_same_video([video], None)
    picture = Image.new("RGB", (4, 2))
    assert not is_same_video([picture], [picture])


def test_tracks_are_asked_and_written() -> None:
    question = 'Track the red star.\nAnswer in XML:\n<tracks coords="t0 id0 x0 y0">objects</tracks>'
    assert asked_expression(question) == "red star"
    assert asked_expression("Track the red star.") is None
    mask = np.zeros((10, 20), dtype=bool)
    mask[4:7, 8:11] = True
    rle = encode_mask(mask)
    objects = [
        GroundedObject("obj1", "", 1, [None, rle, None]),
        GroundedObject("obj2", "", 1, [rle, rle, None]),
    ]
    written = write_tracks("red star", objects, np.array([0, 0.5, 1]))
    assert written == ('<tracks coords="0.000 1 450 500; 0.500 0 450 500 1 450 500">red star</tracks>')


def test_the_inner_point_lies_inside() -> None:
    ring = np.ones((9, 9), dtype=bool)
    ring[1:8, 1:8] = False
    x, y = inner_point(ring)
    assert ring[round(y / 1000 * 9), round(x / 1000 * 9)]


def test_likelihood_agrees_with_greedy_decoding(shapes_set: Path) -> None:
    shipped = load_checkpoint(shipped_checkpoint())
    video = next((shapes_set / "videos").glob("*.mp4"))
    question = "Where is the growing white cross?"
    session = VideoSession(shipped.model, shipped.tokenizer, shipped.image_processor, video)
    answer = session.ask(question).raw
    session.rewind(0)
    found = answer_likelihood(session, question, answer)
    assert found.is_greedy
    other = answer_likelihood(session, question, "zebra crossing")
    assert other.log_probability < found.log_probability < 0
    assert not other.is_greedy
    assert session.answers == []
    with pytest.raises(PromptError, match="has no tokens"):
        answer_likelihood(session, question, "")
    session.ask(question)
    with pytest.raises(PromptError, match="has 1 turns; rewind"):
        answer_likelihood(session, question, answer)
