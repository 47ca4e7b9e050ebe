"""The small world: writes a set of videos, masks and dialogues in the SAMA-239K record format.

    out/videos/<id>.mp4    one clip each
    out/records.json       list of records, one per dialogue
    out/mask_dict.json     {mask id: [RLE or null per frame]}, ids unique in the set
    out/meta.json          seed, split, held-out pairs, counts; written last

Video k depends on seed, split and k only. Each video's facts wait in `out/parts/` until all are done, so an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import functools
import json
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sama_plugin.data.shapes.dialogues import make_dialogues
from sama_plugin.data.shapes.render import render_clip
from sama_plugin.data.shapes.rounds import Round, describe_object
from sama_plugin.data.shapes.world import HEIGHT, HELD_OUT_PAIRS, SPLITS, WIDTH, Scene, sample_scene
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import encode_track

SCHEMA = "sama.shapes/3"
DIALOGUES_PER_VIDEO = 2
IDS_PER_VIDEO = 8
VIDEO_CRF = 18
SCENE_STREAM, DIALOGUE_STREAM = 0, 1


def make_shapes(
    out: str | Path,
    seed: int,
    num_videos: int,
    split: str = "test",
    *,
    dialogues: int = DIALOGUES_PER_VIDEO,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Write a set of the small world; goes on with an interrupted one and leaves a finished one alone.

    Args:
        out: folder, made if missing.
        seed: of the whole set; 0 or more.
        num_videos: 1 or more.
        split: see `world.sample_scene`; only `test` shows and names `HELD_OUT_PAIRS`, in most videos, `unnamed` and
            `still` are for the tiny preset.
        dialogues: per video, each its own record.
        workers: processes; the result does not depend on it.
        progress: whether to show a bar.

    Raises:
        DataError: a bad number or split, or a folder that holds another set.
        MediaError: a video cannot be written.
    """
    out = Path(out)
    settings = {
        "schema": SCHEMA,
        "seed": seed,
        "split": split,
        "num_videos": num_videos,
        "dialogues": dialogues,
    }
    _check(settings, workers)
    if _is_finished(out, settings):
        return
    (out / "videos").mkdir(parents=True, exist_ok=True)
    (out / "parts").mkdir(exist_ok=True)
    make = functools.partial(make_video, out, seed, split, dialogues)
    bar = functools.partial(
        tqdm, total=num_videos, desc=f"shapes {split}", unit="video", disable=None if progress else True
    )
    if workers == 1:
        for _ in bar(map(make, range(num_videos))):
            pass
    else:
        with ProcessPoolExecutor(workers) as pool:
            for _ in bar(pool.map(make, range(num_videos), chunksize=4)):
                pass
    _join_parts(out, settings)
    shutil.rmtree(out / "parts")


def make_video(out: Path, seed: int, split: str, dialogues: int, index: int) -> None:
    """Write video `index` and its facts, unless both are there already; for `make_shapes`."""
    part_path = out / "parts" / f"{index:05d}.json"
    video_path = out / "videos" / f"{index:05d}.mp4"
    made_with = {"schema": SCHEMA, "seed": seed, "split": split, "dialogues": dialogues}
    if video_path.exists() and part_path.exists():
        part = json.loads(part_path.read_text())
        if {key: part[key] for key in made_with} == made_with:
            return
    scene, frames, tracks = sample_clip(seed, split, index)
    write_video(video_path, frames, scene.fps, crf=VIDEO_CRF)
    visible = np.asarray(tracks.any(axis=(2, 3)))
    rng = random_stream(seed, split, index, DIALOGUE_STREAM)
    made = make_dialogues(scene, rng, dialogues, visible, split=split)
    records = [make_record(scene, rounds, split, index, i) for i, rounds in enumerate(made)]
    mask_dict = {str(index * IDS_PER_VIDEO + k): encode_track(track) for k, track in enumerate(tracks)}
    part = made_with | {"records": records, "masks": mask_dict}
    write_text(part_path, [_to_json(part)])


def sample_clip(seed: int, split: str, index: int = 0) -> tuple[Scene, np.ndarray, np.ndarray]:
    """A scene, its frames and the masks of its objects; the same arguments give the same clip.

    Args:
        seed: 0 or more.
        split: see `make_shapes`.
        index: of the video.

    Returns:
        The scene, (T, H, W, 3) uint8 RGB, and (K, T, H, W) bool.
    """
    scene = sample_scene(random_stream(seed, split, index, SCENE_STREAM), split)
    frames, masks = zip(*render_clip(scene), strict=True)
    return scene, np.stack(frames), np.stack(masks, axis=1)


