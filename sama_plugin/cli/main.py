"""Entry point of `sama`: finds the verb, and turns any error of the user's into one line and its exit code."""

from __future__ import annotations

import argparse
import atexit
import errno
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

import sama_plugin
from sama_plugin.cli import (
    annotate,
    bench,
    card,
    chat,
    completion,
    convert,
    data,
    demo,
    doctor,
    eval,
    push,
    serve,
    shapes,
    train,
)
from sama_plugin.cli.exit_codes import BUG, INTERRUPTED, NO_READER, USER_ERROR
from sama_plugin.cli.notes import set_quiet
from sama_plugin.cli.root_parser import RootParser
from sama_plugin.errors import SamaError, own_words

VERBS = {
    "look": (demo, doctor),
    "talk": (chat, serve),
    "data": (shapes, data, annotate),
    "train": (train, convert),
    "measure": (eval, bench),
    "share": (card, push),
    "shell": (completion,),
}
"""Modules with `add_parser`, in the order a newcomer needs them; what is heavy they import when they run."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
SIGNAL_BASE = 128
"""A shell tells of a process that a signal ended by this and the signal's number."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes them from the process.

    Returns:
        Exit code, see `exit_codes`.
    """
    _set_up_streams()
    args = parse_arguments(sys.argv[1:] if argv is None else argv)
    _set_up_messages(args.verbose, args.quiet)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SamaError as error:
        return _fail(own_words(error))
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written is left.", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: say no more
        return NO_READER
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sama_plugin"):
            raise
        return _fail(f"the package '{error.name}' is not installed; `sama doctor` says what mends it.")
    except OSError as error:
        if error.errno in NO_SPACE:
            return _fail(f"no space left on the disk ({error}); free some and run again.")
        return _fail(str(error))


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command says, without doing it; `run` is what does it.

    Args:
        arguments: without the program's name.

    Raises:
        SystemExit: they are malformed (exit code 2, after one line), or ask for help or version (0).
    """
    own, passed_on = train.split_arguments(eval.complete_arguments(arguments))
    parser = build_parser()
    args = parser.parse_args(own)
    args.passed_on = passed_on
    args.verbose, args.quiet = getattr(args, "verbose", False), getattr(args, "quiet", False)
    if args.verbose and args.quiet:
        parser.error("-v and -q are given together; leave one of them out")
    return args


def run_process() -> NoReturn:
    """`main` as a process of its own: a bug ends with its traceback and a code of its own.

    An interruption ends it by the signal itself, as shells expect: a script that called it stops too.
    """
    code = 0
    atexit.register(lambda: _end_by_signal(code))  # registered first, so that it runs last
    try:
        code = main()
    except Exception:  # noqa: BLE001 - whatever it is, nothing else will tell of it
        traceback.print_exc()
        code = _fail(
            f"this is a defect of sama {sama_plugin.__version__}; please report it with the lines above.", BUG
        )
    sys.exit(code)


def build_parser() -> RootParser:
    """Parser of all verbs."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say what is done, on stderr"
    )
    common.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=argparse.SUPPRESS,
        help="only results and errors: no bars, notes, warnings",
    )
    parser = RootParser(common)
    for title, modules in VERBS.items():
        with parser.group(title) as verbs:
            for verb in modules:
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


def _set_up_messages(is_verbose: bool, is_quiet: bool) -> None:
    """Our log on stderr; other libraries only where something breaks, unless `-v` asks for all."""
    set_quiet(is_quiet)
    usual = logging.ERROR if is_quiet else logging.WARNING
    logging.basicConfig(
        format="%(levelname)s %(name)s: %(message)s" if is_verbose else "sama: %(message)s",
        level=logging.INFO if is_verbose else logging.ERROR,
        stream=sys.stderr,
    )
    logging.getLogger("sama_plugin").setLevel(logging.INFO if is_verbose else usual)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not is_verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        warnings.simplefilter("ignore")


def _fail(message: str, code: int = USER_ERROR) -> int:
    """Say what is wrong in one line."""
    print(f"sama: {' '.join(message.split())}", file=sys.stderr)
    return code


def _end_by_signal(code: int) -> None:
    """Let the process die of the signal that its exit code stands for, if it stands for one."""
    if code > SIGNAL_BASE and os.name == "posix":
        sys.stdout.flush()
        signal.signal(code - SIGNAL_BASE, signal.SIG_DFL)
        os.kill(os.getpid(), code - SIGNAL_BASE)


if __name__ == "__main__":
    run_process()
