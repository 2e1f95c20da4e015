"""Pieces of work side by side, one core each.

OpenCV's and numpy's operations here are short, and threads that share one of them wait for each other more than they work. So
each view has a thread of its own, which also makes the result independent of their number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import cv2

from ....monitor import Monitor

POLL_SECONDS = 0.05
MOST_WORKERS = 8  # each holds a cost volume


def run_all(jobs: Sequence[Callable[[Monitor], None]], monitor: Monitor, stage: str, begin: float, end: float) -> None:
    """Run the jobs.

    Progress goes from ``begin`` to ``end``, reported from this thread. When this raises (``Cancelled`` or what a job
    raised), no job is running any more.
    """
    stop = threading.Event()
    inner = Monitor(cancelled=stop.is_set)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(max(1, min(threads, MOST_WORKERS, len(jobs))), "classic") as pool:
            try:
                pending = {pool.submit(job, inner) for job in jobs}
                while pending:
                    done, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    monitor.progress(stage, begin + (end - begin) * (1.0 - len(pending) / len(jobs)))
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
    finally:
        cv2.setNumThreads(threads)
