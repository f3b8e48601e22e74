"""What can be measured of a server, for Prometheus. No names, no addresses, nothing of what was heard."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Edges of what takes some time."""
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Measures:
    """Counts and times of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "affetto_requests", "Requests, by address and status", ["address", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "affetto_request_seconds", "Until the answer", ["address"], buckets=SECONDS, registry=self.registry
        )
        self.audio = Counter("affetto_audio_seconds", "Of sound that was heard", ["by"], registry=self.registry)
        self.streams = Gauge("affetto_streams", "That are open", registry=self.registry)
        self.behind = Counter("affetto_stretched_updates", "That came later than asked for", registry=self.registry)
        self.events = Counter("affetto_events", "Of streams", ["type"], registry=self.registry)
        self.event_seconds = Histogram(
            "affetto_event_seconds",
            "From the last sound that an event is of to the event",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "affetto_batch_clips", "Heard together", buckets=(1, 2, 4, 8, 16, 32), registry=self.registry
        )
        self.waiting = Gauge("affetto_clips_waiting", "To be heard", registry=self.registry)
        self.jobs = Gauge("affetto_jobs", "That wait or run", registry=self.registry)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
