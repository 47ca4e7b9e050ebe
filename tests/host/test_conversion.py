from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sama_plugin.cli.main import main
from sama_plugin.config import SAM2_PRESETS, GroundingConfig, SamaConfig
from sama_plugin.errors import CheckpointError, DataError
from sama_plugin.host import compat
from tests.conftest import load_checkpoint


@pytest.fixture(scope="module")
def small_sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the form of the published ones, of the tiny size."""
    from sama_plugin.grounding.sam2_model import build_sam2

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_none.pt"
    torch.save({"model": build_sam2(SAM2_PRESETS["tiny"]).state_dict()}, path)
    return path


@pytest.fixture
def start(plain_folder: Path, small_sam2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What the command makes of a tiny plain LLaVA checkpoint."""
    out = tmp_path / "start"
    assert (
        main(["convert", str(plain_folder), str(out), "--sam2", str(small_sam2), "--sam2-size", "tiny"]) == 0
    )
    assert f"written: {out}" in capsys.readouterr().out
    return out


def test_start_keeps_the_host_s_llm_and_projector(start: Path, plain_folder: Path, small_sam2: Path) -> None:
    loaded = load_checkpoint(start)
    host = compat.find_host()
    assert host is not None
    llava_qwen = importlib.import_module(f"{host.package}.model.language_model.llava_qwen")
    plain = llava_qwen.LlavaQwenForCausalLM.from_pretrained(plain_folder)
    ids = torch.tensor([[3, 5, 7, 11]])
    with torch.no_grad():
        ours = loaded.model(input_ids=ids).logits[..., : plain.config.vocab_size]
        torch.testing.assert_close(ours, plain(input_ids=ids).logits)
        features = torch.randn(2, 4, 32)
        torch.testing.assert_close(loaded.model.projector(features), plain.get_model().mm_projector(features))
    published = torch.load(small_sam2, weights_only=True)["model"]
    for name, value in loaded.model.projector.seg_decoder.state_dict().items():
        assert torch.equal(value, published[f"sam_mask_decoder.{name}"])
    tokens = loaded.tokenizer.convert_tokens_to_ids(["[SEG]", "<vp>"])
    assert loaded.model.config.seg_token_id == tokens[0] >= plain.config.vocab_size
    table = plain.get_input_embeddings().weight
    for token in tokens:
        torch.testing.assert_close(loaded.model.get_input_embeddings().weight[token], table.mean(dim=0))


def test_weights_the_host_tuned_in_its_tower_are_kept(
    plain_folder: Path, small_sam2: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    shutil.copytree(plain_folder, tuned)
    weights = load_file(tuned / "model.safetensors")
    tower = load_file(plain_folder.parent / "clip" / "model.safetensors")
    changed = {f"model.vision_tower.vision_tower.{key}": value + 0.5 for key, value in tower.items()}
    extra = {"model.image_newline": torch.zeros(32)}
    kept = {key: value for key, value in weights.items() if "vision_tower" not in key}
    save_file(kept | changed | extra, tuned / "model.safetensors", metadata={"format": "pt"})
    out = tmp_path / "start"
    assert main(["convert", str(tuned), str(out), "--sam2", str(small_sam2), "--sam2-size", "tiny"]) == 0
    own = load_checkpoint(out).model.get_vision_tower().vision_tower.state_dict()
    for key, value in tower.items():
        torch.testing.assert_close(own[key], value + 0.5)


def test_folder_is_cast_and_sharded(loaded: Any, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "half"
    command = ["convert", str(tiny_checkpoint), str(out), "--dtype", "bfloat16", "--max-shard-size", "2MB"]
    assert main(command) == 0
    assert len(list(out.glob("model-*.safetensors"))) > 1
    again = load_checkpoint(out, torch_dtype="bfloat16").model.state_dict()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(again[name], value.bfloat16()), name
    assert main(command) == 2  # what is there stays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mm_projector.0.weight": None}, r"1 weights are missing .*mm_projector\.0\.weight"),
        ({"model.norm.weight": torch.ones(7)}, r"1 weights are of another shape .*model\.norm\.weight"),
        ({"model.other": torch.ones(1)}, r"1 weights are spare .*model\.other"),
    ],
)
def test_host_folder_with_other_weights_is_refused(
    plain_folder: Path, small_sam2: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    from sama_plugin.host.conversion import start_from_host

    broken = tmp_path / "broken"
    shutil.copytree(plain_folder, broken)
    weights = load_file(broken / "model.safetensors")
    for name, value in change.items():
        for key in [key for key in weights if key.endswith(name)]:
            del weights[key]
        if value is not None:
            weights[name] = value
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=message):
        start_from_host(broken, small_sam2, sam2_size="tiny")


def test_what_does_not_fit_together_is_refused(plain_folder: Path, small_sam2: Path, tmp_path: Path) -> None:
    from sama_plugin.host.conversion import start_from_host

    with pytest.raises(DataError, match=r"head is 'sam2' and SAM2's weights are not given"):
        start_from_host(plain_folder, None, sam2_size="tiny")
    dot = dataclasses.replace(SamaConfig(), grounding=GroundingConfig(head="dot"))
    with pytest.raises(DataError, match=r"head is 'dot' and SAM2's weights are .*sam2\.1_hiera_none\.pt"):
        start_from_host(plain_folder, small_sam2, sam2_size="tiny", sama=dot)
    with pytest.raises(DataError, match=r"SAM2 size is 'huge', expected one of sam2\.1_hiera_tiny"):
        start_from_host(plain_folder, small_sam2, sam2_size="huge")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"has model_type 'llama', expected one of llava_qwen"):
        start_from_host(tmp_path, small_sam2)
