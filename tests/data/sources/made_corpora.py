"""Tiny corpora in the published layouts of the public mixture, with known defects planted; every number is by hand."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.data.sources.forms import SourceFiles
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import Rle

HEIGHT, WIDTH = 40, 64
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1, half-open."""


def box_mask(*boxes: Box) -> np.ndarray:
    """(H, W) bool; True in any of the boxes."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def box_rle(*boxes: Box) -> Rle:
    return encode_mask(box_mask(*boxes))


def polygon(box: Box) -> list[float]:
    x0, y0, x1, y1 = box
    return [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)).save(path)


def write_frames(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        write_picture(folder / f"{name}.jpg")


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def make_mevis(root: Path) -> SourceFiles:
    """Two birds that overlap on frame 0; a third expression without words, a fourth without masks, a broken video."""
    frames = [f"{n:05d}" for n in range(3)]
    write_frames(root / "JPEGImages/birds", [*frames, "00003"])  # one more than the record names
    expressions = {
        "0": {"exp": "The birds flying away.", "obj_id": [0, 1], "anno_id": [4, 5]},
        "1": {"exp": "left bird", "obj_id": [0], "anno_id": [4]},
        "2": {"exp": " ", "obj_id": [0], "anno_id": [4]},
        "3": {"exp": "a ghost", "obj_id": [7], "anno_id": [99]},
    }
    videos = {"birds": {"frames": frames[::-1], "expressions": expressions}, "broken": {"frames": frames}}
    left = [box_rle((4, 4, 20, 20)), box_rle((4, 4, 20, 20)), None]
    right = [box_rle((12, 4, 30, 20)), None, box_rle((40, 4, 50, 20))]
    meta = write_json(root / "meta_expressions.json", {"videos": videos})
    masks = write_json(root / "mask_dict.json", {"4": left, "5": right, "6": left})
    return SourceFiles(meta, masks, root / "JPEGImages")


def make_revos(root: Path) -> SourceFiles:
    """A question, and an expression that means nothing."""
    frames = ["00000", "00005"]
    write_frames(root / "JPEGImages/UVO/cat", frames)
    expressions = {
        "0": {"exp": "Which animal could catch a mouse?", "obj_id": [1], "anno_id": [1], "type_id": 1},
        "1": {"exp": "the dog in the back", "obj_id": [], "anno_id": [], "type_id": 2},
    }
    videos = {"JPEGImages/UVO/cat": {"frames": frames, "expressions": expressions}}
    meta = write_json(root / "meta_expressions_train_.json", {"videos": videos})
    masks = write_json(root / "mask_dict.json", {"1": [box_rle((0, 0, 8, 8)), box_rle((2, 0, 10, 8))]})
    return SourceFiles(meta, masks, root)


YOUTUBE_COUNTS = {"zebra": {"0": 0, "1": 1, "10": 2, "2": 3}, "apple": {"0": 4}}
"""The running count of each expression: videos in the order of the file, ids sorted as text."""


def make_ref_youtube_vos(root: Path) -> SourceFiles:
    """Mask n is a box of width n + 1; the ids of expressions are written in another order than they sort."""
    videos, tracks = {}, {}
    for name, counts in YOUTUBE_COUNTS.items():
        write_frames(root / "train/JPEGImages" / name, ["00000", "00005"])
        expressions = {key: {"exp": f"thing {counts[key]}"} for key in sorted(counts, key=int)}
        videos[name] = {"frames": ["00000", "00005"], "expressions": expressions}
        tracks |= {str(n): [box_rle((0, 0, n + 1, 8)), None] for n in counts.values()}
    meta = write_json(root / "meta_expressions/train/meta_expressions.json", {"videos": videos})
    (root / "mask_dict.pkl").write_bytes(pickle.dumps(tracks))
    return SourceFiles(meta, root / "mask_dict.pkl", root / "train/JPEGImages")


def make_ref_sav(root: Path) -> SourceFiles:
    """Nine frames, three of them annotated; channel 2 is described, empty on the second; channel 1 has no words."""
    folder = root / "sav_000"
    folder.mkdir(parents=True)
    write_video(
        folder / "sav_000001.mp4", [np.full((HEIGHT, WIDTH, 3), 20 * n, np.uint8) for n in range(9)], fps=24
    )
    nothing = encode_mask(box_mask())
    rows = [[box_rle((0, 0, 5, 5)), nothing, box_rle((8 * n, 0, 8 * n + 6, 6))] for n in range(3)]
    rows[1][2] = nothing
    write_json(folder / "sav_000001_manual.json", {"video_id": "sav_000001", "masklet": rows})
    objects = {
        "2": {"formated": "A red kite. It drifts to the right.", "short_caps": ["A red kite"]},
        "0": {"formated": "A house in the corner.", "short_caps": ["A house"]},
        "1": {"formated": "", "short_caps": []},
    }
    paths = {
        name: f"sam_v_full/sav_000/sav_000001{end}"
        for name, end in (("video_path", ".mp4"), ("anno_path", "_manual.json"))
    }
    descriptions = write_json(root / "Ref-SAV.json", {"sav_000001": {**paths, "objects": objects}})
    return SourceFiles(descriptions, None, root)


def make_refcoco(root: Path) -> SourceFiles:
    """A cup of two parts that overlap, a plate; refs of another split, without mask, without image, without words."""
    write_picture(root / "train2014/COCO_train2014_000000000007.jpg")
    write_picture(root / "train2014/COCO_train2014_000000000008.jpg")
    image = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", **image} for n in (7, 8)]
    annotations = [
        {"id": 70, "image_id": 7, "segmentation": [polygon((4, 4, 24, 20)), polygon((14, 8, 34, 20))]},
        {"id": 71, "image_id": 7, "segmentation": [polygon((40, 4, 60, 30))]},
        {"id": 80, "image_id": 8, "segmentation": [polygon((0, 0, 8, 8))]},
    ]
    refs = [
        _ref(1, 70, 7, "train", "blue cup", "the cup?"),
        _ref(2, 71, 7, "train", "plate", " "),
        _ref(3, 80, 8, "val", "thing"),
        _ref(4, 99, 7, "train", "ghost"),
        _ref(5, 90, 9, "train", "elsewhere"),
    ]
    (root / "refcoco").mkdir()
    (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps(refs, protocol=0))
    instances = write_json(root / "refcoco/instances.json", {"images": images, "annotations": annotations})
    return SourceFiles(root / "refcoco/refs(unc).p", instances, root / "train2014")


def _ref(ref_id: int, ann_id: int, image_id: int, split: str, *sentences: str) -> dict[str, Any]:
    told = [
        {"sent": sent, "raw": sent.title(), "tokens": sent.split(), "sent_id": n}
        for n, sent in enumerate(sentences)
    ]
    return {"ref_id": ref_id, "ann_id": ann_id, "image_id": image_id, "split": split, "sentences": told}


def make_gcg_refcocog(root: Path) -> SourceFiles:
    """Two men by one phrase, a car whose phrase is inside another; one phrase and one mask are not there."""
    write_picture(root / "train2014/a.jpg")
    refs = [
        {"sentence": "man", "bbox": [], "segmentation": [polygon((0, 0, 10, 10)), polygon((5, 0, 15, 10))]},
        {"sentence": "the red car", "bbox": [], "segmentation": box_rle((30, 10, 50, 30))},
        {"sentence": "Man", "bbox": [], "segmentation": [polygon((20, 0, 28, 8))]},
        {"sentence": "human", "bbox": [], "segmentation": [polygon((0, 0, 10, 10))]},
        {"sentence": "car", "bbox": [], "segmentation": []},
        {"sentence": "red car door", "bbox": [], "segmentation": [polygon((40, 10, 50, 30))]},
    ]
    caption = '"A woman, a man and a man at the red car door."'
    entry = {"12": {"img_file_name": "a.jpg", "caption": caption, "refs": refs}}
    unnamed = {"13": {"img_file_name": "a.jpg", "caption": "Nothing here.", "refs": refs[:1]}}
    return SourceFiles(
        write_json(root / "RefCOCOg_GCG_train.json", [entry, unnamed]), None, root / "train2014"
    )


def make_gcg_grandf(root: Path) -> SourceFiles:
    """A dog of two parts; a span outside the caption, a word without masks."""
    write_picture(root / "images/sa_1.jpg")
    caption = "A dog lies on grass."
    groundings = {
        "A dog": {"token_positives": [0, 5], "rle_masks": [box_rle((0, 0, 10, 10)), box_rle((5, 0, 15, 10))]},
        "grass": {"token_positives": [14, 19], "rle_masks": [box_rle((0, 20, 64, 40))]},
        "sky": {"token_positives": [40, 43], "rle_masks": [box_rle((0, 0, 64, 5))]},
        "lies": None,
    }
    record = {"file_name": "sa_1.jpg", "height": HEIGHT, "width": WIDTH, "image_id": "1", "caption": caption}
    records = [{**record, "groundings": groundings}]
    return SourceFiles(write_json(root / "GranDf_HA_GCG_train.json", records), None, root / "images")


def make_gcg_flickr(root: Path) -> SourceFiles:
    """Two phrases; an annotation to be ignored, one outside the picture; a caption too short."""
    write_picture(root / "images/36979.jpg")
    image = {"file_name": "36979.jpg", "height": HEIGHT, "width": WIDTH}
    images = [{"id": 1, "caption": "Two dogs play ball", **image}, {"id": 2, "caption": "A dog", **image}]
    row = {"image_id": 1, "area": 100.0, "bbox": [0, 0, 10, 10], "sam_mask": box_rle((0, 0, 10, 10))}
    annotations = [
        {**row, "id": 2, "tokens_positive": [[14, 18]], "sam_mask": box_rle((30, 0, 36, 6))},
        {**row, "id": 1, "tokens_positive": [[0, 8]]},
        {**row, "id": 3, "tokens_positive": [[9, 13]], "ignore": True},
        {**row, "id": 4, "tokens_positive": [[9, 13]], "bbox": [90, 0, 10, 10]},
    ]
    path = write_json(root / "flickr_mergedGT_GCG_train.json", {"images": images, "annotations": annotations})
    return SourceFiles(path, None, root / "images")


REGIONS = [{"segmentation": [polygon((2, 2, 12, 12))]}, {"segmentation": box_rle((20, 2, 40, 22))}]


def make_osprey(root: Path) -> SourceFiles:
    """Two regions talked about in two rounds; a record whose region has no outline, one that speaks `<p>`."""
    write_picture(root / "coco/val2014/COCO_val2014_000000000003.jpg")
    messages = [
        {"from": "human", "value": "<image>\nHow does <region1> relate to <region2>?"},
        {"from": "gpt", "value": "<region1> stands left of <region2>."},
        {"from": "human", "value": "Which is larger?"},
        {"from": "gpt", "value": "The second."},
    ]
    record = {"file_name": "COCO_val2014_000000000003.jpg", "height": HEIGHT, "width": WIDTH}
    records = [
        {**record, "annotation": REGIONS, "conversations": messages},
        {**record, "annotation": [{"segmentation": []}], "conversations": messages},
        {
            **record,
            "annotation": REGIONS[:1],
            "conversations": [messages[0], {"from": "gpt", "value": "[SEG]"}],
        },
    ]
    return SourceFiles(write_json(root / "osprey_conversation.json", records), None, root / "coco")


def make_osprey_description(root: Path) -> SourceFiles:
    """Two regions, one without words; a record with too few descriptions."""
    write_picture(root / "coco/train2017/000000000003.jpg")
    record = {"file_name": "000000000003.jpg", "height": HEIGHT, "width": WIDTH, "annotation": REGIONS}
    records = [
        {**record, "description": [" ", "<region2>: a large blue box."]},
        {**record, "description": ["A small box."]},
    ]
    return SourceFiles(write_json(root / "osprey_detail_description.json", records), None, root / "coco")


def make_llava(root: Path) -> SourceFiles:
    """A picture with an odd tail, text alone that begins with the assistant; four that cannot be used."""
    write_picture(root / "images/coco/train2017/a.jpg")
    human, gpt = ({"from": who, "value": text} for who, text in (("human", "Hi"), ("gpt", "Hello.")))
    records = [
        {
            "id": "a",
            "image": "coco/train2017/a.jpg",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is this?\nA. a wall\nB. a tree"},
                {"from": "gpt", "value": "A"},
                {"from": "human", "value": "And?"},
            ],
        },
        {"id": "t", "conversations": [gpt, human, gpt]},
        {"id": "html", "conversations": [human, {"from": "gpt", "value": "<p>Hello</p>"}]},
        {"id": "twice", "conversations": [human, human, gpt, gpt]},
        {"id": "lost", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, gpt]},
        {"id": "mute", "conversations": [human, {"from": "gpt", "value": " "}]},
        {"id": "broken"},
    ]
    return SourceFiles(write_json(root / "llava_v1_5_mix665k.json", records), None, root / "images")


def make_video_chat(root: Path) -> SourceFiles:
    """A video that the list calls `.mkv`."""
    (root / "Activity_Videos").mkdir(parents=True)
    frames = [np.full((HEIGHT, WIDTH, 3), 30 * n, np.uint8) for n in range(5)]
    write_video(root / "Activity_Videos/v_1.mp4", frames, fps=5)
    talk = [
        {"from": "human", "value": "What happens?\n<video>"},
        {"from": "gpt", "value": "It gets brighter."},
    ]
    records = [{"id": "v_1", "video": "v_1.mkv", "conversations": talk}]
    return SourceFiles(write_json(root / "video_chat.json", records), None, root / "Activity_Videos")


MAKERS: dict[str, Callable[[Path], SourceFiles]] = {
    "mevis": make_mevis,
    "revos": make_revos,
    "ref_youtube_vos": make_ref_youtube_vos,
    "ref_sav": make_ref_sav,
    "refcoco": make_refcoco,
    "refcoco_plus": make_refcoco,
    "refcocog": make_refcoco,
    "gcg_refcocog": make_gcg_refcocog,
    "gcg_grandf": make_gcg_grandf,
    "gcg_openpsg": make_gcg_grandf,
    "gcg_flickr": make_gcg_flickr,
    "osprey": make_osprey,
    "osprey_part": make_osprey,
    "osprey_lvis": make_osprey,
    "osprey_short": make_osprey,
    "osprey_description": make_osprey_description,
    "llava": make_llava,
    "video_chat": make_video_chat,
}
"""Form → what writes a tiny corpus of it."""
