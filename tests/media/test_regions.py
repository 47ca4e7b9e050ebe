import numpy as np
import pytest
from PIL import Image

from sama_plugin.errors import MediaError, PromptError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.regions import parse_region, parse_regions, region_prompt


@pytest.fixture
def clip(tmp_path):
    """20 wide, 10 high, 5 frames at 10 per second."""
    (tmp_path / "frames").mkdir()
    for number in range(5):
        Image.new("RGB", (20, 10)).save(tmp_path / "frames" / f"{number}.png")
    return VideoClip.open(tmp_path / "frames", folder_fps=10)


def test_box_on_a_frame(clip):
    prompt = parse_region("r1=box@3:4,2,12,8.5", clip)
    assert (prompt.name, prompt.kind, prompt.frame) == ("r1", "box", 3)
    assert prompt.box_xyxy == (4.0, 2.0, 12.0, 8.5)
    assert prompt.points_xy is None
    assert prompt.mask is None


def test_points_at_a_time(clip):
    prompt = parse_region(" dog_2=point@0.25s:8,4;1,1,0;2.5,3,1 ", clip)
    assert (prompt.name, prompt.kind, prompt.frame) == ("dog_2", "point", 2)
    assert prompt.points_xy.tolist() == [[8, 4], [1, 1], [2.5, 3]]
    assert prompt.point_labels.tolist() == [1, 0, 1]


def test_scribble_without_a_time_is_on_the_first_frame(clip):
    prompt = parse_region("r1=scribble:1,1;2,2;3,4", clip)
    assert (prompt.kind, prompt.frame) == ("scribble", 0)
    assert prompt.points_xy.tolist() == [[1, 1], [2, 2], [3, 4]]
    assert prompt.point_labels is None


def palette(mask):
    picture = Image.fromarray(mask.astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 0, 0, 0, 255, 0, 0])  # index 1 is black too, and inside
    return picture


MASK_FORMS = {
    "1 and 0": lambda mask: Image.fromarray(mask.astype(np.uint8)),
    "255 and 0": lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
    "16 bit": lambda mask: Image.fromarray(mask.astype(np.uint16) * 300),
    "one bit": Image.fromarray,
    "colours": lambda mask: Image.fromarray(np.stack([mask * 0, mask * 9, mask * 0], -1).astype(np.uint8)),
    "palette": palette,
    "transparent": lambda mask: Image.fromarray(
        np.stack([mask * 0 + 7] * 3 + [mask * 255], -1).astype(np.uint8), mode="RGBA"
    ),
}


@pytest.mark.parametrize("form", MASK_FORMS.values(), ids=MASK_FORMS)
def test_mask_pictures_of_all_kinds(clip, tmp_path, form):
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:9] = True
    path = tmp_path / "a:b@c=d.png"
    form(mask).save(path)
    prompt = parse_region(f"r1=mask@4:{path}", clip)
    assert prompt.frame == 4
    assert prompt.mask.dtype == np.bool_
    np.testing.assert_array_equal(prompt.mask, mask)


