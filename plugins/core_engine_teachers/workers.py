"""Computes batches on one thread or several, and makes them smaller where memory is short."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import structlog
import torch

from core_engine_teachers.batching import BatchQueue
from core_engine_teachers.devices import free_memory, is_out_of_memory

log = structlog.get_logger("core_engine.teachers")


class DoesNotFitError(Exception):
    """Not even one text fits in memory; ``index`` says which."""

    def __init__(self, index: int) -> None:
        super().__init__(f"text {index} does not fit in memory")
        self.index = index


def compute(queue: BatchQueue, work: Callable[[list[int]], None], workers: int) -> None:
    """Call ``work`` with every batch of ``queue``, in at most ``workers`` threads that share torch's threads out.

    Several threads with few torch threads each are faster on a CPU than one with all: between the large products of a
    model are many small steps that do not spread. The first exception stops the rest and is raised as it is.
    Raises DoesNotFitError.
    """
    workers = min(workers, len(queue))
    if workers <= 1:
        _drain(queue, work)
        return
    total = torch.get_num_threads()

    def worker() -> None:
        torch.set_num_threads(total // workers)
        _drain(queue, work)

    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="teacher") as pool:
            futures = [pool.submit(worker) for _ in range(workers)]
            try:
                wait(futures)
            finally:
                queue.stop()  # where this thread is interrupted
    finally:
        # Each thread has a count of its own, but the last one set is what threads made later start with.
        torch.set_num_threads(total)
    for future in futures:
        future.result()


def _drain(queue: BatchQueue, work: Callable[[list[int]], None]) -> None:
    try:
        with torch.inference_mode():  # is a thread's own
            while batch := queue.take():
                if not _fits(work, batch):
                    free_memory()
                    _shrink(queue, batch)
    except BaseException:
        queue.stop()
        raise


def _fits(work: Callable[[list[int]], None], batch: list[int]) -> bool:
    """False where memory is short. By the return, the exception no longer holds on to the tensors it met."""
    try:
        work(batch)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise DoesNotFitError(batch[0]) from error
        return False
    return True


def _shrink(queue: BatchQueue, batch: list[int]) -> None:
    if queue.give_back(batch):
        log.warning(
            "batch did not fit in memory; going on with smaller ones",
            rows=len(batch),
            tokens=queue.padded(batch),
            batch_tokens=queue.budget,
        )
