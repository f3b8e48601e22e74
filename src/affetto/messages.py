"""What a server and those who ask it tell each other, as JSON: analyses, jobs, events of a stream, and problems.

Times are seconds from the beginning of the recording or stream. Nothing here needs a network, neither kind.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    """Base of everything that is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(Message):
    """What was heard in a stretch; empty where nothing was judged."""

    emotion: str | None = None
    """The likeliest category; None where the model gives none, or nothing was judged."""
    confidence: float | None = None
    """Its probability."""
    probabilities: dict[str, float] = {}
    """Category -> probability; they sum to 1."""
    dimensions: dict[str, float] = {}
    """Dimension -> rating, on the scale that the model was trained on."""
    flags: tuple[str, ...] = ()
    """Why to be careful: too_short, silent, noisy, clipped, not_speech, out_of_domain."""
    label_set: tuple[str, ...] = ()
    """The categories among which the truth nearly always is, likeliest first; empty where `reliable` is None."""
    reliable: bool | None = None
    """Whether the model is sure, and there are no flags; None if it is not calibrated, or the answer is provisional."""
    notes: tuple[str, ...] = ()
    """What a careful listener would want to know, in words."""


class Heard(Answer):
    """One utterance of a recording."""

    start: float
    end: float
    channel: int | None = None
    """From 0; None where channels were averaged."""
    speaker: str | None = None
    words: str | None = None
    """What is said; None where nobody asked for words."""
    reason: str | None = None
    """Why nothing was judged, in a word; None where it was."""


class Analysis(Message):
    """A recording's utterances in the order in which they begin."""

    file: str
    """Its name, as it was sent; "" for none."""
    seconds: float
    model: str
    labels: tuple[str, ...]
    """The model's categories or dimensions."""
    utterances: tuple[Heard, ...]
    damage: str | None = None
    """What keeps the recording from being heard to its end; None for nothing."""


class Problem(Message):
    """Why something could not be done."""

    what: str
    got: str
    expected: str


class Job(Message):
    """A recording that is analysed when its turn comes."""

    id: str
    state: Literal["waiting", "running", "done", "failed"]
    progress: float = Field(ge=0, le=1)
    """Share of the recording that is done."""
    created: float
    """Seconds since 1970."""
    result: Analysis | None = None
    """There when it is done."""
    problem: Problem | None = None
    """There when it has failed."""


class Model(Message):
    """A model that the server hears with."""

    name: str
    labels: tuple[str, ...]
    gives: Literal["probabilities", "dimensions"]
    senses: tuple[str, ...]
    """sound, words or both."""
    words: bool
    """Whether this server can write down what is said."""
    baseline: bool
    """Whether it can judge a voice beside what was heard of it before."""
    card: str
    """What it is, was trained on, and must not be used for; Markdown."""


class Health(Message):
    """Whether the server is there, and whether it takes work."""

    status: Literal["ok", "stopping"]


class Baseline(Message):
    """What is known of the voice that speaks."""

    seconds: float = 0.0
    """Of it that were heard."""
    enough: bool = False
    """Whether that is enough for answers to be relative to it."""


class SessionStart(Message):
    """The first message of a stream, from the client."""

    type: Literal["session.start"] = "session.start"
    sample_rate: int = Field(ge=4_000, le=192_000)
    """Hz, of the 16-bit PCM that follows, one channel, little-endian."""
    update_interval: float = Field(default=1.0, ge=0.2, le=60.0)
    """Seconds between provisional answers while somebody speaks."""
    words: bool = False
    """Whether what is said is to be written down."""
    token: str | None = None
    """Where the server wants one and headers cannot be set, as in browsers."""


class SessionEnd(Message):
    """The last message of a stream: from the client when it has sent all, from the server when it has said all."""

    type: Literal["session.end"] = "session.end"
    seconds: float | None = None
    """Of audio that was heard; the server's."""


class SessionReady(Message):
    """The server's first message."""

    type: Literal["session.ready"] = "session.ready"
    model: str
    labels: tuple[str, ...]
    gives: Literal["probabilities", "dimensions"]
    update_interval: float
    """Seconds, as it will be."""


class UtteranceStart(Message):
    """Somebody speaks."""

    type: Literal["utterance.start"] = "utterance.start"
    utterance: int
    """Counts from 0."""
    start: float
    heard: float
    """Seconds of the stream that had been heard when this was said."""


class MeasurementUpdate(Answer):
    """What the last seconds of an utterance that goes on sound like; provisional."""

    type: Literal["measurement.update"] = "measurement.update"
    utterance: int
    start: float
    end: float
    heard: float
    provisional: Literal[True] = True
    interval: float
    """Seconds since the one before, or since the utterance began; more than was asked for where the server has too much
    to do."""
    baseline: Baseline


class MeasurementResult(Heard):
    """What an utterance sounded like."""

    type: Literal["measurement.result"] = "measurement.result"
    utterance: int
    heard: float
    baseline: Baseline


class UtteranceEnd(Message):
    """Somebody has spoken."""

    type: Literal["utterance.end"] = "utterance.end"
    utterance: int
    start: float
    end: float
    heard: float


class Failure(Problem):
    """Why a stream cannot go on."""

    type: Literal["error"] = "error"


StreamEvent = UtteranceStart | MeasurementUpdate | MeasurementResult | UtteranceEnd
"""What a stream of audio gives."""
Event = SessionReady | StreamEvent | SessionEnd | Failure
"""What a server sends in a stream."""

events: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
"""Reads them."""
