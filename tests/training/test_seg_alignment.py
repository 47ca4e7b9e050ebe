from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sama_plugin.data.shapes.world import FIXED_SIZES, SHAPES
from sama_plugin.errors import DataError
from sama_plugin.schema import Turn
from sama_plugin.training.patch_names import UNNAMED, VOCABULARIES
from sama_plugin.training.sam2_pretrain import NAMES_FILE, AttributeEmbedding, load_names
from sama_plugin.training.seg_alignment import find_name, phrase_attributes, prompt_distance, said_names
from tests.data.made_samples import make_dataset, make_sample, mask_ids, remark


def test_attributes_of_a_full_name() -> None:
    for phrase in ("The small red circle", "one small red circle at the left"):
        found = [words[i] for words, i in zip(VOCABULARIES, phrase_attributes(phrase).tolist(), strict=True)]
        assert found == ["small", "red", "circle"]


@pytest.mark.parametrize("phrase", ["", "The circle", "red small circle", "The small red"])
def test_partial_name_is_no_name(phrase: str) -> None:
    assert find_name(phrase) is None


def test_attributes_that_a_phrase_does_not_say_are_open() -> None:
    assert phrase_attributes("The large star").tolist() == [
        FIXED_SIZES.index("large"),
        UNNAMED,
        SHAPES.index("star"),
    ]
    with pytest.raises(DataError, match="has no size, colour or shape"):
        phrase_attributes("The dog")


def labels_about(loaded: Any, shapes_set: Path) -> torch.Tensor:
    a = mask_ids(shapes_set, "00000")[0]
    answer = (
        "<p> The small red circle </p> [SEG], <p> the large star </p> [SEG] "
        "and <p> the large blue square </p> [SEG]."
    )
    named = make_sample(shapes_set, "00000", [Turn("Find all.", answer, (), ((a,), (a,), (a,)))], "named")
    return make_dataset(loaded, [named])[0].labels


def test_distance_is_zero_where_prompts_are_their_names(
    loaded: Any, shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = loaded.model.sama.sam2.hidden_dim
    torch.manual_seed(0)
    made = AttributeEmbedding(width)
    save_file(made.state_dict(), tmp_path / NAMES_FILE)
    names = load_names(tmp_path, width)
    assert not any(p.requires_grad for p in names.parameters())
    wanted = [phrase_attributes("small red circle"), phrase_attributes("large blue square")]
    right = made(torch.stack(wanted)).detach()
    said = said_names(loaded.tokenizer, labels_about(loaded, shapes_set))
    full = (said != UNNAMED).all(dim=1)
    assert torch.equal(said[full], torch.stack(wanted))
    states = torch.zeros(len(said), loaded.model.config.hidden_size)
    monkeypatch.setattr(type(loaded.model), "seg_prompts", lambda self, states: right)
    assert prompt_distance(loaded.model, names, states, said).item() == 0
    monkeypatch.setattr(type(loaded.model), "seg_prompts", lambda self, states: right.flip(0))
    assert prompt_distance(loaded.model, names, states, said).item() > 0.1


def test_distance_without_masks_in_the_answers_is_zero(loaded: Any, shapes_set: Path) -> None:
    names = AttributeEmbedding(loaded.model.sama.sam2.hidden_dim)
    said = said_names(loaded.tokenizer, make_dataset(loaded, [remark(shapes_set)])[0].labels)
    states = torch.zeros(0, loaded.model.config.hidden_size)
    assert prompt_distance(loaded.model, names, states, said).item() == 0
