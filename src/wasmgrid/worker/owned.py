"""Things of a machine that one attempt has to itself: an attempt waits until the one before has really ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Owned:
    """Numbered things (GPUs), each of them with one owner at a time.

    The leader never gives a thing away twice. But it counts one as free as soon as it gave up an attempt, while here
    its process may take some more milliseconds to die.
    """

    def __init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def hold(self, numbers: Iterable[int]) -> AsyncIterator[None]:
        """Own these until the end of the block; always taken in the same order, so that nobody waits for each other."""
        async with contextlib.AsyncExitStack() as stack:
            for number in sorted(set(numbers)):
                await stack.enter_async_context(self._locks.setdefault(number, asyncio.Lock()))
            yield
