"""`sama chat VIDEO`: regions and questions from the command line, or one after another at a prompt."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.exit_codes import DONE, RESULT_SAYS_NO
from sama_plugin.cli.model_options import (
    add_model_options,
    add_session_options,
    answer_settings,
    load_model,
    session_options,
)
from sama_plugin.cli.notes import note
from sama_plugin.errors import MediaError, PromptError, SamaError

if TYPE_CHECKING:
    from sama_plugin.inference.session import VideoSession
    from sama_plugin.media.decode import VideoClip
    from sama_plugin.schema import RegionPrompt

REGION_HELP = (
    "NAME=KIND@WHEN:VALUES; KIND point (x,y or x,y,0 for a negative click, joined by ;), box (x0,y0,x1,y1), "
    "scribble (x,y;x,y;...) or mask (a PNG); WHEN a frame index, or a time such as 3.5s"
)
COMMANDS = """\
/region NAME=KIND@WHEN:VALUES   point at something, e.g. /region r1=box@12:40,30,120,160; ask about it as <r1>
/rewind N                       go back to where there were N answers
/save [DIR]                     write overlay video, picture strip and answer.json
/quit                           end (or Ctrl-D, Ctrl-C)"""
JSON_TO_STDOUT = "-"
BATCH_HELP = (
    'conversations, a {"video": ..., "ask": [...], "regions": [...], "from_s": ..., "to_s": ..., "id": ...} per line, '
    "all but the first two optional; paths begin at the file's folder. --json is then the file of the answers, in "
    "order; the same command goes on where one was cut off"
)


LESSON = Lesson(
    summary="ask about a video, at a prompt or by --ask",
    purpose="Ask about a video, of things pointed at or found before, and get text with masks on every frame.",
    details="Without --ask it asks you, question after question; /help there names its commands. A question means a "
    "region as <r1> and an object of an earlier answer as <obj1>. A folder of frames is a video too.",
    writes="--out: overlay.mp4, strip.png and answer.json; --json: answer.json alone, or a line for each conversation "
    "of --batch; without both nothing",
    says_no="a conversation of --batch failed; its line says why",
    examples=(
        "sama chat clip.mp4",
        'sama chat clip.mp4 --region r1=box@12:40,30,120,100 --ask "What does <r1> do?" --out answers',
        'sama chat film.mp4 --from 7150s --to 7190s --ask "What moves?" --json -',
        "sama chat --batch jobs.jsonl --json answers.jsonl",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "chat", LESSON)
    parser.add_argument("video", nargs="?", metavar="VIDEO", help="a video file, or a folder of frames")
    parser.add_argument("--region", action="append", default=[], metavar="SPEC", help=REGION_HELP)
    parser.add_argument(
        "--ask", action="append", default=[], metavar="QUESTION", help="<r1> means a region, <obj1> an object"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="gets overlay.mp4, strip.png and answer.json; made if missing"
    )
    parser.add_argument("--json", metavar="FILE", help="write answer.json here too; - is stdout")
    parser.add_argument(
        "--from",
        dest="from_s",
        type=seconds,
        metavar="T",
        help="ask about the video from here on, e.g. 7150s",
    )
    parser.add_argument("--to", dest="to_s", type=seconds, metavar="T", help="and up to here")
    batch = parser.add_argument_group("many conversations")
    batch.add_argument("--batch", type=Path, metavar="FILE.jsonl", help=BATCH_HELP)
    batch.add_argument("--batch-size", type=int, default=8, metavar="N", help="side by side")
    add_model_options(parser)
    add_session_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check everything that can be checked without a model, load it, talk, write."""
    if args.batch is not None:
        return _run_batch(args)
    if args.video is None:
        raise PromptError("There is no VIDEO to talk about; name one, or many by --batch.")
    from sama_plugin.media.decode import VideoClip
    from sama_plugin.media.regions import parse_regions

    clip = VideoClip.open(args.video)
    prompts = parse_regions(args.region, clip)
    check_questions(args.ask, prompts)
    check_outputs(args, clip)
    window = (args.from_s, args.to_s)
    clip.span(*window)
    options = session_options(args)
    loaded = load_model(args)
    from sama_plugin.inference.session import VideoSession

    session = VideoSession(
        loaded.model,
        loaded.tokenizer,
        loaded.image_processor,
        clip,
        window=window,
        **options,
        progress=True,
    )
    for prompt in prompts:
        session.add_region(prompt)
    to = sys.stderr if args.json == JSON_TO_STDOUT else sys.stdout
    if args.ask:
        _answer_all(session, args.ask, to)
    else:
        _talk(session, args.out, to)
    if session.answers:
        _write(session, args, to)
    return 0


