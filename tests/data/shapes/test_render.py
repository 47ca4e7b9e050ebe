from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from sama_plugin.data.shapes import render, world

STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def step_of(thing: world.SceneObject) -> np.ndarray:
    assert thing.motion.direction is not None
    return np.array(STEPS[thing.motion.direction])


@lru_cache(maxsize=2)
def drawn_scenes(split: str = "test") -> list[tuple[world.Scene, np.ndarray]]:
    """Scenes with their masks as (K, T, H, W)."""
    sampled = [world.sample_scene(np.random.default_rng([17, k]), split) for k in range(60)]
    return [(scene, render.render_masks(scene).swapaxes(0, 1)) for scene in sampled]


def objects_that(kind: str) -> list[tuple[world.Scene, world.SceneObject, np.ndarray]]:
    found = [
        (scene, thing, track)
        for scene, tracks in drawn_scenes()
        for thing, track in zip(scene.objects, tracks, strict=True)
        if thing.motion.kind == kind
    ]
    assert found, f"no object does {kind}"
    return found


def centroids(scene: world.Scene, track: np.ndarray) -> np.ndarray:
    """(T, 2) x, y of the mask without camera drift; nan where empty."""
    rows = []
    for mask, drift in zip(track, scene.drift_xy, strict=True):
        ys, xs = np.nonzero(mask)
        rows.append(np.array([xs.mean(), ys.mean()]) - drift if len(xs) else np.full(2, np.nan))
    return np.array(rows)


def covered_by(scene: world.Scene, thing: world.SceneObject) -> bool:
    return any(r.kind == "behind" and scene.objects[r.subject] is thing for r in scene.relations)


def test_frames_are_repeatable_and_of_the_stated_shape():
    scene, tracks = drawn_scenes()[0]
    frame, masks = render.render_frame(scene, 5)
    again, _ = render.render_frame(scene, 5)
    assert (frame == again).all()
    assert frame.shape == (world.HEIGHT, world.WIDTH, 3)
    assert frame.dtype == np.uint8
    assert (masks == tracks[:, 5]).all()


@pytest.mark.parametrize("split", ["test", "train"])
def test_visible_masks_never_overlap(split: str):
    for _, tracks in drawn_scenes(split):
        assert tracks.sum(0).max() <= 1


# Least pixels of a mask: in training small shapes, darkened by their edges, come near other tones.
@pytest.mark.parametrize(("split", "least"), [("test", 60), ("train", 200)])
def test_colour_under_each_mask_is_the_colour_of_its_name(split: str, least: int):
    colours = world.COLOURS if split == "test" else world.TRAINING_COLOURS
    tones = np.array(list(colours.values()), dtype=float)
    for scene, tracks in drawn_scenes(split)[:30]:
        for t in (0, scene.num_frames - 1):
            frame = render.render_frame(scene, t)[0]
            for thing, track in zip(scene.objects, tracks, strict=True):
                if track[t].sum() > least:
                    seen = np.median(frame[track[t]], axis=0)
                    nearest = list(colours)[np.abs(tones - seen).sum(1).argmin()]
                    assert nearest == thing.colour


