"""`sama push DIR OWNER/NAME`: a checkpoint folder goes to the hub, checked and with its card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.notes import note

LESSON = Lesson(
    summary="send a checkpoint folder with its card to the hub",
    purpose="Send a checkpoint folder to the hub, where others load it by its id.",
    details="The folder is checked as for loading. What goes: weights, config, tokenizer, SAM2, tower, README.md. "
    "What stays: checkpoints of a training, its state, hidden files, pickles. Needs a token that may write: "
    "`hf auth login`, or HF_TOKEN.",
    writes="DIR/README.md as `sama card` makes it, if the folder has none",
    examples=(
        "sama push second owner/llava-sama-qwen",
        "sama push second owner/llava-sama-qwen --private --create-pr",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "push", LESSON)
    parser.add_argument("folder", type=Path, metavar="DIR", help="checkpoint folder")
    parser.add_argument("repo_id", metavar="OWNER/NAME", help="repository; made if it is not there")
    parser.add_argument(
        "--private", action="store_true", default=None, help="if it is made, for its owners alone"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="made if it is not there (default: main)")
    parser.add_argument("--create-pr", action="store_true", help="propose the commit instead of making it")
    parser.add_argument(
        "--message", default="Upload a SAMA checkpoint", metavar="TEXT", help="of the one commit"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, send, and say where it is.

    Raises:
        SamaError: a folder that is no whole checkpoint, no token or one that may not write, no hub.
    """
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.config import SamaConfig
    from sama_plugin.data.text_file import write_text
    from sama_plugin.host.checkpoint import check_fit, read_config
    from sama_plugin.host.hub import send_folder
    from sama_plugin.host.loading import classes_of, load_sam2_head
    from sama_plugin.host.model_card import CARD_FILE, card_text

    config_class, model_class = classes_of(args.folder)
    config = read_config(args.folder, config_class)
    config._name_or_path = str(args.folder)
    check_fit(args.folder, config, model_class)
    if SamaConfig.from_dict(config.sama).grounding.head == "sam2":
        load_sam2_head(args.folder, "cpu")
    card = args.folder / CARD_FILE
    if not card.is_file():
        write_text(card, [card_text(args.folder, args.repo_id)])
        note(f"written: {card}")
    sent = send_folder(
        args.folder,
        args.repo_id,
        private=args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        commit_message=args.message,
    )
    note(f"sent: {sent.pr_url or sent.commit_url}")
    return 0
