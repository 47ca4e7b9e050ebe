"""Options of `sama annotate`: what is made, and by which model; what cannot be meant is refused."""

from __future__ import annotations

import argparse
from pathlib import Path

from sama_plugin.errors import DataError


def add_choice_options(parser: argparse.ArgumentParser) -> None:
    """Which objects, and how much about them."""
    options = parser.add_argument_group("what is made")
    options.add_argument("--dialogues", type=int, default=2, metavar="K", help="per video")
    options.add_argument("--rounds", type=int, default=5, metavar="N", help="of a dialogue, at most")
    options.add_argument("--max-objects", type=int, default=10, metavar="N", help="per video")
    options.add_argument(
        "--min-seen",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="of the frames an object is on",
    )
    options.add_argument(
        "--min-area",
        type=float,
        default=0.001,
        metavar="SHARE",
        help="of the picture it covers",
    )
    options.add_argument(
        "--max-alike",
        type=float,
        default=0.7,
        metavar="IOU",
        help="with a larger object, above which it is a duplicate",
    )
    options.add_argument(
        "--max-share",
        type=float,
        default=0.6,
        metavar="SHARE",
        help="of one task in all rounds",
    )


def add_endpoint_options(parser: argparse.ArgumentParser) -> None:
    """Which model, what it is shown and told, and how it is asked."""
    options = parser.add_argument_group("the model that writes")
    options.add_argument(
        "--endpoint", metavar="URL", help="OpenAI-compatible, up to /v1; without it rules write"
    )
    add = options.add_argument
    needing_it = [
        add("--llm", metavar="NAME", help="the model's name there"),
        add("--key-env", metavar="VAR", help="environment variable with the key; without it none is sent"),
        add("--prompts", type=Path, metavar="DIR", help="your own, see --copy-prompts"),
        add("--min-rounds", type=int, default=3, metavar="N", help="of a dialogue"),
        add("--temperature", type=float, default=0.7, help="of the writing"),
        add("--max-tokens", type=int, default=2048, metavar="N", help="of a reply"),
        add("--no-verdicts", action="store_true", help="do not let the model judge its dialogues once more"),
        add("--pictures", type=int, default=16, metavar="N", help="frames shown, at most"),
        add("--side", type=int, default=512, metavar="PX", help="longer side of a picture"),
        add(
            "--blank-frames", action="store_true", help="show masks on grey, for videos that are not at hand"
        ),
        add("--rate", type=float, metavar="N", help="requests a minute, at most"),
        add("--tries", type=int, default=6, metavar="N", help="at a request"),
        add("--timeout", type=float, default=120.0, metavar="S", help="of a request"),
        add("--price-in", type=float, default=0.0, metavar="X", help="of a million tokens read"),
        add("--price-out", type=float, default=0.0, metavar="X", help="of a million tokens written"),
        add("--cache", type=Path, metavar="DIR", help="of the replies (default: --out/replies)"),
    ]
    parser.set_defaults(needing_endpoint=needing_it)


def check_options(args: argparse.Namespace) -> None:
    """Refuse what cannot be meant.

    Raises:
        DataError: says which option, and what it may be.
    """
    if not args.inputs:
        raise DataError("sama annotate: name a file with tracks, such as sav_000001_manual.json.")
    for option in args.needing_endpoint:
        if args.endpoint is None and getattr(args, option.dest) != option.default:
            raise DataError(
                f"{option.option_strings[0]} is given without --endpoint; give the URL of the server that runs "
                "the model."
            )
    if args.endpoint is not None and args.llm is None:
        raise DataError("--endpoint is given without --llm; give the model's name there.")
    whole = ("rounds", "concurrency", "max_objects", "min_rounds", "max_tokens", "pictures", "side", "tries")
    for name in whole:
        if getattr(args, name) < 1:
            raise DataError(f"--{name.replace('_', '-')} is {getattr(args, name)}, expected 1 or more.")
    for name in ("min_seen", "min_area", "max_alike", "max_share"):
        if not 0 <= getattr(args, name) <= 1:
            raise DataError(
                f"--{name.replace('_', '-')} is {getattr(args, name)}, expected a share from 0 to 1."
            )
    for name in ("seed", "dialogues", "price_in", "price_out", "temperature"):
        if not 0 <= getattr(args, name) < float("inf"):
            raise DataError(f"--{name.replace('_', '-')} is {getattr(args, name)}, expected 0 or more.")
    for name in ("timeout", "rate"):
        value = getattr(args, name)
        if value is not None and not 0 < value < float("inf"):
            raise DataError(f"--{name} is {value}, expected more than 0.")
    if args.endpoint is not None and args.min_rounds > args.rounds:
        raise DataError(f"--min-rounds is {args.min_rounds}, more than --rounds, {args.rounds}.")
