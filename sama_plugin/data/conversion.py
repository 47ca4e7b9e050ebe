"""Records → records of another use: only what no defect costs, with the ids of a benchmark, or without them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sama_plugin.data.corpus import Corpus
from sama_plugin.data.defects import RULES, Defect
from sama_plugin.data.record_form import NO_MASK, modern_tokens
from sama_plugin.data.record_rules import find_defects, kept_descriptions, kept_rounds
from sama_plugin.data.track_rules import Track

TARGETS = ("clean", "bench", "train")
"""What a corpus can be converted to."""

ROWS = ("obj_masks", "groundtruth", "turns")


class ConvertedCorpus:
    """A corpus whose records were changed; masks and media are those of the corpus it was made of.

    Args:
        corpus: what it is made of.
        records: its records now.
    """

    def __init__(self, corpus: Corpus, records: list[dict[str, Any]]) -> None:
        self.name, self.path = corpus.name, corpus.path
        self.corpus, self.records = corpus, records

    def __len__(self) -> int:
        return len(self.records)

    def record_text(self, index: int) -> str:
        """See `Corpus`."""
        return json.dumps(self.records[index])

    def record(self, index: int) -> Any:
        """See `Corpus`."""
        return self.records[index]

    def track(self, record: Mapping[str, Any], mask_id: str) -> Track | None:
        """See `Corpus`."""
        return self.corpus.track(record, mask_id)

    def media(self, record: Mapping[str, Any]) -> Path:
        """See `Corpus`."""
        return self.corpus.media(record)

    def files(self) -> list[Path]:
        """See `Corpus`."""
        return self.corpus.files()


def convert_corpus(corpus: Corpus, target: str) -> ConvertedCorpus:
    """Change every record; what breaks a rule is left out first, and so is a record that is there already.

    Args:
        corpus: its records are held in memory.
        target: one of `TARGETS`. `clean`: nothing more; `bench`: every question and description gets an id, new ones
            count on from the highest; `train`: none has one.

    Raises:
        DefectError: a mask dictionary cannot be used.
    """
    assert target in TARGETS, f"target is {target!r}, expected one of {TARGETS}"
    cleaned = [record for index in range(len(corpus)) if (record := clean_record(corpus, index)) is not None]
    once = {json.dumps(record, sort_keys=True): record for record in cleaned}
    records = list(once.values())
    if target == "bench":
        _add_ids(records)
    elif target == "train":
        for record in records:
            record.pop("description_id", None)
            for message in record.get("conversation", []):
                message.pop("question_id", None)
    return ConvertedCorpus(corpus, records)


def clean_record(corpus: Corpus, index: int) -> dict[str, Any] | None:
    """A record without what breaks a rule, in today's tokens; None if nothing is left.

    An object whose masks cannot be used stays in `anno_map` as -1, so that the others keep their numbers.

    Raises:
        DefectError: its mask dictionary cannot be used.
    """
    record = corpus.record(index)
    defects = find_defects(record, functools.partial(corpus.track, record), deep=True)
    rounds, descriptions = kept_rounds(record, defects), kept_descriptions(record, defects)
    if not rounds and not descriptions:
        return None
    clean: dict[str, Any] = {
        key: value for key, value in record.items() if key not in ("conversation", *ROWS)
    }
    clean["anno_map"] = _usable_objects(record, defects)
    if rounds:
        places = [one.index for one in rounds]
        clean["conversation"] = [message for k in places for message in _messages(record, k)]
        clean["obj_masks"] = [record["obj_masks"][k] for k in places]
        clean["groundtruth"] = [[ids for ids in record["groundtruth"][k] if ids] for k in places]
        if record.get("turns"):
            clean["turns"] = [record["turns"][k] for k in places]
    for field in ("description", "description_id"):
        if field in record:
            clean[field] = {key: record[field][key] for key in descriptions if key in record[field]}
    return clean


def _messages(record: Mapping[str, Any], index: int) -> Iterator[dict[str, Any]]:
    for message in record["conversation"][2 * index : 2 * index + 2]:
        yield message | {"value": modern_tokens(message["value"])}


def _usable_objects(record: Mapping[str, Any], defects: list[Defect]) -> list[Any]:
    broken = {one.mask_id for one in defects if RULES[one.code].costs == "mask"}
    twice = {one.thing for one in defects if one.code == "object-twice"}
    return [
        int(NO_MASK) if str(i) in broken or f"<obj{n}>" in twice else i
        for n, i in enumerate(record.get("anno_map") or [])
    ]


def _add_ids(records: list[dict[str, Any]]) -> None:
    """Give every question and description an id; one that came before keeps its own, a repeated one gets a new one."""
    questions = _Numbers(m.get("question_id") for r in records for m in r.get("conversation", [])[0::2])
    descriptions = _Numbers(i for r in records for i in r.get("description_id", {}).values())
    for record in records:
        for message in record.get("conversation", [])[0::2]:
            message["question_id"] = questions.take(message.get("question_id"))
        if record.get("description"):
            had = record.get("description_id", {})
            record["description_id"] = {key: descriptions.take(had.get(key)) for key in record["description"]}


class _Numbers:
    """Hands out whole numbers above those that are in use."""

    def __init__(self, used: Iterable[Any]) -> None:
        self._next = max((int(i) for i in used if i is not None and str(i).isdigit()), default=-1) + 1
        self._taken: set[str] = set()

    def take(self, wanted: Any) -> Any:
        """The id that is wanted, if it is one and free, else a new one."""
        if wanted is not None and str(wanted) not in self._taken:
            self._taken.add(str(wanted))
            return wanted
        self._next += 1
        self._taken.add(str(self._next - 1))
        return self._next - 1
