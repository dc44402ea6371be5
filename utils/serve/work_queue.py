"""A bounded queue of long calls behind an event loop: so many run at once, so many wait, the rest is turned away."""

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
    """All places are taken; ``retry_after`` is after how many seconds one may be free, as far as one can tell."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"all places are taken; try again in {retry_after} s")
        self.retry_after = retry_after


class LateError(Exception):
    """The work was not done in time."""


class AbandonedError(Exception):
    """Nobody waits for the result any more."""


class WorkQueue:
    """Runs calls in threads. One event loop uses it.

    Args:
        workers: calls that run at once.
        waiting: requests beyond these that may hold a place.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="work")
        self._workers, self._places = workers, workers + waiting
        self._taken = 0
        self._mean_seconds = 1.0  # of a call, the latest weighing most

    @property
    def taken(self) -> int:
        """Requests that hold a place."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, held as long as the block lasts.

        Raises:
            QueueFullError: there is none.
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
        """What ``work`` returns.

        When nobody waits any more, work that has not begun never does; work that has is stopped where it next calls
        the function that it is given. Its thread is free only then: abandoned work cannot pile up.

        Args:
            work: runs in a thread; is given what it calls now and then with its progress.
            seconds: how long to wait.
            gone: ends when nobody waits for the result any more.

        Raises:
            LateError: it took longer.
            AbandonedError: ``gone`` came first.
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
