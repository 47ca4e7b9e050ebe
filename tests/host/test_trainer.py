from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sama_plugin.data.collator import SamaCollator
from sama_plugin.errors import CheckpointError, DataError, HostError
from tests.conftest import load_checkpoint
from tests.data.made_samples import make_dataset, search

PARTS = {
    "mm_mlp_adapter": {"mm_projector"},
    "mm_vision_tower": {"vision_tower"},
    "mm_language_model": {"layers", "embed_tokens", "norm"},
    "mm_mlp_adapter,mm_language_model": {"mm_projector", "layers", "embed_tokens", "norm"},
}


def make_arguments(train_seam: ModuleType, out: Path, **settings: Any) -> Any:
    return train_seam.SamaTrainingArguments(
        output_dir=str(out), report_to="none", use_cpu=True, remove_unused_columns=False, **settings
    )


@pytest.mark.parametrize("parts", list(PARTS))
def test_parts_to_tune_are_the_hosts(fresh_model: Any, train_seam: ModuleType, parts: str) -> None:
    train_seam.set_tunable_parts(fresh_model, parts)
    trained = {name.split(".")[1] for name, p in fresh_model.named_parameters() if p.requires_grad}
    assert trained == PARTS[parts]


@pytest.mark.parametrize("parts", ["mm_projector", "mm_mlp_adapter,llm", "", None])
def test_unknown_part_to_tune_is_refused(fresh_model: Any, train_seam: ModuleType, parts: str | None) -> None:
    with pytest.raises(DataError, match=rf"--mm_tunable_parts is '{parts}', expected some of mm_mlp_adapter"):
        train_seam.set_tunable_parts(fresh_model, parts)


def test_every_parameter_gets_its_parts_rate(
    fresh_model: Any, train_seam: ModuleType, tmp_path: Path
) -> None:
    args = make_arguments(
        train_seam,
        tmp_path,
        learning_rate=1e-3,
        mm_projector_lr=2e-3,
        mm_vision_tower_lr=3e-3,
        seg_decoder_lr=4e-3,
        weight_decay=0.1,
    )
    fresh_model.requires_grad_(True)
    fresh_model.model.layers[0].requires_grad_(False)
    groups = train_seam.SamaTrainer(model=fresh_model, args=args).create_optimizer().param_groups
    given = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    for name, parameter in fresh_model.named_parameters():
        if name.startswith("model.layers.0."):
            assert id(parameter) not in given
            continue
        rate = 1e-3
        for part, own in (("mm_projector", 2e-3), ("vision_tower", 3e-3), ("seg_decoder", 4e-3)):
            rate = own if part in name else rate
        assert given[id(parameter)][0] == rate, name
        if name.endswith("bias"):
            assert given[id(parameter)][1] == 0, name
    assert given[id(fresh_model.model.layers[1].mlp.up_proj.weight)][1] == 0.1
    assert given[id(fresh_model.model.norm.weight)][1] == 0


def test_unset_rates_follow_the_next_wider_part(
    fresh_model: Any, train_seam: ModuleType, tmp_path: Path
) -> None:
    args = make_arguments(train_seam, tmp_path, learning_rate=1e-3, mm_projector_lr=2e-3)
    fresh_model.requires_grad_(True)
    groups = train_seam.SamaTrainer(model=fresh_model, args=args).create_optimizer().param_groups
    given = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {given[id(p)] for p in fresh_model.projector.seg_decoder.parameters()} == {2e-3}
    assert {given[id(p)] for p in fresh_model.get_vision_tower().parameters()} == {1e-3}


def test_parts_of_the_loss_are_logged_as_means_since_the_last_line(
    fresh_model: Any, loaded: Any, train_seam: ModuleType, shapes_set: Path, tmp_path: Path
) -> None:
    trainer = train_seam.SamaTrainer(model=fresh_model, args=make_arguments(train_seam, tmp_path))
    batch = SamaCollator(0)([make_dataset(loaded, [search(shapes_set)])[0]])
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        loss, outputs = trainer.compute_loss(fresh_model, batch, return_outputs=True)
        assert loss is outputs.loss
        losses.append({name: value.item() for name, value in outputs.losses.items()})
    trainer.log({"loss": 1.0})
    line = trainer.state.log_history[-1]
    for name in ("lm", "mask_bce", "mask_dice", "mask_iou", "presence"):
        mean = (losses[0][name] + losses[1][name]) / 2
        assert line[f"loss_{name}"] == pytest.approx(mean, abs=1e-4)
    trainer.log({"loss": 1.0})
    assert "loss_lm" not in trainer.state.log_history[-1]


def test_loss_that_is_no_number_ends_the_run_and_names_its_samples(
    fresh_model: Any, loaded: Any, train_seam: ModuleType, shapes_set: Path, tmp_path: Path
) -> None:
    trainer = train_seam.SamaTrainer(model=fresh_model, args=make_arguments(train_seam, tmp_path / "out"))
    batch = SamaCollator(0)([make_dataset(loaded, [search(shapes_set)])[0]])
    with torch.no_grad():
        fresh_model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(DataError, match=r"Loss of step 1 is nan, of samples search; .*bad_batch_0\.json"):
        trainer.compute_loss(fresh_model, batch)
    saved = json.loads((tmp_path / "out" / "bad_batch_0.json").read_text())
    assert saved["sample_ids"] == ["search"]
    assert math.isnan(saved["losses"]["lm"])


