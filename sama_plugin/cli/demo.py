"""`sama demo`: render a video, talk about it, say the truth beside each answer, leave pictures."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.model_options import add_model_options, load_model

if TYPE_CHECKING:
    from sama_plugin.demo.story import Story
    from sama_plugin.inference.session import VideoSession

DEFAULT_SCENE = 18
VIDEO_FILE = "video.mp4"
VIDEO_CRF = 16


LESSON = Lesson(
    summary="see it work: a conversation about a rendered video",
    purpose="Render a video, talk about it, and say the truth beside each answer, in under a minute on a CPU.",
    writes="--out: video.mp4, overlay.mp4, strip.png and answer.json",
    examples=("sama demo", "sama demo --out first", "sama demo --scene 4 --out fourth"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "demo", LESSON)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("outputs/demo"),
        metavar="DIR",
        help="gets video, overlay, strip and answer.json",
    )
    parser.add_argument(
        "--scene",
        type=int,
        default=DEFAULT_SCENE,
        metavar="N",
        help="which scene",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render, talk, write."""
    from sama_plugin.errors import DataError
    from sama_plugin.inference.outputs import check_folder

    started = time.perf_counter()
    if args.scene < 0:
        raise DataError(f"--scene is {args.scene}, expected 0 or more.")
    check_folder(args.out)
    loaded = load_model(args)
    from sama_plugin.cli.talk import show_clip, show_files
    from sama_plugin.demo.story import make_story
    from sama_plugin.inference.outputs import write_outputs
    from sama_plugin.inference.session import VideoSession
    from sama_plugin.media.encode import write_video

    story = make_story(args.scene)
    args.out.mkdir(parents=True, exist_ok=True)
    video = args.out / VIDEO_FILE
    write_video(video, story.frames, story.scene.fps, crf=VIDEO_CRF)
    session = VideoSession(loaded.model, loaded.tokenizer, loaded.image_processor, video)
    show_clip(session.clip, sys.stdout)
    num_right = _tell(story, session)
    files = write_outputs(args.out, session.clip, session.answers, session.regions.values())
    seconds = time.perf_counter() - started
    print(f"\n{num_right} of {len(story.turns)} answers are right; {seconds:.0f} s in all.")
    show_files([video, *files], sys.stdout)
    return 0


def _tell(story: Story, session: VideoSession) -> int:
    """Ask every question, with the truth below each answer; gives how many were right."""
    from sama_plugin.cli.talk import INDENT, YOU, ask_aloud, describe_region
    from sama_plugin.demo.story import find_meant, judge
    from sama_plugin.schema import GroundedAnswer

    answers: list[GroundedAnswer | None] = []
    num_right = 0
    for turn in story.turns:
        question = turn.question
        if turn.refers is not None:
            before, target = answers[turn.refers], story.turns[turn.refers].target
            meant = None if before is None or target is None else find_meant(before, story.tracks[target])
            if meant is None:
                print(f"\n{YOU}{question.format(obj='<obj?>')}")
                print(f"{INDENT}not asked: there is no object to mean in answer {turn.refers + 1}  -> wrong")
                answers.append(None)
                continue
            question = question.format(obj=f"<{meant.id}>")
        for prompt in turn.regions:
            session.add_region(prompt)
        notes = "; ".join(describe_region(prompt) for prompt in turn.regions)
        print(f"\n{YOU}{question}" + (f"   ({notes})" if notes else ""))
        answer = ask_aloud(session, question, sys.stdout)
        answers.append(answer)
        verdict = judge(turn, answer, story.tracks)
        num_right += verdict.is_right
        mark = "right" if verdict.is_right else "wrong"
        print(f"truth  {turn.truth}  -> {mark}" + (f" ({verdict.remark})" if verdict.remark else ""))
    return num_right
