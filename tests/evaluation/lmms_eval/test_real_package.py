"""The real `lmms-eval`, run as its users run it; skipped where it is not installed."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

from sama_plugin.errors import HostError
from tests.evaluation.lmms_eval.local_task import TASKS, write_tasks

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None,
    reason="lmms-eval is not installed (pip install sama-plugin[lmms])",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The entry points that setup.py offers, in front of those that are installed; no network."""
    given: dict[str, Any] = {}
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
        runpy.run_path(str(ROOT / "setup.py"))
    points = configparser.ConfigParser()
    points.optionxform = str  # type: ignore[assignment,method-assign]
    points["lmms_eval.models"] = dict(
        [part.strip() for part in row.split("=")] for row in given["entry_points"]["lmms_eval.models"]
    )
    metadata = folder / "sama_offered-0.dist-info"
    metadata.mkdir()
    with (metadata / "entry_points.txt").open("w") as file:
        points.write(file)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sama-offered\nVersion: 0\n")
    path = os.pathsep.join([str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    caches = {name: str(folder / "cache") for name in ("HF_HOME", "HF_DATASETS_CACHE", "LMMS_EVAL_HOME")}
    return {**os.environ, **caches, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lmms_eval", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_it_lists_the_model(environment: dict[str, str]) -> None:
    assert any("sama" in line.split() for line in run(environment, "models").splitlines())


@pytest.mark.slow
def test_it_runs_local_tasks(
    environment: dict[str, str], tiny_checkpoint: Path, shapes_set: Path, tmp_path: Path
) -> None:
    said = run(
        environment,
        *("eval", "--model", "sama", "--model_args", f"pretrained={tiny_checkpoint},device=cpu"),
        *("--tasks", ",".join(TASKS), "--include_path", str(write_tasks(tmp_path / "tasks", shapes_set))),
        *("--output_path", str(tmp_path / "out"), "--log_samples", "--verbosity", "DEBUG"),
    )
    assert all(f"|{task}" in said for task in TASKS)
    (results,) = (tmp_path / "out").rglob("*_results.json")
    scores = json.loads(results.read_text())["results"]
    assert all(0 <= scores[task]["right,none"] <= 1 for task in TASKS)
    for task in TASKS:
        (samples,) = (tmp_path / "out").rglob(f"*_samples_{task}.jsonl")
        rows = [json.loads(line) for line in samples.read_text().splitlines()]
        assert len(rows) == 3
        if task == "shapes_tracks":
            assert all(row["filtered_resps"].startswith('<tracks coords="') for row in rows)


def test_likelihoods_are_losses_of_answers(tiny_checkpoint: Path, shapes_set: Path) -> None:
    from lmms_eval.api.instance import Instance

    from sama_plugin.evaluation.lmms_eval.model import SamaLmms

    model = SamaLmms(str(tiny_checkpoint), device="cpu")
    video = str(next((shapes_set / "videos").glob("*.mp4")))
    model.task_dict["task"] = {"test": [{"video": video}]}
    metadata = {"task": "task", "doc_id": 0, "repeats": 1}
    requests = [
        Instance(
            "loglikelihood",
            ("What is it?", given, lambda doc: [doc["video"]], 0, "task", "test"),
            0,
            metadata,
        )
        for given in (" Yes.", lambda doc: "Yes.", "zebra zebra")
    ]
    first, same, other = model.loglikelihood(requests)
    assert first == same
    assert first[0] > 0
    assert other[0] != first[0]
    with pytest.raises(HostError, match="generate_until_multi_round"):
        model.generate_until_multi_round([])
    with pytest.raises(HostError, match="batch_size is 4"):
        SamaLmms(batch_size=4)
