"""Chosen samples of a data set as a folder to look at.

out/index.html               the page, written last
out/frames/<record>-<k>.jpg  frames of a sample, which the page shows
out/sheets/<record>.png      if asked for: a whole sample, frames and dialogue
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from sama_plugin.data.contact_page import Article, format_article, format_contact_page
from sama_plugin.data.contact_sheet import draw_sheet
from sama_plugin.data.corpus import Corpus
from sama_plugin.data.defects import format_counts
from sama_plugin.data.record_rules import kept_descriptions
from sama_plugin.data.shown_sample import ShownSample, show_sample
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError
from sama_plugin.media.encode import write_picture
from sama_plugin.schema import Sample

PAGE, FRAMES, SHEETS = "index.html", "frames", "sheets"
DESCRIPTION_ENDING = "/description"
SAMPLE_ID = re.compile(rf"(?:.*/)?(\d+)({DESCRIPTION_ENDING})?", re.DOTALL)


class Chosen(NamedTuple):
    """A sample to show.

    Attributes:
        record: its index.
        sample: its dialogue.
        descriptions: mask id → what the record says of the object.
    """

    record: int
    sample: Sample
    descriptions: dict[str, str]


@dataclass
class Written:
    """What was written.

    Attributes:
        page: the file.
        num: samples on it.
        faults: sample id and what could not be shown of it.
        left_out: defects by code, of records that were looked at.
    """

    page: Path
    num: int = 0
    faults: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def write_contact_folder(
    corpus: Corpus,
    out: Path,
    *,
    num: int = 24,
    seed: int = 0,
    ids: Sequence[str] = (),
    tasks: Collection[str] = (),
    num_frames: int = 6,
    with_sheets: bool = False,
    progress: bool = True,
) -> Written:
    """Write pictures of samples and a page to browse them.

    Args:
        corpus: of the samples.
        out: folder, made if missing; files of an earlier page are replaced.
        num: samples at most, drawn by the seed; all where there are fewer.
        seed: of the choice.
        ids: show these instead: sample ids, or numbers of records.
        tasks: draw only samples with a turn of one of these; empty draws any.
        num_frames: of a sample, at most.
        with_sheets: also write a picture of each whole sample.
        progress: whether to show a bar.

    Raises:
        DataError: a bad number, or an id that there is not, or no sample of the tasks.
        MediaError: the disk refuses.
    """
    for name, value in (("num", num), ("frames", num_frames)):
        if value < 1:
            raise DataError(f"{name} is {value}, expected 1 or more.")
    if seed < 0:
        raise DataError(f"seed is {seed}, expected 0 or more.")
    written = Written(out / PAGE)
    chosen = _named(corpus, ids, written) if ids else _drawn(corpus, num, seed, tasks, written)
    (out / FRAMES).mkdir(parents=True, exist_ok=True)
    if with_sheets:
        (out / SHEETS).mkdir(exist_ok=True)
    articles: list[Article] = []
    total = len(ids) or min(num, len(corpus))
    for one in tqdm(chosen, desc="show", total=total, unit="sample", disable=None if progress else True):
        shown = show_sample(one.sample, num_frames, one.descriptions)
        articles.append(_write_sample(shown, _file_name(one), out, with_sheets))
        written.faults += [f"{one.sample.sample_id}: {fault}" for fault in shown.faults]
    written.num = len(articles)
    notes = [f"Left out: {format_counts(written.left_out)}."] if written.left_out else []
    title = f"{len(articles)} of {len(corpus):,} records of {corpus.name}"
    write_text(written.page, [format_contact_page(title, articles, notes)])
    return written


def _write_sample(shown: ShownSample, name: str, out: Path, with_sheets: bool) -> Article:
    pictures = [f"{FRAMES}/{name}-{k}.jpg" for k in range(len(shown.tiles))]
    for address, tile in zip(pictures, shown.tiles, strict=True):
        write_picture(out / address, tile.picture, "JPEG")
    if with_sheets:
        write_picture(out / SHEETS / f"{name}.png", draw_sheet(shown))
    return format_article(shown, pictures)


def _file_name(one: Chosen) -> str:
    ending = "-description" if one.sample.sample_id.endswith(DESCRIPTION_ENDING) else ""
    return f"{one.record:06d}{ending}"


def _drawn(corpus: Corpus, num: int, seed: int, tasks: Collection[str], written: Written) -> Iterator[Chosen]:
    """Samples in the order of a seed, as many as there are of the tasks up to `num`.

    Raises:
        DataError: there are samples, but none of the tasks.
    """
    found = 0
    known: set[str] = set()
    for index in np.random.default_rng(seed).permutation(len(corpus)).tolist():
        for one in _samples_of(corpus, index, "either", written):
            own = {turn.task for turn in one.sample.turns}
            known |= own
            if not tasks or own.intersection(tasks):
                yield one
                found += 1
        if found >= num:
            return
    if known and not found:
        raise DataError(
            f"{corpus.name} has no sample of task {', '.join(sorted(tasks))}; its tasks are {', '.join(sorted(known))}."
        )


def _named(corpus: Corpus, ids: Sequence[str], written: Written) -> Iterator[Chosen]:
    """Samples by their ids.

    Raises:
        DataError: there is none of an id.
    """
    for wanted in ids:
        match = SAMPLE_ID.fullmatch(wanted)
        index = int(match[1]) if match else -1
        if not 0 <= index < len(corpus):
            raise DataError(
                f"{corpus.name} has no sample '{wanted}': give numbers of records from 0 to "
                f"{len(corpus) - 1}, or sample ids, which end with them."
            )
        assert match is not None, "an index was found"
        made = _samples_of(corpus, index, "description" if match[2] else "either", written)
        found = [one for one in made if wanted in (str(index), one.sample.sample_id)]
        if not found:
            have = ", ".join(f"'{one.sample.sample_id}'" for one in made) or "no sample that can be used"
            raise DataError(f"{corpus.name} has no sample '{wanted}': record {index} has {have}.")
        yield from found


def _samples_of(corpus: Corpus, index: int, part: str, written: Written) -> list[Chosen]:
    """What can be shown of a record; what cannot is counted."""
    made, defects = make_samples(corpus, index, part=part)
    written.left_out.update(defect.code for defect in defects)
    return [Chosen(index, sample, dict(kept_descriptions(raw, defects).values())) for sample, raw in made]
