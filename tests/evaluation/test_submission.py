"""Zips for the servers: their layout, and a checker that sees what is wrong with one."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from sama_plugin.cli import main
from sama_plugin.errors import DataError
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.submission import check_submission, write_submission
from tests.evaluation.benchmarks.made_expressions import (
    FRAMES,
    LEFT,
    RIGHT,
    SIZE,
    answer,
    box,
    write_mevis,
    write_predictions,
    write_ref_youtube_vos,
)

CASES = [
    ("mevis", write_mevis, "valid", ""),
    ("ref-youtube-vos", write_ref_youtube_vos, None, "Annotations/"),
]


@pytest.fixture
def made(tmp_path):
    """A benchmark, its predictions, and a zip that is right."""
    benchmark = open_benchmark("ref-youtube-vos", write_ref_youtube_vos(tmp_path / "data"))
    folder = write_predictions(tmp_path / "p", "ref-youtube-vos", {"v1/0": [answer("0", box(LEFT))]})
    write_submission(benchmark, folder, tmp_path / "right.zip")
    return benchmark, tmp_path / "right.zip"


@pytest.mark.parametrize(("name", "write", "split", "root"), CASES)
def test_every_frame_has_a_picture_where_the_server_looks(name, write, split, root, tmp_path, capsys):
    data = write(tmp_path / "data")
    answers = {"v1/0": [answer("0", box(LEFT), box(RIGHT))], "v1/1": [answer("1")]}
    folder = write_predictions(tmp_path / "p", name, answers)
    command = ["eval", "submit", name, "--data", str(data), *(["--split", split] if split else [])]
    path = tmp_path / "zips" / "s.zip"
    assert main.main([*command, "--predictions", str(folder), "--zip", str(path)]) == 0
    assert main.main([*command, "--check", "--zip", str(path)]) == 0
    with zipfile.ZipFile(path) as archive:
        names = [f"{root}v1/{e}/{frame}.png" for e in "01" for frame in FRAMES]
        assert archive.namelist() == names
        with Image.open(io.BytesIO(archive.read(names[0]))) as picture:
            assert picture.mode == "L"
            assert np.array_equal(np.asarray(picture), box(LEFT, RIGHT)[0] * np.uint8(255))
        with Image.open(io.BytesIO(archive.read(names[2]))) as picture:
            assert np.asarray(picture).shape == SIZE
            assert not np.asarray(picture).any()
    assert "as the server" in capsys.readouterr().out
    assert [p.name for p in path.parent.iterdir()] == ["s.zip"]


def test_the_same_predictions_give_the_same_bytes(made, tmp_path):
    benchmark, path = made
    write_submission(benchmark, tmp_path / "p", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def picture(mode: str, size: tuple[int, int], value: int, form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, value).save(written, format=form)
    return written.getvalue()


FIRST = "Annotations/v1/0/00000.png"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({FIRST: None}, "'Annotations/v1/0/00000.png' is missing"),
        ({"v1/0/00000.png": picture("L", (32, 24), 0)}, "'v1/0/00000.png' is not asked for"),
        ({FIRST: picture("L", (24, 32), 0)}, r"is \(32, 24\), its frame \(24, 32\)"),
        ({FIRST: picture("L", (32, 24), 1)}, r"has values \[1\], expected 0 and 255"),
        ({FIRST: picture("P", (32, 24), 1)}, "is PNG of mode P, expected 8-bit grey PNG"),
        ({FIRST: picture("L", (32, 24), 0, "JPEG")}, "is JPEG of mode L"),
        ({FIRST: b"nothing"}, "cannot be read"),
    ],
)
def test_the_checker_sees_what_is_wrong(made, tmp_path, change, said):
    benchmark, path = made
    with zipfile.ZipFile(path) as right:
        content = {name: right.read(name) for name in right.namelist()} | change
    with zipfile.ZipFile(tmp_path / "wrong.zip", "w") as wrong:
        for name, data in content.items():
            if data is not None:
                wrong.writestr(name, data)
    with pytest.raises(DataError, match=said):
        check_submission(benchmark, tmp_path / "wrong.zip")
    check_submission(benchmark, path)


def test_no_zip_and_a_benchmark_without_server_are_refused(made, tmp_path):
    benchmark, path = made
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="is no zip file that can be read"):
        check_submission(benchmark, path)
    with pytest.raises(DataError, match=r"'mevis' has predictions of|has predictions of 'ref-youtube-vos'"):
        write_submission(open_benchmark("mevis", write_mevis(tmp_path / "m"), "valid"), tmp_path / "p", path)
