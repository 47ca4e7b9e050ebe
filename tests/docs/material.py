"""Files that the README's commands name: small, rendered, the same every time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from sama_plugin.cli.demo import DEFAULT_SCENE, VIDEO_CRF
from sama_plugin.data.shapes import make_shapes
from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.demo.story import SPLIT
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import encode_mask, encode_track
from tests.data.annotation.made_tracks import line, rectangle_track
from tests.host.test_patch import UPSTREAM_INIT

CLIP_SCENE = 44
"""Of `sama demo --scene`: a star moves to the left until it hits a circle."""

FILM_FPS = 0.1
FILM_FRAMES = 730
MARK_FRAME = 12
ROOT_SEED, ROOT_VIDEOS = 7, 10


def write_material(folder: Path) -> None:
    """Write all of them.

    Args:
        folder: gets clip.mp4, film.mp4 (two hours, a frame every ten seconds), jobs.jsonl, own.json with dog.png and
            ball.json, sav_000001_manual.json; ROOT, a small data set; host, the file of LLaVA-NeXT that the patch
            touches.
    """
    scene, frames, tracks = sample_clip(CLIP_SCENE, SPLIT)
    write_video(folder / "clip.mp4", frames, scene.fps, crf=VIDEO_CRF)
    other, shown, _ = sample_clip(DEFAULT_SCENE, SPLIT)
    write_video(folder / "my_video.mp4", shown, other.fps, crf=VIDEO_CRF)
    film = [frames[k % len(frames)] for k in range(FILM_FRAMES)]
    write_video(folder / "film.mp4", film, FILM_FPS, crf=VIDEO_CRF)
    job = {"video": "clip.mp4", "ask": ["What moves?"]}
    (folder / "jobs.jsonl").write_text(f"{json.dumps(job)}\n")
    _write_own(folder, tracks)
    _write_sav(folder)
    make_shapes(folder / "ROOT", ROOT_SEED, ROOT_VIDEOS, progress=False)
    _write_host(folder / "host")


def _write_own(folder: Path, tracks: np.ndarray) -> None:
    """Data by hand: one object pointed at on a frame, the other with a mask for every frame."""
    dog, ball = tracks[:2]
    Image.fromarray(dog[MARK_FRAME].astype(np.uint8) * 255).save(folder / "dog.png")
    (folder / "ball.json").write_text(json.dumps(encode_track(ball)))
    regions = {"dog": {"frame": MARK_FRAME, "mask": "dog.png"}, "ball": {"masks": "ball.json"}}
    turn = {"question": "What does <dog> do?", "answer": "It runs after <p>the ball</p>[SEG:ball]."}
    item = {"video": "clip.mp4", "regions": regions, "turns": [turn]}
    (folder / "own.json").write_text(json.dumps({"items": [item]}))


def _write_sav(folder: Path) -> None:
    """Tracks of two rectangles in the form of SA-V."""
    ways = [((10, 24), (54, 24)), ((40, 8), (40, 40))]
    masklets = [rectangle_track(line(*way, frames=12), (10, 10)) for way in ways]
    document = {
        "video_id": "sav_000001",
        "video_height": masklets[0].shape[1],
        "video_width": masklets[0].shape[2],
        "masklet_num": len(masklets),
        "masklet": [[encode_mask(track[k]) for track in masklets] for k in range(len(masklets[0]))],
    }
    (folder / "sav_000001_manual.json").write_text(json.dumps(document))


def _write_host(checkout: Path) -> None:
    (checkout / "llava").mkdir(parents=True)
    file = checkout / "llava" / "__init__.py"
    file.write_text(UPSTREAM_INIT)
    file.chmod(0o755)  # as upstream
    subprocess.run(["git", "-C", str(checkout), "init", "-q"], check=True)
