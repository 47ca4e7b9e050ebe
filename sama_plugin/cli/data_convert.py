"""`sama data convert`: a data set without its defects, as a benchmark, or as training data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options, corpus_files
from sama_plugin.cli.model_options import add_model_options, load_model
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="write a data set without its defects, or from a file by hand",
    purpose="Write records and masks anew, without what breaks a rule, or from a file written by hand.",
    details="Rounds, descriptions and records that break a rule are left out, objects without usable masks become -1, "
    "older names of tokens today's.",
    writes="--out: the records (--name) and mask_dict.json; media stay where they are",
    examples=(
        "sama data convert shapes --to clean --out clean",
        "sama data convert own.json --from own --to train --sam2 --out made",
        "sama data convert --schema",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "convert", LESSON)
    add_file_options(parser)
    parser.add_argument(
        "--from",
        dest="source",
        choices=("records", "own"),
        default="records",
        help="form of RECORDS: SAMA-239K, or a file written by hand (own; what it may say: --schema)",
    )
    parser.add_argument(
        "--sam2",
        action="store_true",
        help="with --from own: SAM2 makes tracks of regions that are only given on some frames",
    )
    add_model_options(parser)
    parser.add_argument(
        "--schema", action=_PrintSchema, help="print the JSON Schema of hand-written files, and end"
    )
    parser.add_argument(
        "--to",
        choices=("clean", "bench", "train"),
        required=True,
        help="clean: nothing more; bench: with question_id and description_id everywhere; train: without them",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument("--name", default="records.json", metavar="FILE", help="of the records, in DIR")
    parser.set_defaults(run=run)


class _PrintSchema(argparse.Action):
    """Print the schema, as `--version` prints the version."""

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and leave."""
        from sama_plugin.data.own_data import SCHEMA_FILE

        print(SCHEMA_FILE.read_text(encoding="utf-8"), end="")
        parser.exit()


def run(args: argparse.Namespace) -> int:
    """Convert, write, say what is left."""
    if args.source == "own":
        return _convert_own(args)
    if args.sam2:
        raise DataError("--sam2 makes tracks of hand-written files; give --from own too.")
    from sama_plugin.data.conversion import convert_corpus
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.export import export_corpus, export_targets
    from sama_plugin.data.kept_inputs import check_inputs_kept
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    files = corpus_files(args.records, args)
    corpus = open_corpus(*files)
    check_inputs_kept(corpus.files(), export_targets(args.out, args.name))
    written = export_corpus(convert_corpus(corpus, args.to), args.out, name=args.name)
    files_written = ", ".join(map(str, written.files))
    note(f"{written.records} of {len(corpus)} records and {written.masks} masks written: {files_written}")
    note(f"media stay in {files.video_root}")
    return 0


def _convert_own(args: argparse.Namespace) -> int:
    """Write a hand-written file in the SAMA-239K form."""
    from sama_plugin.data.sources.own import convert_own
    from sama_plugin.inference.outputs import check_folder

    if args.to != "train":
        raise DataError(f"--from own makes training data, --to is {args.to}; give --to train.")
    check_folder(args.out)
    media = args.media or args.records.parent
    tracker = None
    if args.sam2:
        head = load_model(args).model.sam2_head
        from sama_plugin.data.own_tracking import sam2_tracker

        tracker = sam2_tracker(head)
    count = convert_own(args.records, media, args.out, tracker)
    note(f"{count} records written: {args.out}; media stay in {media}")
    return 0
