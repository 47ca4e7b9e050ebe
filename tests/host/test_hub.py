"""A checkpoint goes to the hub and comes back; what goes wrong is one line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.errors import CheckpointError
from sama_plugin.host.hub import resolve_folder, send_folder, sent_files
from tests.conftest import LoadedCheckpoint, load_checkpoint
from tests.host.local_hub import READER, WRITER, LocalHub, Repository, running_hub
from tests.host.test_checkpoint import assert_same_state

REPO = "tester/sama-tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with running_hub(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network, and an empty cache; gives its folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def lay_in_cache(cache: Path, checkpoint: Path, repo_id: str = REPO) -> None:
    """A snapshot as `huggingface_hub` keeps it."""
    place = cache / f"models--{repo_id.replace('/', '--')}"
    shutil.copytree(checkpoint, place / "snapshots" / ("a" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a" * 40)


def host_load(*args: Any, **kwargs: Any) -> Any:
    import sama_plugin

    sama_plugin.register()
    from llava.model.builder import load_pretrained_model

    return load_pretrained_model(*args, device_map="cpu", **kwargs)


def test_pushed_model_comes_back_whole(hub: LocalHub, fresh_model: Any) -> None:
    sent = fresh_model.push_to_hub(REPO, token=WRITER, max_shard_size="2MB", commit_message="Try it")
    repository = hub.repositories[REPO]
    assert repository.messages == ["Try it"]
    assert sent.commit_url == f"{hub.url}/{REPO}/commit/{repository.sha('main')}"
    assert {"README.md", "config.json", "tokenizer.json", "preprocessor_config.json"} < set(
        repository.branches["main"]
    )
    card = repository.branches["main"]["README.md"].decode()
    assert f'path = "{REPO}"' in card
    assert "library_name: sama_plugin" in card
    assert "model-index" not in card
    _, model, _, context = host_load(REPO, None, "llava_sama_qwen")
    assert context == 2048
    assert_same_state(model, fresh_model)


def test_auto_model_reads_a_hub_id_at_a_revision(hub: LocalHub, fresh_model: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fresh_model.push_to_hub(REPO, token=WRITER)
    with torch.no_grad():
        fresh_model.lm_head.weight.zero_()
    fresh_model.push_to_hub(REPO, token=WRITER, revision="zero", private=True)
    hub.repositories[REPO].private = True
    arguments = {"revision": "zero", "token": READER}
    model = AutoModelForCausalLM.from_pretrained(REPO, **arguments, torch_dtype=torch.float32)
    assert model.sam2_head is not None
    assert not model.lm_head.weight.any()
    assert host_load(REPO, None, "x", token=READER)[1].lm_head.weight.any()
    assert AutoTokenizer.from_pretrained(REPO, **arguments).get_vocab() == model.tokenizer.get_vocab()


def test_card_that_is_given_is_sent(hub: LocalHub, fresh_model: Any, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    fresh_model.push_to_hub(REPO, token=WRITER, card=tmp_path / "card.md")
    assert hub.repositories[REPO].branches["main"]["README.md"].startswith(b"---\nlicense: mit")


def test_only_the_checkpoint_is_sent(tmp_path: Path) -> None:
    kept = (
        "README.md",
        "LICENSE",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "sam2/model.safetensors",
    )
    left = (".env", ".cache/x.json", "checkpoint-5/config.json", "runs/x.json", "training_args.bin")
    left += ("trainer_state.json", "sam2/.hidden.json", "optimizer.pt", "notes")
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sent_files(tmp_path) == sorted(kept)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"'tester/sama-tiny' cannot be written without a token: log in with `hf auth login`"),
        (
            "hf_wrong",
            r"repository 'tester/sama-tiny' cannot be written: the hub refuses the token \(401\); log in",
        ),
        (READER, r"'tester/sama-tiny' cannot be written: the hub refuses the token \(403\)"),
    ],
)
def test_token_that_may_not_write_is_one_line(
    hub: LocalHub, tmp_path: Path, token: str | None, message: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=message) as caught:
        send_folder(tmp_path, REPO, token=token)
    assert "\n" not in str(caught.value)
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("repository", "arguments", "message"),
    [
        (None, {}, r"it does not exist, or it is private and the token is missing or may not"),
        (Repository(private=True), {}, r"it does not exist, or it is private and the token is missing"),
        (Repository(gated=True), {"token": READER}, r"it is gated; ask for access on its page"),
        (Repository(), {"revision": "none"}, r"it has no such revision"),
    ],
)
def test_repository_that_may_not_be_read_is_one_line(
    hub: LocalHub, repository: Repository | None, arguments: dict[str, str], message: str
) -> None:
    if repository is not None:
        hub.repositories[REPO] = repository
    with pytest.raises(
        CheckpointError, match=rf"'{REPO}' is no folder, and .* cannot be read: {message}"
    ) as caught:
        resolve_folder(REPO, **arguments)
    assert "\n" not in str(caught.value)


def test_name_that_no_repository_may_have_is_told(hub: LocalHub) -> None:
    with pytest.raises(CheckpointError, match=r"its name is none the hub allows"):
        resolve_folder("owner/na me")


def test_cached_repository_loads_offline(
    offline: Path, tiny_checkpoint: Path, loaded: LoadedCheckpoint
) -> None:
    from transformers import AutoModelForCausalLM

    lay_in_cache(offline, tiny_checkpoint)
    assert_same_state(host_load(REPO, None, "llava_sama_qwen")[1], loaded.model)
    assert_same_state(AutoModelForCausalLM.from_pretrained(REPO, torch_dtype=torch.float32), loaded.model)


def test_repository_that_is_not_cached_is_told_offline(offline: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"it is not in the cache, and the hub is not reached .*HF_HUB_OFFLINE"
    ):
        resolve_folder(REPO)


def test_nothing_is_sent_offline(offline: Path, tmp_path: Path) -> None:
    from huggingface_hub.utils import reset_sessions

    reset_sessions()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"cannot be written: HF_HUB_OFFLINE is set; unset it"):
        send_folder(tmp_path, REPO, token=WRITER)


def test_saved_folder_needs_nothing_else(loaded: LoadedCheckpoint, fresh_model: Any, tmp_path: Path) -> None:
    fresh_model.to(torch.bfloat16).save_pretrained(tmp_path / "made", max_shard_size="1MB")
    again = load_checkpoint((tmp_path / "made").rename(tmp_path / "moved"))
    assert_same_state(again.model, fresh_model.to(torch.float32))
    assert again.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    modes = {path.stat().st_mode for path in (tmp_path / "moved").rglob("*") if path.is_file()}
    assert len(modes) == 1, "weights are as readable as the config"


def test_save_and_push_in_one_is_refused(fresh_model: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"by `model\.push_to_hub\(repo_id\)`"):
        fresh_model.save_pretrained(tmp_path / "made", push_to_hub=True)
    assert not (tmp_path / "made").exists()


def test_quantised_model_is_not_saved(fresh_model: Any, tmp_path: Path) -> None:
    fresh_model.is_quantized = True
    with pytest.raises(CheckpointError, match="4 or 8 bits cannot be saved"):
        fresh_model.save_pretrained(tmp_path / "made")


def test_push_command_sends_a_folder_with_its_card(
    hub: LocalHub, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from sama_plugin.cli.main import main

    monkeypatch.setenv("HF_TOKEN", WRITER)
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "mine")
    (folder / "README.md").write_text("# By hand\n")
    assert main(["push", str(folder), REPO, "--private"]) == 0
    repository = hub.repositories[REPO]
    assert repository.private
    assert repository.branches["main"]["README.md"] == b"# By hand\n"
    assert "sam2/model.safetensors" in repository.branches["main"]
    assert capsys.readouterr().out == f"sent: {hub.url}/{REPO}/commit/{repository.sha('main')}\n"
    assert main(["push", str(folder), REPO, "-q"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("lost", ["model.safetensors", "sam2/model.safetensors"])
def test_push_command_refuses_half_a_folder(
    hub: LocalHub,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    lost: str,
) -> None:
    from sama_plugin.cli.main import main

    monkeypatch.setenv("HF_TOKEN", WRITER)
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "mine")
    (folder / lost).unlink()
    assert main(["push", str(folder), REPO]) == 2
    assert lost in capsys.readouterr().err
    assert hub.repositories == {}
