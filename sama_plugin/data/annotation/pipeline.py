"""The way of annotation: choose objects → describe each → converse about them; every result is a line of a run file.

Ids in the run file: `VIDEO/choice`, `VIDEO/objN`, `VIDEO/dialogueK`. `export.py` makes records of what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sama_plugin.data.annotation.choice import Choice, choose_objects
from sama_plugin.data.annotation.tracks import VideoEntry
from sama_plugin.data.annotation.work import Job, VideoShelf, run_jobs
from sama_plugin.data.annotation.writer import REJECTED, Outcome, Writer
from sama_plugin.data.run_file import RunFile
from sama_plugin.errors import DataError, MediaError

SCHEMA = "sama.annotation/1"

UNUSABLE = ""
"""In place of the fingerprint of tracks that cannot be used."""


@dataclass(frozen=True)
class Plan:
    """What is made of each video.

    Attributes:
        choice: which objects.
        dialogues: so many; 0 only describes.
    """

    choice: Choice = field(default_factory=Choice)
    dialogues: int = 2

    def __post_init__(self) -> None:
        if self.dialogues < 0:
            raise DataError(f"There are to be {self.dialogues} dialogues for a video, expected 0 or more.")


def annotate_videos(
    entries: Sequence[VideoEntry], writer: Writer, run_file: RunFile, plan: Plan, *, concurrency: int = 1
) -> int:
    """Do what is not in the run file yet.

    Args:
        entries: the videos.
        writer: what describes and converses.
        run_file: open; its identity says how the writer is set up.
        plan: what is wanted.
        concurrency: objects or dialogues at a time.

    Returns:
        Pieces of work left because the endpoint did not answer or a video cannot be read; run again for them.

    Raises:
        EndpointError: the endpoint is down, or takes no request.
        DataError: the disk refuses, or tracks are no longer those that are annotated in the run file.
    """
    _check_unchanged(entries, run_file)
    shelf = VideoShelf(concurrency + 1)
    jobs = [Job(choice_id(e), partial(_choose, e, plan.choice)) for e in entries]
    run_jobs(jobs, run_file, name="choose", concurrency=concurrency)
    chosen = {e.video_id: chosen_numbers(run_file, e) for e in entries}
    jobs = [
        Job(object_id(e, n), partial(_describe, shelf, e, writer, n))
        for e in entries
        for n in chosen[e.video_id]
    ]
    left = run_jobs(jobs, run_file, name="describe", concurrency=concurrency)
    jobs = [
        Job(dialogue_id(e, k), partial(_converse, shelf, e, writer, run_file, numbers, k))
        for e in entries
        if (numbers := chosen[e.video_id]) and all(object_id(e, n) in run_file.rows for n in numbers)
        for k in range(plan.dialogues)
    ]
    left += run_jobs(jobs, run_file, name="converse", concurrency=concurrency)
    return left


def _check_unchanged(entries: Sequence[VideoEntry], run_file: RunFile) -> None:
    """See that what was annotated in an earlier run still has the same tracks."""
    for entry in entries:
        row = run_file.rows.get(choice_id(entry))
        if row is None:
            continue
        try:
            tracks = entry.load().fingerprint()
        except (DataError, MediaError):
            tracks = UNUSABLE
        if tracks != row["tracks"]:
            raise DataError(
                f"Video '{entry.video_id}' was annotated in {run_file.path} with other tracks or names of its objects "
                "than it has now; give another folder, or bring those back."
            )


def choice_id(entry: VideoEntry) -> str:
    """Id of the choice of a video's objects."""
    return f"{entry.video_id}/choice"


def object_id(entry: VideoEntry, number: int) -> str:
    """Id of an object's description."""
    return f"{entry.video_id}/obj{number}"


def dialogue_id(entry: VideoEntry, index: int) -> str:
    """Id of a dialogue."""
    return f"{entry.video_id}/dialogue{index}"


def chosen_numbers(run_file: RunFile, entry: VideoEntry) -> list[int]:
    """Objects of a video that are annotated."""
    return [int(n) for n in run_file.rows[choice_id(entry)]["chosen"]]


def descriptions_of(run_file: RunFile, entry: VideoEntry, numbers: Sequence[int]) -> dict[int, str]:
    """Descriptions that can be used, of those that are made."""
    rows = {n: run_file.rows.get(object_id(entry, n)) for n in numbers}
    outcomes = {n: Outcome.from_json(row) for n, row in rows.items() if row is not None}
    return {n: outcome.text for n, outcome in outcomes.items() if outcome.state != REJECTED}


def _choose(entry: VideoEntry, choice: Choice) -> Mapping[str, Any]:
    """Chosen objects, and why the others are not; a video whose masks cannot be used has none, with the reason."""
    try:
        video = entry.load()
    except (DataError, MediaError) as error:
        return {"given": 0, "chosen": [], "rejected": {}, "reasons": [str(error)], "tracks": UNUSABLE}
    numbers, rejected = choose_objects(video, choice)
    return {
        "given": len(video.objects),
        "chosen": numbers,
        "rejected": {str(n): why for n, why in rejected.items()},
        "reasons": [],
        "tracks": video.fingerprint(),
    }


def _describe(shelf: VideoShelf, entry: VideoEntry, writer: Writer, number: int) -> Mapping[str, Any]:
    return writer.describe(shelf.load(entry), number).to_json()


def _converse(
    shelf: VideoShelf,
    entry: VideoEntry,
    writer: Writer,
    run_file: RunFile,
    numbers: Sequence[int],
    index: int,
) -> Mapping[str, Any]:
    descriptions = descriptions_of(run_file, entry, numbers)
    return writer.converse(shelf.load(entry), numbers, descriptions, index).to_json()
