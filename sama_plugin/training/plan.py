"""What a step of a full-size preset costs, before anything is paid: `sama train 7b --plan`.

The model is built on the meta device and run there on fake tensors, so parameters, FLOPs and saved activations are
counted from the code that trains, not from formulas. Memory of weights, gradients and AdamW under ZeRO follows the
ZeRO paper (Rajbhandari et al. 2020, §3); buffers of the communication are not in it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import SiglipVisionConfig, SiglipVisionModel

from sama_plugin.config import SAM2_PRESETS
from sama_plugin.errors import DataError

LLM_PART, ADAPTER_PART, TOWER_PART = "mm_language_model", "mm_mlp_adapter", "mm_vision_tower"
TOWER_NAME, SAM2_NAME, LLM_NAME, LORA_NAME = "vision tower", "SAM2", "LLM", "LoRA"
HALF, SINGLE = 2, 4
ADAM_BYTES = 12
"""Single-precision weights and two moments of a trained parameter."""

HOST_FRAMES = 32
"""Frames of LLaVA-NeXT's video recipe (`--frames_upbound 32`); each is pooled 2 x 2, as ours."""

GIGA, TERA = 1e9, 1e12


@dataclass(frozen=True)
class PlanSettings:
    """What is planned.

    Attributes:
        preset: `0.5b` or `7b`.
        sam2: a key of `SAM2_PRESETS`.
        parts: the host's part names that train.
        lora_rank: of adapters in the LLM; 0 trains it in full where `parts` has it.
        batch: samples per GPU and step.
        accumulation: steps of micro-batches per optimiser step.
        gpus: processes, one per GPU.
        text_tokens: of question and answer, LLM tokens.
        checkpointing: activations of the LLM's layers are computed again in the backward pass.

    Raises:
        DataError: an unknown part, or a count below its least.
    """

    preset: str
    sam2: str = "sam2.1_hiera_large"
    parts: tuple[str, ...] = (ADAPTER_PART, LLM_PART)
    lora_rank: int = 0
    batch: int = 2
    accumulation: int = 4
    gpus: int = 8
    text_tokens: int = 256
    checkpointing: bool = True

    def __post_init__(self) -> None:
        known = (ADAPTER_PART, LLM_PART, TOWER_PART)
        for part in self.parts:
            if part not in known:
                raise DataError(f"--mm_tunable_parts has '{part}', expected some of {', '.join(known)}.")
        for name, value, least in (
            ("lora_r", self.lora_rank, 0),
            ("per_device_train_batch_size", self.batch, 1),
            ("gradient_accumulation_steps", self.accumulation, 1),
            ("gpus", self.gpus, 1),
            ("text-tokens", self.text_tokens, 1),
        ):
            if value < least:
                raise DataError(f"--{name} is {value}, expected at least {least}.")


class Part(NamedTuple):
    """One part of the model.

    Attributes:
        name: what it is.
        parameters: number of them.
        trainable: number of those that train.
        bytes_each: of a parameter in memory while training.
    """

    name: str
    parameters: int
    trainable: int
    bytes_each: int = HALF


@dataclass(frozen=True)
class Plan:
    """What it costs.

    Attributes:
        settings: what was planned.
        parts: of the model.
        tokens: of one sample in the LLM, by kind.
        host_tokens: of the same clip in the host's video recipe.
        flops: of one sample's training step, by part.
        host_flops: of the host's step on the same clip: tower, projector and LLM.
        activation_bytes: kept for the backward pass by one micro-batch.
    """

    settings: PlanSettings
    parts: tuple[Part, ...]
    tokens: dict[str, int]
    host_tokens: int
    flops: dict[str, float]
    host_flops: float
    activation_bytes: int

    def state_bytes(self, stage: int, gpus: int) -> float:
        """Weights, gradients and optimiser of one GPU under a ZeRO stage, 2 or 3. SAM2 and tower are never split."""
        total = 0.0
        for part in self.parts:
            weights = part.parameters * part.bytes_each
            is_split = stage == 3 and part.name not in (TOWER_NAME, SAM2_NAME)
            total += weights / gpus if is_split else weights
            total += part.trainable * (part.bytes_each + ADAM_BYTES) / gpus
        return total


