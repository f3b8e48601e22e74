"""A recording that was sent, to what is heard in it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from affetto import pieces
from affetto.messages import Analysis, Heard
from affetto.recognizer import Recognizer
from affetto.segments import Timeline, TimelineSettings, Utterance, timeline
from affetto.segments.hearing import Progress
from affetto.serve.problems import refused
from affetto.stream import answer
from affetto.vad import SpeechDetector

WINDOW = 5.0
"""Seconds that are judged at once, unless asked otherwise."""


@dataclass(frozen=True)
class Options:
    """How a recording is to be analysed, as those who ask say it.

    Args:
        words: whether what is said is written down.
        channels: averaged, or a voice each.
        window: seconds that are judged at once; 0: one answer a region of speech.
        baseline: whether each voice is judged beside what was heard of it before.
    """

    words: bool = False
    channels: Literal["mix", "split"] = "mix"
    window: float = WINDOW
    baseline: Literal["none", "running"] = "none"

    @property
    def settings(self) -> TimelineSettings:
        """The same, as timelines know it."""
        return TimelineSettings(
            window=self.window or None, channels=self.channels, words=self.words, baseline=self.baseline
        )


def analyse(
    path: Path,
    recognizer: Recognizer,
    options: Options,
    *,
    detector: SpeechDetector,
    progress: Progress | None = None,
    journal: Path | None = None,
) -> Timeline:
    """A recording's timeline.

    Args:
        path: of the recording.
        recognizer: judges.
        options: how.
        detector: finds speech.
        progress: told how far it is.
        journal: folder in which it is noted what is done.

    Raises:
        AudioError: if the recording cannot be heard.
    """
    return timeline(path, recognizer, options.settings, detector=detector, progress=progress, journal=journal)


def check_length(path: Path, seconds: float) -> None:
    """See that a recording is not too long, by its header.

    Raises:
        AudioError: if it is none.
        RefusedError: if it is.
    """
    length = pieces.header(path).seconds
    if length is None or length > seconds:
        got = "a header that does not say how long it is" if length is None else f"{length:.1f} s"
        expected = f"at most {seconds:g} s; longer recordings go to /v1/jobs"
        raise refused(413, "the recording is too long", got=got, expected=expected)


def named(timeline: Timeline, name: str) -> Timeline:
    """The timeline of a recording that is called otherwise than the file it lay in."""
    return replace(timeline, file=name)


def message(timeline: Timeline) -> Analysis:
    """A timeline as it is sent."""
    return Analysis(
        file=timeline.file,
        seconds=timeline.seconds,
        model=timeline.model,
        labels=timeline.labels,
        utterances=tuple(_heard(utterance) for utterance in timeline.utterances),
        damage=timeline.damage,
    )


def _heard(utterance: Utterance) -> Heard:
    known: dict[str, Any] = {} if utterance.prediction is None else answer(utterance.prediction)
    return Heard(
        start=utterance.start,
        end=utterance.end,
        channel=utterance.channel,
        speaker=utterance.speaker,
        words=utterance.words,
        reason=utterance.reason,
        **known,
    )
