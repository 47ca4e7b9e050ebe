from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.constants import FRAME_TOKEN_INDEX, IGNORE_INDEX
from sama_plugin.data.collator import SamaCollator
from sama_plugin.training.sam2_pretrain import AttributeEmbedding
from sama_plugin.training.short_loop import STATE_FILE
from sama_plugin.training.talk import (
    FIRST_MOVING_FRAME,
    MOVING_VOCABULARIES,
    STILL_ATTRIBUTES,
    SeenDataset,
    ease_matching,
    read_facts,
    seen_dataset,
    train_talk,
)
from tests.conftest import load_checkpoint

MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: ., frames: %s}]"


@pytest.fixture
def datasets(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> tuple[SeenDataset, SeenDataset]:
    facts = read_facts(shapes_set / "records.json", shapes_set / "mask_dict.json")
    made = []
    for frames in ("clip", "single"):
        path = tmp_path / f"{frames}.yaml"
        path.write_text(MIXTURE % frames)
        made.append(seen_dataset(fresh_model, loaded.tokenizer, path, shapes_set, facts, seed=0))
    return made[0], made[1]


def test_frame_tokens_are_labelled_with_what_their_records_say(datasets: Any, shapes_set: Path) -> None:
    clips, frames = datasets
    item = clips[0]
    assert item.example.grounding is None  # no mask loss reads it
    per_frame = item.labels.unflatten(0, (5, 64))
    assert (per_frame[:FIRST_MOVING_FRAME, :, STILL_ATTRIBUTES:] == IGNORE_INDEX).all()
    facts = clips.facts[item.example.video_name]
    for t, frame in enumerate(item.example.dense_frames):
        seen = {tuple(row[:STILL_ATTRIBUTES]) for row in per_frame[t].tolist() if row[0] > 0}
        there = {
            tuple(row[:STILL_ATTRIBUTES])
            for row, track in zip((1 + facts.attributes).tolist(), facts.tracks, strict=True)
            if track[frame] is not None
        }
        assert seen <= there
    assert int(per_frame[FIRST_MOVING_FRAME:].max()) <= max(len(words) for words in MOVING_VOCABULARIES)
    assert frames[0].labels.shape == (64, len(MOVING_VOCABULARIES))


def test_eased_heads_attend_to_the_same_object(fresh_model: Any, loaded: Any, datasets: Any) -> None:
    item = datasets[0][0]
    batch = SamaCollator(0)([item.example])
    layer = fresh_model.get_model().layers[0]
    before = layer.self_attn.q_proj.weight.detach().clone()
    ease_matching(fresh_model, iter([(batch, item.labels)]))
    after = layer.self_attn.q_proj.weight.detach()
    width = layer.self_attn.head_dim
    assert torch.equal(before[2 * width :], after[2 * width :])  # the other heads stay
    assert torch.equal(after[:width], layer.self_attn.k_proj.weight[:width])
    reading = after[:width]
    features = fresh_model.encode_frames([batch["videos"][0].pixel_values])
    embeds = fresh_model.embed_batch(batch["input_ids"], batch["videos"], features, batch["sample_ids"])
    tokens = layer.input_layernorm(embeds[0][batch["input_ids"][0] == FRAME_TOKEN_INDEX])
    seen = tokens @ reading.T
    labels = item.labels[:, :STILL_ATTRIBUTES]
    on_object = labels[:, 0] > 0
    scores = seen[on_object] @ seen[on_object].T
    same = (labels[on_object][:, None] == labels[on_object][None]).all(-1)
    assert float(scores[same].mean()) > float(scores[~same].mean()) + 1


def test_interrupted_run_goes_on_and_the_tower_rests(
    tiny_checkpoint: Path, loaded: Any, datasets: Any, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    names = AttributeEmbedding(loaded.model.sama.sam2.hidden_dim).requires_grad_(False)

    def run() -> dict[str, torch.Tensor]:
        model = load_checkpoint(tiny_checkpoint).model
        settings = {"num_steps": 4, "batch_size": 1, "save_every": 3}
        train_talk(model, loaded.tokenizer, names, datasets, tmp_path / "talk", **settings)
        return model.state_dict()

    whole = run()
    assert torch.load(tmp_path / "talk" / STATE_FILE, weights_only=True)["step"] == 3
    resumed = run()  # the fourth step again, on single frames
    before = loaded.model.state_dict()
    changed = {name.split(".")[1] for name, tensor in whole.items() if not torch.equal(tensor, before[name])}
    assert {"layers", "mm_projector"} <= changed
    assert "vision_tower" not in changed
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
