from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.media.masks import decode_mask
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer
from sama_plugin.schema import Turn
from sama_plugin.training.context_pretrain import (
    ContextHeads,
    QuestionDataset,
    context_losses,
    pretrain_context,
)
from sama_plugin.training.short_loop import STATE_FILE
from tests.conftest import load_checkpoint
from tests.data.made_samples import make_sample, mask_ids

MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: ., merge: 2}]"


def questions_of(loaded: Any, shapes_set: Path, turns: list[Turn]) -> QuestionDataset:
    model = loaded.model
    tower = model.get_vision_tower()
    return QuestionDataset(
        [make_sample(shapes_set, "00000", turns, "made")],
        DialogueTokenizer(loaded.tokenizer, template_by_name(model.sama.template)),
        InputBuilder(model.sama, tower.image_processor, tower.num_patches_per_side),
        model.get_model().embed_tokens.num_embeddings,
        seed=0,
    )


def test_words_and_tracks_are_those_of_the_answer(loaded: Any, shapes_set: Path) -> None:
    a, b = mask_ids(shapes_set, "00000")[:2]
    turns = [
        Turn("What is <mask>?", "A red circle.", (a,)),
        Turn("Find the star.", "<p> The red star </p> [SEG].", (), ((b,),)),
        Turn("Is <mask> larger than <mask>?", "No.", (a, b)),
        Turn("What does it do?", "It blinks.", kind="it_motion"),
    ]
    dataset = questions_of(loaded, shapes_set, turns)
    item = dataset[0]
    assert len(item.words) == len(item.tracks) == 3  # `it` cannot be understood without the earlier rounds
    ids = loaded.tokenizer(turns[0].answer, add_special_tokens=False).input_ids
    assert set(item.words[0].nonzero().flatten().tolist()) == set(ids)
    assert item.tracked.any(dim=1).tolist() == [True, True, False]
    track = dataset.samples[0].masks[b]
    sparse = sparse_indices(len(track), loaded.model.sama.sampling)
    assert int(item.tracked[1].sum()) == len(sparse)
    for k, frame in enumerate(sparse):
        rle = track[frame]
        assert bool(item.tracks[1, k, 2]) == (rle is not None)
        if rle is not None:
            mask = decode_mask(rle)
            for axis, value in ((1, item.tracks[1, k, 0]), (0, item.tracks[1, k, 1])):
                where = np.flatnonzero(mask.any(axis=1 - axis))
                middle = (where[0] + where[-1] + 1) / 2 / mask.shape[axis]
                assert float(value) == pytest.approx(middle, abs=1e-4)
    assert len(item.video.regions.frame_slots) == 3


def test_losses_and_gradients_reach_only_the_aggregators_side(
    fresh_model: Any, loaded: Any, shapes_set: Path
) -> None:
    a, b = mask_ids(shapes_set, "00000")[:2]
    turns = [Turn("What is <mask>?", "A red circle.", (a,)), Turn("Find it.", "It [SEG].", (), ((b,),))]
    item = questions_of(loaded, shapes_set, turns)[0]
    width = fresh_model.config.hidden_size
    heads = ContextHeads(width, item.tracks.shape[1], torch.full((item.words.shape[1],), 0.1))
    features = torch.randn(item.video.num_sparse, 256, width)
    fresh_model.zero_grad()
    word_loss, track_loss, exact = context_losses(fresh_model, heads, [item], [features])
    (word_loss + track_loss).backward()
    assert 0 <= float(exact) <= 1
    projector = fresh_model.projector
    assert projector.aggregator.temporal.queries.grad.abs().sum() > 0
    assert projector.region_encoder.shape_aggregator[0].weight.grad.abs().sum() > 0
    assert projector.region_encoder.shape_llm[0].weight.grad is None


def test_interrupted_run_goes_on_and_leaves_the_llm_alone(
    tiny_checkpoint: Path, loaded: Any, shapes_set: Path, tmp_path: Path
) -> None:
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text(MIXTURE)

    def run() -> dict[str, torch.Tensor]:
        model = load_checkpoint(tiny_checkpoint).model
        settings = {"num_steps": 4, "batch_size": 1, "save_every": 3}
        pretrain_context(model, loaded.tokenizer, mixture, shapes_set, tmp_path / "run", **settings)
        assert all(p.requires_grad for p in model.parameters())
        return model.state_dict()

    whole = run()
    assert torch.load(tmp_path / "run" / STATE_FILE, weights_only=True)["step"] == 3
    resumed = run()  # the fourth step again
    before = loaded.model.state_dict()
    changed = {name for name, tensor in whole.items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(".aggregator." in name or "_aggregator." in name for name in changed), changed
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
