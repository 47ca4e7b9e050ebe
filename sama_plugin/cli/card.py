"""`sama card DIR`: the README.md of a checkpoint folder, made from its files and from what was measured on it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.model_options import add_model_options, add_session_options
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

DEFAULT_DTYPES = {"cpu": "float32", "cuda": "float16"}


LESSON = Lesson(
    summary="write the model card of a checkpoint, with what was measured",
    purpose="Make the model card of a checkpoint: its README.md, with the front matter that the hub reads.",
    details="Sizes come from the folder's files, numbers from results files and nowhere else. What a person wrote into "
    "README.md outside the marks `<!-- sama: ... -->` stays.",
    writes="with --write DIR/README.md, else nothing",
    examples=(
        "sama card second",
        "sama card second --results results/results.json --license apache-2.0 --write",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "card", LESSON)
    parser.add_argument("folder", type=Path, metavar="DIR", help="checkpoint folder")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="results.json of `sama eval` on this checkpoint, or its folder; replaces all numbers in the card",
    )
    parser.add_argument("--name", help="hub id that users load it by (default: the folder's name)")
    parser.add_argument("--license", help="of the weights, such as apache-2.0 (default: as in README.md)")
    parser.add_argument("--write", action="store_true", help="into DIR/README.md (default: print it)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the card; print or write it.

    Raises:
        SamaError: a folder that is no checkpoint, results of other weights, numbers that stand in the card and are
            of other weights, a card that cannot be read or written.
    """
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.data.text_file import write_text
    from sama_plugin.evaluation.card_numbers import card_numbers, measured_mark, read_measured
    from sama_plugin.evaluation.results import fingerprint_folder
    from sama_plugin.host.loading import classes_of
    from sama_plugin.host.model_card import CARD_FILE, card_text, has_numbers

    classes_of(args.folder)
    fingerprint = fingerprint_folder(args.folder)
    place = args.folder / CARD_FILE
    before = place.read_text(encoding="utf-8") if place.is_file() else None
    numbers = None
    if args.results:
        measured = [read_measured(path, fingerprint) for path in args.results]
        commands = [eval_command(results, args.folder) for results in measured]
        numbers = card_numbers(list(zip(measured, commands, strict=True)), fingerprint)
    elif before is not None and has_numbers(before) and measured_mark(fingerprint) not in before:
        raise DataError(
            f"The numbers in {place} are of other weights than {fingerprint[:12]}; give --results measured on these, "
            "or delete what stands between their marks."
        )
    name = args.name or args.folder.resolve().name
    text = card_text(args.folder, name, before, numbers, args.license)
    if not args.write:
        sys.stdout.write(text)
        return 0
    write_text(place, [text])
    note(f"written: {place}")
    return 0


def eval_command(results: Any, folder: Path) -> str:
    """The command that makes results like these: what was chosen other than by default is said.

    Args:
        results: `evaluation.results.Results`.
        folder: of the checkpoint.
    """
    from sama_plugin.config import SamaConfig
    from sama_plugin.host.checkpoint import read_config_json

    parser = argparse.ArgumentParser()
    add_model_options(parser)
    add_session_options(parser)
    own_size = SamaConfig.from_dict(read_config_json(folder).get("sama", {})).sam2.image_size
    settings = results.settings
    defaults = {
        name: parser.get_default(name) for name in ("seed", "temperature", "top_p", "max_new_tokens", "bits")
    }
    defaults |= {"sam2_size": own_size, "dtype": DEFAULT_DTYPES.get(settings.get("device", ""), "float32")}
    words = ["sama", "eval", results.benchmark, "--data", "DATA", "--model", "CHECKPOINT", "--out", "OUT"]
    for name, default in defaults.items():
        if settings.get(name) not in (None, default):
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    if settings.get("sam2_beyond") == "disk":
        words.append("--sam2-disk")
    return " ".join(words)
