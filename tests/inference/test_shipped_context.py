"""The context tokens of the shipped checkpoint: what they say depends on the region of a question."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sama_plugin
from sama_plugin.data.model_inputs import InputBuilder, RegionUse
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.media.masks import decode_mask
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer, EncodedDialogue, SlotLayout
from sama_plugin.training.scene_facts import SceneFacts, read_facts
from tests.conftest import load_checkpoint


def context_of(loaded: Any, video: Path, facts: SceneFacts, question: str) -> torch.Tensor:
    """(K, N); mean context token of the same question about each object."""
    model, tower = loaded.model, loaded.model.get_vision_tower()
    builder = InputBuilder(model.sama, tower.image_processor, tower.num_patches_per_side)
    layout = DialogueTokenizer(loaded.tokenizer, template_by_name(model.sama.template))
    clip = VideoClip.open(video)
    sparse = sparse_indices(clip.num_frames, model.sama.sampling)
    dialogue, regions = EncodedDialogue(), []
    for track in facts.tracks:
        layout.start_turn(dialogue, question, SlotLayout(0, 0, 0))
        slot = next(k for k, frame in enumerate(sparse) if track[frame] is not None)
        regions.append(RegionUse(decode_mask(track[sparse[slot]]), slot))
    inputs = builder.video_inputs(None, len(sparse), [], dialogue.question_ids, regions)
    features = model.encode_frames([builder.tower_pixels(np.asarray(clip.read(sparse)))])
    tokens = [own.aggregator for own in model.region_tokens([inputs], features)]
    return model.context_tokens([inputs], features, tokens)[0].mean(dim=1)


@torch.no_grad()
def test_context_tokens_change_with_the_region(shapes_set: Path) -> None:
    loaded = load_checkpoint(Path(sama_plugin.shipped_checkpoint()))
    changes = []
    for video, facts in read_facts(shapes_set).items():
        means = context_of(loaded, video, facts, "How does <mask> move?")
        changes += [
            float((a - b).norm() / a.norm())
            for (i, a), (k, b) in itertools.combinations(enumerate(means), 2)
            if facts.attributes[i, 3] != facts.attributes[k, 3]
        ]
    assert len(changes) > 3
    assert min(changes) > 0.1
