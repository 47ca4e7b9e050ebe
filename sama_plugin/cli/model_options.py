"""Options of every verb that runs a model, and loading it: which one, where, how it decodes, what it keeps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import sama_plugin
from sama_plugin.cli.notes import note_loading
from sama_plugin.errors import HostError, PromptError

MEGA = 2**20
SAM2_STRIDE = 32
DTYPES = ("float32", "float16", "bfloat16")


class LoadedModel(NamedTuple):
    """A checkpoint in memory."""

    folder: Path
    tokenizer: Any
    model: Any
    image_processor: Any


def add_model_options(parser: argparse.ArgumentParser, title: str = "model") -> None:
    """Which checkpoint, where, in which numbers."""
    options = parser.add_argument_group(title)
    options.add_argument(
        "--model", metavar="DIR", help="checkpoint folder or hub id (default: the shipped one)"
    )
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    options.add_argument("--dtype", choices=DTYPES, help="default: float32 on CPU, float16 on CUDA")
    options.add_argument(
        "--bits", type=int, choices=(4, 8), help="quantise the LLM's weights; needs bitsandbytes and CUDA"
    )
    options.add_argument(
        "--sam2-size",
        type=int,
        metavar="PX",
        help="side of SAM2's square input, a multiple of 32 (default: the checkpoint's)",
    )


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """How answers are decoded, and what is kept between turns."""
    options = parser.add_argument_group("decoding")
    options.add_argument("--seed", type=int, default=0, help="of the sampling")
    options.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    options.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling; 1 keeps all")
    options.add_argument("--max-new-tokens", type=int, default=256, help="longest answer")
    options = parser.add_argument_group("memory")
    options.add_argument(
        "--sam2-memory",
        type=float,
        default=1024,
        metavar="MB",
        help="SAM2's features of frames that are kept for later turns",
    )
    options.add_argument(
        "--sam2-disk",
        action="store_true",
        help="keep the rest on disk, in half precision (default: computed again)",
    )


def session_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `VideoSession` from the parsed options.

    Raises:
        PromptError: a value out of range.
    """
    from sama_plugin.inference.decoding import Decoding

    if not 0 <= args.seed < 2**63:
        raise PromptError(f"--seed is {args.seed}, expected 0 or more, below 2^63.")
    Decoding(args.temperature, args.top_p, args.max_new_tokens)
    if not 0 <= args.sam2_memory < float("inf"):
        raise PromptError(f"--sam2-memory is {args.sam2_memory}, expected megabytes from 0.")
    return {
        "seed": args.seed,
        "temperature": args.temperature,
        "top_p": args.top_p,
        "max_new_tokens": args.max_new_tokens,
        "sam2_budget_bytes": int(args.sam2_memory * MEGA),
        "sam2_beyond": "disk" if args.sam2_disk else "recompute",
    }


def answer_settings(args: argparse.Namespace, model: Any) -> dict[str, Any]:
    """What shapes the answers of a loaded model, beside its checkpoint; the budget of memory does not."""
    return {
        **{name: value for name, value in session_options(args).items() if name != "sam2_budget_bytes"},
        "sam2_size": model.sama.sam2.image_size if model.sam2_head is not None else None,
        "bits": args.bits,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def model_folder(args: argparse.Namespace) -> Path:
    """Folder of the checkpoint the options name; nothing is loaded.

    Raises:
        CheckpointError: there is none.
    """
    from sama_plugin.host.hub import resolve_folder

    return resolve_folder(args.model or sama_plugin.shipped_checkpoint())


def load_model(args: argparse.Namespace) -> LoadedModel:
    """Load the checkpoint the options name; a folder of another model is refused.

    Raises:
        CheckpointError: the folder is missing, incomplete, damaged or of another kind.
        HostError: host or device is not there.
    """
    folder = model_folder(args)
    note_loading(Path(args.model or folder).name)
    import torch

    sama_plugin.register()

    from sama_plugin.host.loading import load_sama_model

    try:
        device = args.device if args.device == "auto" else str(torch.device(args.device))
    except RuntimeError as error:
        raise HostError(f"--device is '{args.device}', expected auto, cpu, cuda or cuda:N.") from error
    tokenizer, model, image_processor, _ = load_sama_model(
        str(folder),
        device_map=device,
        torch_dtype=args.dtype,
        load_8bit=args.bits == 8,
        load_4bit=args.bits == 4,
        customized_config=None if args.sam2_size is None else _with_sam2_size(folder, args.sam2_size),
    )
    return LoadedModel(folder, tokenizer, model, image_processor)


def _with_sam2_size(folder: Path, size: int) -> Any:
    """A checkpoint's config, with another input side of SAM2."""
    from sama_plugin.host.loading import classes_of, read_config

    if size < SAM2_STRIDE or size % SAM2_STRIDE:
        raise PromptError(
            f"--sam2-size is {size}, expected a multiple of {SAM2_STRIDE}, such as 512 or 1024."
        )
    config = read_config(folder, classes_of(folder)[0])
    config.sama["sam2"]["image_size"] = size
    return config
