"""A bounded queue of long calls for an event loop: some run, some wait, and further ones are refused."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")
Progress = Callable[[float], None]
_MAX_RETRY_SECONDS = 60


class QueueFullError(Exception):
    """All places are taken; ``retry_after`` is the estimated number of seconds until one is free."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"all places are taken; try again in {retry_after} s")
        self.retry_after = retry_after


class LateError(Exception):
    """The call took longer than allowed."""


class AbandonedError(Exception):
    """The client of the call has gone."""


class WorkQueue:
    """Runs calls in threads; must be used from one event loop.

    Args:
        workers: calls that run at once.
        waiting: requests beyond these that may hold a place.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="work")
        self._workers, self._places = workers, workers + waiting
        self._taken = 0
        self._mean_seconds = 1.0  # of a call: exponential moving average

    @property
    def taken(self) -> int:
        """Requests that hold a place."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, held as long as the block lasts.

        Raises:
            QueueFullError: all places are taken.
        """
        if self._taken >= self._places:
            seconds = math.ceil(self._mean_seconds * self._taken / self._workers)
            raise QueueFullError(min(max(1, seconds), _MAX_RETRY_SECONDS))
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[Progress], T], seconds: float, gone: Awaitable[Any]) -> T:
        """Run ``work`` in a thread and return its result.

        If the client goes or the time is over, work that has not begun is dropped. Work that has begun gets an
        AbandonedError at its next call of the progress function. Its thread stays taken until then, so abandoned work
        cannot pile up.

        Args:
            work: gets a function, which it calls regularly with its progress.
            seconds: the longest time to wait.
            gone: is done when the client has gone.

        Raises:
            LateError: ``work`` took longer than ``seconds``.
            AbandonedError: ``gone`` was done first.
        """
        abandoned = threading.Event()

        def check(_: float) -> None:
            if abandoned.is_set():
                raise AbandonedError

        def timed() -> T:
            started = monotonic()
            try:
                return work(check)
            finally:
                self._mean_seconds += 0.2 * (monotonic() - started - self._mean_seconds)

        result = asyncio.wrap_future(self._pool.submit(timed))
        left = asyncio.ensure_future(gone)
        try:
            done, _ = await asyncio.wait({result, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if result in done:
                return result.result()
            raise AbandonedError if left in done else LateError
        finally:
            abandoned.set()
            result.cancel()
            left.cancel()
