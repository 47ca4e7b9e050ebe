"""The README.md of a checkpoint folder: what the folder says of itself and what was measured, between marks.

What a person wrote stands outside the marks and stays; what stands between them is made anew each time.

    <!-- sama: checkpoint --> sizes, how to use it <!-- /sama: checkpoint -->
    <!-- sama: numbers --> metrics and the commands that made them <!-- /sama: numbers -->
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard
from safetensors import safe_open

from sama_plugin.config import SamaConfig
from sama_plugin.errors import CheckpointError
from sama_plugin.host.checkpoint import SAM2_FOLDER, read_config_json, weight_files

CARD_FILE = "README.md"
LIBRARY = "sama_plugin"
PIPELINE = "video-text-to-text"
TAGS = ("sama", "llava", "video", "referring-video-object-segmentation", "grounded-video-chat")
CHECKPOINT, NUMBERS = "checkpoint", "numbers"
"""The parts between marks."""

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
MEGA = 1e6


@dataclass(frozen=True)
class CardNumbers:
    """What was measured on a checkpoint.

    Attributes:
        results: for the front matter's `model-index`.
        text: Markdown of the tables and commands.
    """

    results: Sequence[EvalResult]
    text: str


def card_text(
    folder: Path,
    name: str,
    before: str | None = None,
    numbers: CardNumbers | None = None,
    license: str | None = None,
) -> str:
    """The card of a checkpoint, made anew from its files.

    Args:
        folder: a checkpoint.
        name: what users load it by: hub id or folder.
        before: text of the card so far; its front matter's other fields and what is written outside the marks stay.
        numbers: what was measured; None leaves the numbers that are there.
        license: of the weights; None leaves the one that is there.

    Raises:
        CheckpointError: the folder is damaged, or the front matter or the marks of the card so far are.
    """
    title = name.rstrip("/").rpartition("/")[2]
    card = _read_card(before if before is not None else f"---\n{{}}\n---\n# {title}\n", folder / CARD_FILE)
    data: Any = card.data
    data.license = license or data.license
    data.library_name = LIBRARY
    data.pipeline_tag = PIPELINE
    data.tags = list(dict.fromkeys([*(data.tags or []), *TAGS]))
    text = _replace_part(card.text, CHECKPOINT, _checkpoint_part(folder, name), folder / CARD_FILE)
    if numbers is not None:
        data.model_name = data.get("model_name") or title
        data.eval_results = list(numbers.results)
        text = _replace_part(text, NUMBERS, numbers.text, folder / CARD_FILE)
    return f"---\n{data.to_yaml()}\n---\n{text.lstrip()}"


def has_numbers(card: str) -> bool:
    """Whether a card has numbers between their marks."""
    return _marks(NUMBERS)[0] in card


def _marks(part: str) -> tuple[str, str]:
    return f"<!-- sama: {part} -->", f"<!-- /sama: {part} -->"


def _read_card(text: str, where: Path) -> ModelCard:
    """A card with its front matter, which may be missing.

    Raises:
        CheckpointError: front matter that is no mapping, or a `model-index` that is none.
    """
    if not re.match(r"\s*---[ \t]*\r?\n", text):
        text = f"---\n{{}}\n---\n{text}"
    try:
        return ModelCard(text)
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"The front matter of {where} cannot be read: {' '.join(str(error).split())}; mend or delete it."
        ) from error


def _replace_part(text: str, part: str, content: str, where: Path) -> str:
    """The text with new content between the part's marks, which come at its end if it has none.

    Raises:
        CheckpointError: a mark alone, twice, or the closing one first.
    """
    begin, end = _marks(part)
    made = f"{begin}\n{content.strip()}\n{end}"
    if begin not in text and end not in text:
        return f"{text.rstrip()}\n\n{made}\n"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise CheckpointError(
            f"{where} should have {begin} once and {end} once after it; mend or delete the marks."
        )
    return text[: text.index(begin)] + made + text[text.index(end) + len(end) :]


def _checkpoint_part(folder: Path, name: str) -> str:
    """Sizes of the parts and how to use them."""
    values = read_config_json(folder)
    sama = SamaConfig.from_dict(values.get("sama", {}), f"{folder}/config.json:sama")
    rows = [*_llm_rows(folder, values), _tower_row(folder, values)]
    if sama.grounding.head == "sam2":
        size = f"{sama.sam2.image_size} px; {_weights([folder / SAM2_FOLDER / 'model.safetensors'])}"
        rows.append(("SAM2, frozen", size))
    else:
        rows.append(("mask head", f"`{sama.grounding.head}`, without SAM2"))
    frames = (
        f"{sama.sampling.min_sparse} to {sama.sampling.max_sparse}, {sama.sampling.num_dense} of them in full"
    )
    rows.append(("frames the LLM sees", frames))
    lines = ["| part | size |", "|---|---|", *(f"| {what} | {size} |" for what, size in rows)]
    return "\n".join(lines) + "\n\n" + USE.format(name=name, model_type=values["model_type"])


USE = """```python
import sama_plugin; sama_plugin.register()
from llava.model.builder import load_pretrained_model
path = "{name}"
tokenizer, model, image_processor, _ = load_pretrained_model(path, None, "{model_type}", device_map="auto")
chat = sama_plugin.VideoSession(model, tokenizer, image_processor, video="clip.mp4")
chat.region("r1", box=(40, 30, 120, 100), frame=12)
answer = chat.ask("What does <r1> do?")  # answer.text; answer.objects[i].phrase, .masks, .rle, .spans_s, .score
```
```bash
sama chat clip.mp4 --model {name} \\
    --region r1=box@12:40,30,120,100 --ask "What does <r1> do?" --out answers
```"""


def _llm_rows(folder: Path, values: dict[str, Any]) -> list[tuple[str, str]]:
    files = weight_files(folder)
    layers, width, words = (values[key] for key in ("num_hidden_layers", "hidden_size", "vocab_size"))
    shape = f"{layers} layers, {width} wide, {words} tokens, context {values.get('max_position_embeddings')}"
    return [
        (f"LLM (`{values['model_type']}`)", f"{shape}; {_weights(files, 'mm_projector', False)}"),
        (
            f"projector (`{values['mm_projector_type']}`: base, aggregator, region encoder, `[SEG]`'s way to masks)",
            _weights(files, "mm_projector", True),
        ),
    ]


def _tower_row(folder: Path, values: dict[str, Any]) -> tuple[str, str]:
    tower = str(values.get("mm_vision_tower"))
    inside = folder / tower
    if not inside.is_dir():
        return "vision tower", f"`{tower}`, read from the hub"
    own = json.loads((inside / "config.json").read_text(encoding="utf-8"))
    kind, layers, width, side = (
        own.get(key) for key in ("model_type", "num_hidden_layers", "hidden_size", "image_size")
    )
    return (
        "vision tower",
        f"`{kind}`: {layers} layers, {width} wide, {side} px; {_weights(inside.glob('*.safetensors'))}",
    )


def _weights(files: Iterable[Path], key: str = "", has_key: bool = True) -> str:
    """Parameters and dtype of the stored tensors whose name has `key`, or has not."""
    counts: Counter[str] = Counter()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                if (key in name) is has_key:
                    stored = tensors.get_slice(name)
                    counts[stored.get_dtype()] += math.prod(stored.get_shape())
    dtypes = " and ".join(DTYPES.get(dtype, dtype) for dtype, _ in counts.most_common(2))
    return f"{sum(counts.values()) / MEGA:.1f} M parameters, {dtypes}"
