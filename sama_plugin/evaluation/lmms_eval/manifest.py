"""What `lmms-eval` reads to know of the model; see `setup.py`, entry points `lmms_eval.models`."""

from __future__ import annotations

from typing import Any

MODEL_ID = "sama"
CLASS_PATH = "sama_plugin.evaluation.lmms_eval.model.SamaLmms"


def manifest() -> Any:
    """A `ModelManifest`; called by `lmms-eval`, so it is there."""
    from lmms_eval import models
    from lmms_eval.models.registry_v2 import ModelManifest

    # `lmms-eval models` of 0.7 prints this table and not its registry; whole class paths are for plug-ins.
    vars(models).get("AVAILABLE_SIMPLE_MODELS", {}).setdefault(MODEL_ID, CLASS_PATH)
    return ModelManifest(model_id=MODEL_ID, simple_class_path=CLASS_PATH)
