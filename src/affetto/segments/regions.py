"""Where in a recording speech is: found in the probabilities of `affetto.vad` as they come, or given by somebody else.

Found, a region begins with a frame at least as likely as `on`, and ends with a frame below `off` where another frame
below `off` comes `silence` seconds or more later and none as likely as `on` lies between: the rule of silero-vad's own
`get_speech_timestamps`, here online. Then come `pad` seconds at either side. What is longer than `longest` is cut
where, in its second half, speech was least likely.
Given, a region is a line of a table or of a diarisation; what is longer than `longest` is cut evenly.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from affetto.audio import SAMPLE_RATE, Waveform
from affetto.errors import ConfigError
from affetto.vad import FRAME, FRAME_SECONDS, Probabilities, SpeechDetector, State

LONGEST = 30.0
"""Seconds of a stretch that is held in memory at once, and that Whisper's encoder hears at once."""


@dataclass(frozen=True)
class Region:
    """Speech of one speaker.

    Args:
        start, end: seconds.
        speaker: None where nobody knows.
        channel: from 0; None for any.
    """

    start: float
    end: float
    speaker: str | None = None
    channel: int | None = None


@dataclass(frozen=True)
class RegionSettings:
    """How regions are found.

    Args:
        on: probability from which a frame begins a region.
        off: probability below which a frame may end it.
        speech: seconds that a region lasts at least; what is shorter is a click or a cough.
        silence: seconds between two regions at least; a shorter pause is part of the speech.
        pad: seconds that are added at either side, for what is too faint for `on`; at most half of `silence`.
        longest: seconds that a region lasts at most.

    Raises:
        ConfigError: if these are no probabilities or durations, or regions would overlap.
    """

    on: float = 0.5
    off: float = 0.5
    speech: float = 0.25
    silence: float = 0.4
    pad: float = 0.1
    longest: float = LONGEST

    def __post_init__(self) -> None:
        if not 0 <= self.off <= self.on <= 1:
            raise ConfigError(f"speech regions: expected 0 <= off <= on <= 1, got off {self.off} and on {self.on}")
        if not 0 <= 2 * self.pad <= self.silence:
            raise ConfigError(
                f"speech regions: expected a pad of 0 to silence / 2 ({self.silence / 2}), got {self.pad}"
            )
        if not 0 <= self.speech < self.longest:
            raise ConfigError(f"speech regions: expected speech of 0 to {self.longest} s, got {self.speech}")


@dataclass(frozen=True)
class Part:
    """A region, or a part of a long one, that can be held in memory.

    Args:
        first, last: samples, the first of it and the first after it.
        region: counts the regions of a recording; the parts of one share it.
        speaker: None where nobody knows.
    """

    first: int
    last: int
    region: int
    speaker: str | None = None


class Finder:
    """Regions in probabilities that come in pieces.

    Args:
        settings: when speech begins and ends.
    """

    def __init__(self, settings: RegionSettings) -> None:
        self.settings = settings
        self.frames = 0  # heard so far
        self.regions = 0  # begun so far, or whole
        self._start: int | None = None  # frame in which the open region, or what is left of it, began
        self._quiet: int | None = None  # frame in which it may have ended
        self._cut = False  # whether its beginning is a cut
        self._heard: list[float] = []  # probabilities since then

    @property
    def needed(self) -> int:
        """The first sample that regions still to come may begin with."""
        frame = self.frames if self._start is None else self._start
        return max(0, frame * FRAME - self._pad)

    @property
    def open(self) -> Part | None:
        """The region, or what is left of it, that goes on; None for none, or for one that may still be a click."""
        if self._start is None:
            return None
        speech = (self.frames - self._start) * FRAME_SECONDS
        if not self._cut and (self._quiet is not None or speech <= self.settings.speech):
            return None
        return Part(self._first, self.frames * FRAME, self.regions)

    def feed(self, probabilities: Probabilities) -> list[Part]:
        """The regions, or parts of them, that are now whole."""
        found = []
        for probability in probabilities.tolist():
            part = self._step(probability)
            self.frames += 1
            if part is not None:
                found.append(part)
        return found

    def flush(self, samples: int) -> list[Part]:
        """What is still open where the recording ends.

        Args:
            samples: that it lasts.
        """
        if self._start is None:
            return []
        end = samples if self._quiet is None else min(self._quiet * FRAME + self._pad, samples)
        long_enough = self._cut or end - self._start * FRAME > self.settings.speech * SAMPLE_RATE
        part = self._part(end) if long_enough else None
        self._start = None
        return [] if part is None or part.first >= part.last else [part]

    @property
    def _pad(self) -> int:
        return round(self.settings.pad * SAMPLE_RATE)

    def _step(self, probability: float) -> Part | None:
        at, settings = self.frames, self.settings
        if self._start is None:
            if probability >= settings.on:
                self._start, self._quiet, self._cut, self._heard = at, None, False, [probability]
            return None
        self._heard.append(probability)
        if probability >= settings.on:
            self._quiet = None
        elif probability < settings.off:
            self._quiet = at if self._quiet is None else self._quiet
            if (at - self._quiet) * FRAME_SECONDS >= settings.silence:
                return self._end()
        if (at + 1 - self._start) * FRAME_SECONDS >= settings.longest:
            return self._divide()
        return None

    def _end(self) -> Part | None:
        assert self._start is not None and self._quiet is not None
        speech = (self._quiet - self._start) * FRAME_SECONDS
        part = self._part(self._quiet * FRAME + self._pad) if self._cut or speech > self.settings.speech else None
        self._start = None
        return part if part is None or part.first < part.last else None

    def _divide(self) -> Part:
        """The first part of a region that has become too long; the rest goes on."""
        assert self._start is not None
        half = len(self._heard) // 2
        # Padding goes to the ends of a region, not to cuts; the frame after the cut is the least likely one.
        least = min(range(half, len(self._heard)), key=self._heard.__getitem__)
        cut = self._start + least
        part = Part(self._first, cut * FRAME, self.regions)
        self._start, self._cut, self._heard = cut, True, self._heard[least:]
        self._quiet = None if self._quiet is None else max(self._quiet, cut)
        return part

    @property
    def _first(self) -> int:
        assert self._start is not None
        return self._start * FRAME if self._cut else max(0, self._start * FRAME - self._pad)

    def _part(self, last: int) -> Part:
        """The last part of a region."""
        part = Part(self._first, last, self.regions)
        self.regions += 1
        return part


