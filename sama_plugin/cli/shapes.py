"""`sama shapes`: render videos of the small world with masks and dialogues."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.notes import note

LESSON = Lesson(
    summary="render the small world: videos, masks, dialogues",
    purpose="Render videos of moving shapes with their masks and dialogues, to try everything else on.",
    details="The same seed gives the same bytes. A run that was cut off goes on.",
    writes="--out: videos/, records.json and mask_dict.json, the form that training, `sama data` and `sama eval` read",
    examples=(
        "sama shapes --seed 1 --videos 4 --out shapes",
        "sama shapes --seed 7 --videos 3000 --split train --out shapes_train --workers 2",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "shapes", LESSON)
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    parser.add_argument("--videos", type=int, required=True, metavar="K", help="how many")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--split",
        default="test",
        help="test, with combinations that train never shows; train, with more colours and shapes; unnamed, "
        "where half of the objects have colours without a name, or still, where nothing moves (these two for the "
        "stages talk and joint of the tiny preset only)",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render, or go on where an earlier run was cut off."""
    from sama_plugin.data.shapes.writer import make_shapes
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    make_shapes(args.out, args.seed, args.videos, args.split, workers=args.workers)
    note(f"{args.videos} videos of split '{args.split}', seed {args.seed}: {args.out}")
    return 0