# Least distance: of training's colours black may come near.
@pytest.mark.parametrize(("split", "least"), [("test", 60), ("train", 30)])
def test_background_stays_apart_from_every_colour(split: str, least: int):
    colours = world.COLOURS if split == "test" else world.TRAINING_COLOURS
    tones = np.array(list(colours.values()), dtype=float)
    for scene, tracks in drawn_scenes(split)[:20]:
        around = np.ones((world.HEIGHT, world.WIDTH), dtype=bool)
        for y, x in zip(*np.nonzero(tracks[:, 0].any(0)), strict=True):
            around[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = False
        pixels = render.render_frame(scene, 0)[0][around].astype(float)
        assert np.abs(pixels[:, None] - tones).sum(2).min() > least
        assert np.ptp(pixels, axis=1).max() < 70


@pytest.mark.parametrize("kind", ["move", "stop"])
def test_travelling_masks_go_the_named_way(kind: str):
    for scene, thing, track in objects_that(kind):
        place = centroids(scene, track)
        step = step_of(thing)
        way = place[thing.motion.end] - place[thing.motion.start]
        assert way @ step >= world.MIN_TRAVEL - 2
        assert abs(way @ step[::-1]) < 2
        assert np.abs(np.diff(place[: thing.motion.start + 1], axis=0)).max(initial=0) < 1
        if kind == "stop":
            assert np.abs(np.diff(place[thing.motion.end :], axis=0)).max() < 1
            assert scene.num_frames - thing.motion.end > 0.2 * scene.num_frames


def test_turning_back_masks_reach_farthest_at_the_turn():
    for scene, thing, track in objects_that("back"):
        along = centroids(scene, track) @ step_of(thing)
        assert abs(int(along.argmax()) - (thing.motion.turn or 0)) <= 1
        assert along.max() - along[0] >= world.MIN_TRAVEL - 2
        assert along[-1] < along.max() - 0.5 * world.MIN_TRAVEL


def test_leaving_masks_go_out_of_the_frame_the_named_way():
    for scene, thing, track in objects_that("leave"):
        seen = np.flatnonzero(track.any((1, 2)))
        assert seen[-1] < 0.95 * scene.num_frames
        assert abs(int(seen[-1]) - thing.motion.end) <= 3
        rows, columns = (np.nonzero(track[seen[-1]])[i] for i in (0, 1))
        edge = {"left": columns.min() == 0, "up": rows.min() == 0}
        edge |= {"right": columns.max() == world.WIDTH - 1, "down": rows.max() == world.HEIGHT - 1}
        assert edge[str(thing.motion.direction)]


def test_still_masks_stay():
    for scene, thing, track in objects_that("still"):
        place = centroids(scene, track)
        free = track.sum((1, 2)) == track.sum((1, 2)).max()
        assert np.abs(place[free] - place[free][0]).max() < 1.5, thing.name


def test_growing_masks_become_several_times_larger():
    for _, thing, track in objects_that("grow"):
        area = track.sum((1, 2))
        assert area[-1] > 3.5 * area[0]
        assert area[thing.motion.end] > 0.95 * area.max()


def test_blinking_masks_vanish_once_for_three_to_six_frames():
    for _, thing, track in objects_that("blink"):
        gone = np.flatnonzero(~track.any((1, 2)))
        assert 3 <= len(gone) <= 6
        assert (np.diff(gone) == 1).all()
        assert (gone[0], gone[-1]) == (thing.motion.start, thing.motion.end)


def test_late_masks_appear_once_and_stay():
    for scene, thing, track in objects_that("late"):
        seen = np.flatnonzero(track.any((1, 2)))
        assert seen[0] == thing.motion.start
        assert 0.22 <= seen[0] / scene.num_frames <= 0.63
        assert len(seen) == scene.num_frames - seen[0]


def test_objects_are_mostly_in_sight():
    for scene, tracks in drawn_scenes():
        for thing, track in zip(scene.objects, tracks, strict=True):
            if thing.motion.kind not in ("grow", "leave") and not covered_by(scene, thing):
                area = track.sum((1, 2))[thing.present]
                assert area.min() > 0.6 * area.max()


def related(kind: str) -> list[tuple[world.Scene, np.ndarray, world.Relation]]:
    found = [
        (scene, tracks, r) for scene, tracks in drawn_scenes() for r in scene.relations if r.kind == kind
    ]
    assert found, f"no pair to {kind}"
    return found


def gap_between(one: np.ndarray, other: np.ndarray) -> float:
    """Smallest distance in pixels between two masks."""
    a, b = np.argwhere(one), np.argwhere(other)
    return float(np.sqrt(((a[:, None] - b[None]) ** 2).sum(2)).min())


def test_hitting_masks_stop_where_they_touch():
    for _, tracks, relation in related("hit"):
        subject, target = tracks[relation.subject], tracks[relation.target]
        assert gap_between(subject[0], target[0]) > 20
        assert gap_between(subject[-1], target[-1]) <= 2.3


def test_following_masks_keep_their_distance_behind():
    for scene, tracks, relation in related("follow"):
        subject, target = (centroids(scene, tracks[k]) for k in (relation.subject, relation.target))
        step = step_of(scene.objects[relation.subject])
        ahead = (target - subject) @ step
        assert ahead.min() > 15
        assert np.ptp(ahead) < 2


def test_passing_behind_hides_part_of_the_subject_only():
    for scene, tracks, relation in related("behind"):
        subject, target = tracks[relation.subject].sum((1, 2)), tracks[relation.target].sum((1, 2))
        assert subject.min() < 0.8 * subject[0]
        assert target.min() > 0.85 * target.max()
        step = step_of(scene.objects[relation.subject])
        between = centroids(scene, tracks[relation.target]) - centroids(scene, tracks[relation.subject])
        assert between[0] @ step > 0 > between[-1] @ step
