from __future__ import annotations

import pytest
import torch

from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX, REGION_TOKEN_INDEX
from sama_plugin.errors import PromptError
from sama_plugin.modeling.token_splicer import fill_slots as splice

F, C, R = FRAME_TOKEN_INDEX, CONTEXT_TOKEN_INDEX, REGION_TOKEN_INDEX
IDS = torch.tensor([5, F, F, 7, C, 8, R, R, 9, F, C])
WIDTH = 3


def fill_slots(
    text: torch.Tensor, ids: torch.Tensor, features: dict[int, torch.Tensor], sample_id: str
) -> torch.Tensor:
    """A batch of one."""
    return splice(text[None], ids[None], {kind: [rows] for kind, rows in features.items()}, [sample_id])[0]


def make_features() -> dict[int, torch.Tensor]:
    return {F: torch.full((3, WIDTH), 1.0), C: torch.full((2, WIDTH), 2.0), R: torch.full((2, WIDTH), 3.0)}


def test_each_slot_gets_its_kinds_next_feature() -> None:
    text = torch.randn(len(IDS), WIDTH)
    features = {kind: rows + 0.1 * torch.arange(len(rows))[:, None] for kind, rows in make_features().items()}
    filled = fill_slots(text, IDS, features, "s")
    taken = {F: 0, C: 0, R: 0}
    for position, token in enumerate(IDS.tolist()):
        expected = text[position]
        if token < 0:
            expected = features[token][taken[token]]
            taken[token] += 1
        assert torch.equal(filled[position], expected)


def test_given_embeddings_stay_as_they_are() -> None:
    text = torch.zeros(len(IDS), WIDTH)
    fill_slots(text, IDS, make_features(), "s")
    assert torch.equal(text, torch.zeros(len(IDS), WIDTH))


def test_gradients_reach_every_feature() -> None:
    features = {kind: rows.requires_grad_() for kind, rows in make_features().items()}
    fill_slots(torch.zeros(len(IDS), WIDTH), IDS, features, "s").sum().backward()
    assert all(torch.equal(rows.grad, torch.ones_like(rows)) for rows in features.values())


def test_text_without_slots_needs_no_features() -> None:
    text = torch.randn(2, WIDTH)
    assert torch.equal(fill_slots(text, torch.tensor([1, 2]), {}, "s"), text)


@pytest.mark.parametrize(("kind", "name", "slots"), [(F, "frame", 3), (C, "context", 2), (R, "region", 2)])
@pytest.mark.parametrize("given", [0, 1, 7])
def test_count_mismatch_names_sample_kind_and_both_counts(
    kind: int, name: str, slots: int, given: int
) -> None:
    features = make_features() | {kind: torch.zeros(given, WIDTH)}
    message = rf"Sample 'mevis/0041' has {slots} {name} slots in its text but {given} {name} features"
    with pytest.raises(PromptError, match=message):
        fill_slots(torch.zeros(len(IDS), WIDTH), IDS, features, "mevis/0041")


def test_features_without_slots_are_refused() -> None:
    with pytest.raises(PromptError, match="has 0 region slots in its text but 2 region features"):
        fill_slots(torch.zeros(1, WIDTH), torch.tensor([4]), {R: torch.zeros(2, WIDTH)}, "s")


def test_samples_of_a_batch_are_filled_each_from_its_own() -> None:
    text, ids = torch.randn(2, 4, WIDTH), torch.tensor([[F, 1, F, 2], [3, F, C, F]])
    rows = [torch.randn(2, WIDTH), torch.randn(2, WIDTH)]
    context = [torch.zeros(0, WIDTH), torch.randn(1, WIDTH)]
    filled = splice(text, ids, {F: rows, C: context}, ["a", "b"])
    for i in range(2):
        assert torch.equal(filled[i], fill_slots(text[i], ids[i], {F: rows[i], C: context[i]}, "one"))
    with pytest.raises(PromptError, match="Sample 'b' has 2 frame slots"):
        splice(text, ids, {F: [rows[0], rows[1][:1]], C: context}, ["a", "b"])
