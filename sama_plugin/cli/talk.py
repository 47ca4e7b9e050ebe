"""How a conversation looks on a terminal: question, the answer as it comes, a line per object, the files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sama_plugin.cli.notes import note
from sama_plugin.prompting.answer_parsing import parse_answer

if TYPE_CHECKING:
    from sama_plugin.inference.session import VideoSession
    from sama_plugin.media.decode import VideoClip
    from sama_plugin.schema import GroundedAnswer, GroundedObject, RegionPrompt

YOU, SAMA, INDENT = "you    ", "sama   ", "       "
MAX_SPANS = 4


def show_clip(clip: VideoClip, to: TextIO) -> None:
    """One line about the video."""
    size = f"{clip.num_frames} frames, {clip.width}x{clip.height}"
    note(f"{clip.path}: {size}, {clip.duration_s:.1f} s", to)


def describe_region(prompt: RegionPrompt) -> str:
    """What a region was pointed with, e.g. `<r1> is a box on frame 12`."""
    return f"<{prompt.name}> is a {prompt.kind} on frame {prompt.frame}"


def ask_aloud(session: VideoSession, question: str, to: TextIO) -> GroundedAnswer:
    """Ask and print the answer as it comes, then its objects; the question is there already.

    Raises:
        PromptError: the question cannot be used; nothing is printed then.
    """
    raw, shown = "", ""
    try:
        for piece in session.stream(question):
            raw += piece
            text = _printable(parse_answer(raw).text)
            if text and text.startswith(shown):
                print(text[len(shown) :] if shown else SAMA + text, end="", file=to, flush=True)
                shown = text
    except BaseException:
        if shown:
            print(file=to, flush=True)
        raise
    answer = session.answers[-1]
    text = _printable(answer.text) or "(no words)"
    if shown and text.startswith(shown):
        print(text[len(shown) :], file=to)
    else:
        print(("\n" if shown else "") + SAMA + text, file=to)
    for thing in answer.objects:
        print(INDENT + describe_object(thing), file=to)
    to.flush()
    return answer


def describe_object(thing: GroundedObject) -> str:
    """One line: id, phrase, score and when it is visible."""
    spans = [f"{start:.2f}-{end:.2f} s" for start, end in thing.spans_s]
    if len(spans) > MAX_SPANS:
        spans[MAX_SPANS:] = [f"and {len(spans) - MAX_SPANS} more times"]
    when = "visible " + ", ".join(spans) if spans else "nowhere visible"
    return f"<{thing.id}> {_printable(thing.phrase) or '(no phrase)'}: score {thing.score:.2f}, {when}"


def _printable(text: str) -> str:
    """Text without what a terminal would obey, such as escape codes; a model may write any byte."""
    return "".join(c if c.isprintable() else " " for c in text)


def show_files(paths: Iterable[Path], to: TextIO) -> None:
    """Name the files that were written."""
    note(f"\nwritten: {', '.join(str(path) for path in paths)}", to)
