"""`sama annotate`: make dialogues with masks from videos with mask tracks, by rules or by a model behind a URL."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from sama_plugin.cli.annotate_options import add_choice_options, add_endpoint_options, check_options
from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.exit_codes import DONE, RESULT_SAYS_NO
from sama_plugin.cli.model_options import add_model_options, load_model
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError, EndpointError

RUN_FILE, REPLIES, TRACKS = "annotation.jsonl", "replies", "tracks"

LESSON = Lesson(
    summary="make dialogues with masks from videos with mask tracks",
    purpose="Make data like SAMA-239K from videos with mask tracks: objects, descriptions and grounded dialogues.",
    details="""\
It chooses objects, marks them on frames, describes each, writes multi-turn dialogues, verifies them, and writes \
records in the published form. Without --endpoint a rule-based writer works from the masks alone (positions, motion, \
order, relations, size): no key, no model, no video needed. With it, a model that sees the marked frames writes, and \
every reply is checked, asked for again once, or rejected with the reason.

INPUT: SA-V files (*_manual.json, *_auto.json) or folders of them; MeViS-like files with 'videos' and a mask \
dictionary; lists of SAMA records and a mask dictionary; or clicks and boxes from which SAM2 tracks:

  {"prompts": [{"video": "a.mp4", "objects": [{"at": "box@12:40,30,120,160", "name": "brown dog"}]}]}""",
    writes="""\
