from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer
from sama_plugin.schema import Turn
from sama_plugin.training import context_pretrain
from sama_plugin.training.context_pretrain import QuestionDataset, WordReader, pretrain_context, stage_losses
from sama_plugin.training.context_targets import ContextReader
from sama_plugin.training.scene_facts import read_facts
from sama_plugin.training.short_loop import STATE_FILE, ShortLoop
from tests.conftest import load_checkpoint
from tests.data.made_samples import make_sample, mask_ids

MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: ., merge: 2}]"


def questions_of(loaded: Any, shapes_set: Path, turns: list[Turn]) -> QuestionDataset:
    model = loaded.model
    tower = model.get_vision_tower()
    return QuestionDataset(
        [make_sample(shapes_set, "00000", turns, "made")],
        read_facts(shapes_set),
        DialogueTokenizer(loaded.tokenizer, template_by_name(model.sama.template)),
        InputBuilder(model.sama, tower.image_processor, tower.num_patches_per_side),
        model.get_model().embed_tokens.num_embeddings,
        seed=0,
    )


def test_every_object_that_is_shown_is_asked_about_before_the_questions_of_dialogues(
    loaded: Any, shapes_set: Path
) -> None:
    b = mask_ids(shapes_set, "00000")[1]
    turns = [
        Turn("Find the star.", "<p> The red star </p> [SEG].", (), ((b,),)),
        Turn("What does it do?", "It blinks.", kind="it_motion"),
    ]
    dataset = questions_of(loaded, shapes_set, turns)
    facts = dataset.facts[Path(dataset.samples[0].video_path)]
    sparse = sparse_indices(len(facts.tracks[0]), loaded.model.sama.sampling)
    shown = [k for k, track in enumerate(facts.tracks) if any(track[frame] for frame in sparse)]
    hidden = next(i for i in shown if facts.ids[i] != b)
    facts.tracks[hidden][:] = [None] * len(facts.tracks[hidden])
    shown.remove(hidden)
    item = dataset[0]
    assert item.answered.tolist() == [False] * len(shown) + [True]  # `it` needs the round before
    assert not item.words[:-1].any()
    ids = loaded.tokenizer(turns[0].answer, add_special_tokens=False).input_ids
    assert set(item.words[-1].nonzero().flatten().tolist()) == set(ids)
    assert len(item.video.regions.frame_slots) == len(shown)  # one of each object
    assert item.targets.tracked.sum(dim=1).tolist() == [len(sparse)] * (len(shown) + 1)
    asked = {loaded.tokenizer.decode([i for i in q if i >= 0]) for q in dataset[0].video.question_ids}
    dataset.set_epoch(1)
    assert asked != {loaded.tokenizer.decode([i for i in q if i >= 0]) for q in dataset[0].video.question_ids}


@pytest.mark.parametrize("asks_motion", [True, False])
def test_motion_is_asked_for_where_dialogues_ask_for_it(
    loaded: Any, shapes_set: Path, asks_motion: bool
) -> None:
    a, b = mask_ids(shapes_set, "00000")[:2]
    moves = Turn("Find what moves.", "The red star [SEG].", (), ((b,),), kind="motion")
    told = Turn("How does <mask> move?", "It stays still.", (a,), kind="motion")
    dataset = questions_of(loaded, shapes_set, [moves, *([told] if asks_motion else [])])
    items = []
    for epoch in range(4):
        dataset.set_epoch(epoch)
        items.append(dataset[0])
    of_objects = torch.cat([item.targets.motions[~item.answered, 0] for item in items])
    assert bool((of_objects != IGNORE_INDEX).any()) == asks_motion
    assert (of_objects == IGNORE_INDEX).any()
    of_dialogues = torch.cat([item.targets.motions[item.answered, 0] for item in items])
    assert (of_dialogues != IGNORE_INDEX).all()


def test_losses_and_gradients_reach_only_the_aggregators_side(
    fresh_model: Any, loaded: Any, shapes_set: Path
) -> None:
    b = mask_ids(shapes_set, "00000")[1]
    item = questions_of(loaded, shapes_set, [Turn("Find it.", "It [SEG].", (), ((b,),))])[0]
    width = fresh_model.config.hidden_size
    words = WordReader(width, torch.full((item.words.shape[1],), 0.1))
    reader = ContextReader(width, item.targets.tracks.shape[1])
    features = torch.randn(item.video.num_sparse, 256, width)
    fresh_model.zero_grad()
    losses = stage_losses(fresh_model, words, reader, [item], [features])
    losses.total.backward()
    assert float(losses.words.detach()) > 0
    projector = fresh_model.projector
    assert projector.aggregator.temporal.queries.grad.abs().sum() > 0
    assert projector.region_encoder.shape_aggregator[0].weight.grad.abs().sum() > 0
    assert projector.region_encoder.shape_llm[0].weight.grad is None


def test_interrupted_run_goes_on_and_leaves_the_llm_alone(
    tiny_checkpoint: Path, loaded: Any, shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text(MIXTURE)

    class Checked(ShortLoop):
        def __init__(self, *args: Any, **settings: Any) -> None:
            assert settings["use_muon"]
            super().__init__(*args, **settings)

    monkeypatch.setattr(context_pretrain, "ShortLoop", Checked)

    def run() -> dict[str, torch.Tensor]:
        model = load_checkpoint(tiny_checkpoint).model
        settings = {"num_steps": 4, "batch_size": 1, "save_every": 3}
        pretrain_context(
            model, loaded.tokenizer, mixture, shapes_set, read_facts(shapes_set), tmp_path / "run", **settings
        )
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