def seconds(text: str) -> float:
    """`7150s` or `7150` → 7150.0."""
    return float(text.removesuffix("s"))


def _run_batch(args: argparse.Namespace) -> int:
    """Hold the conversations of a file; exit code 1 if one of them failed."""
    from sama_plugin.evaluation.results import code_version
    from sama_plugin.inference.batch_file import read_jobs, run_batch
    from sama_plugin.inference.outputs import check_file

    own = (args.video, args.from_s, args.to_s, args.out, *args.ask, *args.region)
    if any(value is not None for value in own) or args.json in (None, JSON_TO_STDOUT):
        raise PromptError(
            "--batch takes videos, questions, regions and times from its file, and writes to --json FILE.jsonl only; "
            "give --json, and leave VIDEO, --ask, --region, --from, --to and --out out."
        )
    jobs, target = read_jobs(args.batch), Path(args.json)
    if target.exists() and target.samefile(args.batch):
        raise PromptError(f"--json '{target}' is the batch file itself; name another one.")
    check_file(target)
    options = session_options(args)
    loaded = load_model(args)
    failed = run_batch(
        (loaded.model, loaded.tokenizer, loaded.image_processor),
        jobs,
        target,
        {"settings": answer_settings(args, loaded.model), "code": code_version(loaded.folder)},
        batch_size=args.batch_size,
        session_options=options,
    )
    tell = print if failed else note
    tell(f"{len(jobs) - failed} conversations answered, {failed} failed: {target}")
    return RESULT_SAYS_NO if failed else DONE


def check_questions(questions: list[str], prompts: list[RegionPrompt]) -> None:
    """See that every `<name>` may come to mean something: a region, or an object of an answer before it.

    Raises:
        PromptError: an empty question, a token of the model's own, or a name that was never defined.
    """
    from sama_plugin.prompting.placeholders import PLACEHOLDER, check_question, resolve_placeholders

    known = [prompt.name for prompt in prompts]
    for number, question in enumerate(questions):
        check_question(question, ())
        may_come = [
            n for n in PLACEHOLDER.findall(question) if number and n.startswith("obj") and n[3:].isdigit()
        ]
        resolve_placeholders(question, [*known, *may_come])


def check_outputs(args: argparse.Namespace, clip: VideoClip) -> None:
    """See that what will be written can be.

    Raises:
        MediaError: a place that cannot be written to, or too little disk.
    """
    from sama_plugin.inference.outputs import (
        OUTPUT_FILES,
        check_file,
        check_folder,
        check_kept,
        expected_bytes,
    )

    if args.out is not None:
        check_folder(args.out, expected_bytes(clip))
        check_kept(clip, [args.out / name for name in OUTPUT_FILES])
    if args.json not in (None, JSON_TO_STDOUT):
        file = Path(args.json)
        check_file(file)
        check_kept(clip, [file])
        if args.out is not None and file.absolute() in (args.out.absolute(), *args.out.absolute().parents):
            raise MediaError(f"--json '{file}' is the folder of --out, or one around it; name a file.")


