from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.constants import DATA_REGION, IGNORE_INDEX
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.media.masks import decode_mask
from sama_plugin.schema import Turn
from sama_plugin.training.context_targets import (
    ABSENCE_WEIGHT,
    LENGTH_WEIGHT,
    MAX_LENGTH,
    ContextReader,
    ContextTargets,
    context_losses,
    find_targets,
    join_targets,
    subject_of,
)
from sama_plugin.training.scene_facts import STILL_ATTRIBUTES, SceneFacts, read_facts


@pytest.fixture
def facts(shapes_set: Path) -> SceneFacts:
    """Of a video with an object that comes late."""
    return read_facts(shapes_set)[shapes_set / "videos" / "00001.mp4"]


def about(mask_id: str, kind: str = "motion") -> Turn:
    return Turn(f"What does {DATA_REGION} do?", "", (mask_id,), kind=kind)


NOTHING = Turn("Find all stars.", "[SEG] [SEG]", (), (("1",), ("2",)))


def test_a_question_is_about_one_object_or_none() -> None:
    assert subject_of(Turn("What is <mask>?", "A red circle.", ("1",))) == "1"
    assert subject_of(Turn("Find the star.", "[SEG]", (), (("2",),))) == "2"
    assert subject_of(Turn("What does <mask> hit?", "[SEG]", ("1",), (("2",),))) == "2"
    assert subject_of(Turn("Is <mask> larger than <mask>?", "No.", ("1", "2"))) is None
    assert subject_of(NOTHING) is None
    assert subject_of(Turn("Find it.", "[SEG]", (), (("1",),), kind="it_segment")) is None


def test_tracks_are_middles_of_the_masks(facts: SceneFacts, loaded: Any) -> None:
    frames = sparse_indices(len(facts.tracks[0]), loaded.model.sama.sampling)
    turns = [about(facts.ids[1]), NOTHING, about(facts.ids[1], "name"), about(facts.ids[1], "obj_motion")]
    targets = find_targets(turns, facts, frames, 16)
    assert targets.tracked.sum(dim=1).tolist() == [len(frames), 0, len(frames), len(frames)]
    unasked, motion = [IGNORE_INDEX] * 2, facts.attributes[1, STILL_ATTRIBUTES:].tolist()
    assert targets.motions.tolist() == [motion, unasked, unasked, motion]
    visible = [facts.tracks[1][frame] is not None for frame in frames]
    assert set(visible) == {False, True}
    assert targets.tracks[0, : len(frames), 2].bool().tolist() == visible
    for k, frame in enumerate(frames):
        if visible[k]:
            mask = decode_mask(facts.tracks[1][frame])
            for axis, value in ((1, targets.tracks[0, k, 0]), (0, targets.tracks[0, k, 1])):
                where = np.flatnonzero(mask.any(axis=1 - axis))
                middle = (where[0] + where[-1] + 1) / 2 / mask.shape[axis]
                assert float(value) == pytest.approx(middle, abs=1e-4)


def test_one_frame_has_nothing_to_track(facts: SceneFacts) -> None:
    targets = find_targets([about(facts.ids[0])], facts, [0], 16)
    assert not targets.tracked.any()
    assert (targets.motions == IGNORE_INDEX).all()


def test_questions_about_no_object_and_padding_cost_nothing(facts: SceneFacts) -> None:
    torch.manual_seed(0)
    reader, tokens = ContextReader(8, 16), list(torch.randn(3, 4, 8))
    own = find_targets([about(facts.ids[0])], facts, [0, 4, 8], 16)
    none = find_targets([NOTHING, NOTHING], facts, [0, 4, 8], 16)
    alone = context_losses(reader, tokens[:1], own)
    among = context_losses(reader, tokens, join_targets([own, none]))
    for left, right in zip(alone, among, strict=True):
        torch.testing.assert_close(left, right)
    assert not any(loss.any() for loss in context_losses(reader, tokens[:2], none))
    changed = own._replace(tracks=own.tracks + (~own.tracked)[..., None])
    assert torch.equal(context_losses(reader, tokens[:1], changed).track, alone.track)


def test_a_frame_without_the_object_weighs_more() -> None:
    reader = ContextReader(4, 1)
    for parameter in reader.track.parameters():
        torch.nn.init.zeros_(parameter)  # tells nothing: even odds
    unasked = torch.full((1, 2), IGNORE_INDEX)
    gone, there = (
        context_losses(
            reader,
            [torch.randn(1, 4)],
            ContextTargets(torch.tensor([[[0.0, 0.0, visible]]]), torch.ones(1, 1).bool(), unasked),
        ).track
        for visible in (0.0, 1.0)
    )
    torch.testing.assert_close(gone, ABSENCE_WEIGHT * there)


def test_only_tokens_that_are_too_long_are_held(facts: SceneFacts) -> None:
    reader, none = ContextReader(4, 16), find_targets([NOTHING], facts, [0, 4], 16)
    short = torch.full((2, 4), MAX_LENGTH / 2)
    assert float(context_losses(reader, [short], none).length) == 0
    apart = torch.stack([4 * short[0], -4 * short[1]])  # their mean is short
    torch.testing.assert_close(
        context_losses(reader, [apart], none).length, torch.tensor(LENGTH_WEIGHT * 3 * MAX_LENGTH)
    )


def test_a_reader_learns_what_tokens_tell_and_nothing_from_tokens_that_are_all_alike(
    facts: SceneFacts,
) -> None:
    targets = find_targets([about(i) for i in facts.ids], facts, range(0, 20, 4), 16)
    assert len(set(targets.motions[:, 0].tolist())) > 1

    def trained(tokens: torch.Tensor) -> tuple[float, float]:
        torch.manual_seed(0)
        reader = ContextReader(16, 16)
        optimizer = torch.optim.Adam(reader.parameters(), lr=1e-2)
        for _ in range(200):
            losses = context_losses(reader, list(tokens), targets)
            optimizer.zero_grad()
            (losses.track + losses.motion).backward()
            optimizer.step()
        return float(losses.track.detach()), float(losses.motion_share)

    torch.manual_seed(1)
    count = len(facts.ids)
    told, alike = trained(torch.randn(count, 2, 16)), trained(torch.randn(1, 2, 16).expand(count, -1, -1))
    assert told[0] < 0.1 < alike[0]
    assert told[1] == 1 > alike[1]


def test_targets_move_together(facts: SceneFacts) -> None:
    moved = find_targets([about(facts.ids[0])], facts, [0, 4], 16).to(torch.device("meta"))
    assert all(tensor.device.type == "meta" for tensor in moved)
