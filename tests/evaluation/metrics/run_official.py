"""Run the SAMA release's own metric functions on `official_case` and print what they give, as JSON.

The golden numbers of the tests beside were made by this script on commit 7c75e44 of sunye23/SAMA:

    python -m tests.evaluation.metrics.run_official CHECKOUT

Functions: `evaluate_mask_miou`, `evaluate_recall_with_mapping`, `text_similarity_bert` and `eval_caption_quality` of
`projects/llava_sam2/evaluation/eval_gcg_metrics_demo.py`; `remove_special_tokens`, `extract_groundings` and
`truncate_caption` of `video_gcg_eval_video_wise.py` there; `RESDataset.evaluate`; `get_r2vos_*` of
`tools/eval_video_seg/metrics.py`. Needs scikit-learn, scikit-image, opencv-python-headless, pycocoevalcap and Java.
SPICE is left out: it downloads models.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import sys
import tempfile
import types
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.evaluation.metrics import official_case


def load_release(checkout: Path, folder: Path) -> Any:
    """Import its metrics; `bert-base-uncased` is the small BERT, and CLAIR, which asks a paid model, is left out."""
    write = official_case.write_tiny_bert
    os.chdir(folder)
    write(folder / "bert-base-uncased")
    clair = types.ModuleType("clair")
    clair.clair = None
    sys.modules["projects.llava_sam2.evaluation.utils.clair"] = clair
    sys.modules["projects.llava_sam2.evaluation.utils"] = types.ModuleType("utils")
    sys.path[:0] = [str(checkout), str(checkout / "tools/eval_video_seg")]
    from projects.llava_sam2.evaluation import eval_gcg_metrics_demo

    return eval_gcg_metrics_demo


def load_text_functions(checkout: Path) -> dict[str, Any]:
    """Its cleaning of answers, from a file that itself imports more than there is."""
    path = checkout / "projects/llava_sam2/evaluation/video_gcg_eval_video_wise.py"
    wanted = {"remove_special_tokens", "extract_groundings", "truncate_caption"}
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    functions: dict[str, Any] = {"re": re}
    exec(compile(tree, str(path), "exec"), functions)
    return functions


def ground(release: Any, phrases_of: Any, questions: tuple[official_case.Question, ...]) -> dict[str, float]:
    """Score the masks and phrases of one video."""
    gt_masks, pred_masks = ([dict(enumerate(q[side].tracks)) for q in questions] for side in (0, 1))
    gt_phrases, phrases = ([phrases_of(q[side].text) for q in questions] for side in (0, 1))
    return {
        "mIoU": float(release.evaluate_mask_miou(pred_masks, gt_masks)),
        "recall": float(release.evaluate_recall_with_mapping(gt_masks, gt_phrases, pred_masks, phrases)),
    }


def caption(release: Any, functions: dict[str, Any], pairs: Any) -> dict[str, float]:
    """BLEU, METEOR, ROUGE-L and CIDEr of one video; the release cleans and cuts answers first."""
    from pycocoevalcap import eval as coco_eval

    class NoSpice:
        def compute_score(self, gts: Any, res: Any) -> tuple[float, list]:
            return 0.0, [{} for _ in gts]

        def method(self) -> str:
            return "SPICE"

    coco_eval.Spice = NoSpice
    sides = (
        [functions["truncate_caption"](functions["remove_special_tokens"](pair[side]), 300) for pair in pairs]
        for side in (0, 1)
    )
    scores = release.eval_caption_quality(*sides)
    return {name: float(value) for name, value in scores.items() if name != "SPICE"}


def measure_revos() -> dict[str, list[float]]:
    """A and R."""
    import metrics

    gt_counts, pred, foreground = official_case.revos_masks()
    full = pred * np.uint8(255)
    return {
        "A": metrics.get_r2vos_accuracy(gt_counts, full).tolist(),
        "R": metrics.get_r2vos_robustness(gt_counts, full, foreground.astype(np.uint8)).tolist(),
    }


def measure_images(checkout: Path) -> list[float]:
    """Score one image by cIoU and gIoU, on the CPU."""
    folder = checkout / "projects/llava_sam2/evaluation"
    functions: dict[str, Any] = {"torch": torch, "np": np, "Enum": Enum, "master_only": lambda f: f}
    for path, wanted in (
        (folder / "utils/utils_refcoco.py", {"Summary", "AverageMeter", "intersectionAndUnionGPU"}),
        (folder / "dataset/RES.py", {"evaluate"}),
    ):
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if getattr(node, "name", "") in wanted
        ]
        exec(compile(ast.Module(nodes, []), str(path), "exec"), functions)
    functions["rle_to_mask"] = lambda masks: masks
    torch.Tensor.cuda = lambda tensor: tensor
    count = torch.histc  # on the CPU it wants floats
    torch.histc = lambda values, **options: count(values.float(), **options)
    said = io.StringIO()
    image = {
        "prediction_masks": [
            None if mask is None else mask.astype(int) for _, mask in official_case.SENTENCES
        ],
        "gt_masks": np.concatenate([mask for mask, _ in official_case.SENTENCES]).astype(int),
    }
    with contextlib.redirect_stdout(said):
        functions["evaluate"](types.SimpleNamespace(dataset_name="", split=""), [image], "")
    return [float(number) for number in re.findall(r"IoU: ([\d.]+)", said.getvalue())]


def main() -> None:
    """Print everything."""
    checkout = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        release = load_release(checkout, Path(folder))
        functions = load_text_functions(checkout)
        made: dict[str, Any] = {
            name: ground(release, functions["extract_groundings"], case)
            for name, case in official_case.CASES.items()
        }
        made["similarity"] = {
            f"{a} / {b}": float(release.text_similarity_bert(a, b)) for a, b in official_case.PHRASE_PAIRS
        }
        made["captions"] = {
            video: caption(release, functions, pairs) for video, pairs in official_case.ANSWERS.items()
        }
        made["revos"] = measure_revos()
        made["images"] = measure_images(checkout)
    sys.stdout.write(f"GOLDEN {json.dumps(made)}\n")


if __name__ == "__main__":
    main()
