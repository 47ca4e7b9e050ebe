import gc
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.media.live import LiveClip

FRAMES = np.random.default_rng(0).integers(0, 256, (12, 20, 30, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def spools(tmp_path, monkeypatch):
    """Where clips keep their frames."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def clip():
    clip = LiveClip(FRAMES[:5], fps=10)
    clip.append(FRAMES[5:6])
    clip.append(FRAMES[6:])
    return clip


def test_frames_come_back_as_they_were_given(clip):
    assert (clip.path, clip.num_frames, clip.height, clip.width, clip.fps) == ("live", 12, 20, 30, 10.0)
    asked = [11, 0, 5, 5, 4]
    np.testing.assert_array_equal(clip.read(asked), FRAMES[asked])
    forward, backward = list(clip.iter_frames(2)), list(clip.iter_frames_reversed(9, 3))
    assert [number for number, _ in forward] == list(range(2, 12))
    assert [number for number, _ in backward] == list(range(9, 2, -1))
    for number, frame in forward + backward:
        np.testing.assert_array_equal(frame, FRAMES[number])


def test_frames_without_times_are_spaced_by_the_rate(clip):
    np.testing.assert_allclose(clip.timestamps_s, np.arange(12) / 10)
    assert clip.duration_s == pytest.approx(1.2)
    assert clip.frame_at(0.55) == 5
    assert clip.time_of(7) == pytest.approx(0.7)
    assert clip.damage is None


def test_times_count_from_the_first_frame():
    clip = LiveClip(FRAMES[:3], [1000.0, 1000.5, 1002.0])
    clip.append(FRAMES[3:4], [1003.0])
    clip.append(FRAMES[4:6])
    np.testing.assert_allclose(clip.timestamps_s, [0, 0.5, 2, 3, 3 + 1 / 24, 3 + 2 / 24])
    assert clip.fps == pytest.approx(5 / (3 + 2 / 24))
    assert clip.frame_at(1.9) == 1


def test_window_is_a_clip_that_stays(clip):
    window = clip.window(4, 12)
    clip.append(FRAMES)
    assert (window.num_frames, clip.num_frames) == (8, 24)
    np.testing.assert_array_equal(window.read([0, 7]), FRAMES[[4, 11]])


def test_reader_sees_the_clip_as_it_was_when_it_began(clip):
    reading = clip.iter_frames(10)
    seen = [next(reading)[0]]
    times = clip.timestamps_s
    clip.append(FRAMES)
    seen += [number for number, _ in reading]
    assert seen == [10, 11]
    assert len(times) == 12


WRONG_FRAMES = [
    (FRAMES[:2, :10], r"are \(2, 10, 30, 3\) uint8, expected \(n, 20, 30, 3\) uint8"),
    (FRAMES[:2].astype(np.float32), r"\(2, 20, 30, 3\) float32, expected \(n, 20, 30, 3\) uint8"),
    (FRAMES[0], r"are \(20, 30, 3\) uint8"),
]


@pytest.mark.parametrize(("frames", "match"), WRONG_FRAMES, ids=["size", "dtype", "one"])
def test_frames_of_another_form_are_refused(clip, frames, match):
    with pytest.raises(MediaError, match=match):
        clip.append(frames)
    assert clip.num_frames == 12


WRONG_TIMES = [
    ([0.9, 1.5], r"1\.1 s"),
    ([1.1, 1.2], r"1\.1 s comes after 1\.1"),
    ([2.0, 2.0], r"2\.0 s comes after 2\.0 s"),
    ([2.0, float("nan")], "nan"),
    ([2.0, float("inf")], "inf"),
    ([2.0], r"are \(1,\), expected \(2,\)"),
]


@pytest.mark.parametrize(("times", "match"), WRONG_TIMES)
def test_times_that_do_not_rise_are_refused(clip, spools, times, match):
    with pytest.raises(MediaError, match=match):
        clip.append(FRAMES[:2], times)
    assert clip.num_frames == 12
    assert len(list(spools.rglob("*.png"))) == 12


@pytest.mark.parametrize("frames", [FRAMES[:0], FRAMES[0], FRAMES[:, :0]], ids=["none", "one", "empty"])
def test_clip_cannot_begin_without_frames(frames):
    with pytest.raises(MediaError, match="First frames of 'live'"):
        LiveClip(frames)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_rate_has_to_be_positive(fps):
    with pytest.raises(MediaError, match="Frame rate"):
        LiveClip(FRAMES, fps=fps)


def test_nothing_appended_changes_nothing(clip):
    clip.append(FRAMES[:0])
    assert clip.num_frames == 12


def test_full_disk_leaves_the_clip_as_it_was(clip, spools):
    # A limit on the size of files, which fails as a full disk does: the first new frame fits, the second does not.
    plain, noisy = np.zeros_like(FRAMES[:1]), FRAMES[:1]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(MediaError, match="cannot be kept in"):
            clip.append(np.concatenate([plain, noisy]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert clip.num_frames == 12
    assert len(list(spools.rglob("*.png"))) == 12
    clip.append(noisy)
    np.testing.assert_array_equal(clip.read([12]), noisy)


def test_closing_removes_the_frames(clip, spools):
    window = clip.window(0, 3)
    clip.close()
    clip.close()
    assert list(spools.iterdir()) == []
    for use in (lambda: clip.read([0]), lambda: window.read([0]), lambda: clip.append(FRAMES)):
        with pytest.raises(MediaError, match="'live' is closed"):
            use()


def test_frames_are_removed_with_the_last_that_can_read_them(spools):
    clip = LiveClip(FRAMES)
    window = clip.window(1, 3)
    del clip
    gc.collect()
    np.testing.assert_array_equal(window.read([0]), FRAMES[1:2])
    del window
    gc.collect()
    assert list(spools.iterdir()) == []


def test_frames_are_removed_when_the_interpreter_ends(spools):
    code = (
        "import numpy as np; from sama_plugin.media.live import LiveClip; "
        "clip = LiveClip(np.zeros((2, 8, 8, 3), np.uint8)); print(clip._spool.folder)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"TMPDIR": str(spools), "PYTHONPATH": ":".join(sys.path)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    folder = Path(done.stdout.strip())
    assert folder.parent == spools
    assert not folder.exists()


def test_memory_stays_flat_while_a_clip_grows():
    frames = np.zeros((10, 360, 640, 3), np.uint8)  # 7 MB; 415 MB in all
    clip = LiveClip(frames)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(60):
        clip.append(frames)
    assert clip.num_frames == 610
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000
