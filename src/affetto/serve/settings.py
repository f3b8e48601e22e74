"""What a server allows."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """How much a server does for others, so that it goes on doing it.

    Args:
        upload_bytes: of a recording that is analysed at once.
        upload_seconds: of sound in it.
        job_bytes: of a long recording.
        jobs: that wait or run, at most.
        requests: recordings that are analysed at the same time; the next one is told to come again.
        request_seconds: that analysing one may take.
        body_seconds: that sending one may take.
        job_body_seconds: that sending a long one may take.
        connections: at the same time, of any kind.
        streams: that are open at the same time.
        stream_seconds: of sound in one.
        idle_seconds: without a message, after which a stream is closed.
        backlog_seconds: of sound that a stream may be ahead of what was heard, before it is not read on.
        message_bytes: of one message of a stream.
        result_seconds: for which a job's result is kept.
    """

    upload_bytes: int = 50_000_000
    upload_seconds: float = 600.0
    job_bytes: int = 2_000_000_000
    jobs: int = 100
    requests: int = 16
    request_seconds: float = 120.0
    body_seconds: float = 60.0
    job_body_seconds: float = 3600.0
    connections: int = 1000
    streams: int = 100
    stream_seconds: float = 4 * 3600.0
    idle_seconds: float = 30.0
    backlog_seconds: float = 10.0
    message_bytes: int = 1_000_000
    result_seconds: float = 24 * 3600.0


@dataclass(frozen=True)
class ServeSettings:
    """How a server serves.

    Args:
        limits: how much.
        token: that everybody must show; None: nobody need.
        origins: web pages of other servers that may ask, such as "https://example.org"; none unless they are named.
        jobs: folder of long recordings and their results; None: jobs are not taken.
    """

    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    origins: tuple[str, ...] = ()
    jobs: Path | None = None
