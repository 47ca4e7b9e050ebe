"""The paper's ablations in small: `python -m sama_plugin.training.ablations --out DIR`.

    foundations of the tiny recipe (SAM2, tower, words, context) ─► start of each arm ─► talk ─► clips ─► test ─► table

Each arm lacks one thing and shares the rest: foundations, steps, seeds and test. The arm that lacks data lacks it from
`context` on, the first stage that reads dialogues about clips. The full arm is not the shipped checkpoint, which trains
for longer. With several seeds, an arm's scores are means over them.
Every stage is skipped when it is done and goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import sama_plugin
from sama_plugin.data.text_file import whole_file, write_text
from sama_plugin.errors import DataError
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.results import Results, fingerprint_folder, read_results
from sama_plugin.evaluation.scoring import RESULTS_FILE
from sama_plugin.training import tiny
from sama_plugin.training.run_settings import check_settings

logger = logging.getLogger(__name__)

TEST_SEED = 4242
EVENT_KINDS = ("motion", "order", "it_motion", "obj_motion")
"""Questions answered in words about what an object does, and which event comes first."""

CLIPS = tiny.Stage("clips", "talk", "tiny_clips.yaml", steps=100, batch=8, rate=5e-4, masks=tiny.JOINT_MASKS)
"""Masks, in little time; the recipe has the longer stage `joint` in its place."""

TABLE_FILE, PLOT_FILE = "ablations.md", "ablations.png"


@dataclass(frozen=True)
class Arm:
    """One model of the comparison.

    Attributes:
        name: of its folder.
        title: in table and plot.
        head: grounding head.
        use_aggregator: whether questions get context tokens.
        context: mixture file of stage `context`.
        talk: mixture files of stage `talk`.
        clips: mixture file of stage `clips`.
    """

    name: str
    title: str
    head: str = "sam2"
    use_aggregator: bool = True
    context: str = tiny.CONTEXT_DATA
    talk: tuple[str, str] = tiny.TALK_DATA
    clips: str = CLIPS.data


ARMS = (
    Arm("full", "full"),
    Arm("no_sam", "no SAM", head="dot"),
    Arm("no_aggregator", "no aggregator", use_aggregator=False),
    Arm(
        "public",
        "public-style data only",
        context="public_clips.yaml",
        talk=("public_talk.yaml", "public_talk_frames.yaml"),
        clips="public_clips.yaml",
    ),
)


class Row(NamedTuple):
    """Scores of an arm by seed; fractions in [0, 1]."""

    arm: Arm
    by_seed: list[dict[str, float]]

    def mean(self, column: str) -> float:
        """Mean of a column over the seeds."""
        return sum(scores[column] for scores in self.by_seed) / len(self.by_seed)

    def spread(self, column: str) -> float:
        """Half the distance between the best and the worst seed."""
        values = [scores[column] for scores in self.by_seed]
        return (max(values) - min(values)) / 2


def main(argv: list[str] | None = None) -> None:
    """Train and test every arm, then write table and plot.

    Args:
        argv: our options, then any flag of the host's training script, passed to every stage that is a run of it.

    Raises:
        DataError: a setting out of its range, or a folder that was begun with other settings.
        HostError: torch is older than 2.9.
        SamaError: a stage failed.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/ablations"), help="folder of the arms")
    parser.add_argument(
        "--tiny",
        type=Path,
        default=Path("outputs/tiny"),
        help="folder of the tiny recipe; made where it lacks stages",
    )
    parser.add_argument("--talk-steps", type=int, default=700, help="of each arm")
    parser.add_argument("--clips-steps", type=int, default=CLIPS.steps, help="of each arm")
    parser.add_argument("--test-videos", type=int, default=60, help="videos of the test split")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each arm, from --seed on")
    tiny.add_options(parser)
    options, host_flags = parser.parse_known_args(argv)
    from sama_plugin.data.shapes import make_shapes

    names = ("talk_steps", "clips_steps", "test_videos", "seeds")
    for name in names:
        if getattr(options, name) < 1:
            raise DataError(f"--{name.replace('_', '-')} is {getattr(options, name)}, expected 1 or more.")
    tiny.make_foundations(options.tiny, options, host_flags)
    # --seeds is not compared: more of them may follow.
    settings = {name: getattr(options, name) for name in ("talk_steps", "clips_steps", "test_videos", "seed")}
    settings |= {"foundations": fingerprint_folder(tiny.stage_folder(options.tiny, "joined"))}
    check_settings(options.out, settings | {"flags": " ".join(host_flags)}, goes_on=True)
    test = options.out / "test"
    make_shapes(test, TEST_SEED, options.test_videos, "test", workers=options.workers)
    rows = []
    for arm in ARMS:
        logger.info("Arm %s", arm.title)
        start = arm_start(arm, options.tiny, options.out / arm.name, options)
        scores = []
        for seed in range(options.seed, options.seed + options.seeds):
            folder = options.out / arm.name / f"seed-{seed}"
            seeded = argparse.Namespace(**{**vars(options), "seed": seed})
            train_arm(arm, start, options.tiny, folder, seeded, host_flags)
            scores.append(summarise(measure_arm(folder, test, seed)))
        rows.append(Row(arm, scores))
    caption = (
        f"{options.test_videos} unseen videos; each arm {options.talk_steps} steps of talk and {options.clips_steps} "
        f"of clips, {options.seeds} seed(s) from {options.seed} on. In percent, means over the seeds"
        f"{', ± half their range' if options.seeds > 1 else ''}; in brackets the distance from the first row in points."
    )
    table = format_rows(rows, caption)
    write_text(options.out / TABLE_FILE, [table])
    draw_rows(rows, options.out / PLOT_FILE)
    sys.stdout.write(f"{table}\nwritten: {options.out / TABLE_FILE}, {options.out / PLOT_FILE}\n")


