"""What long videos cost: `sama bench memory` and `sama bench long`.

The videos are scenes of the small world shown forward and backward again and again, so that their objects move on
steadily however long they last. Each measurement runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.evaluation.apart import measure_apart, peak_mb, report
from sama_plugin.evaluation.metrics.region_similarity import region_similarity
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import decode_track, encode_mask
from sama_plugin.media.transforms import masks_to_video

SIDES = ("sama", "sam2")
LENGTHS = (200, 2_000, 10_000)
SIZE = (360, 640)
FPS = 25.0
SPLIT, SEED = "test", 15
"""Of the small world; the next seed shows the rest of a long video."""

BUDGET_MB = 32
"""Of SAM2's features: all of a short clip would fit in the default budget, of a long one not."""

LONG_S, LONG_FPS = 2 * 3600, 5.0
EVENT_S = 7_180.0


class LengthCost(NamedTuple):
    """What one video cost.

    Attributes:
        frames: of the video.
        peak_mb: of the process.
        seconds: of the question and its masks, or of tracking, without loading the model.
        shown: share of frames with a mask.
    """

    frames: int
    peak_mb: float
    seconds: float
    shown: float


class LongAnswer(NamedTuple):
    """An answer about a few seconds of a video.

    Attributes:
        first_token_s: from the question to the first token.
        seconds: of the whole turn.
        opened_s: of opening the video.
        text: of the answer.
        iou: of the mask with the truth; the mean over the window.
    """

    first_token_s: float
    seconds: float
    opened_s: float
    text: str
    iou: float


def _to_and_fro(count: int, length: int) -> Iterator[int]:
    """0, 1, ..., n - 1, n - 2, ..., 0, 1, ... for n = `length`, so many."""
    period = max(1, 2 * (length - 1))
    for t in range(count):
        step = t % period
        yield min(step, period - step)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.NEAREST))