def random_stream(seed: int, split: str, index: int, stage: int) -> np.random.Generator:
    """The generator of one stage of one video."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index, stage])


def make_record(scene: Scene, rounds: list[Round], split: str, index: int, number: int) -> dict[str, Any]:
    """One dialogue as a SAMA-239K record; `turns`, `held_out` and `objects` are additions to that format.

    Args:
        scene: what the video shows.
        rounds: the dialogue.
        split: named in the id.
        index: of the video.
        number: of the dialogue within the video.
    """
    first_id = index * IDS_PER_VIDEO
    return {
        "video": f"videos/{index:05d}.mp4",
        "video_id": f"{split}_{index:05d}_{number}",
        "height": HEIGHT,
        "width": WIDTH,
        "frames": None,
        "anno_map": [first_id + k for k in range(len(scene.objects))],
        "conversation": [
            {"from": speaker, "value": text}
            for r in rounds
            for speaker, text in (("human", r.question), ("gpt", r.answer))
        ],
        "obj_masks": [[first_id + k for k in r.regions] for r in rounds],
        "groundtruth": [[[first_id + k] for k in r.targets] for r in rounds],
        "description": {f"<obj{k}>": describe_object(thing) for k, thing in enumerate(scene.objects)},
        "turns": [
            {
                "task": r.task,
                "kind": r.kind,
                "span": None if r.span is None else list(r.span),
                "needs_history": r.needs_history,
                "refers": list(r.refers),
                "answer_key": r.answer_key,
            }
            for r in rounds
        ],
        "held_out": scene.held_out,
        "objects": [
            {
                "name": thing.name,
                "named": thing.named,
                "motion": thing.motion.kind,
                "direction": thing.motion.direction,
            }
            for thing in scene.objects
        ],
    }


def _check(settings: dict[str, Any], workers: int) -> None:
    for name, value, least in (
        ("seed", settings["seed"], 0),
        ("num_videos", settings["num_videos"], 1),
        ("dialogues", settings["dialogues"], 1),
        ("workers", workers, 1),
    ):
        if value < least:
            raise DataError(f"shapes: {name} is {value}, expected {least} or more.")
    if settings["split"] not in SPLITS:
        raise DataError(f"shapes: split is '{settings['split']}', expected one of {', '.join(SPLITS)}.")


def _is_finished(out: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder holds this very set; another finished set is an error."""
    meta_path = out / "meta.json"
    if not meta_path.exists():
        return False
    try:
        held = dict(json.loads(meta_path.read_text()))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{meta_path} cannot be read ({error}); remove it, or give another folder."
        ) from error
    wrong = {k: held.get(k) for k, v in settings.items() if held.get(k) != v}
    if wrong:
        asked = {k: settings[k] for k in wrong}
        raise DataError(f"{out} holds another set: it has {wrong}, asked for {asked}; give another folder.")
    return True


def _join_parts(out: Path, settings: dict[str, Any]) -> None:
    """Gather the facts of all videos; only one video's masks are in memory at a time."""
    counts: Counter[str] = Counter()
    paths = [out / "parts" / f"{index:05d}.json" for index in range(settings["num_videos"])]

    def records() -> Iterator[str]:
        for path in paths:
            for record in json.loads(path.read_text())["records"]:
                counts["dialogues"] += 1
                counts["held_out_dialogues"] += record["held_out"]
                counts.update(f"{turn['task']}/{turn['kind']}" for turn in record["turns"])
                yield _to_json(record)

    def masks() -> Iterator[str]:
        for path in paths:
            for key, track in json.loads(path.read_text())["masks"].items():
                yield f'"{key}":{_to_json(track)}'

    write_text(out / "mask_dict.json", _enclosed("{", masks(), "}"))
    write_text(out / "records.json", _enclosed("[", records(), "]"))
    meta = settings | {
        "held_out_pairs": [list(p) for p in HELD_OUT_PAIRS],
        "counts": dict(sorted(counts.items())),
    }
    write_text(out / "meta.json", [json.dumps(meta, indent=1), "\n"])


def _enclosed(opening: str, items: Iterable[str], closing: str) -> Iterator[str]:
    for i, item in enumerate(items):
        yield (",\n" if i else opening + "\n") + item
    yield f"\n{closing}\n"


def _to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
