import pytest

from sama_plugin.config import SamplingConfig
from sama_plugin.errors import MediaError
from sama_plugin.media.frame_sampling import dense_positions, sparse_indices

OFFICIAL = SamplingConfig()

SPARSE = {
    3: [0, 1, 2],
    10: [0, 2, 3, 4, 6, 8, 9],
    13: [0, 3, 6, 9, 12],
    16: [0, 3, 5, 6, 9, 10, 12, 15],
    25: list(range(0, 25, 3)),
    60: list(range(0, 60, 3)),
    96: list(range(0, 96, 3)),
}


@pytest.mark.parametrize(("length", "expected"), SPARSE.items())
def test_sparse_frames_are_the_official_ones(length, expected):
    assert sparse_indices(length, OFFICIAL) == expected


def test_long_clips_are_thinned_as_officially():
    assert sparse_indices(120, OFFICIAL)[:9] == [0, 3, 6, 9, 15, 18, 21, 24, 30]
    assert sparse_indices(200, OFFICIAL)[:4] == [0, 6, 12, 18]
    assert len(sparse_indices(120, OFFICIAL)) == len(sparse_indices(200, OFFICIAL)) == 32


DENSE = {
    6: [0, 1, 2, 3, 4],
    7: [0, 1, 2, 3, 4],
    8: [0, 1, 2, 4, 5],
    9: [0, 1, 3, 4, 6],
    20: [1, 4, 8, 12, 16],
}
DENSE |= {32: [2, 8, 14, 20, 27]}


@pytest.mark.parametrize(("num_sparse", "expected"), DENSE.items())
def test_dense_positions_are_the_official_ones(num_sparse, expected):
    assert dense_positions(num_sparse, 5) == expected


@pytest.mark.parametrize("num_sparse", [1, 2, 3, 4, 5])
def test_every_frame_of_a_short_clip_is_dense_once(num_sparse):
    assert dense_positions(num_sparse, 5) == list(range(num_sparse))


@pytest.mark.parametrize("num_dense", [1, 2, 5, 8])
def test_every_length_gives_valid_sorted_positions(num_dense):
    for length in range(1, 300):
        sparse = sparse_indices(length, OFFICIAL)
        assert sparse == sorted(set(sparse))
        assert 0 <= sparse[0] <= sparse[-1] < length
        dense = dense_positions(len(sparse), num_dense)
        assert len(dense) == min(num_dense, len(sparse))
        assert dense == sorted(set(dense))
        assert 0 <= dense[0] <= dense[-1] < len(sparse)


def test_settings_are_obeyed():
    sampling = SamplingConfig(interval=2, max_sparse=4, min_sparse=2)
    assert sparse_indices(20, sampling) == [0, 4, 10, 14]
    assert sparse_indices(2, sampling) == [0, 1]


def test_clip_without_frames_raises():
    with pytest.raises(MediaError, match="0 frames"):
        sparse_indices(0, OFFICIAL)


@pytest.mark.parametrize(("num_sparse", "num_dense"), [(0, 5), (3, 0)])
def test_nothing_to_pick_raises(num_sparse, num_dense):
    with pytest.raises(MediaError, match=f"Cannot pick {num_dense} dense frames among {num_sparse}"):
        dense_positions(num_sparse, num_dense)
