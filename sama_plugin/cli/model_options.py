"""Options of every verb that runs a model, and loading it: `--model --device --dtype`, and how it decodes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from sama_plugin.errors import HostError, PromptError

DTYPES = ("float32", "float16", "bfloat16")


class LoadedModel(NamedTuple):
    """A checkpoint in memory."""

    folder: Path
    tokenizer: Any
    model: Any
    image_processor: Any


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint, where, in which numbers."""
    options = parser.add_argument_group("model")
    options.add_argument(
        "--model", metavar="DIR", help="checkpoint folder or hub id (default: the shipped one)"
    )
    options.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    options.add_argument("--dtype", choices=DTYPES, help="default: float32 on CPU, float16 on CUDA")


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """How answers are decoded; the names are those of `VideoSession`."""
    options = parser.add_argument_group("decoding")
    options.add_argument("--seed", type=int, default=0, help="of the sampling (default 0)")
    options.add_argument("--temperature", type=float, default=0.0, help="0 (default) is greedy")
    options.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling; 1 (default) keeps all")
    options.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (default 256)")


def decoding_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `VideoSession` from the parsed options.

    Raises:
        PromptError: a value out of range.
    """
    from sama_plugin.inference.generation import Decoding

    if not 0 <= args.seed < 2**63:
        raise PromptError(f"--seed is {args.seed}, expected 0 or more, below 2^63.")
    Decoding(args.temperature, args.top_p, args.max_new_tokens)
    return {
        "seed": args.seed,
        "temperature": args.temperature,
        "top_p": args.top_p,
        "max_new_tokens": args.max_new_tokens,
    }


def load_model(args: argparse.Namespace) -> LoadedModel:
    """Load the checkpoint the options name; a folder of another model is refused.

    Raises:
        CheckpointError: the folder is missing, incomplete, damaged or of another kind.
        HostError: host or device is not there.
    """
    import sama_plugin

    name = args.model or sama_plugin.shipped_checkpoint()
    sama_plugin.register()
    import torch

    from sama_plugin.host.checkpoint import resolve_folder
    from sama_plugin.host.loading import load_sama_model

    try:
        device = args.device if args.device == "auto" else str(torch.device(args.device))
    except RuntimeError as error:
        raise HostError(f"--device is '{args.device}', expected auto, cpu, cuda or cuda:N.") from error
    folder = resolve_folder(name)
    tokenizer, model, image_processor, _ = load_sama_model(
        str(folder), device_map=device, torch_dtype=args.dtype
    )
    return LoadedModel(folder, tokenizer, model, image_processor)