def make_plan(settings: PlanSettings) -> Plan:
    """Count a training step on the meta device.

    Args:
        settings: what to plan.

    Raises:
        DataError: unknown preset.
    """
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.grounding.sam2_model import build_sam2
    from sama_plugin.host.presets import new_model, preset_config

    model = new_model(preset_config(settings.preset, settings.sam2), device="meta").to(torch.bfloat16)
    sam2 = build_sam2(model.sama.sam2, device="meta")
    tower = _siglip(model.get_vision_tower().config)
    sama = model.sama
    layout = model.slot_layout(sama.sampling.num_dense, sama.sampling.max_sparse)
    tokens = {
        "frames": layout.num_dense * layout.tokens_per_frame,
        "context": layout.num_context,
        "text": settings.text_tokens,
    }
    host_tokens = HOST_FRAMES * layout.tokens_per_frame + settings.text_tokens
    parts = _parts(settings, model, sam2, tower)  # before `to_empty`, which unties embeddings and head
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in (model, sam2, tower):
            module.to_empty(device="cpu")  # fake: takes no memory
        flops, host_flops = _count_flops(settings, model, sam2, tower, sum(tokens.values()), host_tokens)
        activations = _activation_bytes(settings, model, sum(tokens.values()))
    return Plan(
        settings,
        parts,
        tokens,
        host_tokens,
        flops,
        host_flops,
        activations * settings.batch,
    )


def _siglip(config: Any) -> nn.Module:
    """The host's tower on the meta device: SigLIP less its last layer and its head."""
    wanted = SiglipVisionConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers - 1,
        num_attention_heads=config.num_attention_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        vision_use_head=False,
    )
    with torch.device("meta"):
        return SiglipVisionModel(wanted).to(torch.bfloat16)


def _parts(settings: PlanSettings, model: Any, sam2: nn.Module, tower: nn.Module) -> tuple[Part, ...]:
    projector = model.projector
    named = {
        "region encoder": projector.region_encoder,
        "aggregator": projector.aggregator,
        "seg projection": projector.seg_projection,
        "seg decoder": projector.seg_decoder,
    }
    sizes = {name: _count(module) for name, module in named.items()}
    sizes = {"base projector": _count(projector) - sum(sizes.values())} | sizes
    adapter = ADAPTER_PART in settings.parts
    llm = _count(model) - _count(projector)
    in_full = LLM_PART in settings.parts and not settings.lora_rank
    rows = [
        Part(TOWER_NAME, _count(tower), _count(tower) if TOWER_PART in settings.parts else 0),
        *(Part(name, size, size if adapter else 0) for name, size in sizes.items()),
        Part(LLM_NAME, llm, llm if in_full else 0),
    ]
    if settings.lora_rank:
        added = _lora_parameters(model, settings.lora_rank)
        rows.append(Part(LORA_NAME, added, added))
    return (*rows, Part(SAM2_NAME, _count(sam2), 0, SINGLE))


def _lora_parameters(model: Any, rank: int) -> int:
    """Both matrices of every linear layer of the LLM."""
    linears = [m for m in model.get_model().layers.modules() if isinstance(m, nn.Linear)]
    return sum(rank * (linear.in_features + linear.out_features) for linear in linears)


