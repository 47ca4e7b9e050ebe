"""Training from an index and from a file written by hand: the same examples, the same losses, a step that learns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sama_plugin.cli.main import main as cli
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.media.masks import decode_mask
from sama_plugin.training.train import MixedDataset, mixed_dataset
from tests.data.made_samples import mask_ids
from tests.training import training_runs

PLAIN = "{json_path: records.json, mask_path: mask_dict.json, video_root: .}"
FILTERS = (
    "",
    ", kinds: [motion, colour]",
    ", tasks: [grounding], repeat: 2",
    ", merge: 2",
    ", frames: single, kinds: [name]",
)


def open_mixture(loaded: Any, entries: list[str], root: Path, folder: Path) -> MixedDataset:
    path = folder / "mixture.yaml"
    path.write_text(f"datasets: [{', '.join(entries)}]")
    return mixed_dataset(loaded.tokenizer, loaded.model, path, root, seed=0, mask_targets=True, cache_gb=0.1)


@pytest.fixture
def exported(shapes_set: Path, tmp_path: Path) -> str:
    """Entry of a mixture that reads what `sama data export` wrote by the index that `sama data prepare` built."""
    out = tmp_path / "exported"
    assert cli(["data", "export", str(shapes_set), "--out", str(out)]) == 0
    assert cli(["data", "prepare", str(out), "--media", str(shapes_set)]) == 0
    assert isinstance(open_corpus(out / "records.json", out / "mask_dict.json", shapes_set), IndexedCorpus)
    return f"{{json_path: {out / 'records.json'}, mask_path: {out / 'mask_dict.json'}, video_root: .}}"


@pytest.fixture
def by_hand(shapes_set: Path, tmp_path: Path) -> Path:
    """A folder with a clip of the small world and a file about it as a person would write it."""
    shutil.copy(shapes_set / "videos" / "00000.mp4", tmp_path / "clip.mp4")
    tracks = json.loads((shapes_set / "mask_dict.json").read_text())
    first, second = mask_ids(shapes_set, "00000")[:2]
    (tmp_path / "second.json").write_text(json.dumps(tracks[second]))
    Image.fromarray(decode_mask(tracks[first][1]).astype("uint8") * 255).save(tmp_path / "first.png")
    content = {
        "items": [
            {
                "video": "clip.mp4",
                "regions": {"one": {"frame": 1, "mask": "first.png"}, "two": {"masks": "second.json"}},
                "turns": [
                    {"question": "What is <one>?", "answer": "Something that moves past <p>it</p>[SEG:two]."},
                    {"question": "And <two>?", "answer": "It turns."},
                ],
            }
        ]
    }
    (tmp_path / "own.json").write_text(json.dumps(content))
    return tmp_path


def test_index_of_exported_files_gives_the_examples_of_the_plain_ones(
    loaded: Any, shapes_set: Path, exported: str, tmp_path: Path
) -> None:
    plain, indexed = (
        open_mixture(loaded, [entry[:-1] + more + "}" for more in FILTERS], shapes_set, tmp_path)
        for entry in (PLAIN, exported)
    )
    assert indexed.tasks == plain.tasks
    assert indexed.lengths() == plain.lengths()
    assert list(indexed.balanced_sampler(3, group_step=2)) == list(plain.balanced_sampler(3, group_step=2))
    assert list(indexed.samples) == list(plain.samples)
    for i in (0, len(plain) // 2, len(plain) - 1):
        one, other = plain[i], indexed[i]
        assert torch.equal(one.input_ids, other.input_ids)
        assert torch.equal(one.video.pixel_values, other.video.pixel_values)
        assert (one.grounding is None) == (other.grounding is None)


def test_file_written_by_hand_is_learned(fresh_model: Any, loaded: Any, by_hand: Path) -> None:
    mixture = open_mixture(loaded, ["{form: own, json_path: own.json}"], by_hand, by_hand)
    example = mixture[0]
    sparse = sparse_indices(VideoClip.open(by_hand / "clip.mp4").num_frames, loaded.model.sama.sampling)
    assert 1 not in sparse
    assert len(example.video.pixel_values) == len(sparse) + 1  # frame 1 is shown for the region only
    assert example.video.regions.frame_slots[0] == len(sparse)
    batch = SamaCollator(0)([example])
    optimizer = torch.optim.AdamW(fresh_model.projector.parameters(), lr=1e-3)
    values = []
    for _ in range(3):
        loss = fresh_model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]


@pytest.mark.slow
def test_trainer_runs_from_exported_files_and_from_a_file_written_by_hand(
    start: Path, shapes_set: Path, exported: str, by_hand: Path, tmp_path: Path
) -> None:
    sources = [exported, f"{{form: own, json_path: {by_hand / 'own.json'}}}"]
    mixture = f"datasets: [{', '.join(sources)}]"
    out = tmp_path / "run" / "out"
    run = training_runs.train(
        start, shapes_set, out, mixture=mixture, per_device_train_batch_size=3, dataloader_num_workers=2
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert (out / "model.safetensors").is_file()
    assert not (out / "broken_samples.jsonl").exists()
