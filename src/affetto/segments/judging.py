"""Parts of a recording to utterances: their windows are judged in batches, in a thread of its own, in their order."""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce

from affetto.audio import SAMPLE_RATE, Waveform
from affetto.baseline import Baseline
from affetto.errors import AudioError
from affetto.recognizer import Recognizer
from affetto.segments.journal import Journal
from affetto.segments.regions import Part
from affetto.segments.settings import TimelineSettings
from affetto.segments.utterance import Utterance
from affetto.segments.voices import Voices
from affetto.segments.windows import Outcome, Span, moments, utterances, windows

BATCH_SECONDS = 120.0
"""Speech that is judged together."""
AHEAD = 2
"""Batches that wait to be judged, at most: bounds the memory."""


@dataclass(frozen=True)
class Cut:
    """A part of a recording with its sound.

    Args:
        part: where it is.
        waveform: its samples; fewer where the recording ends before it.
    """

    part: Part
    waveform: Waveform


@dataclass(frozen=True)
class Judged:
    """What was found in a part, and what it adds to the voice's running baseline."""

    channel: int
    part: Part
    utterances: list[Utterance]
    gained: Baseline | None = None


class Judge:
    """Judges parts in batches, in a thread of its own, in their order."""

    def __init__(
        self, recognizer: Recognizer, settings: TimelineSettings, *, split: bool, journal: Journal | None
    ) -> None:
        self.recognizer, self.settings, self.split, self.journal = recognizer, settings, split, journal
        self.voices = Voices(recognizer, settings.baseline, None if journal is None else journal.baselines)
        self.results: list[Judged] = []
        self._batch: list[tuple[int, Cut]] = []
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._running: deque[Future[list[Judged]]] = deque()

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._submit()
            self._collect(leave=0)
        self._pool.shutdown(cancel_futures=True)

    def add(self, channel: int, cuts: Iterable[Cut]) -> None:
        """Have parts judged, soon."""
        self._batch += [(channel, cut) for cut in cuts]
        if sum(len(cut.waveform) for _, cut in self._batch) >= BATCH_SECONDS * SAMPLE_RATE:
            self._submit()
            self._collect(leave=AHEAD)

    def _submit(self) -> None:
        if self._batch:
            self._running.append(self._pool.submit(self._hear, self._batch))
            self._batch = []

    def _collect(self, *, leave: int) -> None:
        """Wait until no more than some batches are left."""
        while len(self._running) > leave:
            for judged in self._running.popleft().result():
                self.results.append(judged)
                if self.journal is not None and (judged.channel, judged.part) not in self.journal.judged:
                    voice = self._name(judged.channel, judged.part)
                    self.journal.keep_judged(judged.channel, judged.part, judged.utterances, voice, judged.gained)

    def _hear(self, batch: list[tuple[int, Cut]]) -> list[Judged]:
        """What is found in each part of a batch."""
        known = {} if self.journal is None else self.journal.judged
        new = [(channel, cut) for channel, cut in batch if (channel, cut.part) not in known]
        found = {(judged.channel, judged.part): judged for judged in self._judge(new)}
        parts = [(channel, cut.part) for channel, cut in batch]
        return [found[part] if part in found else Judged(*part, known[part]) for part in parts]

    def _judge(self, cuts: list[tuple[int, Cut]]) -> Iterator[Judged]:
        """Judge new parts; those of a voice go to the recogniser together, whatever is heard between them."""
        spaced = [
            (channel, cut, windows(0, len(cut.waveform), length=self.settings.length, stride=self.settings.hop))
            for channel, cut in cuts
        ]
        for voice, group in itertools.groupby(sorted(spaced, key=self._voice), key=self._voice):
            own = list(group)
            sounds = [cut.waveform[first:last] for _, cut, spans in own for first, last in spans]
            heard = iter(self.voices.hear(voice, sounds))
            for channel, cut, spans in own:
                here = list(itertools.islice(heard, len(spans)))
                found = self._utterances(channel, cut, spans, [each.outcome for each in here])
                gained = [each.gained for each in here if each.gained is not None]
                yield Judged(channel, cut.part, found, reduce(Baseline.and_then, gained) if gained else None)

    def _voice(self, item: tuple[int, Cut, list[Span]]) -> str:
        channel, cut, _ = item
        return self._name(channel, cut.part)

    def _name(self, channel: int, part: Part) -> str:
        return self._bare(channel, part, 0, 0).voice

    def _utterances(
        self, channel: int, cut: Cut, spans: list[tuple[int, int]], outcomes: list[Outcome]
    ) -> list[Utterance]:
        """What is found in a part whose windows were judged."""
        change = math.inf if self.settings.window is None else self.settings.change * SAMPLE_RATE
        asr = self.recognizer.asr if self.settings.words else None
        found = []
        if not len(cut.waveform):  # given, and past the end of the recording
            bare = self._bare(channel, cut.part, 0, cut.part.last - cut.part.first)
            return [replace(bare, reason="no_sound")]
        for first, last, outcome in utterances(moments(spans, outcomes), change=change):
            bare = self._bare(channel, cut.part, first, last)
            if isinstance(outcome, AudioError):
                found.append(replace(bare, reason=outcome.reason))
                continue
            words = asr.transcribe(cut.waveform[first:last]) if asr is not None else None
            found.append(replace(bare, prediction=outcome, words=words))
        return found

    def _bare(self, channel: int, part: Part, first: int, last: int) -> Utterance:
        start, end = (part.first + first) / SAMPLE_RATE, (part.first + last) / SAMPLE_RATE
        return Utterance(start, end, channel if self.split else None, part.speaker)
