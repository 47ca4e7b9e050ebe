from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.shapes.world import COLOURS, SHAPES
from sama_plugin.errors import DataError
from sama_plugin.schema import Turn
from sama_plugin.training.sam2_pretrain import NAMES_FILE, SIZES, AttributeEmbedding
from sama_plugin.training.seg_alignment import align_seg, alignment_losses, phrase_attributes
from tests.data.made_samples import make_dataset, make_sample, mask_ids, remark

MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: ., kinds: [%s]}]"


def test_attributes_of_a_full_name() -> None:
    colours = list(COLOURS)
    expected = (SIZES.index("small"), colours.index("red"), SHAPES.index("circle"))
    assert phrase_attributes("The small red circle") == expected
    assert phrase_attributes("one small red circle at the left") == expected


@pytest.mark.parametrize("phrase", ["", "The circle", "red small circle", "The small red"])
def test_partial_name_is_refused(phrase: str) -> None:
    with pytest.raises(DataError, match="has no size, colour and shape"):
        phrase_attributes(phrase)


def batch_about(loaded: Any, shapes_set: Path) -> dict[str, Any]:
    a = mask_ids(shapes_set, "00000")[0]
    answer = "<p> The small red circle </p> [SEG] and <p> the large blue square </p> [SEG]."
    named = make_sample(shapes_set, "00000", [Turn("Find both.", answer, (), ((a,), (a,)))], "named")
    dataset = make_dataset(loaded, [remark(shapes_set), named])
    return SamaCollator(0)([dataset[0], dataset[1]])


def test_distance_is_zero_where_prompts_are_their_names(
    loaded: Any, shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    names = AttributeEmbedding(loaded.model.sama.sam2.hidden_dim)
    wanted = [phrase_attributes("small red circle"), phrase_attributes("large blue square")]
    right = names(torch.tensor(wanted)).detach()
    batch = batch_about(loaded, shapes_set)
    monkeypatch.setattr(type(loaded.model), "seg_prompts", lambda self, states: right)
    lm_loss, distance = alignment_losses(loaded.model, loaded.tokenizer, names, batch)
    assert distance.item() == 0
    torch.testing.assert_close(lm_loss, loaded.model(**{**batch, "grounding": None}).losses["lm"])
    monkeypatch.setattr(type(loaded.model), "seg_prompts", lambda self, states: right.flip(0))
    assert alignment_losses(loaded.model, loaded.tokenizer, names, batch)[1].item() > 0.1


def test_alignment_of_a_set_smaller_than_a_batch_ends_and_changes_the_model(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> None:
    save_file(AttributeEmbedding(fresh_model.sama.sam2.hidden_dim).state_dict(), tmp_path / NAMES_FILE)
    (tmp_path / "mixture.yaml").write_text(MIXTURE % "name")
    before = {name: p.detach().clone() for name, p in fresh_model.named_parameters()}
    align_seg(
        fresh_model,
        loaded.tokenizer,
        tmp_path,
        tmp_path / "mixture.yaml",
        shapes_set,
        num_steps=2,
        batch_size=64,
    )
    changed = {
        name.split(".")[1] for name, p in fresh_model.named_parameters() if not torch.equal(p, before[name])
    }
    assert {"layers", "mm_projector", "vision_tower"} <= changed
    assert not fresh_model.training
