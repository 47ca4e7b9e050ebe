from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sama_plugin.data.shapes import world
from sama_plugin.errors import DataError


def scenes(split: str, count: int, seed: int = 3) -> list[world.Scene]:
    return [world.sample_scene(np.random.default_rng([seed, k]), split) for k in range(count)]


def test_same_generator_gives_same_scene():
    one, two = (world.sample_scene(np.random.default_rng(8), "test") for _ in range(2))
    assert [o.name for o in one.objects] == [o.name for o in two.objects]
    assert all((a.centres_xy == b.centres_xy).all() for a, b in zip(one.objects, two.objects, strict=True))


def test_unknown_split_raises():
    with pytest.raises(DataError, match=r"'val' is unknown.*train, unnamed, still, test"):
        world.sample_scene(np.random.default_rng(0), "val")


def test_sizes_lie_in_their_ranges():
    for scene in scenes("test", 150):
        assert 24 <= scene.num_frames <= 48
        assert 8 <= scene.fps <= 12
        assert 2 <= len(scene.objects) <= 6
        assert np.hypot(*(scene.drift_xy - scene.drift_xy[0]).T).max() <= world.MAX_DRIFT + 1e-6
        names = [o.name for o in scene.objects]
        assert len(set(names)) == len(names)
        for thing in scene.objects:
            assert (thing.size == world.GROWING) == (thing.motion.kind == "grow")
            low, high = world.GROW_RADII if thing.size == world.GROWING else world.RADII[thing.size]
            assert low <= thing.radii.min() <= thing.radii.max() <= high


def test_train_never_shows_held_out_pairs_and_test_mostly_does():
    assert not any(scene.held_out for scene in scenes("train", 200))
    assert np.mean([scene.held_out for scene in scenes("test", 200)]) >= 0.4
    assert 0.1 <= len(world.HELD_OUT_PAIRS) / (len(world.COLOURS) * len(world.SHAPES)) <= 0.2


def test_only_training_shows_the_names_that_are_for_training():
    def shown(split: str) -> tuple[set[str], set[str]]:
        things = [thing for scene in scenes(split, 300) for thing in scene.objects]
        return {thing.colour for thing in things}, {thing.shape for thing in things}

    assert shown("test") == (set(world.COLOURS), set(world.SHAPES))
    assert shown("train") == (set(world.TRAINING_COLOURS), set(world.TRAINING_SHAPES))


def test_nothing_happens_in_split_still():
    for scene in scenes("still", 40):
        assert scene.num_frames == world.STILL_FRAMES
        assert not scene.relations
        assert scene.in_view().all()
        for thing in scene.objects:
            assert thing.motion.kind == "still"
            assert (thing.centres_xy == thing.centres_xy[0]).all()
            assert (thing.radii == thing.radii[0]).all()


def test_near_duplicates_are_common():
    def has_near_duplicate(scene: world.Scene) -> bool:
        triples = [(o.size, o.colour, o.shape) for o in scene.objects]
        return any(sum(x != y for x, y in zip(a, b, strict=True)) == 1 for a in triples for b in triples)

    assert np.mean([has_near_duplicate(scene) for scene in scenes("train", 200)]) > 0.6


def test_every_motion_and_relation_is_common_enough():
    sampled = scenes("train", 300)
    motions = Counter(o.motion.kind for scene in sampled for o in scene.objects)
    assert set(motions) == set(world.MOTION_WEIGHTS)
    assert min(motions.values()) / motions.total() > 0.035
    assert 0.2 < motions["still"] / motions.total() < 0.32
    relations = Counter(r.kind for scene in sampled for r in scene.relations)
    assert set(relations) == set(world.SCRIPTS)
    assert 0.33 < relations.total() / len(sampled) < 0.52
    directions = Counter(o.motion.direction for scene in sampled for o in scene.objects if o.motion.direction)
    assert min(directions.values()) / directions.total() > 0.17


def test_only_leaving_objects_cross_the_frame_edge():
    for scene in scenes("test", 100):
        for thing in scene.objects:
            if thing.motion.kind != "leave":
                assert (thing.centres_xy > thing.radii[:, None]).all()
                assert (thing.centres_xy < [world.WIDTH, world.HEIGHT] - thing.radii[:, None]).all()


def test_unscripted_objects_keep_apart():
    for scene in scenes("test", 100):
        scripted = {frozenset((r.subject, r.target)) for r in scene.relations}
        for i, one in enumerate(scene.objects):
            for j, other in enumerate(scene.objects[:i]):
                if frozenset((i, j)) not in scripted:
                    gap = np.linalg.norm(one.centres_xy - other.centres_xy, axis=1) - one.radii - other.radii
                    assert gap.min() > 3


def test_colours_without_a_name_are_far_from_all_that_have_one():
    named = np.array(list(world.TRAINING_COLOURS.values()))
    changed_objects = 0
    for k, scene in enumerate(scenes("train", 60)):
        other, again = (world.unname_colours(scene, np.random.default_rng(k), 0.5) for _ in range(2))
        assert [o.rgb for o in other.objects] == [o.rgb for o in again.objects]
        for before, after in zip(scene.objects, other.objects, strict=True):
            assert (before.rgb == after.rgb) == after.named
            assert replace(after, rgb=before.rgb).centres_xy is before.centres_xy
            if not after.named:
                assert np.linalg.norm(named - after.rgb, axis=1).min() >= world.UNNAMED_DISTANCE
                changed_objects += 1
    assert 0.35 < changed_objects / sum(len(scene.objects) for scene in scenes("train", 60)) < 0.65


def test_only_split_unnamed_has_colours_without_a_name_and_it_has_no_held_out_pair():
    for split in world.SPLITS:
        made = scenes(split, 40)
        unnamed = [not thing.named for scene in made for thing in scene.objects]
        assert any(unnamed) == (split == "unnamed")
        assert any(scene.held_out for scene in made) == (split == "test")
