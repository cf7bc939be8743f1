"""Long loops that yield to other tasks."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

PART = 50  # items; about 2 ms of work on submissions

T = TypeVar("T")


async def in_parts(items: Iterable[T], size: int = PART) -> AsyncIterator[T]:
    """The items, one by one; after each `size` of them the loop yields to other tasks."""
    for n, item in enumerate(items, 1):
        yield item
        if n % size == 0:
            await asyncio.sleep(0)
