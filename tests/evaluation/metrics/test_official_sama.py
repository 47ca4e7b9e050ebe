"""The official variants against numbers that the SAMA release's own functions gave.

Made by `run_official.py` beside this file (it names the functions) on commit 7c75e44 of sunye23/SAMA.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.evaluation.metrics.phrase_similarity import (
    BertSimilarity,
    LexicalSimilarity,
    open_similarity,
)
from sama_plugin.evaluation.metrics.referring_image import (
    measure_overlap,
    official_cumulative_iou,
    official_generalised_iou,
)
from sama_plugin.evaluation.metrics.revos_scores import official_pixel_accuracy, official_robustness
from sama_plugin.evaluation.metrics.sama_bench_scores import score_question, score_video
from tests.evaluation.metrics import official_case

GROUNDING = {
    "demo": {"mIoU": 0.6785714285714286, "recall": 0.75},
    "defects": {"mIoU": 0.7142857142857143, "recall": 0.2},
}
SIMILARITY = (0.9999999403953552, 0.7071067690849304, 0.40824827551841736, 2.095327239191134e-17)
IMAGES = (0.5555555820465088, 0.5499996542930603)
"""The release's cIoU and gIoU; in single precision."""

REVOS = {"A": [0.5, 0.25, 0.4375], "R": [1.0, 0.0, 0.0]}
CAPTIONS = {
    "VidSTG/val/one": {
        "BLEU-1": 0.5470581482259138,
        "BLEU-2": 0.4071252733181287,
        "BLEU-3": 0.3471889052745848,
        "BLEU-4": 0.28970894950892784,
        "METEOR": 0.3101191674085432,
        "ROUGE-L": 0.6146222146684904,
        "CIDEr": 3.2541047420325824,
    },
    "mevis/alone": {
        "BLEU-1": 0.3999999999200002,
        "BLEU-2": 9.999999997750003e-09,
        "BLEU-3": 3.2182979478451044e-11,
        "BLEU-4": 2.020515504028375e-12,
        "METEOR": 0.34330393835128226,
        "ROUGE-L": 0.4535315985130111,
        "CIDEr": 0.0,
    },
    "VidSTG/val/long": {
        "BLEU-1": 0.18211517614554223,
        "BLEU-2": 0.055001537375225486,
        "BLEU-3": 0.03429514916421709,
        "BLEU-4": 0.0252227188700329,
        "METEOR": 0.12004405401082435,
        "ROUGE-L": 0.09166666666666667,
        "CIDEr": 0.260868537730126,
    },
}


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> BertSimilarity:
    folder = official_case.write_tiny_bert(tmp_path_factory.mktemp("bert") / "tiny")
    similarity = open_similarity(f"bert:{folder}")
    assert isinstance(similarity, BertSimilarity)
    return similarity


@pytest.mark.parametrize("case", official_case.CASES)
def test_grounding_is_the_releases(case: str, tiny_bert: BertSimilarity) -> None:
    rows = [score_question(q.truth, q.given, tiny_bert) for q in official_case.CASES[case]]
    assert score_video(rows, "official") == pytest.approx(GROUNDING[case], abs=1e-12)


@pytest.mark.parametrize("case", official_case.CASES)
def test_the_words_of_the_cases_are_so_plain_that_the_default_similarity_agrees(case: str) -> None:
    rows = [score_question(q.truth, q.given, LexicalSimilarity()) for q in official_case.CASES[case]]
    assert score_video(rows, "official") == pytest.approx(GROUNDING[case], abs=1e-12)


def test_similarity_is_the_releases(tiny_bert: BertSimilarity) -> None:
    found = [tiny_bert.compare([a], [b])[0, 0] for a, b in official_case.PHRASE_PAIRS]
    assert found == pytest.approx(SIMILARITY, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("video", CAPTIONS)
def test_captions_are_the_releases(video: str, scored_twice: tuple[list[dict], Path]) -> None:
    assert scored_twice[0][0]["videos"][video] == pytest.approx(CAPTIONS[video], rel=1e-9, abs=1e-15)


def test_revos_is_the_releases() -> None:
    counts, pred, foreground = official_case.revos_masks()
    assert official_pixel_accuracy(counts, pred).tolist() == REVOS["A"]
    assert official_robustness(counts, pred, foreground).tolist() == pytest.approx(REVOS["R"], abs=1e-7)


def test_images_are_the_releases() -> None:
    overlaps = [
        measure_overlap(gt[0], None if pred is None else pred[0]) for gt, pred in official_case.SENTENCES
    ]
    found = official_cumulative_iou(overlaps), official_generalised_iou(overlaps)
    assert found == pytest.approx(IMAGES, abs=1e-7)


def test_the_defects_show() -> None:
    """The defects do show: a corrected score of the same answers is another one."""
    rows = [score_question(q.truth, q.given, LexicalSimilarity()) for q in official_case.DEFECTS]
    corrected = score_video(rows)
    # matched IoU / larger number of objects, of each question that has or is given any
    miou = ((1 + 1 + 1) / 3 + 0 + 1 / 3 + 1 + 1 / 2 + 1) / 6
    assert corrected["mIoU"] == pytest.approx(miou)
    assert corrected["recall"] == pytest.approx((3 + 0 + 1 + 1 + 1 + 2) / (3 + 2 + 1 + 2 + 2 + 2))