def write_long_video(path: Path, seed: int, num_frames: int, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Show a scene to and fro.

    Args:
        path: of the video.
        seed: of the scene.
        num_frames: of the video.
        size: (H, W).

    Returns:
        (H, W) bool mask of an object on the first frame, and its name.
    """
    scene, frames, tracks = sample_clip(seed, SPLIT)
    shown = [_resized(frame, size) for frame in frames]
    steps = tqdm(
        _to_and_fro(num_frames, len(shown)), desc=path.name, total=num_frames, unit="frame", disable=None
    )
    write_video(path, (shown[t] for t in steps), FPS)
    return _resized(tracks[0, 0], size), scene.objects[0].name


def measure_memory(
    folder: Path, lengths: Sequence[int] = LENGTHS, *, sides: Sequence[str] = SIDES
) -> dict[str, list[LengthCost | None]]:
    """Track one object through videos of several lengths, by a session and by SAM2's own predictor.

    Args:
        folder: SAMA checkpoint.
        lengths: in frames.
        sides: some of `SIDES`.

    Returns:
        side → cost of each length; None where the process was killed, as one is that runs out of memory.

    Raises:
        SamaError: a side failed in another way.
    """
    costs: dict[str, list[LengthCost | None]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as work:
        for length in lengths:
            video, mask = Path(work) / f"{length}.mp4", Path(work) / f"{length}.png"
            pointed, name = write_long_video(video, SEED, length, SIZE)
            Image.fromarray(pointed.astype(np.uint8) * 255).save(mask)
            for side in sides:
                command = [__name__, side, "--model", str(folder)]
                command += ["--video", str(video), "--mask", str(mask), "--question", f"Segment the {name}."]
                made = measure_apart(command, f"{length} frames, side '{side}'")
                costs[side].append(None if made is None else LengthCost(**made))
    return costs


def _measure_side(side: str, folder: Path, video: Path, mask: Path, question: str) -> LengthCost:
    """In this process."""
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.host.loading import load_sama_model
    from sama_plugin.inference.session import VideoSession

    tokenizer, model, processor, _ = load_sama_model(str(folder), torch_dtype=torch.float32)
    clip = VideoClip.open(video)
    started = time.perf_counter()
    if side == "sama":
        session = VideoSession(
            model, tokenizer, processor, clip, sam2_budget_bytes=BUDGET_MB * 2**20, max_new_tokens=40
        )
        objects = session.ask(question).objects
        shown = sum(rle is not None for thing in objects for rle in thing.rle) / clip.num_frames
    else:
        from sama_plugin.grounding.reference_tracker import build_predictor, track_with_predictor

        pointed = torch.from_numpy(np.asarray(Image.open(mask)) > 0)[None]
        predictor = build_predictor(model.sam2_head.sam2, model.sama.sam2)
        rles = [
            encode_mask(mask)
            for frame in track_with_predictor(predictor, clip, {0: pointed})
            for mask in masks_to_video(frame.logits, clip.height, clip.width).numpy()
            if mask.any()
        ]
        shown = len(rles) / clip.num_frames
    seconds = time.perf_counter() - started
    return LengthCost(clip.num_frames, peak_mb(), seconds, shown)


def format_memory(costs: dict[str, list[LengthCost | None]]) -> str:
    """A table, and by how much the peaks differ."""
    lines = [f"{'side':<8}{'frames':>8}{'peak, MB':>10}{'seconds':>9}{'frames with a mask':>20}"]
    for side, own in costs.items():
        for cost in own:
            lines.append(
                f"{side:<8}{'killed':>8}"
                if cost is None
                else f"{side:<8}{cost.frames:>8}{cost.peak_mb:>10.0f}{cost.seconds:>9.1f}{cost.shown:>19.0%}"
            )
        peaks = [cost.peak_mb for cost in own if cost is not None]
        if len(peaks) > 1:
            lines.append(f"{side}: largest peak / smallest: {max(peaks) / min(peaks):.3f}")
    return "\n".join(lines)


def plot_memory(costs: dict[str, list[LengthCost | None]], path: Path) -> None:
    """Draw the peaks against the length, as far as each side got."""
    from sama_plugin.evaluation.line_plot import plot_lines

    lengths = [cost.frames for cost in costs["sama"] if cost is not None]
    lines = {side: [cost.peak_mb for cost in own if cost is not None] for side, own in costs.items()}
    plot_lines(path, [("one object", lengths, lines)], x="frames", y="peak, MB")


def measure_long(parts: tuple[Any, Any, Any], *, length_s: int = LONG_S) -> dict[str, LongAnswer]:
    """Ask about an event of some ten seconds, alone and near the end of a long video.

    Args:
        parts: model, tokenizer and image processor.
        length_s: of the long video, seconds.

    Returns:
        `alone` and `long`.
    """
    scene, event, tracks = sample_clip(SEED, SPLIT)
    track, name = tracks[0], scene.objects[0].name
    _, rest, _ = sample_clip(SEED + 1, SPLIT)
    begins = int((EVENT_S if length_s == LONG_S else length_s / 2) * LONG_FPS)
    total = int(length_s * LONG_FPS)
    answers = {}
    with tempfile.TemporaryDirectory() as work:
        for label in ("alone", "long"):
            path = Path(work) / f"{label}.mp4"
            if label == "alone":
                write_video(path, iter(event), LONG_FPS)
                start = 0
            else:
                start = begins
                others = tqdm(
                    _to_and_fro(total, len(rest)), desc=path.name, total=total, unit="frame", disable=None
                )
                write_video(
                    path,
                    (
                        event[i - start] if start <= i < start + len(event) else rest[t]
                        for i, t in enumerate(others)
                    ),
                    LONG_FPS,
                )
            answers[label] = _ask(parts, path, start, track, name)
    return answers


def _ask(parts: tuple[Any, Any, Any], video: Path, start: int, track: np.ndarray, name: str) -> LongAnswer:
    from sama_plugin.inference.session import VideoSession

    begun = time.perf_counter()
    clip = VideoClip.open(video)
    opened = time.perf_counter()
    window = (start / LONG_FPS, (start + len(track)) / LONG_FPS)
    session = VideoSession(*parts, video=clip, window=window if clip.num_frames > len(track) else None)
    answer = session.ask(f"Segment the {name}.")
    ended = time.perf_counter()
    iou = 0.0
    for thing in answer.objects[:1]:
        found = thing.rle[start : start + len(track)]
        iou = float(region_similarity(track, decode_track(found, track.shape[1:])).mean())
    return LongAnswer(answer.timing_s["first_token"], ended - opened, opened - begun, answer.text, iou)


def format_long(answers: dict[str, LongAnswer]) -> str:
    """A table."""
    lines = [f"{'video':<8}{'opening, s':>12}{'first token, s':>16}{'turn, s':>9}{'mask IoU':>10}  answer"]
    for label, a in answers.items():
        lines.append(
            f"{label:<8}{a.opened_s:>12.2f}{a.first_token_s:>16.3f}{a.seconds:>9.2f}{a.iou:>10.2f}  {a.text}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one side in this process and print one JSON line; `measure_memory` calls it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    for name in ("model", "video", "mask"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--question", required=True)
    options = parser.parse_args(argv)
    chosen = (options.side, options.model, options.video, options.mask, options.question)
    report(lambda: _measure_side(*chosen)._asdict())


if __name__ == "__main__":
    main()
