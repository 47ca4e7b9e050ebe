"""The benchmarks by name: which class, what it needs, and where that comes from; and who can answer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.text_scoring import DEFAULT_SCORING, TextScoring


class Entry(NamedTuple):
    """A registered benchmark.

    Attributes:
        target: `module:class`, imported when asked for; the class takes the data folder, and `split` where it has any.
        what: is measured.
        needs: files below the data folder.
        source: where they come from.
        splits: that can be asked for, the default first.
        scores_text: whether it takes a `TextScoring`.
    """

    target: str
    what: str
    needs: str
    source: str
    splits: tuple[str, ...] = ()
    scores_text: bool = False


ROOM = "sama_plugin.evaluation.benchmarks"


def _refcoco(cls: str, folder: str, author: str, splits: tuple[str, ...]) -> Entry:
    return Entry(
        f"{ROOM}.refcoco:{cls}Benchmark",
        "expressions of objects in pictures: cIoU, gIoU",
        f"{folder}/refs({author}).p, {folder}/instances.json, train2014/",
        "the REFER annotations (https://github.com/lichengunc/refer), COCO 2014",
        splits,
    )


SHAPES = "`sama shapes --seed N --videos K --out DIR`"
BENCH_FILES = (
    "*.json with records, their mask dictionaries (beside them or in masks/), videos (there or in media/)"
)

BENCHMARKS: dict[str, Entry] = {
    "shapes": Entry(
        f"{ROOM}.shapes:ShapesBenchmark",
        "moving shapes: J&F, referring, multi-turn and no-target accuracy, spans",
        "records.json, mask_dict.json, videos/",
        SHAPES,
    ),
    "sama-bench-g": Entry(
        f"{ROOM}.sama_bench_g:SamaBenchG",
        "questions about regions, one by one: mIoU, recall, METEOR, CIDEr, CLAIR of text with masks",
        BENCH_FILES,
        f"SAMA-Bench of the SAMA release; or {SHAPES}",
        scores_text=True,
    ),
    "sama-bench-c": Entry(
        f"{ROOM}.sama_bench_c:SamaBenchC",
        "descriptions of regions: METEOR, CIDEr, CLAIR",
        BENCH_FILES,
        f"SAMA-Bench of the SAMA release; or {SHAPES}",
        scores_text=True,
    ),
    "sama-bench-dialogue": Entry(
        f"{ROOM}.sama_bench_dialogue:SamaBenchDialogue",
        "the questions of sama-bench-g as dialogues: history is kept, earlier objects are meant by id",
        BENCH_FILES,
        f"SAMA-Bench of the SAMA release; or {SHAPES}",
        scores_text=True,
    ),
    "mevis": Entry(
        f"{ROOM}.mevis:MevisBenchmark",
        "expressions about motion: J&F of valid_u; of valid a zip for the server",
        "SPLIT/meta_expressions.json, SPLIT/JPEGImages/, valid_u/mask_dict.json",
        "MeViS (https://henghuiding.github.io/MeViS)",
        ("valid_u", "valid"),
    ),
    "ref-youtube-vos": Entry(
        f"{ROOM}.ref_youtube_vos:RefYoutubeVosBenchmark",
        "expressions of objects: a zip for the server",
        "meta_expressions/valid/meta_expressions.json, valid/JPEGImages/",
        "Ref-YouTube-VOS (https://youtube-vos.org/dataset/rvos)",
    ),
    "ref-davis17": Entry(
        f"{ROOM}.ref_davis17:RefDavis17Benchmark",
        "expressions of four annotators: J&F by the DAVIS protocol",
        "meta_expressions/valid/meta_expressions.json, valid/JPEGImages/, valid/Annotations/",
        "DAVIS 2017 and its text annotations, in the form of Ref-YouTube-VOS as ReferFormer's script makes it",
    ),
    "revos": Entry(
        f"{ROOM}.revos:RevosBenchmark",
        "expressions that refer or need reasoning: J&F, accuracy A, robustness R",
        "meta_expressions_valid_.json, mask_dict.json, folders of frames; mask_dict_foreground.json if wanted",
        "ReVOS of VISA (https://github.com/cilinyan/VISA)",
    ),
    "refcoco": _refcoco("Refcoco", "refcoco", "unc", ("val", "testA", "testB")),
    "refcoco+": _refcoco("RefcocoPlus", "refcoco+", "unc", ("val", "testA", "testB")),
    "refcocog": _refcoco("Refcocog", "refcocog", "umd", ("val", "test")),
    "videorefer-bench-d": Entry(
        f"{ROOM}.videorefer_bench_d:VideoReferBenchD",
        "descriptions of objects: four grades of a judge, METEOR, CIDEr, CLAIR",
        "VideoRefer-Bench-D.json, the videos it names (there or in videos/)",
        "VideoRefer-Bench (https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench), Panda-70M",
        scores_text=True,
    ),
    "videorefer-bench-q": Entry(
        f"{ROOM}.videorefer_bench_q:VideoReferBenchQ",
        "questions about objects with options: accuracy",
        "VideoRefer-Bench-Q.json, the videos it names (there or in videos/)",
        "VideoRefer-Bench (https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench), DAVIS, MeViS",
    ),
    "gcg": Entry(
        f"{ROOM}.gcg:GcgBenchmark",
        "descriptions of videos with a mask for each thing named: mIoU, recall, METEOR, CIDEr, CLAIR",
        "video_gcg/instruction_data/SPLIT.json, ytvis/vos/train/JPEGImages/, burst/frames/val/",
        "video GCG of VideoGLaMM (https://github.com/mbzuai-oryx/VideoGLaMM), YouTube-VIS, BURST",
        ("test", "val"),
        scores_text=True,
    ),
}

BASELINES = "sama_plugin.evaluation.baselines"

ANSWERERS: dict[str, str] = {
    "truth": "sama_plugin.evaluation.truth_answerer:TruthAnswerer",
    "nothing": f"{BASELINES}.silence:SilentAnswerer",
    "whole-frame": f"{BASELINES}.whole_frame:WholeFrameAnswerer",
    "random": f"{BASELINES}.random_masks:RandomAnswerer",
    "first-box": f"{BASELINES}.first_box:FirstBoxAnswerer",
    "sam2": f"{BASELINES}.sam2_track:Sam2Answerer",
    "llava": f"{BASELINES}.plain_llava:PlainLlavaAnswerer",
}
"""Name → `module:class` of those that answer beside the model; made with the options after the name as keywords.