def arm_start(arm: Arm, recipe: Path, out: Path, options: argparse.Namespace) -> Path:
    """Checkpoint that all seeds of an arm start from, made where it is missing.

    Args:
        arm: what it lacks.
        recipe: folder of the tiny recipe, with all stages before `talk`.
        out: folder of the arm.
        options: see `tiny.add_options`.
    """
    start = tiny.stage_folder(out, "joined")
    if tiny.is_done(start):
        return start
    foundation = tiny.stage_folder(recipe, "joined")
    if arm.context != tiny.CONTEXT_DATA:
        tiny.context_stage(tiny.stage_folder(recipe, "words"), out, recipe / "data", arm.context, options)
        foundation = tiny.stage_folder(out, "own")
        if not tiny.is_done(foundation):
            tiny.join_sam2(tiny.stage_folder(out, "context"), recipe / "sam2", foundation)
    make_arm_start(arm, foundation, start, options.seed)
    return start


def train_arm(
    arm: Arm, start: Path, recipe: Path, out: Path, options: argparse.Namespace, host_flags: list[str]
) -> None:
    """Train an arm with one seed, or the rest of it.

    Args:
        arm: what it lacks.
        start: from `arm_start`.
        recipe: folder of the tiny recipe.
        out: folder of the stages.
        options: `talk_steps`, `clips_steps`, `seed` and `workers`.
        host_flags: any flag of the host's training script.
    """
    data, sam2 = recipe / "data", recipe / "sam2" if arm.head == "sam2" else None
    tiny.talk_stage(start, out, data, arm.talk, sam2, options, steps=options.talk_steps)
    clips = replace(CLIPS, data=arm.clips, steps=options.clips_steps)
    tiny.run_stage(clips, out, data, argparse.Namespace(**{**vars(options), "scale": 1.0}), host_flags)


