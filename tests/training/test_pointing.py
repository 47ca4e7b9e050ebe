from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.constants import FRAME_TOKEN_INDEX, IGNORE_INDEX, PHRASE_START
from sama_plugin.data.collator import SamaCollator
from sama_plugin.schema import Turn
from sama_plugin.training.pointing import (
    MAX_OBJECTS,
    POINTING_HEADS,
    POINTING_LAYERS,
    Pointers,
    find_pointers,
    pointing_loss,
)
from sama_plugin.training.seg_alignment import phrase_attributes
from tests.conftest import load_checkpoint
from tests.data.made_samples import make_dataset, make_sample, mask_ids

NAMES = ("small red circle", "large blue square", "large white star")


@pytest.fixture
def example(loaded: Any, shapes_set: Path) -> Any:
    a, b = mask_ids(shapes_set, "00000")[:2]
    turns = [
        Turn("What does <mask> do?", "It stays still.", (a,)),
        Turn(
            "Find both.",
            "<p> The small red circle </p> [SEG] and <p> the large blue square </p> [SEG].",
            (),
            ((a,), (b,)),
        ),
        Turn("What hits <mask>?", "The large blue square.", (a,)),
        Turn("Find the white cross.", "There is no white cross."),
        Turn("Is <mask> larger than <mask>?", "No.", (a, b)),
        Turn("What colour is it?", "Red."),
    ]
    return make_dataset(loaded, [make_sample(shapes_set, "00000", turns, "points")])[0]


@pytest.fixture
def pointers(example: Any, loaded: Any, shapes_set: Path) -> Pointers:
    ids = tuple(mask_ids(shapes_set, "00000"))[:2]
    attributes = torch.stack([phrase_attributes(name) for name in NAMES])
    return find_pointers(example, loaded.tokenizer, (*ids, "other"), attributes)


def test_tokens_before_answers_and_phrases_point_at_what_they_are_about(
    example: Any, loaded: Any, pointers: Pointers
) -> None:
    found = [torch.nonzero(row)[:, 0].tolist() for row in pointers.objects]
    # region, both, the one named, none; whether one is larger and what "it" is does not tell; then phrases
    assert found == [[0], [0, 1], [1], [], [0], [1]]
    assert pointers.owners().tolist() == [1, IGNORE_INDEX, 2, 0, 1, 2]
    nexts = [loaded.tokenizer.decode(example.input_ids[p + 1]).strip() for p in pointers.positions[:4]]
    assert nexts == ["It", PHRASE_START, "The", "There"]
    assert (example.labels[pointers.positions[:4]] == IGNORE_INDEX).all()
    starts = loaded.tokenizer.convert_tokens_to_ids(PHRASE_START)
    assert (example.input_ids[pointers.positions[4:]] == starts).all()


def test_shares_are_those_of_the_model_s_own_attention(
    tiny_checkpoint: Path, example: Any, pointers: Pointers
) -> None:
    model = load_checkpoint(tiny_checkpoint, attn_implementation="eager").model.requires_grad_(False)
    batch = SamaCollator(0)([example])
    outputs = model(**{**batch, "grounding": None}, output_hidden_states=True, output_attentions=True)
    is_frame = example.input_ids == FRAME_TOKEN_INDEX
    owner = torch.randint(0, 3, (int(is_frame.sum()),), generator=torch.Generator().manual_seed(0))
    loss, right = pointing_loss(model, batch["input_ids"], outputs.hidden_states, [pointers], [owner])
    on_frames = torch.zeros(len(is_frame), dtype=torch.long)
    on_frames[is_frame] = 1 + owner
    logs = []
    half = model.config.num_hidden_layers // 2
    for layer in range(half, half + POINTING_LAYERS):
        attention = outputs.attentions[layer][0, list(POINTING_HEADS)].mean(dim=0)
        for position, row in zip(pointers.positions.tolist(), pointers.objects, strict=True):
            meant = [2 + k for k in torch.nonzero(row)[:, 0].tolist()] or [0]
            logs.append(-attention[position, torch.isin(on_frames, torch.tensor(meant))].sum().log())
    torch.testing.assert_close(loss, torch.stack(logs).mean())
    assert float(right) == pytest.approx(sum(float(v) < 0.6931 for v in logs) / len(logs))


def test_objects_on_no_frame_token_count_nowhere(loaded: Any, example: Any, pointers: Pointers) -> None:
    batch = SamaCollator(0)([example])
    hidden = loaded.model(**{**batch, "grounding": None}, output_hidden_states=True).hidden_states
    empty = torch.zeros(int((example.input_ids == FRAME_TOKEN_INDEX).sum()), dtype=torch.long)
    only_none, _ = pointing_loss(loaded.model, batch["input_ids"], hidden, [pointers], [empty])
    chosen = ~pointers.objects.any(dim=1)
    none = Pointers(pointers.positions[chosen], pointers.objects[chosen])
    torch.testing.assert_close(
        only_none, pointing_loss(loaded.model, batch["input_ids"], hidden, [none], [empty])[0]
    )
    nobody = Pointers(torch.zeros(0, dtype=torch.long), torch.zeros(0, MAX_OBJECTS, dtype=torch.bool))
    assert [float(v) for v in pointing_loss(loaded.model, batch["input_ids"], hidden, [nobody], [empty])] == [
        0,
        0,
    ]
