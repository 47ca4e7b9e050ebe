"""`sama convert SOURCE OUT`: a LLaVA checkpoint becomes a start of training; a SAMA folder is merged, cast, sharded."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.model_options import DTYPES
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

SHARD_SIZE = re.compile(r"[1-9][0-9]*(KB|MB|GB)")


LESSON = Lesson(
    summary="make a start of training; merge, cast, shard checkpoints",
    purpose="Make a SAMA folder: from a LLaVA checkpoint as a start of training, or from another SAMA or LoRA folder.",
    details="SOURCE is a llava_qwen or llava_llama checkpoint (then --sam2 gives SAM2's weights and OUT is an "
    "untrained SAMA folder around it), a SAMA folder, or a LoRA folder with its --base. What it is, its config says.",
    writes="OUT: a checkpoint folder, whole or not at all",
    examples=(
        "sama convert llava-onevision-qwen2-7b-ov start --sam2 sam2.1_hiera_large.pt",
        "sama convert lora_folder merged --base start --dtype bfloat16",
        "sama convert second small_files --max-shard-size 2GB",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "convert", LESSON)
    parser.add_argument("source", help="checkpoint folder or hub id")
    parser.add_argument("out", type=Path, help="folder to write; new or empty")
    parser.add_argument("--base", metavar="DIR", help="what a LoRA folder was trained on")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of LLM and projector")
    parser.add_argument("--max-shard-size", default="5GB", help="of one weight file")
    parser.add_argument("--sam2", type=Path, metavar="FILE", help="a published sam2.1_hiera_*.pt")
    parser.add_argument("--sam2-size", default="sam2.1_hiera_large", help="its size")
    parser.add_argument("--tower", metavar="DIR", help="vision tower, in place of the one that SOURCE names")
    parser.add_argument(
        "--with-tower",
        action="store_true",
        help="write the vision tower into OUT even where it is one of the hub's as it is: OUT then needs no network",
    )
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read SOURCE, write OUT.

    Raises:
        SamaError: a source that is no such folder or damaged, an option that does not fit it, an OUT that holds
            something or cannot be written.
    """
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise DataError(f"{args.out} is there and not an empty folder; give a new one.")
    if not SHARD_SIZE.fullmatch(args.max_shard_size):
        raise DataError(
            f"--max-shard-size is '{args.max_shard_size}', expected a number and KB, MB or GB, as 5GB."
        )
    import sama_plugin
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)

    sama_plugin.register()
    from sama_plugin.host.checkpoint import read_config_json
    from sama_plugin.host.conversion import SAMA_TYPES, start_from_host
    from sama_plugin.host.hub import resolve_folder
    from sama_plugin.host.loading import DTYPES as TORCH_DTYPES
    from sama_plugin.host.loading import load_sama_model

    folder = resolve_folder(args.source)
    is_lora = (folder / "adapter_config.json").is_file()
    is_host = not is_lora and read_config_json(folder).get("model_type") in SAMA_TYPES
    for option, is_given, fits in (
        ("--base", args.base is not None, is_lora),
        ("--sam2", args.sam2 is not None, is_host),
        ("--tower", args.tower is not None, is_host),
    ):
        if is_given and not fits:
            kind = "a LoRA folder" if is_lora else "a LLaVA checkpoint" if is_host else "a SAMA folder"
            raise DataError(f"{option} is not for {folder}, which is {kind}; leave it out.")
    if is_host:
        dtype = TORCH_DTYPES[args.dtype]
        tokenizer, model = start_from_host(
            folder, args.sam2, sam2_size=args.sam2_size, tower=args.tower, dtype=dtype, seed=args.seed
        )
    else:
        tokenizer, model, _, _ = load_sama_model(
            str(folder), args.base, device_map="cpu", torch_dtype=args.dtype
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{args.out.name}-", dir=args.out.parent) as partial:
        work = Path(partial) / args.out.name
        tokenizer.save_pretrained(work)
        model.save_pretrained(work, max_shard_size=args.max_shard_size, with_tower=args.with_tower)
        os.replace(work, args.out)
    count = sum(parameter.numel() for parameter in model.parameters())
    note(f"written: {args.out} ({count / 1e6:.1f} M parameters and SAM2, {args.dtype})")
    return 0