def _answer_all(session: VideoSession, questions: list[str], to: TextIO) -> None:
    from sama_plugin.cli.talk import YOU, ask_aloud, describe_region, show_clip

    show_clip(session.clip, to)
    for region in session.regions.values():
        if region.prompt is not None:
            note(describe_region(region.prompt), to)
    for question in questions:
        note(f"\n{YOU}{question}", to)
        ask_aloud(session, question, to)


def _talk(session: VideoSession, out: Path | None, to: TextIO) -> None:
    """Question after question until `/quit` or the end of input, which Ctrl-C at the prompt is too.

    Within an answer, an error or Ctrl-C ends that answer only.
    """
    from sama_plugin.cli.talk import YOU, ask_aloud, show_clip

    show_clip(session.clip, to)
    note(COMMANDS, to)
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its line editing
    while (line := _read_line(YOU, to)) is not None and line != "/quit":
        try:
            if line.startswith("/"):
                _obey(session, line, out, to)
            elif line:
                ask_aloud(session, line, to)
        except (SamaError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            print(f"sama: {error}", file=to)
        except KeyboardInterrupt:
            print("sama: stopped; this answer does not count.", file=to)


def _read_line(prompt: str, to: TextIO) -> str | None:
    """The next line, stripped; None at the end of input, Ctrl-C or bytes that are no text.

    What nobody typed is shown as if typed.
    """
    print(file=to)
    try:
        if sys.stdin.isatty() and to is sys.stdout:
            return input(prompt).strip()
        print(prompt, end="", file=to, flush=True)
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        print(file=to)
        return None
    except UnicodeDecodeError as error:
        print(
            f"\nsama: The input holds bytes that are no text ({error}); the conversation ends here.", file=to
        )
        return None
    print("" if sys.stdin.isatty() else line.rstrip("\n"), file=to)
    return line.strip() if line else None


def _obey(session: VideoSession, line: str, out: Path | None, to: TextIO) -> None:
    """Carry out a line that begins with a slash."""
    from sama_plugin.cli.talk import describe_region, show_files
    from sama_plugin.inference.outputs import check_folder, expected_bytes, write_outputs
    from sama_plugin.media.regions import parse_region

    command, _, rest = line.partition(" ")
    if command == "/region":
        prompt = parse_region(rest.strip(), session.clip)
        session.add_region(prompt)
        note(describe_region(prompt), to)
    elif command == "/rewind":
        if not rest.strip().isdecimal():
            raise PromptError("/rewind needs the number of answers to keep, such as /rewind 1.")
        session.rewind(int(rest))
        note(f"{len(session.answers)} answers are left", to)
    elif command == "/save":
        folder = Path(rest.strip()) if rest.strip() else out
        if folder is None:
            raise PromptError("/save needs a folder, since --out was not given: /save DIR.")
        if not session.answers:
            raise PromptError("There is nothing to save yet; ask something first.")
        check_folder(folder, expected_bytes(session.clip))
        files = write_outputs(folder, session.clip, session.answers, session.regions.values(), progress=True)
        show_files(files, to)
    else:
        print(COMMANDS, file=to)


def _write(session: VideoSession, args: argparse.Namespace, to: TextIO) -> None:
    """Leave the conversation where the options say."""
    from sama_plugin.cli.talk import show_files
    from sama_plugin.inference.answer_file import answer_document, format_document, write_answer_file
    from sama_plugin.inference.outputs import write_outputs

    clip, answers, regions = session.clip, session.answers, list(session.regions.values())
    files: list[Path] = []
    if args.out is not None:
        files += write_outputs(args.out, clip, answers, regions, progress=True)
    if args.json == JSON_TO_STDOUT:
        sys.stdout.write(format_document(answer_document(clip, answers, regions)))
    elif args.json is not None:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_answer_file(path, answer_document(clip, answers, regions))
        files.append(path)
    if files:
        show_files(files, to)
