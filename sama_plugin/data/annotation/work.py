"""Jobs side by side: each result goes to disk before the next is waited for, so that nothing is done twice or lost."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from tqdm import tqdm

from sama_plugin.data.annotation.facts import measure_video
from sama_plugin.data.annotation.tracks import VideoEntry
from sama_plugin.data.annotation.writer import LoadedVideo
from sama_plugin.data.run_file import RunFile
from sama_plugin.errors import EndpointError, MediaError

logger = logging.getLogger(__name__)

MOST_FAILURES = 5
"""Jobs in a row that get no answer, after which the run ends: the endpoint is down."""

HOPELESS = ("denied",)
"""Kinds of `EndpointError` that no other request would fare better with."""


class Job(NamedTuple):
    """One piece of work: its id in the run file, and what does it."""

    job_id: str
    work: Callable[[], Mapping[str, Any]]


def run_jobs(jobs: Sequence[Job], run_file: RunFile, *, name: str, concurrency: int) -> int:
    """Do the jobs that are not in the run file yet.

    Args:
        jobs: in the order in which they are begun.
        run_file: gets the result of each as it is done.
        name: of the progress bar.
        concurrency: jobs at a time.

    Returns:
        Jobs that got no answer from the endpoint, or whose video cannot be read; they are left for another run.

    Raises:
        EndpointError: the endpoint takes no request, or answered none of the last `MOST_FAILURES`.
        SamaError: of a job's; what is finished is kept.
    """
    left = in_a_row = 0
    todo = [job for job in jobs if job.job_id not in run_file.rows]
    waiting = iter(todo)
    running: dict[Future[Mapping[str, Any]], str] = {}
    bar = tqdm(
        total=len(jobs), initial=len(jobs) - len(todo), desc=name, unit="job", disable=None, leave=False
    )
    pool = ThreadPoolExecutor(concurrency)
    try:
        with bar:
            while True:
                for job in itertools.islice(waiting, concurrency - len(running)):
                    running[pool.submit(job.work)] = job.job_id
                if not running:
                    return left
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job_id = running.pop(future)
                    try:
                        run_file.append(job_id, dict(future.result()))
                        in_a_row = 0
                    except EndpointError as error:
                        left, in_a_row = left + 1, in_a_row + 1
                        logger.warning("%s: %s", job_id, error)
                        if error.kind in HOPELESS or in_a_row >= MOST_FAILURES:
                            raise
                    except MediaError as error:
                        left += 1
                        logger.warning("%s: %s", job_id, error)
                    bar.update()
    finally:
        pool.shutdown(
            wait=False, cancel_futures=True
        )  # what still waits for an answer ends with its endpoint


class VideoShelf:
    """Videos that are in use, loaded and measured once each; the least used goes first.

    Args:
        size: videos held.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[str, LoadedVideo] = OrderedDict()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def load(self, entry: VideoEntry) -> LoadedVideo:
        """A video with its facts; threads that want the same one wait for the first.

        Raises:
            DataError: its tracks cannot be read.
            MediaError: its masks do not decode.
        """
        with self._lock:
            own = self._locks.setdefault(entry.video_id, threading.Lock())
        with own:
            with self._lock:
                if (held := self._held.get(entry.video_id)) is not None:
                    self._held.move_to_end(entry.video_id)
                    return held
            video = entry.load()
            loaded = LoadedVideo(video, measure_video(video), entry.media)
            with self._lock:
                self._held[entry.video_id] = loaded
                while len(self._held) > self._size:
                    self._held.popitem(last=False)
        return loaded
