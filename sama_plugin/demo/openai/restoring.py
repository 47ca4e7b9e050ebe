"""What a client says of a conversation → turns and regions as a session has them; nothing of it is taken on trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sama_plugin.constants import SEG_TOKEN
from sama_plugin.demo.openai.errors import BadParameterError
from sama_plugin.demo.openai.fields import list_of, number_of, object_of, text_of
from sama_plugin.demo.openai.messages import Round
from sama_plugin.demo.sessions import Session
from sama_plugin.errors import MediaError, PromptError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import check_mask, visible_spans
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.prompting.placeholders import resolve_placeholders
from sama_plugin.schema import GroundedAnswer, GroundedObject, Rle


def restore_answers(session: Session, rounds: Sequence[Round]) -> list[GroundedAnswer]:
    """Turns that a session lacks.

    An answer of which only the text is told is restored as text: its objects are not there. One that comes with its
    `sama` is restored whole.

    Args:
        session: that has the turns before them, and their regions.
        rounds: as the client tells them.

    Raises:
        BadParameterError: one of them cannot have been.
    """
    names = list(session.names())
    answers: list[GroundedAnswer] = []
    for told in rounds:
        number = len(session.answers) + len(answers)
        try:
            resolve_placeholders(told.question, names)
        except PromptError as error:
            raise BadParameterError(f"Question {number + 1} of the history: {error}", "messages") from error
        param = f"sama of answer {number + 1}"
        num_objects = len(names) - len(session.regions)
        answer = _restore(told, session.clip, num_objects, param)
        names += [thing.id for thing in answer.objects]
        answers.append(answer)
    return answers


def with_frame(region: Mapping[str, Any], clip: VideoClip) -> dict[str, Any]:
    """A region's request with its `time_s`, where it has one, as `frame`.

    Raises:
        BadParameterError: it has both, or a time outside the video.
    """
    if region.get("time_s") is None:
        return {name: value for name, value in region.items() if name != "time_s"}
    param = f"region '{region['name']}'"
    if region.get("frame") is not None:
        raise BadParameterError(f"{param} has frame and time_s, expected one of them.", "regions")
    time_s = number_of(region["time_s"], f"regions[{region['name']}].time_s", 0, 1e9)
    try:
        frame = clip.frame_at(time_s)
    except MediaError as error:
        raise BadParameterError(f"{param}: {error}", "regions") from error
    return {**{name: value for name, value in region.items() if name != "time_s"}, "frame": frame}


def _restore(told: Round, clip: VideoClip, num_objects: int, param: str) -> GroundedAnswer:
    sama = told.reply.sama or {}
    if sama.get("raw") is None:
        return GroundedAnswer(told.question, told.reply.text, told.reply.text, [], {}, {})
    raw = text_of(sama["raw"], f"{param}: raw")
    text, phrases = parse_answer(raw)
    if text.split() != told.reply.text.split():
        raise BadParameterError(
            f"{param}: raw says something else than the message's content; leave sama out if you changed that.",
            "messages",
        )
    objects = list_of(sama.get("objects") or [], f"{param}: objects", len(phrases))
    if len(objects) != len(phrases):
        raise BadParameterError(
            f"{param}: raw has {len(phrases)} {SEG_TOKEN} but there are {len(objects)} objects; send sama back whole, "
            "or leave it out.",
            "messages",
        )
    found = [
        _restore_object(
            object_of(thing, f"{param}: objects[{i}]"), f"obj{num_objects + i + 1}", phrase, clip, param
        )
        for i, (thing, phrase) in enumerate(zip(objects, phrases, strict=True))
    ]
    return GroundedAnswer(told.question, text, raw, found, {}, {})


def _restore_object(
    thing: dict[str, Any], name: str, phrase: str, clip: VideoClip, param: str
) -> GroundedObject:
    if thing.get("id") != name:
        raise BadParameterError(
            f"{param}: an object is {str(thing.get('id'))[:40]!r}, expected {name}, as they are counted over the whole "
            "history; send sama of all answers back.",
            "messages",
        )
    rles = list_of(thing.get("rle"), f"{param}: rle of {name}", clip.num_frames)
    try:
        for rle in rles:
            _check_rle(rle, clip)
    except MediaError as error:
        raise BadParameterError(f"{param}: rle of {name}: {error}", "messages") from error
    if len(rles) != clip.num_frames:
        raise BadParameterError(
            f"{param}: rle of {name} has {len(rles)} masks, the video has {clip.num_frames} frames.",
            "messages",
        )
    return GroundedObject(
        id=name,
        phrase=phrase,
        score=number_of(thing.get("score"), f"{param}: score of {name}", 0, 1),
        rle=rles,
        spans_s=visible_spans(rles, clip.timestamps_s, clip.duration_s),
        size=(clip.height, clip.width),
    )


def _check_rle(rle: Rle | None, clip: VideoClip) -> None:
    """See that something is a mask of the video, or absent.

    Raises:
        MediaError: it is not.
    """
    if rle is None:
        return
    size = rle.get("size") if isinstance(rle, dict) else None
    if size != [clip.height, clip.width]:
        raise MediaError(f"size is {str(size)[:40]}, expected [{clip.height}, {clip.width}].")
    check_mask(rle)
