"""Live audio: chunks in, time-stamped events out.

Speech is found as it comes (`affetto.vad`, `affetto.segments.regions`). While somebody speaks, the last seconds of the
utterance are judged again and again, provisionally; when it has ended, all of it is, once. Audio is heard in blocks of
a fixed size, whatever the size of the chunks that it comes in: the events do not depend on it.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from affetto.audio import SAMPLE_RATE, Waveform
from affetto.errors import AudioError, ConfigError
from affetto.messages import Baseline, MeasurementResult, MeasurementUpdate, StreamEvent, UtteranceEnd, UtteranceStart
from affetto.pieces import Converter
from affetto.recognizer import Prediction, Recognizer
from affetto.segments.regions import Finder, Part, RegionSettings
from affetto.vad import FRAME, Probabilities, SpeechDetector

BLOCK = 8 * FRAME
"""Samples that are heard at once: a server of many streams has as many blocks less to look after as they are longer."""
BLOCK_SECONDS = BLOCK / SAMPLE_RATE
"""256 ms."""
SHORTEST_UPDATE = 0.2
"""Seconds between updates that may be asked for."""
RATES = (4_000, 192_000)
"""Hz that sound may have."""


@dataclass(frozen=True)
class StreamSettings:
    """When a stream says what.

    Args:
        update: seconds between provisional answers while somebody speaks; taken to the nearest block.
        window: seconds at an utterance's end that these are judged from, at most.
        regions: how utterances are found.
        words: have the recogniser's ASR write down what is said in each utterance.

    Raises:
        ConfigError: if these are no durations.
    """

    update: float = 1.0
    window: float = 3.0
    regions: RegionSettings = field(default_factory=lambda: RegionSettings(longest=10.0))
    words: bool = False

    def __post_init__(self) -> None:
        if not self.update >= SHORTEST_UPDATE:
            raise ConfigError(f"stream: expected an update every {SHORTEST_UPDATE} s or less often, got {self.update}")
        if not 0.1 <= self.window <= self.regions.longest:
            raise ConfigError(f"stream: expected a window of 0.1 to {self.regions.longest} s, got {self.window}")

    @property
    def update_blocks(self) -> int:
        """Blocks between provisional answers."""
        return max(1, round(self.update / BLOCK_SECONDS))


@dataclass(frozen=True)
class Question:
    """Something that a stream has to know before it goes on, and that takes a while.

    Args:
        ask: gives the answer, which the stream is sent; in any thread.
    """

    ask: Callable[[], Any]


Steps = Generator[StreamEvent | Question, Any, None]
"""Events and questions, in their order."""


class EmotionStream:
    """Events of audio that comes in chunks of any size. One thread at a time.

    Args:
        recognizer: judges.
        sample_rate: Hz of the chunks.
        settings: when what is said.
        detector: finds speech; can be shared by streams.

    Raises:
        ConfigError: if sound has no such rate.

    Example:
        >>> stream = EmotionStream(Recognizer.from_pretrained(), 8_000)
        >>> [*stream.feed(np.zeros(8_000, np.int16)), *stream.finish()]
        []
    """

    def __init__(
        self,
        recognizer: Recognizer,
        sample_rate: int,
        settings: StreamSettings | None = None,
        *,
        detector: SpeechDetector | None = None,
    ) -> None:
        if not RATES[0] <= sample_rate <= RATES[1]:
            raise ConfigError(f"stream: expected a sample rate of {RATES[0]} to {RATES[1]} Hz, got {sample_rate}")
        self.recognizer, self.settings = recognizer, settings or StreamSettings()
        self.stretch = 1
        """Times that updates are further apart than asked for; whoever feeds may change it."""
        self._converter = Converter(sample_rate, 1)
        self._voice = (detector or SpeechDetector()).stream()
        self._finder = Finder(self.settings.regions)
        self._speaker = _Speaker(recognizer)
        self._waiting = np.zeros(0, np.float32)  # samples of no whole block
        # What utterances may begin with: samples, and how likely frames are speech; each with the first one's place.
        self._kept, self._first = np.zeros(0, np.float32), 0
        self._likely, self._first_likely = np.zeros(0, np.float32), 0
        self._utterance = 0
        self._open = False  # whether the start of this utterance was told
        self._blocks = 0  # of it since its last update

    @property
    def seconds(self) -> float:
        """Of audio that were heard."""
        return (self._first + len(self._kept)) / SAMPLE_RATE

    @property
    def interval(self) -> float:
        """Seconds between updates, where `stretch` is 1."""
        return self.settings.update_blocks * BLOCK_SECONDS

    def feed(self, samples: npt.NDArray[Any]) -> list[StreamEvent]:
        """What there is to say when these have been heard.

        Args:
            samples: one channel, (n,), int16 or floats of full scale 1.0.
        """
        return _answered(self.steps(samples))

    def finish(self) -> list[StreamEvent]:
        """What there is to say at the end."""
        return _answered(self.last_steps())

    def steps(self, samples: npt.NDArray[Any]) -> Steps:
        """The same as `feed`, for whoever has its questions answered elsewhere meanwhile.

        Nothing is heard that is not asked for: they are to be gone through to their end before the next.

        Args:
            samples: as of `feed`.

        Yields:
            Events; and questions, whose answers are to be sent.
        """
        self._waiting = np.concatenate([self._waiting, self._converter.feed(_as_float(samples)[:, None])[:, 0]])
        yield from self._blockwise()

    def last_steps(self) -> Steps:
        """The same as `finish`."""
        self._waiting = np.concatenate([self._waiting, self._converter.flush()[:, 0]])
        yield from self._blockwise()
        self._keep(self._waiting)
        probabilities = np.concatenate([self._voice.feed(self._waiting), self._voice.flush()])
        self._waiting = self._waiting[:0]
        for part in [*self._find(probabilities), *self._finder.flush(self._first + len(self._kept))]:
            yield from self._close(part)

    def _blockwise(self) -> Steps:
        while len(self._waiting) >= BLOCK:
            block, self._waiting = self._waiting[:BLOCK], self._waiting[BLOCK:]
            yield from self._hear(block)

    def _hear(self, block: Waveform) -> Steps:
        """What there is to say after one more block."""
        self._keep(block)
        for part in self._find(self._voice.feed(block)):
            yield from self._close(part)
        yield from self._follow()
        drop = self._finder.needed - self._first
        if drop > 0:
            self._kept, self._first = self._kept[drop:].copy(), self._first + drop
            frames = self._first // FRAME - self._first_likely
            self._likely, self._first_likely = self._likely[frames:].copy(), self._first_likely + frames

    def _find(self, probabilities: Probabilities) -> list[Part]:
        self._likely = np.concatenate([self._likely, probabilities])
        return self._finder.feed(probabilities)

    def _speech(self, part: Part) -> Probabilities:
        """Probability of each 32 ms of an utterance: of that frame which its middle lies in."""
        middles = np.arange(part.first + FRAME // 2, part.last + FRAME // 2, FRAME)
        places = middles // FRAME - self._first_likely
        return self._likely[np.clip(places, 0, len(self._likely) - 1)]

    def _keep(self, samples: Waveform) -> None:
        self._kept = np.concatenate([self._kept, samples])

    def _cut(self, first: int, last: int) -> Waveform:
        return self._kept[first - self._first : last - self._first]

    def _follow(self) -> Steps:
        """The start of an utterance, and updates while it goes on."""
        if self._open:
            self._blocks += 1
        part = self._finder.open
        if part is None:
            return
        if not self._open:
            yield self._begin(part)
        if self._blocks >= self.settings.update_blocks * self.stretch:
            interval, self._blocks = self._blocks * BLOCK_SECONDS, 0
            first = max(part.first, part.last - round(self.settings.window * SAMPLE_RATE))
            outcome = yield Question(partial(self._speaker.glimpse, self._cut(first, part.last)))
            if isinstance(outcome, Prediction):
                yield MeasurementUpdate(
                    utterance=self._utterance,
                    start=part.first / SAMPLE_RATE,
                    end=part.last / SAMPLE_RATE,
                    heard=self.seconds,
                    interval=interval,
                    baseline=self._speaker.baseline,
                    **answer(outcome),
                )

    def _begin(self, part: Part) -> UtteranceStart:
        self._open, self._blocks = True, (part.last - part.first) // BLOCK
        return UtteranceStart(utterance=self._utterance, start=part.first / SAMPLE_RATE, heard=self.seconds)

    def _close(self, part: Part) -> Steps:
        """Judge an utterance that is whole."""
        if not self._open:
            yield self._begin(part)
        waveform = self._cut(part.first, part.last)
        outcome = yield Question(partial(self._speaker.hear, waveform, self._speech(part)))
        times: dict[str, Any] = {
            "start": part.first / SAMPLE_RATE,
            "end": part.last / SAMPLE_RATE,
            "heard": self.seconds,
        }
        heard: dict[str, Any] = {"reason": outcome.reason} if isinstance(outcome, AudioError) else answer(outcome)
        if self.settings.words and self.recognizer.asr is not None:
            heard["words"] = yield Question(partial(self.recognizer.asr.transcribe, waveform))
        yield MeasurementResult(utterance=self._utterance, baseline=self._speaker.baseline, **times, **heard)
        yield UtteranceEnd(utterance=self._utterance, **times)
        self._utterance, self._open = self._utterance + 1, False


class _Speaker:
    """Judges what one voice says, beside what was heard of it before where the model can."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer
        self.running = recognizer.running() if recognizer.checkpoint.model.takes_baseline else None

    @property
    def baseline(self) -> Baseline:
        """What is known of the voice."""
        return (
            Baseline() if self.running is None else Baseline(seconds=self.running.seconds, enough=self.running.enough)
        )

    def hear(self, waveform: Waveform, speech: Probabilities) -> Prediction | AudioError:
        """An utterance, once; it is part of the voice's baseline from now on."""
        if self.running is None:
            return next(self.recognizer.predict_all([(waveform, SAMPLE_RATE)], speech=[speech]))
        try:
            return self.running.hear([(waveform, SAMPLE_RATE)], speech=[speech])[0]
        except AudioError as error:
            return error

    def glimpse(self, waveform: Waveform) -> Prediction | AudioError:
        """The end of one that goes on; without flags, as it is provisional."""
        known = None if self.running is None else self.running.counts
        baselines = None if known is None else [known]
        return next(self.recognizer.predict_all([(waveform, SAMPLE_RATE)], baselines=baselines, flagged=False))


def answer(prediction: Prediction) -> dict[str, Any]:
    """What a prediction says, as messages have it."""
    known: dict[str, Any] = {
        "probabilities": prediction.probabilities,
        "dimensions": prediction.dimensions,
        "notes": prediction.notes,
        "flags": prediction.flags,
        "label_set": prediction.label_set,
        "reliable": prediction.reliable,
    }
    if prediction.probabilities:
        known |= {"emotion": prediction.emotion, "confidence": prediction.confidence}
    return known


def _answered(steps: Steps) -> list[StreamEvent]:
    """The events of some steps, whose questions are answered here and now."""
    events: list[StreamEvent] = []
    answer: Any = None
    try:
        while True:
            step = steps.send(answer)
            answer = None
            if isinstance(step, Question):
                answer = step.ask()
            else:
                events.append(step)
    except StopIteration:
        return events


def _as_float(samples: npt.NDArray[Any]) -> Waveform:
    """Full scale 1.0, whatever they were."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32_768)
    return samples.astype(np.float32, copy=False)
