"""What is in data sets by source: videos, dialogues, tasks, lengths, objects and masks; memory is flat over records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.corpus import Corpus
from sama_plugin.data.defects import Defect
from sama_plugin.data.distribution import Bins, Distribution
from sama_plugin.data.mixture import read_sources
from sama_plugin.data.record_form import dataset_of
from sama_plugin.data.sources.sama239k import Record, make_samples
from sama_plugin.data.track_rules import damage_fault
from sama_plugin.media.masks import mask_area
from sama_plugin.schema import Rle, Sample, Turn

DESCRIPTION = "description"
"""Kind of the turns that are made of descriptions; no question of theirs was written."""

DAMAGED = "mask-damaged"
SPECIAL_TOKENS = (DATA_REGION, SEG_TOKEN, PHRASE_START, PHRASE_END)
SHARE_DIGITS = 4
SHARE_BINS = Bins([5.0 * k for k in range(20)], [f"{5 * k}" for k in range(20)])
AREA_EDGES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
AREA_BINS = Bins(list(AREA_EDGES), ["<0.03", *(f"{edge:g}" for edge in AREA_EDGES[1:])])


class Measure(NamedTuple):
    """Something that is counted about turns, dialogues, clips or objects.

    Attributes:
        title: what is counted, and of what.
        x: unit of the values.
        bins: of its picture; None makes them of the values, which are whole numbers.
    """

    title: str
    x: str
    bins: Bins | None = None


MEASURES = {
    "turns": Measure("Turns of a dialogue", "turns"),
    "question_words": Measure("Length of a question", "words"),
    "answer_words": Measure("Length of an answer", "words"),
    "description_words": Measure("Length of a description", "words"),
    "regions": Measure("Regions that a question points at", "regions"),
    "segments": Measure("Objects that an answer shows", "[SEG]"),
    "objects": Measure("Objects that a record means", "objects"),
    "frames": Measure("Frames of a record's clip", "frames"),
    "mask_area": Measure("Size of a mask", "% of the frame", AREA_BINS),
    "presence": Measure("Presence of an object", "% of the frames", SHARE_BINS),
}
"""Key → what is counted; words are without special tokens, sizes of masks that are not empty."""


def _distributions() -> dict[str, Distribution]:
    return {key: Distribution(SHARE_DIGITS if measure.bins else 0) for key, measure in MEASURES.items()}


@dataclass
class Statistics:
    """What is in one source.

    Attributes:
        name: of the source.
        counts: `records`, `dialogues`, `turns`, `descriptions`, `records_without_samples`.
        videos: distinct paths.
        tasks: (task, kind) → turns and descriptions.
        measures: key of `MEASURES` → its values.
        defects: code → how many were left out.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    videos: set[str] = field(default_factory=set)
    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    measures: dict[str, Distribution] = field(default_factory=_distributions)
    defects: Counter[str] = field(default_factory=Counter)

    def add_all(self, other: Statistics) -> None:
        """Count what another source has, too."""
        self.counts.update(other.counts)
        self.videos |= other.videos
        self.tasks.update(other.tasks)
        self.defects.update(other.defects)
        for key, distribution in other.measures.items():
            self.measures[key].add_all(distribution)

    def add_record(self, made: Sequence[Record], defects: Sequence[Defect]) -> None:
        """Count a record by its samples; what they leave out because of a defect is not counted."""
        self.counts["records_without_samples"] += not made
        self.defects.update(defect.code for defect in defects)
        self.add_samples([sample for sample, _ in made])

    def add_samples(self, samples: Sequence[Sample]) -> None:
        """Count the samples of one record, or one example of a mixture."""
        self.counts["records"] += 1
        for sample in samples:
            self.videos.update({sample.video_path} - {""})
            self._add_turns(sample)
        if samples:
            meant = ((key, sample.masks[key]) for sample in samples for key in sample.mask_ids)
            self._add_masks(dict(meant))

    def _add_turns(self, sample: Sample) -> None:
        self.tasks.update((turn.task, turn.kind) for turn in sample.turns)
        if sample.turns[0].kind == DESCRIPTION:
            self.counts["descriptions"] += len(sample.turns)
            for turn in sample.turns:
                self.measures["description_words"].add(count_words(turn.answer))
            return
        self.counts["dialogues"] += 1
        self.counts["turns"] += len(sample.turns)
        self.measures["turns"].add(len(sample.turns))
        for turn in sample.turns:
            for key, value in _turn_values(turn).items():
                self.measures[key].add(value)

    def _add_masks(self, masks: dict[str, list[Rle | None]]) -> None:
        self.measures["objects"].add(len(masks))
        if masks:
            self.measures["frames"].add(max(len(track) for track in masks.values()))
        for track in masks.values():
            if damage_fault(list(track)):
                self.defects[DAMAGED] += 1
            elif track:
                self._add_track(track)

    def _add_track(self, track: Sequence[Rle | None]) -> None:
        areas = [(mask_area(rle), rle["size"]) for rle in track if rle is not None]
        shares = [100 * area / (height * width) for area, (height, width) in areas if area]
        self.measures["presence"].add(100 * len(shares) / len(track))
        for share in shares:
            self.measures["mask_area"].add(share)


