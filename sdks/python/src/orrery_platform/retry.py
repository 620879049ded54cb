"""Which failures are tried again, and when."""

from __future__ import annotations

import random
from typing import Callable, Optional

from .errors import AgentPlatformError, ConnectionFailedError, RequestTimeoutError

LONGEST_RETRY_AFTER = 60
"""The longest `Retry-After` that is waited for, in seconds."""
FIRST_WAIT = 0.5
"""The wait before the first retry, in seconds; it doubles with each."""
LONGEST_WAIT = 8.0
STATUSES = frozenset({408, 429, 500, 502, 503, 504})


def retry_delay(
    error: AgentPlatformError, tries: int, chance: Callable[[], float] = random.random
) -> Optional[float]:
    """The seconds to wait before the call is tried again after `tries` retries; `None` where that would be of no use.

    Never earlier than the server asks, and spread, so that callers do not come back all at once.
    """
    if not _is_retryable(error):
        return None
    asked = error.retry_after or 0
    if asked > LONGEST_RETRY_AFTER:
        return None
    backoff: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 10)) * (0.5 + chance() / 2)
    return max(float(asked), backoff)


def _is_retryable(error: AgentPlatformError) -> bool:
    if isinstance(error, (ConnectionFailedError, RequestTimeoutError)):
        return True
    # A conflict passes only where the first request is still running: then the server says when to ask again.
    if error.status == 409:
        return error.retry_after is not None
    return error.status in STATUSES
