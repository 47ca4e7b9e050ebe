from __future__ import annotations

import gc
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.errors import MediaError
from sama_plugin.grounding.feature_store import READ_THROUGH, FeatureStore
from tests.grounding.tiny_sam2 import (
    SIDE,
    WIDTH,
    MemoryClip,
    encoded,
    new_decoder,
    new_head,
    prompt_embeds,
    square_masks,
)

LOW = SIDE // 16
SEG_BYTES = 4 * (WIDTH // 8 * (4 * LOW) ** 2 + WIDTH // 4 * (2 * LOW) ** 2)
FRAME_BYTES = SEG_BYTES + 4 * WIDTH * LOW**2
"""Of a frame in float32: three levels by SAM2's own decoder."""


def new_store(num_frames: int = 12, **settings: Any) -> FeatureStore:
    return FeatureStore(new_head(), MemoryClip(num_frames), **settings)


def decoded(store: FeatureStore) -> list[int]:
    """Frames the video was decoded for since the last call."""
    clip = store.clip
    assert isinstance(clip, MemoryClip)
    seen, clip.decoded = clip.decoded, []
    return seen


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_features_are_the_heads_and_a_second_walk_opens_nothing() -> None:
    store = new_store()
    raw = encoded(store.head, store.clip, [3, 4, 5])
    decoder = store.head.sam2.sam_mask_decoder
    for i, features in store.walk(range(3, 6)):
        expected = raw.take(torch.tensor([i - 3])).project(decoder)
        assert features.projected_by is decoder
        for got, want in zip(features.levels, expected.levels, strict=True):
            torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
        assert torch.equal(features.pos, raw.pos)
    assert decoded(store) == [3, 4, 5]
    assert [i for i, _ in store.walk(range(5, 2, -1))] == [5, 4, 3]
    store.frame(4)
    assert decoded(store) == []
    assert store.frames_encoded == 3
    assert store.bytes_held == 3 * FRAME_BYTES


def test_missing_frames_are_read_on_in_both_directions() -> None:
    store = new_store(60)
    list(store.walk([10, 12, 50]))
    clip = store.clip
    assert isinstance(clip, MemoryClip)
    assert clip.num_openings == 2
    decoded(store)
    list(store.walk(range(9, 15)))
    assert clip.num_openings == 3
    assert decoded(store) == list(range(9, 15))
    list(store.walk(range(17, 6, -1)))
    assert clip.num_openings == 4
    assert decoded(store) == list(range(17, 6, -1))
    list(store.walk([50 - READ_THROUGH - 1, 50, 51]))  # seeks past what is far
    assert decoded(store) == [50 - READ_THROUGH - 1, 51]


def test_a_clip_may_grow() -> None:
    store = new_store(12)
    clip = store.clip
    assert isinstance(clip, MemoryClip)
    clip.num_frames = 4
    list(store.walk(range(4)))
    clip.num_frames = 6
    list(store.walk(range(6)))
    assert store.frames_encoded == 6


def test_fine_tuned_levels_are_kept_where_they_were_wanted() -> None:
    store, decoder = new_store(), new_decoder()
    features = store.frame(2, decoder)
    raw = encoded(store.head, store.clip, [2])
    torch.testing.assert_close(features.levels[0], raw.project(decoder).levels[0])
    assert features.projected_by is decoder
    assert store.bytes_held == FRAME_BYTES + SEG_BYTES
    store.frame(2)
    store.frame(2, decoder)
    assert store.frames_encoded == 1, "both projections of one encoding"
    store.frame(3)
    store.frame(3, decoder)
    store.frame(3, decoder)
    assert store.frames_encoded == 3, "raw levels are not kept"
    other = new_decoder(object_bias=1)
    store.frame(2, other)
    assert store.frames_encoded == 4
    assert store.bytes_held == 2 * FRAME_BYTES + SEG_BYTES


def test_recompute_keeps_what_fits_and_encodes_the_rest_again() -> None:
    store = new_store(budget_bytes=3 * FRAME_BYTES + 5)
    for _ in range(2):
        assert len(list(store.walk(range(5)))) == 5
    assert store.bytes_held == 3 * FRAME_BYTES
    assert store.frames_encoded == 5 + 2
    nothing = new_store(budget_bytes=0)
    for _ in range(2):
        list(nothing.walk(range(2)))
    assert (nothing.bytes_held, nothing.frames_encoded) == (0, 4)


def test_masks_do_not_depend_on_the_budget(temp: Path) -> None:
    decoder = new_decoder(object_bias=20)

    def run(**settings: Any) -> list[np.ndarray]:
        store = FeatureStore(new_head(min_score=0.0), MemoryClip(20), **settings)
        first = [f.masks for f in store.head.ground(store, prompt_embeds(2), decoder).frames]
        again = [f.masks for f in store.head.ground(store, prompt_embeds(2), decoder).frames]
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        return first

    for settings in ({"budget_bytes": 0}, {"budget_bytes": 9 * FRAME_BYTES}):
        assert all(np.array_equal(a, b) for a, b in zip(run(), run(**settings), strict=True))
    rounded = run(beyond="disk")
    assert all(np.array_equal(a, b) for a, b in zip(rounded, run(beyond="disk", budget_bytes=0), strict=True))


def test_disk_takes_what_memory_does_not_and_gives_it_back_bit_by_bit(temp: Path) -> None:
    store, decoder = new_store(beyond="disk", budget_bytes=FRAME_BYTES), new_decoder()
    first = dict(store.walk(range(4)))
    seg = store.frame(3, decoder)
    assert store.bytes_held == FRAME_BYTES, "two frames in float16"
    (folder,) = temp.iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["2.own", "3.own", "3.seg"]
    assert sum(p.stat().st_size for p in folder.iterdir()) == FRAME_BYTES + SEG_BYTES // 2
    for i, features in store.walk(range(4)):
        for got, want in zip(features.levels, first[i].levels, strict=True):
            assert got.dtype == torch.float32
            assert torch.equal(got, want)
            assert torch.equal(got, got.half().float())
    assert torch.equal(store.frame(3, decoder).levels[0], seg.levels[0])
    assert store.frames_encoded == 5
    store.frame(3, new_decoder(object_bias=1))
    store.close()
    assert list(temp.iterdir()) == []
    assert store.bytes_held == 0
    store.frame(0)
    assert store.frames_encoded == 7


def test_folder_goes_with_the_store_and_with_python(temp: Path) -> None:
    store = new_store(beyond="disk", budget_bytes=0)
    store.frame(0)
    assert len(list(temp.iterdir())) == 1
    del store
    gc.collect()
    assert list(temp.iterdir()) == []
    script = (
        "from tests.grounding.test_feature_store import new_store\n"
        "store = new_store(beyond='disk', budget_bytes=0)\nstore.frame(0)\nassert store._folder.is_dir()\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root, env={"TMPDIR": str(temp)})
    assert list(temp.iterdir()) == []


def test_disk_that_takes_no_more_is_told_and_holds_no_half_file(temp: Path) -> None:
    store = new_store(beyond="disk", budget_bytes=FRAME_BYTES // 2)
    list(store.walk([0, 1]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FRAME_BYTES // 4, limits[1]))
    try:
        with pytest.raises(MediaError, match=r"frame 2 .*File too large.*TMPDIR.*recompute"):
            store.frame(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in temp.glob("*/*")] == ["1.own"]
    store.frame(2)
    assert store.frames_encoded == 4


def test_folder_that_cannot_be_made_or_was_cleared_is_told(
    temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(beyond="disk", budget_bytes=0)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temp / "missing"))
        with pytest.raises(MediaError, match=r"missing.*set TMPDIR"):
            store.frame(0)
    store.frame(0)
    for path in temp.glob("*/*"):
        path.unlink()
    with pytest.raises(MediaError, match="do not clear the folder"):
        store.frame(0)


def test_budget_below_one_frame_is_told_with_both_numbers() -> None:
    store = new_store(budget_bytes=1000)
    with pytest.raises(MediaError, match=f"take {FRAME_BYTES} bytes.* is 1000; set it to {FRAME_BYTES}"):
        store.frame(0)
    with pytest.raises(MediaError, match="-1 bytes"):
        new_store(budget_bytes=-1)
    with pytest.raises(MediaError, match="'cloud', expected one of recompute, disk"):
        new_store(beyond="cloud")


def test_reading_may_stop_at_any_frame() -> None:
    store = FeatureStore(new_head(min_score=0.0), MemoryClip(12))
    decoder = new_decoder(object_bias=20)
    whole = [f.masks for f in store.head.ground(store, prompt_embeds(2), decoder).frames]
    other = FeatureStore(store.head, MemoryClip(12))
    for stop in (0, 3):
        frames = store.head.ground(other, prompt_embeds(2), decoder).frames
        for _ in range(stop):
            next(frames)
        del frames
    again = [f.masks for f in store.head.ground(other, prompt_embeds(2), decoder).frames]
    assert all(np.array_equal(a, b) for a, b in zip(again, whole, strict=True))
    assert other.frames_encoded == 12
    walk = other.walk(range(3))
    next(walk)
    walk.close()
    assert list(store.head.propagate(other, {0: square_masks((5, 5, 40, 30))}))
    assert other.frames_encoded == 12
