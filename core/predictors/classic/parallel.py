"""Pieces of work side by side, one core each.

Every operation here is short, and threads that wait for each other inside such operations spin: on a busy machine that is ten
times slower than one core. So each view has a thread of its own, which also makes the result independent of their number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import torch

from ...monitor import Monitor

POLL_SECONDS = 0.05
MOST_WORKERS = 8  # each holds a cost volume


def run_all(
    jobs: Sequence[Callable[[Monitor], None]],
    monitor: Monitor,
    stage: str,
    begin: float,
    end: float,
    device: torch.device,
) -> None:
    """Run the jobs; on a GPU one after another.

    Progress goes from ``begin`` to ``end``, reported from this thread. When this raises (``Cancelled`` or what a job
    raised), no job is running any more.
    """
    stop = threading.Event()
    inner = Monitor(cancelled=stop.is_set)
    threads = torch.get_num_threads()
    workers = 1 if device.type == "cuda" else max(1, min(threads, MOST_WORKERS, len(jobs)))
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers, "classic", initializer=torch.set_num_threads, initargs=(1,)) as pool:
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
        torch.set_num_threads(threads)