def make_arm_start(arm: Arm, joined: Path, folder: Path, seed: int) -> None:
    """Write the start of an arm: the foundations without the parts it lacks, and with fresh ones where they differ.

    Args:
        arm: what differs.
        joined: checkpoint of the foundations.
        folder: to write.
        seed: of fresh weights.
    """
    sama_plugin.register()
    import torch

    from sama_plugin.host.loading import load_sama_model
    from sama_plugin.host.sama_llava import build_projector

    tokenizer, model, _, _ = load_sama_model(str(joined), device_map="cpu")
    sama = model.sama
    changed = replace(
        sama, use_aggregator=arm.use_aggregator, grounding=replace(sama.grounding, head=arm.head)
    )
    if changed != sama:
        model.config.sama = changed.to_dict()
        torch.manual_seed(seed)
        projector, trained = build_projector(model.config), model.projector.state_dict()
        own = projector.state_dict()
        kept = {
            name: trained[name] for name in own if name in trained and own[name].shape == trained[name].shape
        }
        projector.load_state_dict(own | kept)
        model.get_model().mm_projector = projector
        if arm.head != "sam2":
            model.sam2_head = None
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)  # config.json last: whole


def measure_arm(folder: Path, test: Path, seed: int) -> Results:
    """Results of a trained arm on the test videos; measured once."""
    file = folder / "results" / RESULTS_FILE
    if not file.is_file():
        sama_plugin.register()
        from sama_plugin.evaluation.session_answerer import SessionAnswerer
        from sama_plugin.host.loading import load_sama_model
        from sama_plugin.training.short_loop import training_device

        checkpoint = tiny.stage_folder(folder, CLIPS.name)
        tokenizer, model, processor, _ = load_sama_model(
            str(checkpoint), device_map=str(training_device()), torch_dtype="float32"
        )
        settings: dict[str, Any] = {"seed": seed, "temperature": 0.0}
        answerer = SessionAnswerer(model, tokenizer, processor, **settings)
        evaluate(open_benchmark("shapes", test), answerer, file.parent, settings, checkpoint=checkpoint)
    return read_results(file)


def summarise(results: Results) -> dict[str, float]:
    """Columns of the table from the results of `shapes`; fractions in [0, 1], NaN where no case was there.

    `overall` is the mean of grounding, referring, multi-turn and no-target.
    """
    metrics = {name: float("nan") if value is None else value for name, value in results.metrics.items()}
    events = [
        (metrics[name], results.counts[name])
        for kind in EVENT_KINDS
        for name in (f"referring_accuracy/{kind}", f"multi_turn_accuracy/{kind}")
        if results.counts.get(name)
    ]
    scores = {
        "J&F": metrics["J&F"],
        "referring": metrics["referring_accuracy"],
        "multi-turn": metrics["multi_turn_accuracy"],
        "no-target": metrics["no_target_accuracy"],
    }
    overall = sum(scores.values()) / len(scores)
    asked = sum(count for _, count in events)
    right = sum(share * count for share, count in events)
    return scores | {"motion and events": right / asked if asked else float("nan"), "overall": overall}


def format_rows(rows: list[Row], caption: str) -> str:
    """A Markdown table under its caption."""
    columns = list(rows[0].by_seed[0])
    lines = [
        caption,
        "",
        f"| | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for row in rows:
        cells = [_cell(row, rows[0], name) for name in columns]
        lines.append(f"| {row.arm.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: Row, first: Row, column: str) -> str:
    """A share in percent, how far its seeds are apart, and its distance from the first row's in points."""
    share = row.mean(column)
    if math.isnan(share):
        return "not asked"
    spread = f" ± {100 * row.spread(column):.1f}" if len(row.by_seed) > 1 else ""
    distance = "" if row is first else f" ({100 * (share - first.mean(column)):+.1f})"
    return f"{100 * share:.1f}{spread}{distance}"


def draw_rows(rows: list[Row], path: Path) -> None:
    """A bar for each arm in each column, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    columns = list(rows[0].by_seed[0])
    width = 0.8 / len(rows)
    for i, row in enumerate(rows):
        places = [place + (i - (len(rows) - 1) / 2) * width for place in range(len(columns))]
        means, spreads = ([100 * part(name) for name in columns] for part in (row.mean, row.spread))
        error_bars = spreads if len(row.by_seed) > 1 else None
        axes.bar(places, means, width, yerr=error_bars, label=row.arm.title)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_ylim(0, 105)
    axes.set_ylabel("%")
    axes.legend(ncols=len(rows), loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    from sama_plugin.training.train import run_as_script

    run_as_script(main)
