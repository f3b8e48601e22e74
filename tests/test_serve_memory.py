"""What a server frees goes back to the system."""

import asyncio
import gc
import os
import platform
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from affetto.serve import memory
from affetto.serve.running import Server


def resident() -> int:
    """Bytes of memory that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keeps gaps: glibc")
def test_gaps_between_what_is_used_are_given_back():
    blocks = [b"x" * 100_000 + bytes([i % 256]) for i in range(2_000)]
    used = blocks[::100]
    gc.collect()  # nothing else is to go meanwhile
    full = resident()
    del blocks
    assert full - resident() < 50e6  # kept by glibc, or nothing is shown
    memory.give_back()
    assert full - resident() > 150e6
    assert used[3][:-1] == b"x" * 100_000


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: pytest.fail("there is none"))
    memory.give_back()


def test_a_server_gives_back_until_it_stops(monkeypatch):
    given = []
    monkeypatch.setattr(memory, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(True))

    async def life() -> list[int]:
        app = FastAPI()
        app.state.service = type("Idle", (), {"stopping": asyncio.Event(), "streams": 0})
        config = uvicorn.Config(app, port=0, log_level="critical")
        config.load()
        server = Server(config, lambda: None)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        while len(given) < 3:
            await asyncio.sleep(0.01)
        await server.shutdown()
        await asyncio.sleep(0.05)
        counts = [len(given)]
        await asyncio.sleep(0.2)
        return [*counts, len(given)]

    before, after = asyncio.run(asyncio.wait_for(life(), 30))
    assert before == after
