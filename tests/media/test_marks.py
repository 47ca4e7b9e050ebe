"""Marks: what is drawn, where, in which colour, and that labels can be read."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sama_plugin.media import marks
from sama_plugin.schema import RegionPrompt

GREY = np.full((120, 160, 3), 120, dtype=np.uint8)


def disk(height: int = 120, width: int = 160, radius: int = 20) -> np.ndarray:
    y, x = np.ogrid[:height, :width]
    return (y - height // 2) ** 2 + (x - width // 2) ** 2 <= radius**2


def contrast(one: marks.Rgb, other: marks.Rgb) -> float:
    def luminance(colour: marks.Rgb) -> float:
        v = np.array(colour) / 255
        return float(
            np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
        )

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_mark_fills_inside_outlines_the_edge_and_leaves_the_rest() -> None:
    mask = disk()
    drawn = marks.draw_marks(GREY, [marks.Mark("", marks.PALETTE[0], mask)])
    filled = 120 + marks.OBJECT_FILL * (np.array(marks.PALETTE[0]) - 120)
    np.testing.assert_allclose(drawn[60, 80], filled, atol=1)
    np.testing.assert_allclose(drawn[60, 100], marks.PALETTE[0], atol=40)  # on the edge
    assert (drawn[:30] == 120).all()
    assert (drawn[~disk(radius=27)] == 120).all()


def test_mask_at_the_border_of_the_frame_is_drawn() -> None:
    mask = np.zeros((120, 160), dtype=bool)
    mask[0, 0] = mask[-1, -1] = mask[0:30, 130:] = True
    drawn = marks.draw_marks(GREY, [marks.Mark("corner", marks.PALETTE[1], mask)])
    assert drawn.shape == GREY.shape
    assert (drawn[10, 150] != 120).any()


def test_frame_is_not_changed_in_place_and_no_marks_change_nothing() -> None:
    before = GREY.copy()
    marks.draw_marks(GREY, [marks.Mark("x", marks.PALETTE[0], disk())])
    np.testing.assert_array_equal(GREY, before)
    np.testing.assert_array_equal(marks.draw_marks(GREY, []), GREY)


def test_empty_mask_draws_nothing_not_even_its_label() -> None:
    drawn = marks.draw_marks(
        GREY, [marks.Mark("obj1 ghost", marks.PALETTE[0], np.zeros((120, 160), dtype=bool))]
    )
    np.testing.assert_array_equal(drawn, GREY)


def test_object_keeps_its_colour_and_near_numbers_differ() -> None:
    assert marks.object_colour("obj3") == marks.object_colour("obj3") == marks.PALETTE[2]
    assert marks.object_colour(f"obj{len(marks.PALETTE) + 1}") == marks.PALETTE[0]
    assert len(set(marks.PALETTE)) == len(marks.PALETTE)


@pytest.mark.parametrize("colour", [*marks.PALETTE, marks.REGION_COLOUR])
def test_label_text_is_legible_on_every_colour(colour: marks.Rgb) -> None:
    assert contrast(marks.ink_on(colour), colour) >= 4.5


@pytest.mark.parametrize(
    "box", [(0, 0, 10, 10), (630, 470, 640, 480), (0, 0, 640, 480), (300, 0, 310, 480), (0, 200, 640, 210)]
)
def test_label_stays_inside_the_picture(box: marks.Box) -> None:
    x0, y0, x1, y1 = marks._place_label((200, 30), box, (640, 480), [], [box])
    assert 0 <= x0 < x1 <= 640
    assert 0 <= y0 < y1 <= 480


def test_labels_of_objects_in_one_place_do_not_cover_each_other() -> None:
    box, taken = (300, 200, 340, 240), []
    for _ in range(5):
        taken.append(marks._place_label((120, 25), box, (640, 480), taken, [box]))
    assert all(marks._overlap(a, b) == 0 for a, b in combinations(taken, 2))


def test_phrase_wider_than_the_picture_is_cut_with_dots() -> None:
    text = marks.shorten_text("obj1 " + "very " * 40 + "long phrase", 16, 150)
    assert text.endswith("...")
    assert marks.tag_size(text, 16)[0] <= 150


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        (
            RegionPrompt("r", "point", 0, points_xy=np.array([[20.0, 30.0]]), point_labels=np.array([1])),
            (30, 20),
        ),
        (
            RegionPrompt("r", "point", 0, points_xy=np.array([[20.0, 30.0]]), point_labels=np.array([0])),
            (30, 20),
        ),
        (RegionPrompt("r", "box", 0, box_xyxy=(10.0, 20.0, 50.0, 60.0)), (20, 30)),
        (RegionPrompt("r", "scribble", 0, points_xy=np.array([[10.0, 10.0], [40.0, 10.0]])), (10, 25)),
    ],
)
def test_what_a_region_was_pointed_with_is_drawn(prompt: RegionPrompt, place: tuple[int, int]) -> None:
    mark = marks.Mark("", marks.REGION_COLOUR, disk(), 0.2, prompt)
    with_prompt = marks.draw_marks(GREY, [mark])
    without = marks.draw_marks(GREY, [marks.Mark("", marks.REGION_COLOUR, disk(), 0.2)])
    assert (with_prompt[place] != without[place]).any()


def test_positive_and_negative_clicks_look_different() -> None:
    drawn = []
    for label in (0, 1):
        prompt = RegionPrompt("r", "point", 0, np.array([[20.0, 30.0]]), np.array([label]))
        drawn.append(marks.draw_marks(GREY, [marks.Mark("", marks.REGION_COLOUR, disk(), prompt=prompt)]))
    assert (drawn[0] != drawn[1]).any()