One that needs weights has `settings`, which are kept with its predictions.
"""

WATCHERS = ("sam2", "llava")
"""Those of `ANSWERERS` that load weights and then open every video; the rest does without, where there are masks."""


def entry_of(name: str) -> Entry:
    """A registered benchmark.

    Raises:
        DataError: an unknown name; near matches are named.
    """
    return BENCHMARKS[_known("benchmark", name, BENCHMARKS)]


def open_benchmark(
    name: str, data: Path, split: str | None = None, scoring: TextScoring = DEFAULT_SCORING
) -> Benchmark:
    """Open a registered benchmark.

    Args:
        name: a key of `BENCHMARKS`.
        data: its data folder.
        split: one of its splits; None takes the first.
        scoring: of words, where it scores any.

    Raises:
        DataError: an unknown name or split (near matches are named), or data that breaks its format.
    """
    entry = entry_of(name)
    if split is not None and split not in entry.splits:
        have = ", ".join(entry.splits) or "none"
        raise DataError(f"--split is '{split}', but '{name}' has: {have}.")
    options: dict[str, Any] = {"split": split or entry.splits[0]} if entry.splits else {}
    if entry.scores_text:
        options["scoring"] = scoring
    benchmark: Benchmark = _load(entry.target)(data, **options)
    return benchmark


def open_answerer(text: str) -> Answerer:
    """Make one of `ANSWERERS`.

    Args:
        text: its name, with options behind a colon: `random:seed=3,count=2`.

    Raises:
        DataError: an unknown name, or options it does not take.
    """
    name, _, tail = text.partition(":")
    target = ANSWERERS[_known("answerer", name, ANSWERERS)]
    options = dict(part.partition("=")[::2] for part in tail.split(",") if part)
    try:
        answerer: Answerer = _load(target)(**options)
    except TypeError as error:
        raise DataError(f"--answerer is '{text}', but '{name}' does not take that: {error}.") from error
    return answerer


def _known(kind: str, name: str, table: Iterable[str]) -> str:
    names = sorted(table)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
        raise DataError(f"There is no {kind} '{name}'; did you mean {', '.join(near)}?")
    return name


def _load(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)
