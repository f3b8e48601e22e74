"""A server that runs until it is told to stop, and then lets those who are there finish."""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from affetto.errors import ConfigError
from affetto.serve import memory
from affetto.serve.settings import Limits

SWITCH_SECONDS = 0.0005
"""For which a thread may run Python while others wait to. The usual ten times as much is longer than most of what is
done here, and whoever answers has to wait several times."""
GRACE_SECONDS = 20
"""For those who are there, when the server stops."""


class Server(uvicorn.Server):
    """uvicorn's, whose streams say what there is to say before they are closed.

    Args:
        config: with an app of ours.
        announce: called when it listens.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self.announce = announce
        self._tidying: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so.

        What is there by then stays as long as the process does, and the garbage collector looks at it no more: it took
        half of the event loop's time when 60 streams were held.
        """
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()
            self._tidying = asyncio.create_task(memory.keep_giving_back())
            self.announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, wait for the streams, and stop."""
        if self._tidying is not None:
            self._tidying.cancel()
        app = self.config.app
        assert isinstance(app, FastAPI)
        for listening in self.servers:
            listening.close()
        app.state.service.stopping.set()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                while app.state.service.streams:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass  # uvicorn closes them
        await super().shutdown(sockets)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Args:
        host: name or number.
        port: 0: one that is free.

    Raises:
        ConfigError: if there can be none.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, kind, protocol)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
    except OSError as error:
        raise ConfigError(f"--host {host} --port {port}: cannot listen there ({error.strerror or error})") from error
    return server


def run(app: FastAPI, server: socket.socket, limits: Limits, announce: Callable[[], None]) -> None:
    """Serve until a signal comes. Faults are logged, requests are not.

    Args:
        app: of ours.
        server: listens.
        limits: how much is taken.
        announce: called when it can be asked.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws_max_size=2 * limits.message_bytes,  # what is a little too large is refused in words, what is more in a code
        ws_per_message_deflate=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    Server(config, announce).run(sockets=[server])
