from __future__ import annotations

import os
import signal

import pytest

from sama_plugin.data.worker_pool import map_parallel
from sama_plugin.errors import DataError


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_of_the_items(workers: int) -> None:
    offset = 10
    assert list(map_parallel(lambda k: k + offset, range(20), workers)) == list(range(10, 30))


def test_error_of_an_item_is_raised_as_it_is() -> None:
    def check(k: int) -> int:
        if k == 1:
            raise DataError("item 1")
        return k

    with pytest.raises(DataError, match="item 1"):
        list(map_parallel(check, range(3), 2))


def test_killed_process_is_said() -> None:
    with pytest.raises(DataError, match="A worker process was killed"):
        list(map_parallel(lambda k: os.kill(os.getpid(), signal.SIGKILL), range(3), 2))


def test_no_worker_is_refused() -> None:
    with pytest.raises(DataError, match="workers is 0"):
        list(map_parallel(abs, [1], 0))
