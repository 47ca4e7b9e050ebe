from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.constants import SEG_TOKEN
from sama_plugin.data.collator import SamaCollator
from sama_plugin.grounding.losses import LossWeights
from sama_plugin.training import joint, talk
from sama_plugin.training.joint import MASK_FRAMES, train_joint
from sama_plugin.training.pointing import mention_ends
from sama_plugin.training.scene_facts import read_facts
from sama_plugin.training.short_loop import STATE_FILE
from sama_plugin.training.talk import SeenDataset, collate_seen, new_namers, seen_dataset, talk_losses
from tests.conftest import load_checkpoint

MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: ., frames: %s}]"
WEIGHTS = LossWeights(5.0, 2.0)


@pytest.fixture
def datasets(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> tuple[SeenDataset, SeenDataset]:
    facts, made = read_facts(shapes_set), []
    for frames, mask_frames in (("clip", MASK_FRAMES), ("single", 0)):
        path = tmp_path / f"{frames}.yaml"
        path.write_text(MIXTURE % frames)
        made.append(
            seen_dataset(
                fresh_model, loaded.tokenizer, path, shapes_set, facts, seed=0, mask_frames=mask_frames
            )
        )
    return made[0], made[1]


def test_masks_are_asked_for_on_some_frames_which_change(datasets: Any) -> None:
    clips, frames = datasets
    index = next(i for i in range(len(clips)) if clips[i].example.grounding is not None)
    drawn = []
    for epoch in range(4):
        clips.set_epoch(epoch)
        example, whole = clips[index].example, clips.examples[index].grounding
        targets = example.grounding
        assert targets.gt_masks.shape[:2] == (len(whole.gt_masks), MASK_FRAMES)
        kept = [
            next(k for k, own in enumerate(whole.sam2_frames) if torch.equal(own, f))
            for f in targets.sam2_frames
        ]
        assert torch.equal(targets.gt_masks, whole.gt_masks[:, kept])
        drawn.append(tuple(sorted(kept)))
    assert len(set(drawn)) > 1
    bare = clips.without_masks()
    assert bare[index].example.grounding is None
    assert clips[index].example.grounding is not None
    assert all(frames[i].example.grounding is None for i in range(len(frames)))


def test_mask_losses_count_where_there_are_targets(fresh_model: Any, loaded: Any, datasets: Any) -> None:
    clips, frames = datasets
    fresh_model.loss_weights = WEIGHTS
    namers = new_namers(fresh_model)
    collator, ends = SamaCollator(loaded.tokenizer.pad_token_id), mention_ends(loaded.tokenizer)
    seg = loaded.tokenizer.convert_tokens_to_ids(SEG_TOKEN)
    asked = next(item for item in (clips[i] for i in range(len(clips))) if item.example.grounding is not None)
    single = next(item for item in (frames[i] for i in range(len(frames))) if seg in item.example.input_ids)
    losses = talk_losses(fresh_model, ends, None, namers, collate_seen(collator, [asked]))
    assert losses.masks > 0
    losses.masks.backward()
    assert any(p.grad is not None for p in fresh_model.projector.seg_decoder.parameters())
    assert talk_losses(fresh_model, ends, None, namers, collate_seen(collator, [single])).masks == 0


def test_interrupted_run_goes_on_and_ends_with_the_mean_of_the_last_weights(
    tiny_checkpoint: Path, loaded: Any, datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "MEAN_SHARE", 0.5)
    seen: list[dict[str, torch.Tensor]] = []

    class Recorded(joint.ShortLoop):
        def __init__(self, *args: Any, **settings: Any) -> None:
            assert settings["use_muon"]
            super().__init__(*args, **settings)

        def update(self, loss: torch.Tensor) -> None:
            super().update(loss)
            model = self._parts[0]
            seen.append({name: tensor.detach().clone() for name, tensor in model.state_dict().items()})

    monkeypatch.setattr(joint, "ShortLoop", Recorded)

    def run() -> dict[str, torch.Tensor]:
        model = load_checkpoint(tiny_checkpoint).model
        settings = {"num_steps": 6, "batch_size": 1, "save_every": 5, "mask_weights": WEIGHTS}
        torch.manual_seed(0)
        namers = new_namers(model)
        train_joint(model, loaded.tokenizer, None, namers, datasets, tmp_path / "joint", **settings)
        return dict(model.state_dict())

    whole = run()
    assert len(seen) == 6
    assert (
        torch.load(tmp_path / "joint" / STATE_FILE, weights_only=True)["step"] == 5
    )  # one of the mean is done
    before, changed = loaded.model.state_dict(), set()
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, sum(own[name] for own in seen[3:]) / 3)
        if not torch.equal(tensor, before[name]):
            changed.add(name.split(".")[1])
    assert {"layers", "mm_projector"} <= changed
    assert "vision_tower" not in changed
    resumed = run()  # the last step again
    assert len(seen) == 7
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_first_of_four_batches_asks_for_masks_and_the_last_is_of_single_frames(
    fresh_model: Any, loaded: Any, datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def losses(model: Any, ends: Any, names: Any, namers: Any, batch: Any) -> Any:
        frames = {video.num_sparse for video in batch.inputs["videos"]}
        seen.append((any(targets is not None for targets in batch.inputs["grounding"]), frames == {1}))
        return talk_losses(model, ends, names, namers, batch)

    monkeypatch.setattr(joint, "talk_losses", losses)
    settings = {"num_steps": 8, "batch_size": 4, "mask_weights": WEIGHTS}
    namers = new_namers(fresh_model)
    train_joint(fresh_model, loaded.tokenizer, None, namers, datasets, tmp_path / "joint", **settings)
    cycle = [(True, False), (False, False), (False, False), (False, True)]
    assert seen == cycle + cycle


def test_batches_go_on_where_a_run_stopped_at_any_step_of_the_cycle(
    fresh_model: Any, loaded: Any, datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    class StoppedError(Exception):
        """Stands for a kill."""

    def losses(model: Any, ends: Any, names: Any, namers: Any, batch: Any) -> Any:
        seen.append(batch.inputs["input_ids"])
        if stop_at is not None and len(seen) > stop_at:
            raise StoppedError
        made = new_namers(model).of_patches.heads[0].weight  # any loss will do
        return talk.TalkLosses(
            made.sum() * 0 + model.lm_head.weight.sum(), *[made.new_zeros(()) for _ in range(14)]
        )

    monkeypatch.setattr(joint, "talk_losses", losses)
    settings = {"num_steps": 9, "batch_size": 1, "mask_weights": WEIGHTS, "save_every": 1}
    runs = []
    for stop_at in (None, 5, 6, 7, 8):
        out = tmp_path / str(stop_at)
        for _ in range(1 if stop_at is None else 2):
            try:
                train_joint(
                    fresh_model, loaded.tokenizer, None, new_namers(fresh_model), datasets, out, **settings
                )
            except StoppedError:
                seen.pop()
                stop_at = None
        runs.append(seen[:])
        seen.clear()
    assert len(runs[0]) == 9
    for run in runs[1:]:
        assert len(run) == 9
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))
