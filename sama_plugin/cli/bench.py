"""`sama bench WHAT`: what things cost, each beside what it is compared with, in one run on one machine."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command, add_command_group
from sama_plugin.cli.exit_codes import DONE, RESULT_SAYS_NO
from sama_plugin.cli.model_options import add_model_options, load_model, model_folder
from sama_plugin.cli.serve import check_packages
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="measure time and memory on this machine",
    purpose="Measure what things cost on this machine, each beside what it is compared with, in one run.",
    examples=("sama bench scoring", "sama bench turns --plot turns.png", "sama bench index --records 1000"),
)

PLOT = "--plot: a picture; without it nothing"
LESSONS = {
    "train": Lesson(
        summary="a training step beside the host's own",
        purpose="Time and memory of a training step, beside the host's llava_qwen on the same clips, LLM and tower.",
        examples=("sama bench train", "sama bench train --batch 2 --steps 3"),
    ),
    "turns": Lesson(
        summary="a conversation turn by turn",
        purpose="Seconds of each turn as a session keeps things, computed anew, and as other projects do it.",
        writes=PLOT,
        examples=("sama bench turns", "sama bench turns --plot turns.png"),
    ),
    "objects": Lesson(
        summary="tracking several objects beside SAM2's own predictor",
        purpose="Seconds of tracking 1, 2, 4 and 8 objects at once, beside SAM2's own video predictor.",
        writes=PLOT,
        examples=("sama bench objects", "sama bench objects --plot objects.png"),
    ),
    "memory": Lesson(
        summary="peak memory over the length of a video",
        purpose="Peak memory over 200, 2,000 and 10,000 frames, beside that of SAM2's own video predictor.",
        writes=PLOT,
        examples=("sama bench memory --frames 200 400", "sama bench memory --plot memory.png"),
    ),
    "index": Lesson(
        summary="the index of a data set beside its plain files",
        purpose="Time and memory of the index of a data set, beside its plain files, on synthetic records.",
        examples=("sama bench index --records 1000 --reads 100", "sama bench index --only-index"),
    ),
    "long": Lesson(
        summary="ten seconds near the end of two hours",
        purpose="Time to the first token on ten seconds near the end of two hours, beside these seconds alone.",
        examples=("sama bench long", "sama bench long --device cuda"),
    ),
    "serve": Lesson(
        summary="a server under visitors, faults and probes",
        purpose="Send a server visitors who come and go with faults thrown in, and probes for files outside; see "
        "whether it answers throughout, and what memory and files it keeps.",
        details="Faults: files that are no videos, uploads, answers and exports that are aborted, the model's process "
        "killed, tabs that nobody closes, a thousand regions. Linux only.",
        says_no="something is wrong: the lines below the table say what",
        examples=("sama bench serve", "sama bench serve --visits 8"),
    ),
    "scoring": Lesson(
        summary="J and F of 480p masks, and memory over the number of videos",
        purpose="Time of J and F of 480p masks beside vos-benchmark, and memory over the number of videos.",
        examples=("sama bench scoring", "sama bench scoring -v"),
    ),
}


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb, and below it one for each measurement."""
    benches = add_command_group(verbs, common, "bench", LESSON, metavar="WHAT")

    def add(name: str, measure: Any) -> argparse.ArgumentParser:
        bench = add_command(benches, common, name, LESSONS[name])
        bench.set_defaults(run=run, measure=measure)
        return bench

    train = add("train", _train)
    train.add_argument("--batch", type=int, default=4, metavar="N", help="clips per step")
    train.add_argument("--steps", type=int, default=8, metavar="N", help="measured per round")
    turns = add("turns", _turns)
    objects = add("objects", _objects)
    memory = add("memory", _memory)
    memory.add_argument("--frames", type=int, nargs="+", metavar="N", help="other lengths")
    index = add("index", _index)
    index.add_argument("--records", type=int, default=100_000, metavar="N", help="in a temporary folder")
    index.add_argument(
        "--only-index", action="store_true", help="leave out the plain files, which fill the memory"
    )
    index.add_argument("--reads", type=int, default=5_000, metavar="N", help="random ones")
    long = add("long", _long)
    add("scoring", _scoring)
    serve = add("serve", None)
    serve.set_defaults(run=_serve)
    serve.add_argument("--visits", type=int, default=50, metavar="N", help="that come and go")
    for bench in (turns, objects, long):
        add_model_options(bench)
    for bench in (train, memory, serve):  # in processes of their own
        bench.add_argument(
            "--model", metavar="DIR", help="checkpoint folder or hub id (default: the shipped one)"
        )
    for bench in (turns, objects, memory):
        bench.add_argument("--plot", type=Path, metavar="PNG", help="draw it too")


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table.

    Raises:
        SamaError: numbers below 1, a picture that cannot be written, or a side failed.
    """
    from sama_plugin.inference.outputs import check_file

    if getattr(args, "plot", None) is not None:
        check_file(args.plot)
    print(args.measure(args))
    return 0


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise DataError(f"--{name} is {value}, expected 1 or more.")


def _train(args: argparse.Namespace) -> str:
    _check_counts(batch=args.batch, steps=args.steps)
    folder = model_folder(args)
    from sama_plugin.training.step_cost import compare, format_costs

    return format_costs(compare(folder, batch=args.batch, steps=args.steps))


def _turns(args: argparse.Namespace) -> str:
    loaded = load_model(args)
    from sama_plugin.evaluation.turn_cost import bench_clip, format_turns, measure_turns, plot_turns

    with tempfile.TemporaryDirectory() as work:
        parts = (loaded.model, loaded.tokenizer, loaded.image_processor)
        costs = measure_turns(parts, bench_clip(Path(work)))
    if args.plot is not None:
        plot_turns(costs, args.plot)
    return format_turns(costs)


def _objects(args: argparse.Namespace) -> str:
    loaded = load_model(args)
    from sama_plugin.evaluation.tracking_cost import format_tracking, measure_tracking, plot_tracking
    from sama_plugin.evaluation.turn_cost import bench_clip

    with tempfile.TemporaryDirectory() as work:
        video = bench_clip(Path(work)).video
        costs = measure_tracking(loaded.model.sam2_head, loaded.model.sama.sam2, video)
    if args.plot is not None:
        plot_tracking(costs, args.plot)
    return format_tracking(costs)


def _memory(args: argparse.Namespace) -> str:
    _check_counts(frames=min(args.frames or [1]))
    folder = model_folder(args)
    from sama_plugin.evaluation.length_cost import LENGTHS, format_memory, measure_memory, plot_memory

    costs = measure_memory(folder, args.frames or LENGTHS)
    if args.plot is not None:
        plot_memory(costs, args.plot)
    return format_memory(costs)


def _long(args: argparse.Namespace) -> str:
    loaded = load_model(args)
    from sama_plugin.evaluation.length_cost import format_long, measure_long

    return format_long(measure_long((loaded.model, loaded.tokenizer, loaded.image_processor)))


def _scoring(_: argparse.Namespace) -> str:
    from sama_plugin.evaluation.scoring_cost import format_scoring, measure_scoring, measure_videos

    return format_scoring(measure_scoring(), measure_videos())


def _index(args: argparse.Namespace) -> str:
    _check_counts(records=args.records, reads=args.reads)
    from sama_plugin.evaluation.index_cost import SIDES, format_index, measure_index

    with tempfile.TemporaryDirectory() as work:
        sides = SIDES[:1] if args.only_index else SIDES
        return format_index(measure_index(Path(work), args.records, args.reads, sides))


def _serve(args: argparse.Namespace) -> int:
    _check_counts(visits=args.visits)
    check_packages()
    from sama_plugin.demo.trial.soak import OPTIONS, format_soak, measure_soak, plan_visits

    options = OPTIONS if args.model is None else (*OPTIONS, "--model", args.model)
    with tempfile.TemporaryDirectory() as work:
        report = measure_soak(Path(work), plan_visits(args.visits), options=options)
    print(format_soak(report))
    return DONE if report.is_good() else RESULT_SAYS_NO