class Parts(Protocol):
    """Whoever says, while a recording comes in pieces, which stretches of it hold speech."""

    @property
    def needed(self) -> int:
        """The first sample that stretches still to come may begin with."""
        ...

    def feed(self, samples: Waveform) -> list[Part]:
        """The stretches that end within what has come."""
        ...

    def flush(self) -> list[Part]:
        """The stretches that are still open where the recording ends."""
        ...


@dataclass(frozen=True)
class Known:
    """What the speech detector made of the beginning of a recording.

    Args:
        samples: that it heard.
        probabilities: of the whole frames among them.
        state: of its stream.
    """

    samples: int
    probabilities: Probabilities
    state: State


class Found:
    """Regions that are found.

    Args:
        detector: hears how likely speech is.
        settings: when it begins and ends.
        known: what was heard in an earlier run, which is not computed again.
    """

    def __init__(self, detector: SpeechDetector, settings: RegionSettings, known: Known | None = None) -> None:
        self.finder, self.known, self.samples = Finder(settings), known, 0
        self.voice = detector.stream(None if known is None else known.state)
        self._fresh: list[Probabilities] = []

    @property
    def needed(self) -> int:
        """The first sample that regions still to come may begin with."""
        return self.finder.needed

    @property
    def fresh_seconds(self) -> float:
        """Seconds of audio that were computed since `take`."""
        return sum(map(len, self._fresh)) * FRAME_SECONDS

    def take(self) -> Known:
        """What was computed since the last time; `samples` and `state` are of the whole."""
        fresh = Known(self.samples, np.concatenate(self._fresh), self.voice.state)
        self._fresh = []
        return fresh

    def feed(self, samples: Waveform) -> list[Part]:
        """The regions that end within what has come."""
        old = 0 if self.known is None else min(max(0, self.known.samples - self.samples), len(samples))
        self.samples += len(samples)
        remembered = []
        if self.known is not None and old:
            first, last = self.finder.frames, (self.samples - len(samples) + old) // FRAME
            remembered = self.finder.feed(self.known.probabilities[first:last])
        if old == len(samples):
            return remembered
        return [*remembered, *self._hear(self.voice.feed(samples[old:]))]

    def flush(self) -> list[Part]:
        """What is still open where the recording ends."""
        return [*self._hear(self.voice.flush()), *self.finder.flush(self.samples)]

    def _hear(self, probabilities: Probabilities) -> list[Part]:
        self._fresh.append(probabilities)
        return self.finder.feed(probabilities)


class Given:
    """Regions that somebody else has found.

    Args:
        regions: in any order; those of several speakers may overlap.
        longest: seconds of a part at most.
    """

    def __init__(self, regions: Iterable[Region], longest: float = LONGEST) -> None:
        ordered = sorted(regions, key=lambda region: (region.start, region.end))
        parts = [part for number, region in enumerate(ordered) for part in _divided(region, number, longest)]
        self.open = sorted(parts, key=lambda part: (part.first, part.last))
        self.samples = 0

    @property
    def needed(self) -> int:
        """The first sample that regions still to come begin with."""
        return min([self.samples, *(part.first for part in self.open[:1])])

    def feed(self, samples: Waveform) -> list[Part]:
        """The regions that end within what has come."""
        self.samples += len(samples)
        done = [part for part in self._begun() if part.last <= self.samples]
        for part in done:
            self.open.remove(part)
        return done

    def flush(self) -> list[Part]:
        """What is left where the recording ends; it may end before, or not even begin."""
        return self.open

    def _begun(self) -> list[Part]:
        """Those at the front; only these are looked at, however many there are to come."""
        begun = []
        for part in self.open:
            if part.first > self.samples:
                break
            begun.append(part)
        return begun


def _divided(region: Region, number: int, longest: float) -> list[Part]:
    """A region in as few equal parts as are short enough."""
    first, last = round(region.start * SAMPLE_RATE), round(region.end * SAMPLE_RATE)
    count = max(1, math.ceil((last - first) / (longest * SAMPLE_RATE)))
    edges = [first + (last - first) * i // count for i in range(count + 1)]
    return [Part(edges[i], edges[i + 1], number, region.speaker) for i in range(count)]