def _count_flops(
    settings: PlanSettings, model: Any, sam2: Any, tower: Any, tokens: int, host_tokens: int
) -> tuple[dict[str, float], float]:
    """Per sample: forward times how often the backward pass repeats it. Ours by part, and the host's in all."""
    sama, config = model.sama, model.config
    trains_llm, trains_adapter = LLM_PART in settings.parts, ADAPTER_PART in settings.parts
    in_full = trains_llm and not settings.lora_rank
    again = 1 if settings.checkpointing else 0
    llm_times = (
        3 if in_full else 2
    ) + again  # a frozen layer passes gradients on but has none for its weights
    tower_times = 3 + again if TOWER_PART in settings.parts else 1
    adapter_times = 3 if trains_adapter else 1
    frames = sama.sampling.max_sparse
    side = tower.config.image_size

    def run_tower(count: int) -> float:
        return _flops(lambda: tower(torch.empty(count, 3, side, side, dtype=torch.bfloat16)))

    def run_llm(length: int) -> float:
        embeds = torch.empty(1, length, config.hidden_size, dtype=torch.bfloat16)
        body = _flops(lambda: model.model(inputs_embeds=embeds, use_cache=False))
        return body + _flops(lambda: model.lm_head(embeds[:, : settings.text_tokens]))

    def run_projector(count: int) -> float:
        patches = model.get_vision_tower().num_patches_per_side ** 2
        return _flops(
            lambda: model.projector(torch.empty(count, patches, config.mm_hidden_size, dtype=torch.bfloat16))
        )

    pooled = _pooled_patches(model)
    size = sama.sam2.image_size
    flops = {
        TOWER_NAME: run_tower(frames) * tower_times,
        "projector": run_projector(frames) * adapter_times,
        "aggregator": _flops(lambda: _run_aggregator(model, frames, pooled, settings.text_tokens))
        * adapter_times,
        LLM_NAME: run_llm(tokens) * llm_times,
        "SAM2 encoder": _flops(
            lambda: sam2.encode_image(torch.empty(sama.sampling.num_dense, 3, size, size))
        ),
    }
    host = (
        run_tower(HOST_FRAMES) * tower_times
        + run_projector(HOST_FRAMES) * adapter_times
        + run_llm(host_tokens) * llm_times
    )
    return flops, host


def _pooled_patches(model: Any) -> int:
    """Patches per frame that enter the aggregator."""
    return math.ceil(model.get_vision_tower().num_patches_per_side / model.sama.aggregator.pool_stride) ** 2


def _run_aggregator(model: Any, frames: int, patches: int, question_tokens: int) -> Any:
    """One question about one clip."""
    width = model.config.hidden_size
    half = torch.bfloat16
    return model.projector.aggregator(
        [torch.empty(frames, patches, width, dtype=half)],
        torch.empty(question_tokens, width, dtype=half),
        torch.zeros(question_tokens, dtype=torch.bool),
        torch.empty(0, model.sama.aggregator.qformer_width, dtype=half),
        [question_tokens],
        [0],
    )


def _activation_bytes(settings: PlanSettings, model: Any, tokens: int) -> int:
    """Saved for the backward pass of one sample by the LLM, and by the aggregator where it trains."""
    embeds = torch.empty(
        1, tokens, model.config.hidden_size, dtype=torch.bfloat16, device="cpu", requires_grad=True
    )
    layers = model.get_model().layers
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    whole = _saved_bytes(lambda: model.model(inputs_embeds=embeds, use_cache=False), weights)
    if settings.checkpointing:  # the input of every layer, and one layer at a time
        whole = len(layers) * embeds.numel() * HALF + whole // len(layers)
    pooled = _pooled_patches(model)
    frames = model.sama.sampling.max_sparse
    return whole + _saved_bytes(
        lambda: _run_aggregator(model, frames, pooled, settings.text_tokens), weights
    ) * (ADAPTER_PART in settings.parts)


def _saved_bytes(run: Callable[[], Any], weights: set[int]) -> int:
    """Bytes of tensors that autograd keeps, each storage once, less weights."""
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    keeping: AbstractContextManager[Any] = torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t)
    with keeping:
        kept = run()  # alive until counted, so that no storage's address is used twice
    del kept
    return sum(saved.values())


