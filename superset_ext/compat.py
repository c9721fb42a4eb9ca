"""What Python 3.10 lacks, which some of Superset's official images run."""

from __future__ import annotations

import sys
from datetime import timezone

if sys.version_info >= (3, 11):
    from asyncio import timeout_at
    from enum import StrEnum
else:
    import asyncio
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager
    from enum import Enum

    class StrEnum(str, Enum):
        """Members that are strings, and are written as their values."""

        __str__ = str.__str__
        __format__ = str.__format__  # type: ignore[assignment]

    @asynccontextmanager
    async def timeout_at(when: float) -> AsyncIterator[None]:
        """End a block at a time of the event loop.

        Raises:
            TimeoutError: it had not ended by then.
        """
        task, late = asyncio.current_task(), False

        def end() -> None:
            nonlocal late
            late = True
            if task is not None:
                task.cancel()

        timer = asyncio.get_running_loop().call_at(when, end)
        try:
            yield
        except asyncio.CancelledError:
            if late:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()


UTC = timezone.utc

__all__ = ["UTC", "StrEnum", "timeout_at"]