MALFORMED = [
    "",
    "r1",
    "r1=box",
    "box@0:1,2,3,4",
    "r1=circle@0:1,2,3",
    "r1=box@0.5:1,2,3,4",
    "r1=box@:1,2,3,4",
    "r1=box@soon:1,2,3,4",
    "r1=box@0:1,2,3,x",
    "r1=point@0:",
    "r1=point@0:1,2;",
    "r1=mask@0:",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_text_shows_the_grammar(clip, text):
    with pytest.raises(PromptError, match="NAME=KIND@WHEN:VALUES"):
        parse_region(text, clip)


def test_a_long_text_that_is_no_time_is_refused_in_no_time(clip):
    with pytest.raises(PromptError, match="has time '1111"):
        parse_region(f"r1=box@{'1' * 200_000}:1,2,3,4", clip)


BAD_VALUES = [
    ("r1=box:1,2,3", PromptError, "expected x0, y0, x1, y1"),
    ("r1=box:12,2,4,8", PromptError, "inside out"),
    ("r1=box:4,8,12,2", PromptError, "inside out"),
    ("r1=box:4,2,4,8", PromptError, "no area"),
    ("r1=box:20,2,30,8", PromptError, "wholly outside the frame, which is 20 wide and 10 high"),
    ("r1=box:-9,2,0,8", PromptError, "wholly outside"),
    ("r1=box:nan,2,4,8", PromptError, "not finite"),
    ("r1=box:0,0,inf,8", PromptError, "not finite"),
    ("r1=point:20,5", PromptError, r"point \(20, 5\) is outside the frame, which is 20 wide and 10 high"),
    ("r1=point:5,-1", PromptError, "outside the frame"),
    ("r1=point:nan,1", PromptError, "outside the frame"),
    ("r1=point:5,5,0", PromptError, "only points outside"),
    ("r1=point:5,5,2", PromptError, r"labels \[2\.0\], expected 1 \(inside\) or 0"),
    ("r1=point:5", PromptError, r"expected one or several \(x, y\) or \(x, y, label\)"),
    ("r1=scribble:1,1;2,2,1", PromptError, r"expected one or several \(x, y\)\."),
    ("r1=scribble:1,1;2,20", PromptError, "outside the frame"),
    ("r1=box@5:1,2,3,4", MediaError, r"Region 'r1': Frame 5 is not in .*5 frames"),
    ("r1=box@-1:1,2,3,4", MediaError, "Frame -1 is not in"),
    ("r1=box@0.6s:1,2,3,4", MediaError, r"Region 'r1': Time 0\.6 s is outside"),
    ("r1=mask:none.png", MediaError, r"'none\.png' does not exist"),
    ("1r=box:1,2,3,4", PromptError, "name '1r' cannot be used"),
    ("r 1=box:1,2,3,4", PromptError, "cannot be used"),
    ("=box:1,2,3,4", PromptError, "cannot be used"),
    ("obj3=box:1,2,3,4", PromptError, "name 'obj3' is reserved"),
    ("mask=box:1,2,3,4", PromptError, "name 'mask' is reserved"),
]


@pytest.mark.parametrize(("text", "error", "match"), BAD_VALUES)
def test_bad_value_raises(clip, text, error, match):
    with pytest.raises(error, match=match):
        parse_region(text, clip)


def test_box_partly_outside_is_cut(clip):
    assert region_prompt("r1", clip, box=(-5, 4, 12, 99)).box_xyxy == (0.0, 4.0, 12.0, 10.0)


def test_name_used_twice_raises(clip):
    texts = ["a=box:1,2,3,4", "b=point:1,1", "a=point:2,2"]
    assert [prompt.name for prompt in parse_regions(texts[:2], clip)] == ["a", "b"]
    with pytest.raises(PromptError, match="'a' is defined twice"):
        parse_regions(texts, clip)


POINT_FORMS = [(8, 4), [8, 4], np.array([8, 4]), [(8, 4)], np.array([[8.0, 4.0]]), (8, 4, 1)]


@pytest.mark.parametrize("point", POINT_FORMS)
def test_point_forms(clip, point):
    prompt = region_prompt("r1", clip, point=point, frame=np.int64(2))
    assert prompt.points_xy.tolist() == [[8.0, 4.0]]
    assert prompt.point_labels.tolist() == [1]
    assert type(prompt.frame) is int


def test_time_names_the_frame_shown_then(clip):
    assert region_prompt("r1", clip, point=(1, 1), time_s=0.39).frame == 3
    assert region_prompt("r1", clip, point=(1, 1), time_s=0.4).frame == 4


def test_mask_array_is_taken_as_it_is(clip):
    mask = np.zeros((10, 20), np.uint8)
    mask[3, 4] = 255
    prompt = region_prompt("r1", clip, mask=mask)
    assert prompt.mask.dtype == np.bool_
    assert prompt.mask.sum() == 1


BAD_MASKS = [
    (np.ones((20, 10), bool), MediaError, "10 wide and 20 high, expected the video's 20 and 10"),
    (np.zeros((10, 20), bool), PromptError, "is empty"),
    (np.ones((10, 20), np.float32), PromptError, "float32, expected"),
    (np.ones((10, 20, 3), np.uint8), PromptError, r"\(10, 20, 3\) of uint8, expected"),
]


@pytest.mark.parametrize(("mask", "error", "match"), BAD_MASKS)
def test_bad_mask_array_raises(clip, mask, error, match):
    with pytest.raises(error, match=match):
        region_prompt("r1", clip, mask=mask)


def test_bad_mask_picture_raises(clip, tmp_path):
    Image.new("L", (20, 12), 1).save(tmp_path / "size.png")
    Image.new("L", (20, 10), 0).save(tmp_path / "empty.png")
    (tmp_path / "words.png").write_text("no picture")
    for name, error, match in (
        ("size.png", MediaError, r"size\.png' is 20 wide and 12 high"),
        ("empty.png", PromptError, r"empty\.png' is empty"),
        ("words.png", MediaError, "cannot be read as a picture"),
    ):
        with pytest.raises(error, match=match):
            region_prompt("r1", clip, mask=tmp_path / name)


BAD_CALLS = [
    ({}, "given by nothing, expected exactly one of point, box, scribble, mask"),
    ({"point": (1, 1), "box": (1, 1, 2, 2)}, "given by point and box"),
    ({"point": (1, 1), "frame": 1, "time_s": 0.1}, "frame 1 and time 0.1 s, expected one of them"),
    ({"point": (1, 1), "frame": 1.5}, "expected a whole number"),
    ({"point": (1, 1), "frame": "first"}, "expected a frame index or seconds"),
    ({"point": (1, 1), "frame": True}, "expected a whole number"),
    ({"point": []}, "expected one or several"),
    ({"point": "here"}, "expected one or several"),
    ({"scribble": []}, "expected one or several"),
    ({"box": "here"}, "expected x0, y0, x1, y1"),
    ({"box": 7}, "expected x0, y0, x1, y1"),
    ({"box": (0, 0, 1, 10**400)}, "expected x0, y0, x1, y1"),
    ({"point": (1, 10**400)}, "expected one or several"),
]


@pytest.mark.parametrize(("values", "match"), BAD_CALLS)
def test_bad_call_raises(clip, values, match):
    with pytest.raises(PromptError, match=match):
        region_prompt("r1", clip, **values)