def test_saved_checkpoint_is_a_whole_folder(
    fresh_model: Any, loaded: Any, train_seam: ModuleType, tmp_path: Path
) -> None:
    args = make_arguments(train_seam, tmp_path)
    trainer = train_seam.SamaTrainer(model=fresh_model, tokenizer=loaded.tokenizer, args=args)
    with torch.no_grad():
        fresh_model.get_vision_tower().vision_tower.vision_model.embeddings.class_embedding.fill_(0.5)
    train_seam.save_final(trainer, str(tmp_path / "saved"))
    again = load_checkpoint(tmp_path / "saved")
    assert again.model.get_vision_tower().vision_tower.vision_model.embeddings.class_embedding.eq(0.5).all()
    assert again.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()


def test_start_of_training_is_loaded_with_its_loss_weights(
    train_seam: ModuleType, tiny_checkpoint: Path, tmp_path: Path, loaded: Any
) -> None:
    args = make_arguments(train_seam, tmp_path, mask_bce_weight=3.0, presence_weight=0.0)
    model = train_seam.get_model(SimpleNamespace(model_name_or_path=str(tiny_checkpoint)), args)
    weights = model.loss_weights
    assert (weights.mask_bce, weights.mask_dice, weights.mask_iou, weights.presence) == (3.0, 0.5, 0.5, 0.0)
    assert model.sam2_head is not None
    assert model.get_vision_tower().is_loaded
    assert not model.config.use_cache
    state = loaded.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_training_starts_from_sama_checkpoints_only(
    train_seam: ModuleType, plain_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="has model_type 'llava_qwen', expected one of llava_sama_qwen"):
        train_seam.get_model(
            SimpleNamespace(model_name_or_path=str(plain_folder)), make_arguments(train_seam, tmp_path)
        )


SEAMS = (
    "ModelArguments",
    "DataArguments",
    "TrainingArguments",
    "LLaVATrainer",
    "get_model",
    "find_all_linear_names",
    "safe_save_model_for_hf_trainer",
    "make_supervised_data_module",
)


@pytest.mark.real_host
def test_training_goes_through_the_hosts_own_script(
    train_seam: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_train = train_seam.host_train
    for name in SEAMS:
        monkeypatch.setattr(host_train, name, getattr(host_train, name))  # put back afterwards
    seen = {}
    monkeypatch.setattr(host_train, "train", lambda: seen.update(vars(host_train)))
    train_seam.run_training(lambda *parts: {"parts": parts})
    assert seen["LLaVATrainer"] is train_seam.SamaTrainer
    assert seen["get_model"] is train_seam.get_model
    assert seen["TrainingArguments"] is train_seam.SamaTrainingArguments
    assert seen["make_supervised_data_module"](tokenizer="t", data_args="d")["parts"][:2] == ("t", "d")


@pytest.mark.parametrize("flags", [["--lora_enable", "True"], ["--bits", "4"]])
def test_redistribution_refuses_what_only_the_hosts_script_trains(
    train_seam: ModuleType, tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["train", "--output_dir", str(tmp_path), "--use_cpu", "True", *flags])
    with pytest.raises(HostError, match=r"need LLaVA-NeXT itself; this host is its redistribution"):
        train_seam._train_without_script(lambda *_: {})


def test_going_on_takes_the_tuned_tower_too(fresh_model: Any, train_seam: ModuleType, tmp_path: Path) -> None:
    trainer = train_seam.SamaTrainer(model=fresh_model, args=make_arguments(train_seam, tmp_path))
    tuned = (fresh_model.get_vision_tower().vision_tower.vision_model.embeddings.class_embedding,)
    tuned += (fresh_model.lm_head.weight,)
    with torch.no_grad():
        for parameter in tuned:
            parameter.fill_(0.5)
        trainer._save(str(tmp_path / "checkpoint-2"))
        for parameter in tuned:
            parameter.zero_()
    trainer._load_from_checkpoint(str(tmp_path / "checkpoint-2"))
    assert all(parameter.eq(0.5).all() for parameter in tuned)


def test_checkpoint_cut_off_while_it_was_written_is_passed_over(
    train_seam: ModuleType, tmp_path: Path
) -> None:
    from sama_plugin.host.trainer import last_whole_checkpoint

    assert last_whole_checkpoint(tmp_path) is None
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-11" / "trainer_state.json").write_text('{"global_')
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_start_with_a_missing_weight_is_refused(
    train_seam: ModuleType, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "start"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 missing \(model\.norm\.weight\)"):
        train_seam.get_model(
            SimpleNamespace(model_name_or_path=str(folder)), make_arguments(train_seam, tmp_path)
        )


def test_cut_off_pictures_stay_errors_beside_the_hosts_script(train_seam: ModuleType):
    from PIL import ImageFile

    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(("balance", "order"), [(True, [1, 0]), (False, None)])
def test_order_is_the_datasets_own_where_balance_is_asked_for(
    fresh_model: Any, train_seam: ModuleType, tmp_path: Path, balance: bool, order: list[int] | None
) -> None:
    class Tasked(torch.utils.data.Dataset[int]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> int:
            return index

        def balanced_sampler(self, seed: int, group_step: int | None) -> list[int]:
            assert seed == 7
            return [1, 0] if group_step is None else [group_step]

    args = make_arguments(train_seam, tmp_path, seed=7, balance_tasks=balance)
    trainer = train_seam.SamaTrainer(model=fresh_model, args=args, train_dataset=Tasked())
    sampler = trainer._get_train_sampler()
    assert (sampler == order) if balance else isinstance(sampler, torch.utils.data.RandomSampler)
    trainer.args.group_by_length, trainer.args.gradient_accumulation_steps = True, 3
    if balance:
        assert trainer._get_train_sampler() == [3 * trainer.args.train_batch_size]
    else:
        with pytest.raises(DataError, match="add --balance_tasks True"):
            trainer._get_train_sampler()