below --out:
records.json, mask_dict.json   the data; `sama data check` and training read them
report.json                    what was kept, repaired, rejected and left out, with reasons; tokens and cost
annotation.jsonl               a line per finished piece; a run that was cut off, even by kill -9, goes on from it
replies/                       the model's replies; no request is paid for twice""",
    says_no="something is left for another run of the same command, or nothing could be used",
    examples=(
        "sama annotate shapes/records.json --out made",
        "sama annotate sav_train --endpoint http://localhost:8000/v1 --llm Qwen2.5-VL-72B --concurrency 16",
        "sama annotate meta_expressions.json --masks mask_dict.json --video-root JPEGImages --llm gemini-2.5-pro "
        "--endpoint https://generativelanguage.googleapis.com/v1beta/openai --key-env GEMINI_API_KEY --rate 60",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "annotate", LESSON)
    parser.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="files with tracks, see above")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("annotated"),
        metavar="DIR",
        help="a cut-off run goes on",
    )
    parser.add_argument("--masks", type=Path, metavar="FILE", help="default: mask_dict.json beside the input")
    parser.add_argument(
        "--video-root", type=Path, metavar="DIR", help="of the videos; default: the input's folder"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same data by rules")
    parser.add_argument("--concurrency", type=int, default=1, metavar="N", help="pieces at a time")
    parser.add_argument(
        "--copy-prompts", type=Path, metavar="DIR", help="copy the prompts there, to be changed, and end"
    )
    add_choice_options(parser)
    add_endpoint_options(parser)
    add_model_options(parser, title="the checkpoint whose SAM2 tracks clicks and boxes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Go through the stages, write what there is, and say how it went."""
    from sama_plugin.data.annotation.prompts import copy_prompts

    if args.copy_prompts is not None:
        paths = copy_prompts(args.copy_prompts)
        note(f"{len(paths)} prompts: {args.copy_prompts}; change them and give --prompts {args.copy_prompts}")
        return DONE
    check_options(args)
    from sama_plugin.data.annotation.export import REPORT
    from sama_plugin.data.corpus import MASKS_FILE, RECORDS_FILE
    from sama_plugin.data.kept_inputs import check_inputs_kept
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    dictionaries = [args.masks or path.parent / MASKS_FILE for path in args.inputs]
    check_inputs_kept(
        [*args.inputs, *dictionaries],
        [args.out / name for name in (RECORDS_FILE, MASKS_FILE, REPORT, RUN_FILE)],
    )
    entries = _find_entries(args)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.endpoint is None:
        return _annotate(
            args, entries, _rule_writer(args), {"kind": "rules", "seed": args.seed, "rounds": args.rounds}
        )
    with _open_endpoint(args) as endpoint:
        writer, settings = _model_writer(args, endpoint)
        if not args.blank_frames:
            _check_media(entries, ", or --blank-frames to show the model masks on grey")
        return _annotate(args, entries, writer, settings)


def _annotate(args: argparse.Namespace, entries: Any, writer: Any, settings: dict[str, Any]) -> int:
    from dataclasses import asdict

    from sama_plugin.data.annotation.choice import Choice
    from sama_plugin.data.annotation.export import export_run
    from sama_plugin.data.annotation.pipeline import SCHEMA, Plan, annotate_videos
    from sama_plugin.data.run_file import RunFile

    choice = Choice(args.min_seen, args.min_area, args.max_alike, args.max_objects)
    identity = {"schema": SCHEMA, "writer": settings, "choice": asdict(choice)}
    with RunFile(args.out / RUN_FILE, identity) as run_file:
        plan = Plan(choice, args.dialogues)
        try:
            left = annotate_videos(entries, writer, run_file, plan, concurrency=args.concurrency)
        except EndpointError as error:
            kept = f"{len(run_file.rows)} finished pieces are kept; run the same command again to go on."
            raise EndpointError(f"{error} {kept}", error.kind) from error
        report = export_run(
            entries, run_file, args.out, dialogues=args.dialogues, most_share=args.max_share, seed=args.seed
        )
    return _tell(args.out, report, left)


def _tell(out: Path, report: dict[str, Any], left: int) -> int:
    """The end line; the exit code."""
    parts = []
    for name in ("objects", "dialogues"):
        counts = report[name]
        made = counts["kept"] + counts["repaired"]
        extra = f" ({counts['repaired']} repaired, {counts['rejected']} rejected)"
        parts.append(f"{made} {name}{extra}")
    rounds = sum(report["rounds"].values())
    note(
        f"{report['videos']['given']} videos: {', '.join(parts)}, {rounds} rounds in {report['records']} records"
    )
    usage = report["usage"]
    if usage["requests"] or usage["cached"]:
        replies = usage["requests"] + usage["cached"]
        tokens = f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out"
        note(f"{replies} replies, {usage['retries']} retries, {tokens}, cost {usage['cost']:.4f}")
    note(f"written: {out} (to check it: sama data check {out} --media VIDEO_ROOT)")
    if left or report["objects"]["left"] or report["dialogues"]["left"]:
        print(
            f"left for another run: {report['objects']['left']} objects, {report['dialogues']['left']} dialogues"
        )
        return RESULT_SAYS_NO
    if not report["records"]:
        print(f"nothing could be used; the reasons are in {out / 'report.json'}")
        return RESULT_SAYS_NO
    return DONE


def _find_entries(args: argparse.Namespace) -> list[Any]:
    """The videos of all inputs; SAM2 is loaded only for clicks and boxes."""
    from sama_plugin.data.annotation.track_files import find_videos

    head = functools.cache(lambda: _load_head(args))

    def prompted(path: Path, prompts: Any, video_root: Path) -> list[Any]:
        from sama_plugin.data.annotation.sam2_tracks import find_prompted_videos

        found = find_prompted_videos(path, prompts, video_root, head(), args.out / TRACKS)
        _check_media(found, "")
        return found

    return find_videos(args.inputs, args.masks, args.video_root, prompted)


def _load_head(args: argparse.Namespace) -> Any:
    head = load_model(args).model.sam2_head
    if head is None:
        raise DataError("Clicks and boxes need SAM2, which the checkpoint has not; give another --model.")
    return head


def _check_media(entries: list[Any], otherwise: str) -> None:
    """All videos are there before anything is paid for."""
    missing = [entry for entry in entries if not entry.media.exists()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(entries)} videos are missing, such as {missing[0].media}; "
            f"give --video-root{otherwise}."
        )


def _rule_writer(args: argparse.Namespace) -> Any:
    from sama_plugin.data.annotation.writer import RuleWriter

    return RuleWriter(args.seed, args.dialogues, args.rounds)


def _open_endpoint(args: argparse.Namespace) -> Any:
    from sama_plugin.data.endpoint import Endpoint

    return Endpoint(
        args.endpoint,
        args.llm,
        key_env=args.key_env,
        cache=args.cache or args.out / REPLIES,
        price_in=args.price_in,
        price_out=args.price_out,
        per_minute=args.rate,
        tries=args.tries,
        timeout_s=args.timeout,
    )


def _model_writer(args: argparse.Namespace, endpoint: Any) -> tuple[Any, dict[str, Any]]:
    """The writer, and what shapes its texts."""
    from sama_plugin.data.annotation.model_writer import ModelWriter
    from sama_plugin.data.annotation.prompts import load_prompts

    prompts = load_prompts(args.prompts)
    settings: dict[str, Any] = {
        "rounds": (args.min_rounds, args.rounds),
        "pictures": args.pictures,
        "side": args.side,
        "temperature": args.temperature,
        "max_tokens": args.max_tokens,
        "has_verdicts": not args.no_verdicts,
        "is_blank": args.blank_frames,
        "seed": args.seed,
    }
    writer = ModelWriter(endpoint, prompts, **settings)
    told = {**settings, "rounds": list(settings["rounds"])}
    return writer, {
        "kind": "model",
        "model": args.llm,
        "prompts": prompts.digest,
        **told,
    }
