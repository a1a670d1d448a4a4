"""When a request is sent again, and when no more."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Callable, TypeVar

from .errors import ConnectionFailed, Problem, StemeDBError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a request is tried; times in seconds.

    The wait after a failure doubles from ``first_wait`` to ``longest_wait``, half of it by chance; ``Retry-After`` makes it
    longer. What would begin after ``deadline`` is not begun.
    """

    attempts: int = 8
    deadline: float = 60.0
    first_wait: float = 0.1
    longest_wait: float = 5.0

    def wait(self, failures: int, chance: float) -> float:
        """The wait after failure number ``failures`` (from 1); ``chance`` is 0 to 1."""
        whole = min(self.first_wait * (1 << min(failures - 1, 16)), self.longest_wait)
        return whole / 2 + whole / 2 * chance


class Clock:
    """Time and chance, so that tests need not wait for either."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def random(self) -> float:
        return random.random()


class Unsent(Exception):
    """It was never sent."""


class Broken(Exception):
    """It was sent, and no whole reply came."""


def _may_repeat(failure: Exception, repeatable: bool) -> bool:
    if isinstance(failure, Unsent):
        return True
    if isinstance(failure, Problem):
        return failure.retryable and (repeatable or failure.applied_nothing)
    return repeatable


def as_error(failure: Exception, attempts: int) -> StemeDBError:
    """What the caller is told."""
    if isinstance(failure, Problem):
        return failure
    error = ConnectionFailed(attempts, failure.__cause__ or failure)
    error.__cause__ = failure.__cause__ or failure
    return error


def with_retries(policy: RetryPolicy, clock: Clock, repeatable: bool, attempt: Callable[[], T]) -> T:
    """Tries until it succeeds or the policy says no."""
    began = clock.now()
    number = 1
    while True:
        try:
            return attempt()
        except (Unsent, Broken, Problem) as failure:
            wait = policy.wait(number, clock.random())
            if isinstance(failure, Problem) and failure.retry_after is not None:
                wait = max(wait, failure.retry_after)
            left = policy.deadline - (clock.now() - began)
            if number >= policy.attempts or wait >= left or not _may_repeat(failure, repeatable):
                raise as_error(failure, number) from failure.__cause__
        clock.sleep(wait)
        number += 1
