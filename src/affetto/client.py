"""Asks an `affetto serve`, here or elsewhere: recordings, long recordings, live sound. Of the extra `client`.

with Client("http://127.0.0.1:8000") as client:
    print(client.analyze("interview.wav").utterances[0].emotion)
    with client.stream(16_000) as stream:
        stream.send(pcm)
        for event in stream.finish():
            print(event)
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

from affetto.errors import AffettoError, ConfigError
from affetto.messages import (
    Analysis,
    Event,
    Failure,
    Job,
    Model,
    Problem,
    SessionEnd,
    SessionReady,
    SessionStart,
    events,
)

try:
    import httpx
    from pydantic import TypeAdapter, ValidationError
    from websockets.exceptions import ConnectionClosed, InvalidHandshake
    from websockets.sync.client import ClientConnection, connect
except ImportError as error:
    raise ConfigError("asking a server takes httpx and websockets: pip install 'affetto[client]'") from error

TIMEOUT = 150.0
"""Seconds that an answer may take."""
POLL = 1.0
"""Seconds between questions after a job."""

Source = str | Path | bytes | BinaryIO
"""A path, a file's bytes, or an open binary file."""


class ServerError(AffettoError):
    """What a server said instead of an answer.

    Args:
        status: of HTTP; 0 in a stream.
        problem: what, got, expected.
        retry_after: seconds after which it may be asked again; None where it did not say.
    """

    def __init__(self, status: int, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(f"{problem.what}: got {problem.got}; expected {problem.expected}")
        self.status, self.problem, self.retry_after = status, problem, retry_after


class Client:
    """A server, and what it can be asked.

    Args:
        address: such as "http://127.0.0.1:8000".
        token: if the server wants one.
        timeout: seconds that an answer may take.
    """

    def __init__(self, address: str, *, token: str | None = None, timeout: float = TIMEOUT) -> None:
        self.address, self.token = address.rstrip("/"), token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what connections there are."""
        self._http.close()

    def analyze(
        self,
        source: Source,
        *,
        words: bool = False,
        channels: Literal["mix", "split"] = "mix",
        window: float = 5.0,
        baseline: Literal["none", "running"] = "none",
    ) -> Analysis:
        """What is heard in a recording.

        Args:
            source: the recording.
            words: have what is said written down.
            channels: averaged, or a voice each.
            window: seconds that are judged at once; 0: one answer a region of speech.
            baseline: whether each voice is judged beside what was heard of it before.

        Raises:
            ServerError: if the server says no.
        """
        asked = {"words": words, "channels": channels, "window": window, "baseline": baseline}
        return Analysis.model_validate_json(self._send("/v1/analyze", source, asked))

    def submit(
        self,
        source: Source,
        *,
        words: bool = False,
        channels: Literal["mix", "split"] = "mix",
        window: float = 5.0,
        baseline: Literal["none", "running"] = "none",
    ) -> Job:
        """Have a long recording analysed, as `analyze` does.

        Raises:
            ServerError: if the server says no.
        """
        asked = {"words": words, "channels": channels, "window": window, "baseline": baseline}
        return Job.model_validate_json(self._send("/v1/jobs", source, asked))

    def job(self, identity: str) -> Job:
        """How far a job is.

        Raises:
            ServerError: if there is none.
        """
        return Job.model_validate_json(_checked(self._http.get(f"/v1/jobs/{identity}")).content)

    def wait(self, identity: str, *, timeout: float | None = None) -> Analysis:
        """What came of a job, when it has ended.

        Args:
            identity: of the job.
            timeout: seconds; None: however long it takes.

        Raises:
            ServerError: if there is none, or it failed.
            TimeoutError: if it has not ended by then.
        """
        started = time.monotonic()
        while True:
            job = self.job(identity)
            if job.result is not None:
                return job.result
            if job.problem is not None:
                raise ServerError(200, job.problem)
            if timeout is not None and time.monotonic() - started > timeout:
                raise TimeoutError(f"job {identity} is {job.state} after {timeout:g} s")
            time.sleep(POLL)

    def delete(self, identity: str) -> None:
        """Stop and forget a job.

        Raises:
            ServerError: if there is none.
        """
        _checked(self._http.delete(f"/v1/jobs/{identity}"))

    def models(self) -> list[Model]:
        """What the server hears with."""
        return TypeAdapter(list[Model]).validate_json(_checked(self._http.get("/v1/models")).content)

    def ready(self) -> bool:
        """Whether the server is there and takes work."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def stream(self, sample_rate: int, *, update_interval: float = 1.0, words: bool = False) -> "Stream":
        """A stream of live sound.

        Args:
            sample_rate: Hz of what will be sent.
            update_interval: seconds between provisional answers.
            words: have what is said written down.

        Raises:
            ServerError: if the server says no.
        """
        start = SessionStart(sample_rate=sample_rate, update_interval=update_interval, words=words, token=self.token)
        return Stream(self.address.replace("http", "ws", 1) + "/v1/stream", start)

    def _send(self, address: str, source: Source, asked: dict[str, Any]) -> bytes:
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                return self._post(address, asked, Path(source).name, file)
        return self._post(address, asked, "", source)

    def _post(self, address: str, asked: dict[str, Any], name: str, content: bytes | BinaryIO) -> bytes:
        files = {"file": (name or "recording", content, "application/octet-stream")}
        return _checked(self._http.post(address, params=asked, files=files)).content


class Stream:
    """A stream of live sound to a server. One thread may send while another reads.

    Args:
        address: beginning in ws: or wss:.
        start: the first message.
    """

    def __init__(self, address: str, start: SessionStart) -> None:
        self._lock = threading.Lock()
        with ExitStack() as stack:
            try:
                # Sound is not worth compressing, and a server that is busy answers pings late.
                opened = connect(address, compression=None, ping_timeout=None)
                self._socket: ClientConnection = stack.enter_context(opened)
            except InvalidHandshake as error:
                problem = Problem(what="no stream at this address", got=str(error), expected="an affetto server")
                raise ServerError(0, problem) from error
            self._socket.send(start.model_dump_json())
            first = self._receive()
            assert isinstance(first, SessionReady), first
            self._opened = stack.pop_all()
        self.ready: SessionReady = first
        """What the server said first: its model and labels."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, pcm: bytes) -> None:
        """Send sound: 16-bit PCM, little-endian, one channel, any number of bytes.

        Raises:
            ServerError: if the server has closed the stream.
        """
        try:
            with self._lock:
                self._socket.send(pcm)
        except ConnectionClosed:
            self._receive()  # says why
            raise

    def events(self) -> Iterator[Event]:
        """What the server says, until it has said all.

        Raises:
            ServerError: if it says that something is wrong.
        """
        while True:
            event = self._receive()
            yield event
            if isinstance(event, SessionEnd):
                return

    def end(self) -> None:
        """Say that nothing more comes; what there is to say then comes by `events`."""
        with self._lock:
            self._socket.send(SessionEnd().model_dump_json(exclude_none=True))

    def finish(self) -> Iterator[Event]:
        """The same, and what the server says until it has said all."""
        self.end()
        return self.events()

    def close(self) -> None:
        """Leave."""
        self._opened.close()

    def _receive(self) -> Event:
        try:
            event = events.validate_json(self._socket.recv())
        except ConnectionClosed as error:
            problem = Problem(what="the stream ended", got=str(error), expected="session.end")
            raise ServerError(0, problem) from error
        if isinstance(event, Failure):
            raise ServerError(0, Problem(what=event.what, got=event.got, expected=event.expected))
        return event


def _checked(response: httpx.Response) -> httpx.Response:
    """An answer that is one.

    Raises:
        ServerError: if it is a problem.
    """
    if response.is_success:
        return response
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = Problem(what="no answer of an affetto server", got=f"status {response.status_code}", expected="JSON")
    wait = response.headers.get("retry-after", "")
    raise ServerError(response.status_code, problem, float(wait) if wait.isdecimal() else None)
