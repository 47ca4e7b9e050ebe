"""The SAMA release's demo data, questions made to show its defects, and a BERT small enough to check by hand.

The demo data is what `eval_gcg_metrics_demo.py --demo_data` of the release builds (commit 7c75e44 of sunye23/SAMA): two
answers of two objects each, 2 frames of 4 x 4 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sama_plugin.evaluation.metrics.sama_bench_scores import GroundedText

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*MARKS, "cat", "dog", "elephant", "bird", "red", "small", "ball", "box")


class Question(NamedTuple):
    """What both sides of the comparison are fed with."""

    truth: GroundedText
    given: GroundedText


def volume(*frames: str) -> np.ndarray:
    """(T, 4, 4) bool; a frame is its rows joined by `/`, which may be cut short."""
    track = np.zeros((len(frames), 4, 4), dtype=bool)
    for t, frame in enumerate(frames):
        for y, row in enumerate(frame.split("/")):
            for x, pixel in enumerate(row):
                track[t, y, x] = pixel == "1"
    return track


def question(
    wanted: list[str], given: list[str], gt_tracks: list[np.ndarray], pred_tracks: list[np.ndarray]
) -> Question:
    """An answer says each phrase, then its mask."""
    true_text, text = (
        " and ".join(f"<p> {phrase} </p> [SEG]" for phrase in side) for side in (wanted, given)
    )
    return Question(GroundedText(true_text, gt_tracks), GroundedText(text, pred_tracks))


DEMO = (
    question(
        ["cat", "dog"],
        ["cat", "dog"],
        [volume("11/1", "111/11"), volume("1111/1", "111/11")],
        [volume("11/1", "111/11"), volume("111/1", "111/1")],
    ),
    question(
        ["elephant", "bird"],
        ["elephant", "bird"],
        [volume("111/1", "11"), volume("1", "11")],
        [volume("111/1", "1/1"), volume("01", "01/01")],
    ),
)

LEFT, RIGHT, TOP, NONE = volume("11/11/11/11"), volume("0011/0011/0011/0011"), volume("1111"), volume("")
DEFECTS = (
    # two objects in another order: off the diagonal the release compares the wrong phrases
    question(["cat", "dog", "bird"], ["dog", "bird", "cat"], [LEFT, RIGHT, TOP], [RIGHT, TOP, LEFT]),
    # nothing said: the release leaves the question out of recall
    question(["cat", "dog"], [], [LEFT, RIGHT], []),
    # two false alarms, and a miss that the greedy matching does not see
    question(["cat"], ["cat", "ball", "box"], [LEFT], [LEFT, TOP, RIGHT]),
    # no phrase alike: the search ends at the best pair
    question(["red ball", "box"], ["elephant", "box"], [LEFT, RIGHT], [LEFT, RIGHT]),
    # equal IoU: the order of rows decides
    question(["cat", "dog"], ["dog"], [TOP, TOP], [TOP]),
    # an object absent from all frames, denied by an empty mask
    question(["cat", "dog"], ["cat", "dog"], [LEFT, NONE], [LEFT, NONE]),
    # nothing to find and nothing said
    question([], [], [], []),
)
CASES = {"demo": DEMO, "defects": DEFECTS}


def write_tiny_bert(folder: Path) -> Path:
    """A BERT without layers whose word vectors are orthogonal: its mean vector counts words, [CLS] and [SEP] apart."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    (folder / "words.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "words.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=2 * len(WORDS),
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=4,
    )
    model = BertModel(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
        model.embeddings.LayerNorm.weight.fill_(1)
        for i, word in enumerate(WORDS):
            if word not in MARKS:
                model.embeddings.word_embeddings.weight[i, 2 * i : 2 * i + 2] = torch.tensor([1.0, -1.0])
    model.save_pretrained(folder)
    return folder


PHRASE_PAIRS = (("cat", "cat"), ("red ball", "ball"), ("red ball", "small red box"), ("cat", "dog"))

ANSWERS = {
    "VidSTG/val/one": (
        ("<p> The man's dog </p> [SEG] doesn't run, it sleeps.", "<p> A dog </p> [SEG] sleeps.<|im_end|>"),
        ("It costs $3.50 (well-known).", "it costs $ 3.50 , well-known !"),
        (
            "The  red ball\nrolls left - then stops...",
            "<p> The red ball </p> [SEG] rolls to the left, and it stops",
        ),
    ),
    "mevis/alone": (("<p> The bird </p> [SEG] flies away.", "<p> A bird </p> [SEG] is flying away."),),
    "VidSTG/val/long": (
        ("A dog runs after a ball. " + "The ball rolls on and on. " * 80, "A dog runs after a ball. " * 90),
        ("A dog.", ""),
    ),
}
"""Raw answers of three videos: (true, given)."""


SENTENCES = ((LEFT, LEFT), (LEFT, TOP), (LEFT, None), (NONE, NONE))
"""True and predicted mask of the sentences of one image, (1, 4, 4) bool; None where the answer has none."""


def revos_masks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(3, 4, 4): how many meant objects cover a pixel, uint8; prediction and foreground, bool."""
    counts = np.repeat(LEFT, 3, axis=0).astype(np.uint8)
    counts[1, 0, :2] = 2  # two objects overlap there
    pred = np.repeat(LEFT, 3, axis=0)
    pred[1, :, 2] = True
    pred[2, 3, 3] = True
    foreground = np.ones((3, 4, 4), dtype=bool)
    foreground[2, :, 3] = False
    return counts, pred, foreground


def many_answers(num_videos: int = 50, num_questions: int = 10) -> dict[str, list[tuple[str, str]]]:
    """Videos whose questions are answered with one word changed, now and then with none at all."""
    things, deeds = (
        ("dog", "child", "cyclist", "red car", "white bird"),
        ("runs", "turns left", "falls", "stops"),
    )
    videos = {}
    for v in range(num_videos):
        pairs = []
        for q in range(num_questions):
            said = [
                f"<p> The {things[(v + q) % 5]} </p> [SEG] {deeds[(k + q) % 4]}, then leaves." for k in (0, v)
            ]
            pairs.append((said[0], said[1] if (v + q) % 17 else ""))
        videos[f"mevis/{v:02d}"] = pairs
    return videos