def _flops(run: Callable[[], Any]) -> float:
    """Forward; attention as plain products, which the counter knows."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        run()
    return float(counter.get_total_flops())


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def format_plan(plan: Plan) -> str:
    """One screen of text."""
    s = plan.settings
    lines = [
        f"{s.preset} with {s.sam2}; trains {', '.join(s.parts)}"
        + (f" by LoRA of rank {s.lora_rank}" if s.lora_rank else "")
        + f"; {s.batch} per GPU x {s.accumulation} x {s.gpus} GPUs = {s.batch * s.accumulation * s.gpus} per step",
        "",
        f"{'part':<16}{'parameters':>14}{'trainable':>14}",
        *(f"{p.name:<16}{p.parameters / 1e6:>12.1f} M{p.trainable / 1e6:>12.1f} M" for p in plan.parts),
        f"{'all':<16}{sum(p.parameters for p in plan.parts) / 1e6:>12.1f} M"
        f"{sum(p.trainable for p in plan.parts) / 1e6:>12.1f} M",
        "",
    ]
    total = sum(plan.tokens.values())
    kinds = ", ".join(f"{count} {name}" for name, count in plan.tokens.items())
    flops = sum(plan.flops.values())
    parts = ", ".join(f"{name} {value / TERA:.1f}" for name, value in plan.flops.items())
    lines += [
        f"tokens per sample   {total} ({kinds})",
        f"  host's recipe     {plan.host_tokens} ({HOST_FRAMES} frames); ratio {total / plan.host_tokens:.2f}",
        f"TFLOPs per sample   {flops / TERA:.1f} ({parts})",
        f"  host's recipe     {plan.host_flops / TERA:.1f}; ratio {flops / plan.host_flops:.2f}",
        f"TFLOPs per step     {flops * s.batch * s.accumulation * s.gpus / TERA:.0f}",
        "",
        f"memory per GPU, GB  (activations of {s.batch} samples: {plan.activation_bytes / GIGA:.1f})",
    ]
    for gpus in sorted({1, 2, 4, 8, s.gpus}):
        sums = [(plan.state_bytes(stage, gpus) + plan.activation_bytes) / GIGA for stage in (2, 3)]
        lines.append(f"  {gpus:>3} GPUs          ZeRO-2 {sums[0]:>7.1f}   ZeRO-3 {sums[1]:>7.1f}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of a plan; those of the trainer that it needs keep the trainer's names."""
    parser.add_argument(
        "--sam2",
        choices=list(SAM2_PRESETS),
        metavar="NAME",
        default=PlanSettings.sam2,
        help=", ".join(SAM2_PRESETS),
    )
    parser.add_argument(
        "--mm_tunable_parts", metavar="PART,...", default=",".join(PlanSettings.parts), help="what trains"
    )
    parser.add_argument("--lora_r", type=int, metavar="N", default=0, help="rank; 0 trains the LLM in full")
    parser.add_argument(
        "--per_device_train_batch_size", type=int, metavar="N", default=PlanSettings.batch, help="samples"
    )
    parser.add_argument(
        "--gradient_accumulation_steps",
        type=int,
        default=PlanSettings.accumulation,
        help="micro-batches of a step",
    )
    parser.add_argument(
        "--gpus", type=int, metavar="N", default=PlanSettings.gpus, help="processes, one per GPU"
    )
    parser.add_argument(
        "--text-tokens",
        type=int,
        metavar="N",
        default=PlanSettings.text_tokens,
        help="of question and answer",
    )
    parser.add_argument("--no-gradient-checkpointing", action="store_true", help="keep the LLM's activations")


def main(argv: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Print the plan of a preset.

    Args:
        argv: the preset, then flags.
        parser: gets the options.
    """
    parser.add_argument("preset", help="0.5b or 7b")
    parser.add_argument("--plan", action="store_true", required=True, help="count, do not train")
    add_arguments(parser)
    options = parser.parse_args(argv)
    settings = PlanSettings(
        preset=options.preset,
        sam2=options.sam2,
        parts=tuple(options.mm_tunable_parts.split(",")),
        lora_rank=options.lora_r,
        batch=options.per_device_train_batch_size,
        accumulation=options.gradient_accumulation_steps,
        gpus=options.gpus,
        text_tokens=options.text_tokens,
        checkpointing=not options.no_gradient_checkpointing,
    )
    sys.stdout.write(format_plan(make_plan(settings)) + "\n")
