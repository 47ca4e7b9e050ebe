"""Entry point of `sama`: finds the verb, and turns any error of the user's into one line and exit code 2."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence

import sama_plugin
from sama_plugin.cli import annotate, bench, chat, convert, data, demo, doctor, eval, shapes, train
from sama_plugin.errors import SamaError, own_words

VERBS = (demo, chat, shapes, train, bench, eval, annotate, data, convert, doctor)
"""Modules with `add_parser`; what is heavy they import when they run."""

USER_ERROR = 2
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes them from the process.

    Returns:
        Exit code: 0 well done, 2 an error of the user's or an interruption, else what the verb says.
    """
    _set_up_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    own, passed_on = train.split_arguments(eval.complete_arguments(arguments))
    args = build_parser().parse_args(own)
    args.passed_on, args.verbose = passed_on, getattr(args, "verbose", False)
    if args.run is None:
        build_parser().print_help()
        return USER_ERROR
    _set_up_messages(args.verbose)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SamaError as error:
        return _fail(own_words(error))
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written is left.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: say no more
        return USER_ERROR
    except OSError as error:
        if error.errno in NO_SPACE:
            return _fail(f"no space left on the disk ({error}); free some and run again.")
        return _fail(str(error))


def build_parser() -> argparse.ArgumentParser:
    """Parser of all verbs."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say what is done, on stderr"
    )
    parser = argparse.ArgumentParser(
        prog="sama",
        description="SAMA for LLaVA-NeXT: point at things in a video, ask, and get text with masks.",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"sama {sama_plugin.__version__}")
    parser.set_defaults(run=None)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    for verb in VERBS:
        verb.add_parser(verbs, common)
    return parser


def _set_up_streams() -> None:
    """A stream that is closed takes or gives nothing; what a terminal cannot show is replaced."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _set_up_messages(is_verbose: bool) -> None:
    """Our log on stderr; other libraries only where something breaks, unless `-v` asks for all."""
    logging.basicConfig(
        format="%(levelname)s %(name)s: %(message)s" if is_verbose else "sama: %(message)s",
        level=logging.INFO if is_verbose else logging.ERROR,
        stream=sys.stderr,
    )
    logging.getLogger("sama_plugin").setLevel(logging.INFO if is_verbose else logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not is_verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        warnings.simplefilter("ignore")


def _fail(message: str) -> int:
    """Say what is wrong in one line."""
    print(f"sama: {' '.join(message.split())}", file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
