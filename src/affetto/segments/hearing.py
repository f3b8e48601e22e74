"""From a file of any length to its timeline: read, find speech, judge windows of it, and join what belongs together.

Reading and finding speech go on while what was found is judged in another thread, so that both cores of a small machine
have something to do; what is judged, and in which order, does not depend on it.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from affetto import pieces
from affetto.audio import SAMPLE_RATE, Waveform
from affetto.errors import AudioError, ConfigError
from affetto.recognizer import Prediction, Recognizer
from affetto.segments.journal import Journal, key
from affetto.segments.judging import Cut, Judge, Judged
from affetto.segments.regions import Found, Given, Part, Parts, Region
from affetto.segments.settings import TimelineSettings
from affetto.segments.utterance import Timeline, Utterance
from affetto.segments.windows import pooled
from affetto.vad import SpeechDetector

Progress = Callable[[float, float | None], None]
"""Told the seconds that are done, and those that there are if the file says so."""


def timeline(
    path: str | Path,
    recognizer: Recognizer,
    settings: TimelineSettings | None = None,
    *,
    detector: SpeechDetector | None = None,
    progress: Progress | None = None,
    journal: Path | None = None,
) -> Timeline:
    """Who felt what, when, in a recording of any length.

    Args:
        path: of the recording.
        recognizer: judges windows.
        settings: how it is cut; None: the defaults.
        detector: finds speech; None: a new one.
        progress: told how far it is.
        journal: folder in which it is noted what is done, so that a run that is killed can be gone on with.

    Returns:
        The timeline. Damage in the recording ends it there and is told of, in `damage` and in an utterance that was not
        judged.

    Raises:
        AudioError: if nothing of the recording can be heard, or it is silent or shorter than 25 ms.
        ConfigError: if regions are given for a channel that is not there, or the model takes no baseline and one is
            asked for.
    """
    settings = settings or TimelineSettings()
    header = pieces.header(path)
    count = header.channels if settings.channels == "split" else 1
    _check_channels(settings.given or (), count)
    with ExitStack() as stack:
        notes = None
        if journal is not None:
            notes = stack.enter_context(Journal(journal, key(Path(path), recognizer, repr(settings))))
        sources = _sources(settings, count, detector or SpeechDetector(), notes)
        tracks = [_Track(source) for source in sources]
        judge = Judge(recognizer, settings, split=settings.channels == "split", journal=notes)
        samples, fault = 0, None
        with judge:
            try:
                for piece in pieces.pieces(path, channels=settings.channels):
                    samples += len(piece)
                    for channel, track in enumerate(tracks):
                        judge.add(channel, track.feed(piece[:, channel]))
                        if notes is not None and isinstance(track.parts, Found):
                            notes.keep_voice(channel, track.parts)
                    if progress is not None:
                        progress(samples / SAMPLE_RATE, header.seconds)
            except AudioError as error:
                if not samples or error.reason not in ("truncated", "not_finite", "undecodable"):
                    raise
                fault = error
            for channel, track in enumerate(tracks):
                judge.add(channel, track.flush())
        found = _joined(judge.results, one=settings.window is None)
        seconds = samples / SAMPLE_RATE
        if fault is not None:
            end = max(seconds, header.seconds or 0.0)
            found.append(Utterance(seconds, end, reason=fault.reason))
            seconds = end
        if notes is not None:
            notes.finish()
    named = tuple(_named(utterance, str(path)) for utterance in sorted(found, key=_order))
    task = recognizer.checkpoint.task
    name = recognizer.checkpoint.name
    detail = None if fault is None else fault.detail
    return Timeline(str(path), seconds, named, name, recognizer.labels, task.gives, detail)


class _Track:
    """One channel: keeps of its sound what may still be needed."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._kept = np.zeros(0, np.float32)
        self._first = 0  # sample that `_kept` begins with

    def feed(self, samples: Waveform) -> list[Cut]:
        self._kept = np.concatenate([self._kept, samples])
        cuts = [self._cut(part) for part in self.parts.feed(samples)]
        drop = self.parts.needed - self._first
        if drop > 0:
            self._kept, self._first = self._kept[drop:].copy(), self._first + drop
        return cuts

    def flush(self) -> list[Cut]:
        return [self._cut(part) for part in self.parts.flush()]

    def _cut(self, part: Part) -> Cut:
        return Cut(part, self._kept[max(0, part.first - self._first) : max(0, part.last - self._first)].copy())


def _sources(
    settings: TimelineSettings, channels: int, detector: SpeechDetector, journal: Journal | None
) -> Iterator[Parts]:
    """Who says where speech is, a channel each."""
    for channel in range(channels):
        if settings.given is None:
            known = None if journal is None else journal.voices.get(channel)
            yield Found(detector, settings.regions, known)
        else:
            own = [region for region in settings.given if region.channel in (None, channel)]
            yield Given(own, settings.regions.longest)


def _check_channels(regions: Iterable[Region], count: int) -> None:
    for region in regions:
        if region.channel is not None and region.channel >= count:
            raise ConfigError(
                f"speech is given for channel {region.channel} (from 0) of {count}; is --channels split missing?"
            )


def _joined(results: Iterable[Judged], *, one: bool) -> list[Utterance]:
    """Utterances; those of a long region that its parts have divided are put together again.

    Args:
        results: the parts in order.
        one: whether a region has one answer, whatever its parts have.
    """
    found: list[Utterance] = []
    by_channel = sorted(results, key=lambda judged: (judged.channel, judged.part.region, judged.part.first))
    for _, group in itertools.groupby(by_channel, key=lambda judged: (judged.channel, judged.part.region)):
        own: list[Utterance] = []
        for utterance in (utterance for judged in group for utterance in judged.utterances):
            if own and _belongs(own[-1], utterance, one=one):
                own[-1] = _together(own[-1], utterance)
            else:
                own.append(utterance)
        found += own
    return found


def _belongs(before: Utterance, after: Utterance, *, one: bool) -> bool:
    """Whether two utterances of a region are one."""
    if before.prediction is None or after.prediction is None:
        return before.reason == after.reason and before.prediction is after.prediction
    if one:
        return True
    return bool(before.prediction.probabilities) and before.prediction.emotion == after.prediction.emotion


def _together(before: Utterance, after: Utterance) -> Utterance:
    """One utterance of two, its answer their mean by duration."""
    words = None if before.words is None else " ".join(filter(None, (before.words, after.words)))
    prediction = None
    if before.prediction is not None and after.prediction is not None:
        heard = [before.prediction, after.prediction]
        answers = [[*(own.probabilities or own.dimensions).values()] for own in heard]
        mean = np.average(answers, axis=0, weights=[before.seconds, after.seconds])
        prediction = pooled(heard, mean)
    return replace(before, end=after.end, prediction=prediction, words=words)


def _named(utterance: Utterance, file: str) -> Utterance:
    """With a prediction that knows of what it is."""
    if utterance.prediction is None:
        return utterance
    prediction: Prediction = replace(utterance.prediction, file=file, start=utterance.start, end=utterance.end)
    return replace(utterance, prediction=prediction)


def _order(utterance: Utterance) -> tuple[float, int, float]:
    return utterance.start, -1 if utterance.channel is None else utterance.channel, utterance.end