def measure_corpora(corpora: Iterable[Corpus], *, progress: bool = True) -> list[Statistics]:
    """Count everything of some corpora.

    Args:
        corpora: each record belongs to the published data set that its video is of, else to the corpus by its name.
        progress: whether to show a bar.

    Returns:
        One per source, in the order of their first records.

    Raises:
        DefectError: a mask dictionary that cannot be used.
    """
    found: dict[str, Statistics] = {}
    for corpus in corpora:
        bar = tqdm(
            range(len(corpus)),
            desc=f"stats {corpus.name}",
            unit="record",
            disable=None if progress else True,
        )
        for index in bar:
            made, defects = make_samples(corpus, index, part="both")
            name = source_of(made[0].raw, corpus) if made else corpus.name
            found.setdefault(name, Statistics(name)).add_record(made, defects)
    return list(found.values())


def measure_mixture(path: Path, root: Path, *, progress: bool = True) -> list[Statistics]:
    """Count everything that an epoch of training sees of a mixture, before tasks are balanced.

    Args:
        path: a file of `data_configs/`.
        root: folder its paths are relative to.
        progress: whether to show a bar.

    Returns:
        One per file of records, in the order of the mixture; "records" are examples, repeats counted.

    Raises:
        DataError: see `mixture.read_sources`.
    """
    found: dict[str, Statistics] = {}
    for source, examples in read_sources(path, root):
        name = source.json_path
        for sample in tqdm(
            examples, desc=f"stats {name}", unit="example", disable=None if progress else True
        ):
            found.setdefault(name, Statistics(name)).add_samples([sample])
    return list(found.values())


def overall(sources: Sequence[Statistics], name: str = "all") -> Statistics:
    """The sum of some sources."""
    total = Statistics(name)
    for source in sources:
        total.add_all(source)
    return total


def source_of(record: Any, corpus: Corpus) -> str:
    """The published data set that a record's video is of, else the corpus by its name."""
    return dataset_of(record) or corpus.name


def count_words(text: str) -> int:
    """Words of a text between blanks, special tokens left out."""
    for token in SPECIAL_TOKENS:
        text = text.replace(token, " ")
    return sum(any(character.isalnum() for character in word) for word in text.split())


def written_words(turn: Turn) -> int:
    """Words of a question and its answer; of a description, which answers a fixed question, of itself alone."""
    asked = 0 if turn.kind == DESCRIPTION else count_words(turn.question)
    return asked + count_words(turn.answer)


def _turn_values(turn: Turn) -> dict[str, int]:
    return {
        "question_words": count_words(turn.question),
        "answer_words": count_words(turn.answer),
        "regions": len(turn.region_ids),
        "segments": len(turn.target_ids),
    }
