"""The stream: sound comes in over a WebSocket, events go out.

One task reads what comes, another has it heard and tells what there is to say. Where sound comes faster than it is
heard, updates are told at longer intervals; where that does not help, no more is read until some was heard.
"""

import asyncio
import time
from urllib.parse import urlsplit

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError

from affetto.messages import Failure, MeasurementUpdate, SessionEnd, SessionReady, SessionStart
from affetto.serve.problems import RefusedError, refused, wanted
from affetto.serve.service import Service
from affetto.stream import BLOCK_SECONDS, EmotionStream, Question, Steps

FEED_SECONDS = 1.0
"""Of sound that is heard before what was said of it is told, at most."""
STRETCH = 16
"""Times that updates are further apart than asked for, at most."""
CLOSE = {401: 1008, 403: 1008, 408: 1008, 413: 1008, 422: 1003, 429: 1013, 503: 1013}
"""Codes of WebSocket (RFC 6455, section 7.4.1) for what HTTP would have called so."""
BYTES = 2
"""Of a sample."""


async def hold(socket: WebSocket, service: Service) -> None:
    """Hold a session from its first message to its last."""
    await socket.accept()
    try:
        _check_origin(socket, service)
        start = await _first(socket, service)
        _check_places(service)
        service.streams += 1
        try:
            await _hold(socket, service, start)
        finally:
            service.streams -= 1
        await socket.close(1000)
    except RefusedError as error:
        await _fail(socket, error)
    except WebSocketDisconnect:
        pass
    except Exception:
        told = refused(500, "the server failed", got="a stream", expected="events")
        await _fail(socket, told)
        raise


async def _hold(socket: WebSocket, service: Service, start: SessionStart) -> None:
    """A session, as long as it may last: who sends slowly, or reads nothing, holds a place too."""
    most = service.limits.stream_seconds + service.limits.idle_seconds
    try:
        async with asyncio.timeout(most):
            await _Session(socket, service, start).hold()
    except TimeoutError as error:
        expected = "a stream that ends; begin another one"
        raise refused(408, "the stream is too long", got=f"no end after {most:g} s", expected=expected) from error


def _check_origin(socket: WebSocket, service: Service) -> None:
    """See that no other server's web page listens in: browsers let any page open any WebSocket."""
    origin = socket.headers.get("origin")
    own = socket.headers.get("host")
    if origin is not None and urlsplit(origin).netloc != own and origin not in service.settings.origins:
        raise refused(403, "this web page may not ask", got=origin, expected=f"{own}, or one of --origin")


def _check_places(service: Service) -> None:
    service.check_running()
    if service.streams >= service.limits.streams:
        got, expected = f"{service.streams} streams", f"at most {service.limits.streams} at the same time"
        raise refused(429, "there are too many streams", got=got, expected=expected)


async def _first(socket: WebSocket, service: Service) -> SessionStart:
    """The message that begins a session."""
    idle = service.limits.idle_seconds
    try:
        async with asyncio.timeout(idle):
            message = await _receive(socket)
    except TimeoutError as error:
        raise _idle(idle) from error
    text = message if isinstance(message, str) else "audio"
    try:
        start = SessionStart.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the first message"
        raise refused(422, f"{where} is not valid", got=text[:200], expected=wanted(first)) from error
    header = socket.headers.get("authorization", "").removeprefix("Bearer ")
    service.check_token(start.token or header)
    service.check_words(start.words)
    return start


