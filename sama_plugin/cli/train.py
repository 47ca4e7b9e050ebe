"""`sama train tiny` makes what ships, `sama train 7b finetune` a full-size model; `--plan` counts the cost."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from sama_plugin.cli.command_parser import CommandParser, Lesson, add_command

VERB = "train"
COMMON_FLAGS = ("-h", "--help", "-v", "--verbose", "-q", "--quiet")
TINY_PRESET = "tiny"
FULL_SIZE = ("0.5b", "7b")
STAGE_USAGE = "(pretrain | finetune) --start DIR --data YAML --out DIR"
USAGE = """sama train tiny [FLAG ...]
       sama train {0.5b,7b} {pretrain,finetune} FLAG ...
       sama train {0.5b,7b} --plan [FLAG ...]
       sama train -- HOST_FLAG ..."""


LESSON = Lesson(
    summary="train a small checkpoint from nothing, or a full-size model",
    purpose="Train a model: `tiny` is one of the shipped size from nothing; `0.5b` and `7b` are full-size models.",
    details="tiny runs all stages, on a CPU if need be (`sama train tiny -h`). 0.5b and 7b run one of the two stages "
    "of full-size training (`sama train 7b -h`), or with --plan count parameters, tokens, FLOPs and memory of a step "
    "without training. Otherwise the words are flags of the host's own training script, after `--`.",
    writes="--out: checkpoints, logs and the finished folder; the same command goes on where one was cut off; --plan: "
    "nothing",
    examples=(
        "sama train 7b --plan --gpus 8",
        "sama train tiny --videos 12 --scale 0.003 --out small",
        "sama train 7b finetune --start first --data data_configs/paper_8b.yaml --root DATA --out second",
        "sama train -- --model_name_or_path start --data_path mine.yaml --output_dir made",
    ),
)

TINY = Lesson(
    summary="a checkpoint of the shipped size, from nothing",
    purpose="Make a checkpoint of the shipped size from nothing: render the small world, then train in stages.",
    details="All run on a CPU if need be; torch 2.9 or newer is needed. Stages: SAM2 (prompts, names, propagation), "
    "tower, words, context, talk, joint. One that is done is left alone, one that was cut off goes on where it was. "
    "What these options do not know are flags of the host's training script, for every stage.",
    writes="--out: data/, a folder for each stage, and the checkpoint in llava-sama-qwen-tiny/",
    examples=(
        "sama train tiny --videos 12 --scale 0.003 --out small",
        "sama train tiny --out outputs/tiny --workers 4",
    ),
)
STAGE = Lesson(
    summary="a stage of full-size training",
    purpose="Run one of the two stages of full-size training, from a SAMA folder.",
    details="pretrain: captions, region descriptions and referring segmentation; the LLM rests. finetune: SAMA-239K "
    "and the public mixture; the LLM learns too. What these options do not know are flags of the host's training "
    "script. With --plan in place of a stage it counts what a step costs: `sama train 7b --plan -h`.",
    writes="--out: checkpoints, logs and the finished folder; the same command goes on where one was cut off",
    examples=(
        "sama train 7b pretrain --start start --data data_configs/paper_8b.yaml --root DATA --out first",
        "sama train 7b finetune --start first --data data_configs/paper_8b.yaml --root DATA --out second",
    ),
)
PLAN = Lesson(
    summary="what a step of full-size training costs",
    purpose="Count parameters, tokens, FLOPs and memory of a training step, on the meta device, without training.",
    examples=("sama train 7b --plan", "sama train 0.5b --plan --gpus 2 --per_device_train_batch_size 4"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb; its arguments are passed on as they are, see `split_arguments`."""
    parser = add_command(verbs, common, VERB, LESSON, usage=USAGE)
    parser.set_defaults(run=run)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what `sama` parses from what is passed on to training.

    Args:
        arguments: of the whole command.

    Returns:
        Both parts; the second is empty for other verbs. A `--` between them is left out.
    """
    arguments = list(arguments)
    place = next((i for i, word in enumerate(arguments) if not word.startswith("-")), None)
    if place is None or arguments[place] != VERB:
        return arguments, []
    start = place + 1
    while start < len(arguments) and arguments[start] in COMMON_FLAGS:
        start += 1
    rest = arguments[start:]
    return arguments[:start], rest[1:] if rest[:1] == ["--"] else rest


def run(args: argparse.Namespace) -> int:
    """Hand over to the training room; what it logs is shown, as a run takes long."""
    if not args.quiet:
        logging.getLogger("sama_plugin").setLevel(logging.INFO)
    flags: list[str] = args.passed_on
    if flags[:1] == [TINY_PRESET]:
        from sama_plugin.training import tiny

        tiny.main(flags[1:], CommandParser(prog="sama train tiny", lesson=TINY, passes_on=True))
    elif flags[:1] and flags[0] in FULL_SIZE and "--plan" in flags:
        from sama_plugin.training import plan

        plan.main(flags, _full_size_parser(flags[0], PLAN, "--plan"))
    elif flags[:1] and flags[0] in FULL_SIZE:
        from sama_plugin.training import stages

        stages.main(flags, _full_size_parser(flags[0], STAGE, STAGE_USAGE))
    else:
        from sama_plugin.training import train

        train.main(flags)
    return 0


def _full_size_parser(preset: str, lesson: Lesson, usage: str) -> CommandParser:
    """A parser of what follows the preset; flags of the host's script are left for it where something trains."""
    return CommandParser(
        prog=f"sama train {preset}",
        usage=f"sama train {preset} {usage} [OPTION ...]",
        lesson=lesson,
        passes_on=lesson is not PLAN,
    )
