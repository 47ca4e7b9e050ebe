from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.collator import SamaCollator
from tests.data.made_samples import make_dataset, remark, search, talk


def test_text_is_padded_right_and_the_rest_is_listed(loaded: Any, shapes_set: Path) -> None:
    dataset = make_dataset(loaded, [remark(shapes_set), talk(shapes_set), search(shapes_set)])
    examples = [dataset[i] for i in range(3)]
    batch = SamaCollator(pad_token_id=7)(examples)
    longest = max(len(e.input_ids) for e in examples)
    assert batch["input_ids"].shape == batch["labels"].shape == (3, longest)
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        assert torch.equal(batch["input_ids"][row, :length], example.input_ids)
        assert torch.equal(batch["labels"][row, :length], example.labels)
        assert (batch["input_ids"][row, length:] == 7).all()
        assert (batch["labels"][row, length:] == IGNORE_INDEX).all()
    assert batch["sample_ids"] == ["remark", "talk", "search"]
    assert [video.num_sparse for video in batch["videos"]] == [e.video.num_sparse for e in examples]
    assert [g is None for g in batch["grounding"]] == [True, False, False]


def test_batch_is_what_forward_takes(loaded: Any, shapes_set: Path) -> None:
    batch = SamaCollator(0)([make_dataset(loaded, [remark(shapes_set)])[0]])
    names = type(loaded.model).forward.__code__.co_varnames
    assert set(batch) <= set(names)
