"""Freed memory goes back to the system.

Many threads that free blocks of ever other sizes leave gaps between those that are still used. glibc keeps the gaps, so
that a server seems to grow by the hour, though it holds nothing more.
"""

import asyncio
import ctypes
import sys

EVERY_SECONDS = 60.0
"""Between two times that memory is given back, which takes 5 to 50 ms of one thread's time."""


def give_back() -> None:
    """Give back whole pages that were freed, where the C library is glibc; nothing is to be done for others."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


async def keep_giving_back() -> None:
    """Give it back again and again, in a thread, until this is cancelled."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(give_back)
