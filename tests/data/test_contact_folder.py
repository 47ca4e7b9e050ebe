"""What is shown of samples: pictures, colours, page; and of what cannot be shown, why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sama_plugin.data.contact_folder import Written, write_contact_folder
from sama_plugin.data.contact_page import UNFOLDED_TURNS, format_article
from sama_plugin.data.contact_sheet import MOST_TURNS, draw_sheet
from sama_plugin.data.corpus import Corpus, find_corpus, open_corpus
from sama_plugin.data.shown_sample import MOST_THINGS, show_sample
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.errors import DataError
from sama_plugin.media.masks import decode_mask, encode_mask
from sama_plugin.schema import Sample, Turn
from tests.data.page_reading import Page
from tests.data.planted_defects import PLANTED
from tests.data.published_fixture import write_published

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def corpus_at(folder: Path) -> Corpus:
    return open_corpus(*find_corpus(folder))


def first_sample(shapes_set: Path, **changes: Any) -> Sample:
    made, _ = make_samples(corpus_at(shapes_set), 0)
    return made[0].sample if not changes else Sample(**({**vars(made[0].sample)} | changes))


def write(corpus: Corpus, out: Path, **settings: Any) -> tuple[Written, Page]:
    written = write_contact_folder(corpus, out, progress=False, **settings)
    return written, Page(written.page.read_text())


def test_page_and_pictures_of_the_small_world(shapes_set: Path, tmp_path: Path) -> None:
    written, page = write(corpus_at(shapes_set), tmp_path, num_frames=4, with_sheets=True)
    assert (written.num, written.faults, dict(written.left_out)) == (4, [], {})
    assert len(list((tmp_path / "sheets").iterdir())) == 4
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == 16
    assert all((tmp_path / (picture["src"] or "")).is_file() for picture in pictures)
    assert all(picture["alt"] for picture in pictures)
    assert not [address for address in page.addresses if ":" in address or address.startswith("/")]
    for index in range(4):
        for message in corpus_at(shapes_set).record(index)["conversation"]:
            assert message["value"].split("<")[0].strip() in page.text


def test_masks_are_drawn_in_the_colour_of_the_dialogue(shapes_set: Path) -> None:
    sample = first_sample(shapes_set)
    mask_id, track = next((i, t) for i, t in sample.masks.items() if t[0] is not None)
    sample = Sample("s", sample.video_path, (Turn("Find it.", "[SEG]", (), ((mask_id,),)),), sample.masks)
    shown = show_sample(sample, 1)
    (tile,) = shown.tiles
    rle = track[0]
    assert rle is not None
    mask = np.asarray(Image.fromarray(decode_mask(rle)).resize(tile.picture.shape[1::-1]))
    plain = show_sample(Sample("s", sample.video_path, (Turn("Hi?", "Hello."),), {}), 1).tiles[0].picture
    towards = np.array(shown.things[mask_id].colour, float) - plain[mask]
    moved = tile.picture[mask].astype(float) - plain[mask]
    assert (moved * towards).sum() / (towards**2).sum() > 0.2
    assert f"rgb{shown.things[mask_id].colour}" in format_article(shown, ["a.jpg"]).html
    assert tile.labels == ["1"]


def test_choice_is_by_seed_and_by_task(shapes_set: Path, tmp_path: Path) -> None:
    corpus = corpus_at(shapes_set)

    def shown_ids(**settings: Any) -> list[str | None]:
        _, page = write(corpus, tmp_path, num_frames=1, **settings)
        return [attrs["data-id"] for tag, attrs in page.tags if tag == "article"]

    orders = {tuple(shown_ids(num=2, seed=seed)) for seed in (0, 1, 2, 0)}
    assert 1 < len(orders) <= 3
    tasks = {turn["task"] for k in range(4) for turn in corpus.record(k)["turns"]}
    for task in sorted(tasks):
        fitting = [k for k in range(4) if task in {turn["task"] for turn in corpus.record(k)["turns"]}]
        found = shown_ids(tasks=[task])
        assert sorted(int(str(one).rpartition("/")[2]) for one in found) == fitting


def test_ids_choose_conversations_and_descriptions(shapes_set: Path, tmp_path: Path) -> None:
    corpus = corpus_at(shapes_set)
    name = f"{corpus.record(1)['video_id']}/1"
    written, page = write(corpus, tmp_path, ids=["3", name, f"{name}/description"], num_frames=1)
    ids = [attrs["data-id"] for tag, attrs in page.tags if tag == "article"]
    assert ids == [f"{corpus.record(3)['video_id']}/3", name, f"{name}/description"]
    assert written.num == 3


def test_tasks_that_there_are_not_are_refused(shapes_set: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample of task refering; its tasks are .*\breferring\b"):
        write(corpus_at(shapes_set), tmp_path, tasks=["refering"])
    assert not (tmp_path / "index.html").exists()
    assert write(corpus_at(shapes_set), tmp_path, tasks=["refering", "referring"])[0].num > 0


@pytest.mark.parametrize("wanted", ["4", "-1", "x", "other/1", "3/description/x"])
def test_unknown_id_is_refused(shapes_set: Path, tmp_path: Path, wanted: str) -> None:
    with pytest.raises(DataError, match=r"has no sample.*record"):
        write(corpus_at(shapes_set), tmp_path, ids=[wanted])


def test_text_in_records_stays_text(shapes_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    shutil.copytree(shapes_set, folder)
    records = json.loads((folder / "records.json").read_text())
    for record in records:
        record["video_id"] = EVIL
        record["conversation"][0]["value"] += EVIL
        record["conversation"][1]["value"] += f"<p>{EVIL}</p>"
        record["description"] = dict.fromkeys(record["description"], EVIL)
        for turn in record["turns"]:
            turn.update(task=EVIL, kind=EVIL)
    (folder / "records.json").write_text(json.dumps(records))
    _, page = write(corpus_at(folder), tmp_path / "out", num_frames=1)
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]
    assert [attrs for _, attrs in page.tags if "onerror" in attrs] == []
    assert EVIL in page.text


def test_a_video_that_cannot_be_read_is_named_and_the_rest_goes_on(shapes_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(shapes_set, folder)
    (folder / "videos/00000.mp4").unlink()
    (folder / "videos/00001.mp4").write_bytes(b"no video")
    written, page = write(corpus_at(folder), tmp_path / "out", with_sheets=True)
    assert written.num == 4
    assert len(written.faults) == 4
    assert sum("does not exist" in fault for fault in written.faults) == 2
    assert all("masks" in caption for caption in page.texts if caption.startswith("frame"))


def test_masks_are_shown_without_their_video(shapes_set: Path) -> None:
    sample = first_sample(shapes_set, video_path="gone.mp4")
    shown = show_sample(sample, 3)
    assert len(shown.tiles) == 3
    assert shown.tiles[0].caption == "masks of frame 0, no video"
    assert sum(len(tile.labels) for tile in shown.tiles) > 0
    assert (shown.tiles[0].picture == 128).any()
    assert len(shown.faults) == 1
    unseen = {mask_id: [None] * 5 for mask_id in sample.masks}
    assert show_sample(first_sample(shapes_set, video_path="gone.mp4", masks=unseen), 3).tiles == []


def test_masks_of_another_clip_are_told_and_not_drawn(shapes_set: Path) -> None:
    sample = first_sample(shapes_set)
    other = encode_mask(np.ones((8, 8), dtype=bool))
    masks = {i: [other] * len(track) for i, track in sample.masks.items()}
    shown = show_sample(first_sample(shapes_set, masks=masks), 2)
    assert len(shown.faults) == len(shown.things)
    assert "(8, 8)" in shown.faults[0]
    assert shown.tiles[0].labels == []
    short = show_sample(first_sample(shapes_set, masks={i: t[:3] for i, t in sample.masks.items()}), 2)
    assert "3 masks for" in short.faults[0]


def test_defects_are_left_out_and_said(tmp_path: Path) -> None:
    published = write_published(tmp_path / "set")
    PLANTED["region-count"].plant(published)
    (records,) = published.records
    written, page = write(open_corpus(records, published.masks, published.media), tmp_path / "out")
    assert written.left_out == {"region-count": 1}
    assert "1 region-count" in page.text


def test_a_thousand_objects_and_a_long_dialogue_stay_readable(shapes_set: Path) -> None:
    sample = first_sample(shapes_set)
    track = next(iter(sample.masks.values()))
    ids = tuple(f"m{k}" for k in range(1000))
    turns = [Turn("Find all.", "<p> All </p> [SEG]", (), (ids,))]
    turns += [Turn("What is <mask>? " + "long " * 40, "x" * 500, (ids[k],)) for k in range(200)]
    shown = show_sample(Sample("s", sample.video_path, tuple(turns), dict.fromkeys(ids, track)), 2)
    assert len(shown.tiles[0].labels) <= MOST_THINGS
    assert shown.notes == [f"{1000 - MOST_THINGS} more objects are not drawn."]
    sheet = draw_sheet(shown)
    assert sheet.shape[0] < 12_000
    assert sheet.shape[1] < 1600
    page = Page(format_article(shown, ["a", "b"]).html)
    assert f"{201 - UNFOLDED_TURNS} more turns" in page.text
    assert MOST_TURNS < 201


def test_text_alone_has_no_frames() -> None:
    shown = show_sample(Sample("s", "", (Turn("Hi?", "Hello."),), {}), 6)
    assert (shown.tiles, shown.faults) == ([], [])
    assert "Text alone." in Page(format_article(shown, []).html).text
    assert draw_sheet(shown).ndim == 3


def test_empty_corpus_gives_an_empty_page(tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text("[]")
    (tmp_path / "mask_dict.json").write_text("{}")
    written, page = write(corpus_at(tmp_path), tmp_path / "out")
    assert written.num == 0
    assert "0 of 0 records" in page.text


@pytest.mark.parametrize("settings", [{"num": 0}, {"num_frames": 0}, {"seed": -1}])
def test_bad_numbers_are_refused(shapes_set: Path, tmp_path: Path, settings: dict[str, int]) -> None:
    with pytest.raises(DataError, match="expected"):
        write(corpus_at(shapes_set), tmp_path, **settings)
