"""Sizes and switches of a SAMA model: what `config.json` stores under `sama`, and the presets.

Only plain numbers and strings: nothing here names code to run, so a config file cannot execute anything.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sama_plugin.errors import DataError

ConfigT = TypeVar("ConfigT")


def config_from_dict(cls: type[ConfigT], values: dict[str, Any], where: str) -> ConfigT:
    """Build a config dataclass from plain values; an unknown key is an error that names near matches.

    Args:
        cls: the dataclass.
        values: plain values, nested dataclasses as dicts, tuples as lists.
        where: file or place, for the error.

    Raises:
        DataError: no mapping, a key that `cls` does not have, or one that it needs and is not given.
    """
    if not isinstance(values, dict):
        raise DataError(f"{where} is {values!r}, expected the fields of {cls.__name__} with their values.")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3) or sorted(known)
            raise DataError(
                f"{where}: unknown key '{key}' for {cls.__name__}; did you mean {', '.join(near)}?"
            )
    needed = [
        f.name
        for f in known.values()
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in values
    ]
    if needed:
        raise DataError(f"{where} lacks {', '.join(needed)}, which {cls.__name__} needs.")
    made: dict[str, Any] = {}
    for key, value in values.items():
        nested = NESTED_CONFIGS.get(key)
        if nested is not None:
            value = config_from_dict(nested, value, f"{where}.{key}")
        elif isinstance(value, list):
            value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
        made[key] = value
    return cls(**made)


class CheckedConfig:
    """A config dataclass whose values have the types of their defaults, and whole numbers are none below 1.

    Where the default is 0, 0 is allowed.

    Raises:
        DataError: names the field, what it is and what was expected.
    """

    def __post_init__(self) -> None:
        for field_ in dataclasses.fields(self):  # type: ignore[arg-type]
            value, default = getattr(self, field_.name), field_.default
            if type(default) is int:
                least = min(default, 1)
                fits, expected = type(value) is int and value >= least, f"a whole number from {least}"
            elif type(default) is float:
                fits, expected = type(value) in (int, float) and 0 <= value < math.inf, "a number from 0"
            elif type(default) is tuple:
                fits = isinstance(value, tuple) and all(type(v) is int and v >= 0 for v in value)
                expected = "a list of whole numbers from 0"
            elif type(default) in (bool, str):
                fits, expected = type(value) is type(default), f"a {type(default).__name__}"
            else:
                continue
            if not fits:
                raise DataError(f"{type(self).__name__}.{field_.name} is {value!r}, expected {expected}.")


@dataclass(frozen=True)
class SamplingConfig(CheckedConfig):
    """Which frames each stage sees (paper: sparse every third, at most 32; official code §2)."""

    interval: int = 3
    max_sparse: int = 32
    min_sparse: int = 8
    num_dense: int = 5


@dataclass(frozen=True)
class RegionConfig(CheckedConfig):
    """Region encoder sizes.

    Attributes:
        shape_size: side of the cropped mask.
        shape_hidden: width of the shape MLP.
        box_frequencies: sine and cosine pairs per box number; 0 gives the five numbers as they are.
    """

    shape_size: int = 112
    shape_hidden: int = 1024
    box_frequencies: int = 0


@dataclass(frozen=True)
class AggregatorConfig(CheckedConfig):
    """Spatio-temporal context aggregator (paper §3; official sizes as defaults).

    Attributes:
        pool_stride: tower grid is pooled by this before the aggregator.
        qformer_width: E.
        encoder_width: width the frame features are projected to for the spatial Q-Former.
        spatial_cross_every: cross-attention in every n-th spatial layer.
        window_frames: sparse frames per temporal window.
    """

    pool_stride: int = 2
    qformer_width: int = 768
    qformer_heads: int = 12
    qformer_intermediate: int = 3072
    encoder_width: int = 1408
    spatial_layers: int = 12
    spatial_cross_every: int = 2
    spatial_queries: int = 32
    temporal_layers: int = 2
    temporal_queries: int = 32
    window_frames: int = 16
    dropout: float = 0.1


@dataclass(frozen=True)
class Sam2Config(CheckedConfig):
    """Every size of a SAM2.1 model; what is not here is fixed as in the published `sam2.1` configs.

    Attributes:
        image_size: side of the square input, pixels.
        embed_dim, num_heads, stages, global_att_blocks, window_spec, window_pos_embed_size: Hiera trunk.
        hidden_dim: M, width of neck, prompts and mask decoder.
        memory_dim: channels of a spatial memory.
        memory_layers, memory_feedforward: memory attention.
        num_maskmem: 1 prompted + (n - 1) recent memories.
        max_obj_ptrs: object pointers each frame attends to.
    """

    image_size: int = 1024
    embed_dim: int = 144
    num_heads: int = 2
    stages: tuple[int, ...] = (2, 6, 36, 4)
    global_att_blocks: tuple[int, ...] = (23, 33, 43)
    window_spec: tuple[int, ...] = (8, 4, 16, 8)
    window_pos_embed_size: tuple[int, int] = (7, 7)
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_layers: int = 4
    memory_feedforward: int = 2048
    num_maskmem: int = 7
    max_obj_ptrs: int = 16


@dataclass(frozen=True)
class GroundingConfig(CheckedConfig):
    """How `[SEG]` becomes masks at inference.

    Attributes:
        head: `sam2`, `dot` (no SAM: upsampled dot product with frame features) or `none`.
        propagation: `sama` (fine-tuned decoder on chosen frames, untouched SAM2 elsewhere) or `official`
            (fine-tuned decoder everywhere, first five frames).
        candidate_frames: frames tried over the whole clip, uniformly.
        prompted_frames: at most so many of those nearly as good as its best become an object's prompts.
        min_score: below it an object counts as absent.
    """

    head: str = "sam2"
    propagation: str = "sama"
    candidate_frames: int = 8
    prompted_frames: int = 2
    min_score: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, allowed in (
            ("head", self.head, ("sam2", "dot", "none")),
            ("propagation", self.propagation, ("sama", "official")),
        ):
            if value not in allowed:
                raise DataError(f"grounding.{name} is '{value}', expected one of {', '.join(allowed)}.")


@dataclass(frozen=True)
class SamaConfig(CheckedConfig):
    """Everything SAMA adds to a host model's config, stored in `config.json` under `sama`.

    Attributes:
        use_aggregator: False is the paper's ablation without context tokens.
        dense_pool_stride: the host's spatial pooling of dense-frame tokens.
        template: conversation template of `prompting.conversation`.
    """

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    aggregator: AggregatorConfig = field(default_factory=AggregatorConfig)
    sam2: Sam2Config = field(default_factory=Sam2Config)
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    use_aggregator: bool = True
    dense_pool_stride: int = 2
    template: str = "sama_qwen_1_5"

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "config.json:sama") -> SamaConfig:
        """Read what `to_dict` wrote; see `config_from_dict`."""
        return config_from_dict(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


NESTED_CONFIGS: dict[str, type] = {
    "sampling": SamplingConfig,
    "region": RegionConfig,
    "aggregator": AggregatorConfig,
    "sam2": Sam2Config,
    "grounding": GroundingConfig,
}

SAM2_PRESETS: dict[str, Sam2Config] = {
    "sam2.1_hiera_tiny": Sam2Config(
        embed_dim=96, num_heads=1, stages=(1, 2, 7, 2), global_att_blocks=(5, 7, 9), window_spec=(8, 4, 14, 7)
    ),
    "sam2.1_hiera_small": Sam2Config(
        embed_dim=96,
        num_heads=1,
        stages=(1, 2, 11, 2),
        global_att_blocks=(7, 10, 13),
        window_spec=(8, 4, 14, 7),
    ),
    "sam2.1_hiera_base_plus": Sam2Config(
        embed_dim=112,
        num_heads=2,
        stages=(2, 3, 16, 3),
        global_att_blocks=(12, 16, 20),
        window_spec=(8, 4, 14, 7),
        window_pos_embed_size=(14, 14),
    ),
    "sam2.1_hiera_large": Sam2Config(),
    "tiny": Sam2Config(
        image_size=192,
        embed_dim=32,
        num_heads=1,
        stages=(1, 1, 2, 1),
        global_att_blocks=(3,),
        window_spec=(8, 4, 4, 4),
        window_pos_embed_size=(4, 4),
        hidden_dim=96,
        memory_dim=32,
        memory_layers=2,
        memory_feedforward=128,
        num_maskmem=3,
    ),
}
"""SAM2.1 as published (checked against the package's YAML by a test), and the small one that ships."""
