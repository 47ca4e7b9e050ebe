"""`sama data extract`: every n-th frame of videos as pictures, as VidSTG's masks need them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.exit_codes import DONE, RESULT_SAYS_NO
from sama_plugin.cli.notes import note

LESSON = Lesson(
    summary="write every 4th frame of VidSTG's videos",
    purpose="Write every n-th frame of all videos below a folder as pictures, as the masks of VidSTG stand for them.",
    details="Folders that are there are left alone, so the same command goes on where one was cut off.",
    writes="--out: <video>/frame_<number>.jpg",
    says_no="a video cannot be read; all others are written",
    examples=(
        "sama data extract shapes/videos --out frames",
        "sama data extract vidstg_videos --records records.json --workers 2 --out media/VidSTG/train",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "extract", LESSON)
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="folder with video files, at any depth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="such as media/VidSTG/train")
    parser.add_argument(
        "--records",
        type=Path,
        metavar="FILE",
        help="take only the VidSTG videos that these records are about",
    )
    parser.add_argument("--step", type=int, default=4, metavar="N", help="take every n-th frame")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Extract, then say what was written and what cannot be read."""
    from sama_plugin.data.frame_extraction import extract_frames, vidstg_names
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    names = None if args.records is None else vidstg_names(args.records)
    result = extract_frames(args.videos, args.out, step=args.step, names=names, workers=args.workers)
    for video, reason in result.failed:
        print(f"sama: {video} gives no frames: {reason}", file=sys.stderr)
    note(
        f"{args.out}: {result.written} folders written, {result.kept} were there, {len(result.failed)} videos failed"
    )
    return RESULT_SAYS_NO if result.failed else DONE
