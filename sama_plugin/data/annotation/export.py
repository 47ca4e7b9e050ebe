"""A run file → the published form and a report.

out/records.json     list of records; the first of a video describes its objects, each has one dialogue
out/mask_dict.json   {mask id: [RLE or null per mask frame]}, of every object of these records
out/report.json      what was kept, repaired, rejected or left out, with reasons, and what it took
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sama_plugin.data.annotation.conversion import make_record
from sama_plugin.data.annotation.pipeline import (
    choice_id,
    chosen_numbers,
    descriptions_of,
    dialogue_id,
    object_id,
)
from sama_plugin.data.annotation.sifting import WrittenDialogue, balance_tasks, drop_repeats
from sama_plugin.data.annotation.tracks import TrackedVideo, VideoEntry
from sama_plugin.data.annotation.writer import REJECTED, Outcome
from sama_plugin.data.corpus import MASKS_FILE, RECORDS_FILE
from sama_plugin.data.endpoint import Usage
from sama_plugin.data.run_file import RunFile
from sama_plugin.data.text_file import write_text

REPORT = "report.json"
REPORT_SCHEMA = "sama.annotation_report/1"


def export_run(
    entries: Sequence[VideoEntry],
    run_file: RunFile,
    out: Path,
    *,
    dialogues: int,
    most_share: float,
    seed: int,
) -> dict[str, Any]:
    """Write records, masks and report of what a run has so far.

    Args:
        entries: the videos of the run.
        run_file: of the run; choices are there for every video.
        out: folder, which exists.
        dialogues: of each video.
        most_share: see `balance_tasks`.
        seed: of the balance.

    Returns:
        The report.
    """
    written = [d for e in entries for d in _dialogues_of(run_file, e, dialogues)]
    unlike, repeated = drop_repeats(written)
    kept, unbalanced = balance_tasks(unlike, most_share, seed)
    by_video: dict[str, list[WrittenDialogue]] = {}
    for dialogue in kept:
        by_video.setdefault(dialogue.video_id, []).append(dialogue)
    records: list[dict[str, Any]] = []
    write_text(out / MASKS_FILE, _write_masks(entries, run_file, by_video, records))
    write_text(out / RECORDS_FILE, [json.dumps(records, indent=1, ensure_ascii=False), "\n"])
    report = _make_report(entries, run_file, dialogues, records)
    report["dialogues"]["repeated"], report["dialogues"]["unbalanced"] = len(repeated), len(unbalanced)
    report["left_out"] = [{"id": name, "reasons": [why]} for name, why in {**repeated, **unbalanced}.items()]
    report["rounds_written"] = _tasks_of(written)
    report["rounds"] = _tasks_of(kept)
    write_text(out / REPORT, [json.dumps(report, indent=1, ensure_ascii=False), "\n"])
    return report


def _dialogues_of(run_file: RunFile, entry: VideoEntry, count: int) -> Iterator[WrittenDialogue]:
    for name in (dialogue_id(entry, k) for k in range(count)):
        row = run_file.rows.get(name)
        outcome = None if row is None else Outcome.from_json(row)
        if outcome is not None and outcome.state != REJECTED and outcome.rounds:
            yield WrittenDialogue(name, entry.video_id, outcome.rounds)


def _write_masks(
    entries: Sequence[VideoEntry],
    run_file: RunFile,
    by_video: dict[str, list[WrittenDialogue]],
    records: list[dict[str, Any]],
) -> Iterator[str]:
    """The mask dictionary piece by piece, one video in memory at a time; its records are added on the way."""
    opening, next_id = "{\n", 0
    for entry in entries:
        numbers = chosen_numbers(run_file, entry)
        said = descriptions_of(run_file, entry, numbers)
        talks = by_video.get(entry.video_id, [])
        if not said and not talks:
            continue
        video = entry.load()
        ids = {number: next_id + k for k, number in enumerate(numbers)}
        next_id += len(numbers)
        records += _records_of(video, ids, said, talks)
        for number, mask_id in ids.items():
            track = json.dumps(list(video.objects[number].track), separators=(",", ":"))
            yield f'{opening}"{mask_id}":{track}'
            opening = ",\n"
    yield "{}\n" if opening == "{\n" else "\n}\n"


def _records_of(
    video: TrackedVideo, ids: dict[int, int], said: dict[int, str], talks: Sequence[WrittenDialogue]
) -> Iterator[dict[str, Any]]:
    if not talks:
        yield make_record(video, ids, (), said, 0)
    for index, talk in enumerate(talks):
        yield make_record(video, ids, talk.rounds, said if index == 0 else {}, index)


def _make_report(
    entries: Sequence[VideoEntry], run_file: RunFile, dialogues: int, records: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    usage, rejected, repaired = Usage(), list[dict[str, Any]](), list[dict[str, Any]]()
    objects: Counter[str] = Counter(given=0, chosen=0, kept=0, repaired=0, rejected=0, left=0)
    talks: Counter[str] = Counter(wanted=0, kept=0, repaired=0, rejected=0, left=0)
    for entry in entries:
        choice = run_file.rows[choice_id(entry)]
        numbers = chosen_numbers(run_file, entry)
        objects.update(given=choice["given"], chosen=len(numbers))
        if choice["reasons"]:
            rejected.append({"id": choice_id(entry), "reasons": choice["reasons"]})
        rejected += [{"id": object_id(entry, n), "reasons": [why]} for n, why in choice["rejected"].items()]
        wanted = [dialogue_id(entry, k) for k in range(dialogues)] if numbers else []
        talks["wanted"] += len(wanted)
        for counts, names in ((objects, [object_id(entry, n) for n in numbers]), (talks, wanted)):
            for name in names:
                row = run_file.rows.get(name)
                outcome = None if row is None else Outcome.from_json(row)
                counts["left" if outcome is None else outcome.state] += 1
                if outcome is not None:
                    usage += outcome.usage
                    if outcome.reasons:
                        told = rejected if outcome.state == REJECTED else repaired
                        told.append({"id": name, "reasons": list(outcome.reasons)})
    return {
        "schema": REPORT_SCHEMA,
        "run": run_file.identity,
        "videos": {"given": len(entries), "kept": len({record["video"] for record in records})},
        "records": len(records),
        "objects": dict(objects),
        "dialogues": dict(talks),
        "rejected": rejected,
        "repaired": repaired,
        "usage": asdict(usage),
    }


def _tasks_of(dialogues: Sequence[WrittenDialogue]) -> dict[str, int]:
    """Rounds by task and kind."""
    counts = Counter(f"{one.task}/{one.kind}" for dialogue in dialogues for one in dialogue.rounds)
    return dict(sorted(counts.items()))
