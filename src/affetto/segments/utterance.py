"""What is found in a long recording: utterances, each with one answer, on a timeline."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

from affetto.recognizer import Prediction


@dataclass(frozen=True)
class Utterance:
    """A stretch in which one speaker carries one emotion; or one that was not judged, and why.

    Args:
        start, end: seconds from the beginning of the recording.
        channel: of the recording, from 0; None where channels were averaged.
        speaker: as a diarisation calls them; None where nobody knows.
        prediction: what was heard; None where nothing was judged. Its confidence is that of the whole stretch.
        words: what is said, "" for nothing; None where nobody listened for words.
        reason: why nothing was judged, in a word or two; None where it was.
    """

    start: float
    end: float
    channel: int | None = None
    speaker: str | None = None
    prediction: Prediction | None = None
    words: str | None = None
    reason: str | None = None

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.end - self.start

    @property
    def voice(self) -> str:
        """Whose it is, as far as known: the speaker, `channel 0` for the first of several channels, or ""."""
        if self.speaker is not None:
            return self.speaker
        return "" if self.channel is None else f"channel {self.channel}"

    @property
    def doubt(self) -> str:
        """Why its answer is not to be trusted: its flags, or "unsure"; mostly ""."""
        heard = self.prediction
        return "" if heard is None or heard.trust == "sure" else heard.trust


@dataclass(frozen=True)
class Timeline:
    """A recording's utterances in the order in which they begin. It does not hold audio.

    Args:
        file: the recording's name as it was given.
        seconds: that it lasts, what of it cannot be heard included.
        utterances: sorted by start, then channel; those of one channel and speaker do not overlap.
        model: name of the checkpoint that judged.
        labels: its categories or dimensions.
        gives: which of the two.
        damage: what keeps the recording from being heard to its end, in words; None for nothing.
    """

    file: str
    seconds: float
    utterances: tuple[Utterance, ...]
    model: str
    labels: tuple[str, ...]
    gives: Literal["probabilities", "dimensions"] = "probabilities"
    damage: str | None = None

    @property
    def judged(self) -> tuple[Utterance, ...]:
        """The utterances that have an answer."""
        return tuple(utterance for utterance in self.utterances if utterance.prediction is not None)

    @property
    def voices(self) -> tuple[str, ...]:
        """Channels in their order, speakers in that in which they are first heard; ("",) where nobody is told apart."""
        by_channel = sorted(self.utterances, key=lambda utterance: utterance.channel or 0)
        return tuple(dict.fromkeys(utterance.voice for utterance in by_channel))

    @property
    def columns(self) -> tuple[str, ...]:
        """Of `rows`: where and who, what was heard, and what there is to say about it."""
        answer = ("emotion", "confidence", *self.labels) if self.gives == "probabilities" else self.labels
        return ("file", "start", "end", "channel", "speaker", *answer, "words", "reason", "flags")

    def rows(self) -> list[dict[str, Any]]:
        """One row an utterance, with `columns`; None where there is nothing."""
        rows = []
        for utterance in self.utterances:
            heard = {} if utterance.prediction is None else utterance.prediction.row
            own = {
                "file": self.file,
                "start": utterance.start,
                "end": utterance.end,
                "channel": utterance.channel,
                "speaker": utterance.speaker,
                "words": utterance.words,
                "reason": utterance.reason,
            }
            rows.append({name: own[name] if name in own else heard.get(name) for name in self.columns})
        return rows

    def silences(self) -> tuple[tuple[float, float], ...]:
        """The stretches in which no utterance is, (start, end) in seconds, whoever speaks."""
        ends = itertools.accumulate((utterance.end for utterance in self.utterances), max, initial=0.0)
        starts = (*(utterance.start for utterance in self.utterances), self.seconds)
        return tuple((end, start) for end, start in zip(ends, starts, strict=True) if start > end)
