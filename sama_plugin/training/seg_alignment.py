"""Part of the stages `talk` and `joint`: `[SEG]` learns the prompts that SAM2 learned to understand.

The SAM2 stage gave every name (size, colour, shape) an embedding that its decoder answers with a mask. Here the hidden
state at `[SEG]`, through the seg projection, is pulled to the embedding of the phrase before it. From there the mask
losses of `joint` go on; from a random projection, through the decoder alone, they led nowhere in 6,000
examples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.errors import DataError
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.training.patch_names import UNNAMED, VOCABULARIES, object_attributes
from sama_plugin.training.sam2_pretrain import AttributeEmbedding


def find_name(text: str) -> Tensor | None:
    """(3,) long; size, colour and shape of the first full name in a text, such as `The small red circle`."""
    words = text.rstrip(".").split()
    for triple in zip(words, words[1:], words[2:], strict=False):
        if all(word in names for word, names in zip(triple, VOCABULARIES, strict=True)):
            return object_attributes([triple])[0]
    return None


def phrase_attributes(phrase: str) -> Tensor:
    """(3,) long; size, colour and shape, each `UNNAMED` where the phrase does not say it.

    Raises:
        DataError: it says none of them.
    """
    said = [[word for word in phrase.split() if word in names] for names in VOCABULARIES]
    if not any(said):
        raise DataError(f"Phrase {phrase!r} has no size, colour or shape; align on data of the small world.")
    return torch.tensor(
        [names.index(words[0]) if words else UNNAMED for words, names in zip(said, VOCABULARIES, strict=True)]
    )


def said_names(tokenizer: Any, labels: Tensor) -> Tensor:
    """(S, 3) long; what the phrases of the answers in labels, (L,) long, say, one before each `[SEG]`.

    Raises:
        DataError: a phrase that names nothing.
    """
    answers = tokenizer.decode(labels[labels != IGNORE_INDEX])
    said = [phrase_attributes(phrase) for phrase in parse_answer(answers).phrases]
    return torch.stack(said) if said else torch.zeros(0, len(VOCABULARIES), dtype=torch.long)


def prompt_distance(model: Any, names: AttributeEmbedding, seg_hidden: Tensor, wanted: Tensor) -> Tensor:
    """Distance of the `[SEG]` prompts from the embeddings of the phrases before them, as a share of their variance.

    Args:
        model: a SAMA model with a mask head.
        names: from `sam2_pretrain.load_names`.
        seg_hidden: (S, N) float; last hidden states at `[SEG]`.
        wanted: (S, 3) long, from `said_names`; what does not name its object in full counts nowhere.

    Returns:
        () float; 0 where there is no such `[SEG]`.
    """
    full = (wanted != UNNAMED).all(dim=1)
    if not full.any():
        return seg_hidden.sum() * 0
    targets = names(wanted[full])
    return F.mse_loss(model.seg_prompts(seg_hidden[full]), targets) / targets.var()
