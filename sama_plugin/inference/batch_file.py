"""`sama chat --batch`: a JSONL file of conversations → a JSONL file of their answers, in the same order."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sama_plugin.data.run_file import RunFile
from sama_plugin.errors import DataError, SamaError
from sama_plugin.inference.answer_file import answer_document
from sama_plugin.inference.batch import SessionBatch
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.regions import parse_regions

BATCH_SCHEMA = "sama.batch/1"

FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": (str, int),
    "video": str,
    "regions": list,
    "ask": list,
    "from_s": (int, float),
    "to_s": (int, float),
}


@dataclass(frozen=True)
class Job:
    """A line of a batch file.

    Attributes:
        job_id: its `id`, or the number of its line.
        fields: the line as it is.
        video: path; a relative one begins at the folder of the batch file.
        regions: as `sama chat --region` has them.
        questions: one or more.
        window: seconds, see `VideoSession`.
    """

    job_id: str
    fields: dict[str, Any]
    video: Path
    regions: tuple[str, ...]
    questions: tuple[str, ...]
    window: tuple[float | None, float | None]


def read_jobs(path: Path) -> list[Job]:
    """Read a batch file.

    Args:
        path: JSONL; an object per line with `video` and `ask` (questions in order), and if wanted `id`, `regions`,
            `from_s` and `to_s`.

    Raises:
        DataError: unreadable; or lines that are no such objects, or ids that are there twice: all of them are named.
    """
    try:
        lines = path.read_text("utf-8").split("\n")  # not at the other ends of lines that JSON may hold
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Batch file '{path}' cannot be read: {error}.") from error
    jobs: list[Job] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            job = _read_job(number, line, path.parent)
        except DataError as error:
            faults.append(f"line {number}: {error}")
            continue
        if job.job_id in seen:
            faults.append(f"line {number}: id '{job.job_id}' is that of line {seen[job.job_id]}")
        seen.setdefault(job.job_id, number)
        jobs.append(job)
    if faults or not jobs:
        raise DataError(f"Batch file '{path}': {'; '.join(faults) or 'it has no lines'}.")
    return jobs


def _read_job(number: int, line: str, folder: Path) -> Job:
    try:
        fields = json.loads(line, parse_constant=_refuse_constant)
    except ValueError as error:
        raise DataError(f"no JSON ({error})") from error
    if not isinstance(fields, dict):
        raise DataError('no object; expected {"video": ..., "ask": [...]}')
    unknown = sorted(fields.keys() - FIELDS.keys())
    if unknown:
        raise DataError(f"unknown {', '.join(unknown)}; expected {', '.join(FIELDS)}")
    for name, value in fields.items():
        is_finite = not isinstance(value, float) or math.isfinite(value)
        if isinstance(value, bool) or not isinstance(value, FIELDS[name]) or not is_finite:
            raise DataError(f"'{name}' is {value!r}")
    for name in ("regions", "ask"):
        if not all(isinstance(text, str) for text in fields.get(name, [])):
            raise DataError(f"'{name}' is {fields[name]!r}, expected a list of texts")
    if not fields.get("video") or not fields.get("ask"):
        raise DataError("'video' and 'ask' are needed, with one question or more")
    return Job(
        str(fields.get("id", number)),
        fields,
        folder / fields["video"],
        tuple(fields.get("regions", ())),
        tuple(fields["ask"]),
        (fields.get("from_s"), fields.get("to_s")),
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def run_batch(
    parts: tuple[Any, Any, Any],
    jobs: list[Job],
    out: Path,
    identity: Mapping[str, Any],
    *,
    batch_size: int,
    session_options: Mapping[str, Any],
) -> int:
    """Hold the conversations that `out` does not have yet; each is on the disk as soon as its batch is done.

    A conversation that fails ends there; what was answered is kept beside the error, and the others go on. To try it
    again, delete its line.

    Args:
        parts: model, tokenizer and image processor.
        jobs: from `read_jobs`.
        out: JSONL; a first line of `identity`, then `{"dialogue": id, "job", "answer", "error"}` of each job in order.
        identity: what shapes the answers; kept in the file, which is refused if it was begun with another.
        batch_size: conversations side by side; padding apart it changes no answer.
        session_options: more arguments of `VideoSession`.

    Returns:
        How many conversations failed, of all.

    Raises:
        DataError: a batch size below 1; `out` belongs to other jobs or settings, or cannot be written.
    """
    if batch_size < 1:
        raise DataError(f"--batch-size is {batch_size}, expected 1 or more.")
    with RunFile(out, {"schema": BATCH_SCHEMA, **identity}) as run:
        for job in jobs:
            kept = run.rows.get(job.job_id)
            if kept is not None and kept["job"] != job.fields:
                raise DataError(
                    f"'{out}' has an answer to another job '{job.job_id}': {kept['job']}; choose another file, or give "
                    "the new job an id of its own."
                )
        left = [job for job in jobs if job.job_id not in run.rows]
        with tqdm(
            total=len(jobs), initial=len(jobs) - len(left), desc="batch", unit="conversation", disable=None
        ) as bar:
            for some in _chunks(left, batch_size):
                for job, outcome in zip(some, _hold(parts, some, session_options), strict=True):
                    run.append(job.job_id, {"job": job.fields, **outcome})
                    bar.update()
        return sum(run.rows[job.job_id]["error"] is not None for job in jobs)


def _chunks(jobs: list[Job], size: int) -> Iterator[list[Job]]:
    waiting = iter(jobs)
    while some := list(itertools.islice(waiting, size)):
        yield some


def _hold(
    parts: tuple[Any, Any, Any], jobs: list[Job], session_options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Conversations side by side → `answer` and `error` of each."""
    sessions: dict[int, VideoSession] = {}
    errors: dict[int, SamaError] = {}
    for row, job in enumerate(jobs):
        try:
            clip = VideoClip.open(job.video)
            session = VideoSession(*parts, video=clip, window=job.window, **session_options)
            for prompt in parse_regions(job.regions, clip):
                session.add_region(prompt)
            sessions[row] = session
        except SamaError as error:
            errors[row] = error
    if sessions:
        batch = SessionBatch(list(sessions.values()))
        for turn in range(max(len(jobs[row].questions) for row in sessions)):
            questions = [
                jobs[row].questions[turn] if row not in errors and turn < len(jobs[row].questions) else None
                for row in sessions
            ]
            for row, result in zip(sessions, batch.ask(questions), strict=True):
                if isinstance(result, SamaError):
                    errors[row] = result
    return [
        {
            "answer": answer_document(s.clip, s.answers, s.regions.values())
            if (s := sessions.get(row))
            else None,
            "error": str(errors[row]) if row in errors else None,
        }
        for row in range(len(jobs))
    ]
