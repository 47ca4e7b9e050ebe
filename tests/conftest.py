"""Offline, one thread, and the host's own kind of checkpoint wherever a test asks for it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import pytest

from sama_plugin.host.compat import find_host


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", type=Path, metavar="DIR", help="where the page's pictures go (see tests/demo)"
    )


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest) -> Path | None:
    """Folder for pictures of the page, if they are wanted."""
    folder: Path | None = request.config.getoption("--screenshots")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    host = find_host()
    if host is not None and host.package == "llava":
        return
    skip = pytest.mark.skip(reason="LLaVA-NeXT itself is not installed (pip install --no-deps -e LLaVA-NeXT)")
    for item in items:
        if item.get_closest_marker("real_host"):
            item.add_marker(skip)


class LoadedCheckpoint(NamedTuple):
    """What `load_pretrained_model` gives."""

    tokenizer: Any
    model: Any
    image_processor: Any
    context_length: int


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint of the tiny preset; copy it before changing anything in it."""
    from sama_plugin.training.tiny import make_start

    folder = tmp_path_factory.mktemp("tiny") / "start"
    make_start(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def loaded(tiny_checkpoint: Path) -> LoadedCheckpoint:
    """`tiny_checkpoint` in float32 on the CPU; shared, so leave its weights alone."""
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture
def fresh_model(tiny_checkpoint: Path) -> Any:
    """The model of `tiny_checkpoint`, to be changed."""
    return load_checkpoint(tiny_checkpoint).model


@pytest.fixture
def lively_model(fresh_model: Any) -> Any:
    """The tiny model, changed so that its untrained heads find something on every frame."""
    import torch

    generator = torch.Generator().manual_seed(1)
    head = fresh_model.sam2_head
    with torch.no_grad():
        for decoder in (head.sam2.sam_mask_decoder, fresh_model.projector.seg_decoder):
            decoder.pred_obj_score_head.layers[-1].bias.fill_(8.0)
            decoder.iou_prediction_head.layers[-1].bias.fill_(8.0)
        for parameter in fresh_model.projector.seg_projection.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return fresh_model


@pytest.fixture
def train_seam() -> ModuleType:
    """`host.train_seam`, whose import brings the host's training side."""
    import sama_plugin
    from sama_plugin.host import compat

    compat.before_trainer()
    sama_plugin.register()
    with compat.quiet_host_import():
        return importlib.import_module("sama_plugin.host.train_seam")


def load_checkpoint(folder: Path, **settings: Any) -> LoadedCheckpoint:
    """Load a checkpoint folder on the CPU, SAMA registered."""
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.host.loading import load_sama_model

    return LoadedCheckpoint(*load_sama_model(str(folder), **{"device_map": "cpu", **settings}))


@pytest.fixture(scope="session")
def shapes_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of the small world with their records and masks."""
    from sama_plugin.data.shapes import make_shapes

    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder, 7, 2, progress=False)
    return folder
