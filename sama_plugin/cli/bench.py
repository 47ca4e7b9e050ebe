"""`sama bench WHAT`: what things cost, each beside what it is compared with, in one run on one machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sama_plugin.cli.model_options import add_model_options, load_model

ABOUT = """\
train    a training step of SAMA and one of the host's own llava_qwen on the same clips, LLM and tower
turns    a conversation turn by turn: as a session keeps things, computed anew, and as other projects do it
objects  tracking 1, 2, 4 and 8 objects, and SAM2's own video predictor with the same weights and prompts
memory   the peak of memory over 200, 2,000 and 10,000 frames, and the predictor's
long     a question about ten seconds near the end of two hours, and about these seconds alone"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "bench",
        parents=[common],
        help="measure time and memory of training and of conversations",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=list(BENCHES), help="what to measure")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="train: clips per step (default 4)")
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="train: per round (default 8)")
    parser.add_argument(
        "--frames",
        type=int,
        nargs="+",
        metavar="N",
        help="memory: lengths of the videos instead of the usual",
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="turns, objects, memory: draw it too")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table.

    Raises:
        SamaError: numbers below 1, a picture that cannot be written, or a side failed.
    """
    from sama_plugin.errors import DataError
    from sama_plugin.inference.outputs import check_file

    for name, value in (("batch", args.batch), ("steps", args.steps), ("frames", min(args.frames or [1]))):
        if value < 1:
            raise DataError(f"--{name} is {value}, expected 1 or more.")
    if args.plot is not None:
        check_file(args.plot)
    print(BENCHES[args.what](args))
    return 0


def _folder(args: argparse.Namespace) -> Path:
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.host.checkpoint import resolve_folder
    from sama_plugin.host.shipped import shipped_checkpoint

    return resolve_folder(args.model or shipped_checkpoint())


def _train(args: argparse.Namespace) -> str:
    from sama_plugin.training.step_cost import compare, format_costs

    return format_costs(compare(_folder(args), batch=args.batch, steps=args.steps))


def _turns(args: argparse.Namespace) -> str:
    import tempfile

    loaded = load_model(args)
    from sama_plugin.evaluation.turn_cost import bench_clip, format_turns, measure_turns, plot_turns

    with tempfile.TemporaryDirectory() as work:
        parts = (loaded.model, loaded.tokenizer, loaded.image_processor)
        costs = measure_turns(parts, bench_clip(Path(work)))
    if args.plot is not None:
        plot_turns(costs, args.plot)
    return format_turns(costs)


def _objects(args: argparse.Namespace) -> str:
    import tempfile

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
    from sama_plugin.evaluation.length_cost import LENGTHS, format_memory, measure_memory, plot_memory

    costs = measure_memory(_folder(args), args.frames or LENGTHS)
    if args.plot is not None:
        plot_memory(costs, args.plot)
    return format_memory(costs)


def _long(args: argparse.Namespace) -> str:
    loaded = load_model(args)
    from sama_plugin.evaluation.length_cost import format_long, measure_long

    return format_long(measure_long((loaded.model, loaded.tokenizer, loaded.image_processor)))


BENCHES: dict[str, Callable[[argparse.Namespace], str]] = {
    "train": _train,
    "turns": _turns,
    "objects": _objects,
    "memory": _memory,
    "long": _long,
}