async def _receive(socket: WebSocket) -> str | bytes:
    """The next message."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    text, data = message.get("text"), message.get("bytes")
    received: str | bytes = data if data is not None else text or ""
    return received


def _idle(seconds: float) -> RefusedError:
    got = f"nothing for {seconds:g} s"
    return refused(408, "the stream is idle", got=got, expected="sound, or session.end")


async def _fail(socket: WebSocket, error: RefusedError) -> None:
    """Say what went wrong, and close; to nobody, if nobody is there any more."""
    try:
        await _send(socket, Failure(**error.problem.model_dump()))
        await socket.close(CLOSE.get(error.status, 1011))
    except (WebSocketDisconnect, RuntimeError):
        pass


async def _send(socket: WebSocket, message: BaseModel) -> None:
    await socket.send_text(message.model_dump_json())


class _Session:
    """A stream and who is at its other end."""

    def __init__(self, socket: WebSocket, service: Service, start: SessionStart) -> None:
        self.socket, self.service, self.rate = socket, service, start.sample_rate
        self.stream: EmotionStream = service.stream(start.sample_rate, start.update_interval, words=start.words)
        self._waiting = bytearray()
        self._seconds = 0.0  # that have come
        self._ended = False
        self._change = asyncio.Event()  # something has come, or been heard, or the server stops
        self._arrived = self._read_on = time.monotonic()  # when something came last, and when that could be

    async def hold(self) -> None:
        """Until all is said."""
        checkpoint = self.service.recognizer.checkpoint
        labels, gives = self.service.recognizer.labels, checkpoint.task.gives
        ready = SessionReady(model=checkpoint.name, labels=labels, gives=gives, update_interval=self.stream.interval)
        await _send(self.socket, ready)
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(wait) for wait in (self._read(), self._stop(), self._watch())]
                await self._hear()
                for task in others:
                    task.cancel()
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _stop(self) -> None:
        """When the server stops, what has come is the end."""
        await self.service.stopping.wait()
        self._end()

    async def _watch(self) -> None:
        """See that something comes: a clock for each message would take longer than the message itself."""
        idle = self.service.limits.idle_seconds
        while not self._ended:
            left = max(self._arrived, self._read_on) + idle - time.monotonic()
            if left <= 0:
                raise _idle(idle)
            await asyncio.sleep(left)

    def _end(self) -> None:
        self._ended = True
        self._change.set()

    async def _read(self) -> None:
        """What comes, as long as it is heard."""
        limits = self.service.limits
        while not self._ended:
            while self._backlog > limits.backlog_seconds:
                await asyncio.sleep(BLOCK_SECONDS)
                self._read_on = time.monotonic()  # it is not they who are late
            message = await _receive(self.socket)
            if isinstance(message, str):
                self._check_end(message)
                self._end()
                return
            if len(message) > limits.message_bytes:
                got, expected = f"{len(message)} bytes", f"at most {limits.message_bytes} in one message"
                raise refused(413, "the message is too large", got=got, expected=expected)
            self._waiting += message
            self._seconds += len(message) / BYTES / self.rate
            if self._seconds > limits.stream_seconds:
                got, expected = f"{self._seconds:.0f} s", f"at most {limits.stream_seconds:g} s; begin another one"
                raise refused(413, "the stream is too long", got=got, expected=expected)
            self._arrived = time.monotonic()
            if self._backlog >= BLOCK_SECONDS:
                self._change.set()

    @staticmethod
    def _check_end(message: str) -> None:
        try:
            SessionEnd.model_validate_json(message)
        except ValidationError as error:
            got, expected = message[:200], '{"type": "session.end"}, or sound'
            raise refused(422, "the message is not known", got=got, expected=expected) from error

    @property
    def _backlog(self) -> float:
        """Seconds of sound that came and were not heard."""
        return len(self._waiting) / BYTES / self.rate

    async def _hear(self) -> None:
        """Has what came heard, and tells what there is to say."""
        while True:
            await self._change.wait()
            if not self._ended:
                self._change.clear()
            while self._backlog >= (BLOCK_SECONDS if not self._ended else 1 / self.rate):
                arrived = self._arrived
                await self._tell(self.stream.steps(self._take()), arrived)
                self._pace()
                await asyncio.sleep(0)  # silence alone asks nobody, and others want to be heard too
            if self._ended:
                await self._tell(self.stream.last_steps(), self._arrived)
                await _send(self.socket, SessionEnd(seconds=self.stream.seconds))
                return

    def _take(self) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        size = BYTES * min(len(self._waiting) // BYTES, round(FEED_SECONDS * self.rate))
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        self.service.measures.audio.labels("stream").inc(size / BYTES / self.rate)
        return np.frombuffer(taken, "<i2").astype(np.int16)

    def _pace(self) -> None:
        """Updates further apart when sound waits longer than half an interval, closer again when it does not."""
        wait = max(BLOCK_SECONDS, self.stream.settings.update / 2)
        if self._backlog > wait and self.stream.stretch < STRETCH:
            self.stream.stretch *= 2
        elif self._backlog < wait / 2 and self.stream.stretch > 1:
            self.stream.stretch //= 2

    async def _tell(self, steps: Steps, arrived: float) -> None:
        """Events as they come.

        What they wait for is asked in another thread; speech is found in this one, as to go there takes no less.
        """
        measures, answer = self.service.measures, None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            if isinstance(step, Question):
                answer = await self.service.run(step.ask)
                continue
            answer = None
            if isinstance(step, MeasurementUpdate) and step.interval > 1.5 * self.stream.settings.update:
                measures.behind.inc()
            measures.events.labels(step.type).inc()
            measures.event_seconds.observe(time.monotonic() - arrived)
            await _send(self.socket, step)
