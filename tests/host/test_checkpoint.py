from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sama_plugin.errors import CheckpointError, SamaError
from sama_plugin.inference.session import VideoSession
from tests.conftest import LoadedCheckpoint, load_checkpoint
from tests.inference.scripted import write_answers

EMBED = "model.embed_tokens.weight"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint: replace files of it, never change them in place."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, copy, copy_function=os.link)
    return copy


def rewrite(file: Path, content: str) -> None:
    file.unlink()
    file.write_text(content)


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    rewrite(folder / "config.json", json.dumps(config | values))


def change_weights(folder: Path, **changed: torch.Tensor | None) -> None:
    """Replace tensors; None takes one out."""
    file = folder / "model.safetensors"
    weights: dict[str, Any] = load_file(file) | changed
    file.unlink()
    save_file({k: v for k, v in weights.items() if v is not None}, file, metadata={"format": "pt"})


def whole_state(model: Any) -> dict[str, torch.Tensor]:
    return model.state_dict() | {f"sam2.{k}": v for k, v in model.sam2_head.sam2.state_dict().items()}


def assert_same_state(first: Any, second: Any) -> None:
    ours, theirs = whole_state(first), whole_state(second)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_saved_model_loads_to_the_same_state_and_answer(
    loaded: LoadedCheckpoint,
    lively_model: Any,
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (*lively_model.parameters(), *lively_model.get_vision_tower().parameters()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    first = loaded._replace(model=lively_model)
    saved = tmp_path / "saved"
    lively_model.save_pretrained(saved)
    loaded.tokenizer.save_pretrained(saved)
    moved = saved.rename(tmp_path / "moved")
    second = load_checkpoint(moved)
    assert_same_state(lively_model, second.model)
    assert second.model.config.to_dict()["sama"] == lively_model.config.to_dict()["sama"]
    assert second.context_length == loaded.context_length == 2048

    video = shapes_set / "videos" / "00001.mp4"
    answers = []
    for parts in (first, second):
        session = VideoSession(parts.model, parts.tokenizer, parts.image_processor, video, max_new_tokens=10)
        session.region("r1", frame=1, box=(10, 10, 60, 60))
        free = session.ask("What is <r1>?").raw
        with monkeypatch.context() as patch:
            write_answers(patch, loaded.tokenizer, ["<p> One </p> [SEG]."])
            answers.append((free, session.ask("Find one.").objects))
    assert answers[0] == answers[1]
    assert any(rle is not None for rle in answers[0][1][0].rle)


def test_saved_folder_is_whole_and_has_no_weight_twice(fresh_model: Any, tmp_path: Path) -> None:
    fresh_model.save_pretrained(tmp_path / "saved")
    files = {str(p.relative_to(tmp_path / "saved")) for p in (tmp_path / "saved").rglob("*") if p.is_file()}
    assert files - {"generation_config.json"} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "sam2/model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vision_tower/config.json",
        "vision_tower/model.safetensors",
        "vision_tower/preprocessor_config.json",
    }
    keys = load_file(tmp_path / "saved" / "model.safetensors").keys()
    assert not [key for key in keys if "vision_tower" in key or "sam2" in key]
    assert any(key.startswith("model.mm_projector.seg_decoder.") for key in keys)
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["mm_vision_tower"] == "vision_tower"


def test_model_saves_over_its_own_folder(folder: Path) -> None:
    first = load_checkpoint(folder)
    first.model.save_pretrained(folder)
    assert_same_state(first.model, load_checkpoint(folder).model)


def test_shards_load_and_a_missing_one_is_named(fresh_model: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    fresh_model.save_pretrained(folder, max_shard_size="2MB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert_same_state(fresh_model, load_checkpoint(folder).model)
    last = sorted(folder.glob("model-*.safetensors"))[-1]
    last.unlink()
    with pytest.raises(CheckpointError, match=f"lacks {last.name}"):
        load_checkpoint(folder)


def test_whole_file_replaces_the_shards_of_an_earlier_save(fresh_model: Any, folder: Path) -> None:
    fresh_model.save_pretrained(folder, max_shard_size="2MB")
    with torch.no_grad():
        fresh_model.lm_head.weight.zero_()
    fresh_model.save_pretrained(folder)
    assert [p.name for p in folder.glob("model*")] == ["model.safetensors"]
    assert_same_state(fresh_model, load_checkpoint(folder).model)


def test_tuned_tower_of_the_hub_is_saved_and_a_frozen_one_is_not(fresh_model: Any, tmp_path: Path) -> None:
    tower = fresh_model.get_vision_tower()
    tower.vision_tower_name = "owner/tower"
    tower.requires_grad_(False)
    fresh_model.save_pretrained(tmp_path / "frozen")
    assert not (tmp_path / "frozen" / "vision_tower").exists()
    fresh_model.save_pretrained(tmp_path / "whole", with_tower=True)
    assert_same_state(load_checkpoint(tmp_path / "whole").model, fresh_model)
    tower.requires_grad_(True)
    fresh_model.save_pretrained(tmp_path / "tuned")
    assert (tmp_path / "tuned" / "vision_tower" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "tuned" / "config.json").read_text())["mm_vision_tower"] == "vision_tower"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not valid JSON"), ("[]", "holds a list"), ('{"weights": 1}', "has no weight_map")],
)
def test_damaged_index_is_refused(folder: Path, content: str, message: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=f"index.json {message}"):
        load_checkpoint(folder)


def test_interrupted_save_leaves_what_was_there(
    fresh_model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with torch.no_grad():
        fresh_model.model.embed_tokens.weight.zero_()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sama_plugin.host.pretrained.save_sam2", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fresh_model.save_pretrained(folder)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert not list(folder.glob(".saving*"))


def test_full_disk_is_told_and_leaves_what_was_there(
    fresh_model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError("Error while serializing: No space left on device")

    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(
        CheckpointError, match=r"checkpoint cannot be written: .*No space left on device; free the disk"
    ):
        fresh_model.save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert not list(folder.glob(".saving-*"))


def test_process_that_is_not_the_main_one_saves_nothing(fresh_model: Any, tmp_path: Path) -> None:
    fresh_model.save_pretrained(tmp_path / "saved", is_main_process=False)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("config.json", r"has no config\.json"),
        ("model.safetensors", r"lacks model\.safetensors"),
        ("sam2", r"sam2/model\.safetensors' is missing"),
        ("sam2/model.safetensors", r"sam2/model\.safetensors' is missing"),
        ("vision_tower", r"has no vision_tower/"),
        ("vision_tower/config.json", r"[Vv]ision tower folder .* has no config\.json"),
        ("vision_tower/model.safetensors", r"[Vv]ision tower folder .* cannot be read"),
        ("vision_tower/preprocessor_config.json", r"[Vv]ision tower folder .* cannot be read"),
        ("tokenizer_config.json", r"has no tokenizer_config\.json"),
        ("tokenizer.json", r"has no tokenizer\.json or"),
    ],
)
def test_folder_without_a_file_is_refused(folder: Path, lost: str, message: str) -> None:
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_tower_is_never_taken_from_the_working_folder(
    folder: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(folder / "vision_tower")
    monkeypatch.chdir(tiny_checkpoint)
    with pytest.raises(CheckpointError, match=r"has no vision_tower/"):
        load_checkpoint(folder)


def test_working_folder_can_be_the_checkpoint(
    loaded: LoadedCheckpoint, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    model = load_checkpoint(Path(".")).model
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("saved")
    loaded.tokenizer.save_pretrained("saved")
    assert_same_state(loaded.model, load_checkpoint(tmp_path / "saved").model)


def test_missing_folder_is_refused(loaded: LoadedCheckpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Checkpoint folder .*nowhere does not exist"):
        load_checkpoint(tmp_path / "nowhere")


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = r"lacks model\.safetensors \(found pytorch_model\.bin, which is not read"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_other_models_folder_is_refused(folder: Path) -> None:
    change_config(folder, model_type="llava_qwen")
    message = r"has model_type 'llava_qwen', expected one of llava_sama_qwen, llava_sama_llama"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_config_that_is_no_json_is_refused(folder: Path) -> None:
    rewrite(folder / "config.json", '{"model_type": ')
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        load_checkpoint(folder)


def test_config_with_an_unknown_setting_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["sama"]["grounding"]["prompted_frame"] = 2
    change_config(folder, sama=config["sama"])
    with pytest.raises(SamaError, match=r"unknown key 'prompted_frame'.*did you mean prompted_frames"):
        load_checkpoint(folder)


def test_missing_key_is_named(folder: Path) -> None:
    change_weights(folder, **{"model.mm_projector.region_encoder.look_llm.weight": None})
    message = (
        r"do not fit its config\.json: 1 missing \(model\.mm_projector\.region_encoder\.look_llm\.weight\)"
    )
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_spare_key_is_named(folder: Path) -> None:
    change_weights(folder, **{"model.mm_projector.extra": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"1 spare \(model\.mm_projector\.extra\)"):
        load_checkpoint(folder)


def test_mismatched_shape_is_named(folder: Path) -> None:
    change_weights(folder, **{EMBED: torch.zeros(7, 160)})
    with pytest.raises(
        CheckpointError, match=rf"1 of another shape \({EMBED}: \(7, 160\) instead of \(\d+, 160\)\)"
    ):
        load_checkpoint(folder)


def test_every_problem_is_counted(folder: Path) -> None:
    changed = {f"model.layers.{i}.input_layernorm.weight": None for i in range(4)} | {"spare": torch.zeros(1)}
    change_weights(folder, **changed)
    with pytest.raises(CheckpointError, match=r"4 missing \(.*\); 1 spare \(spare\)"):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite_is_named(folder: Path, value: float) -> None:
    weight = load_file(folder / "model.safetensors")[EMBED].clone()
    weight[3, 3] = value
    change_weights(folder, **{EMBED: weight})
    with pytest.raises(CheckpointError, match=rf"tensors are empty or not finite: {EMBED}"):
        load_checkpoint(folder)


def test_tower_weight_that_is_not_finite_is_named(folder: Path) -> None:
    file = folder / "vision_tower" / "model.safetensors"
    weights = {key: value * float("nan") for key, value in load_file(file).items()}
    file.unlink()
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"not finite: .*vision_tower"):
        load_checkpoint(folder)


def test_tower_without_a_weight_is_refused(folder: Path) -> None:
    file = folder / "vision_tower" / "model.safetensors"
    weights = load_file(file)
    lost = next(key for key in weights if "layers.0.mlp.fc1.weight" in key)
    del weights[lost]
    file.unlink()
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"[Vv]ision tower folder .* lacks .*layers\.0\.mlp\.fc1\.weight"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "file", ["model.safetensors", "sam2/model.safetensors", "vision_tower/model.safetensors"]
)
def test_cut_off_weights_are_refused(folder: Path, file: str) -> None:
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"read"):
        load_checkpoint(folder)


def test_tower_of_another_kind_is_refused(folder: Path) -> None:
    config = json.loads((folder / "vision_tower" / "config.json").read_text())
    rewrite(folder / "vision_tower" / "config.json", json.dumps(config | {"model_type": "vit"}))
    message = r"model_type is 'vit', expected one of clip_vision_model, siglip_vision_model"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)
