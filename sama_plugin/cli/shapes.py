"""`sama shapes`: render videos of the small world with masks and dialogues."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "shapes", parents=[common], help="render moving shapes with masks and dialogues"
    )
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    parser.add_argument("--videos", type=int, required=True, metavar="K", help="how many")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--split",
        default="test",
        help="test (default), with combinations that train never shows; train; or unnamed, where half of the objects "
        "have colours without a name (for the stage talk of the tiny preset only)",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render, or go on where an earlier run was cut off."""
    from sama_plugin.data.shapes.writer import make_shapes
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    make_shapes(args.out, args.seed, args.videos, args.split, workers=args.workers)
    print(f"{args.videos} videos of split '{args.split}', seed {args.seed}: {args.out}")
    return 0
