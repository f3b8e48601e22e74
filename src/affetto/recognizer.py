"""Recognition: from files, bytes or arrays to emotions with probabilities, or to ratings on dimensions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from affetto import audio, checkpoint, pretrained
from affetto.audio import Recording
from affetto.batch import by_length
from affetto.checkpoint import Checkpoint
from affetto.corpora.base import Corpus
from affetto.device import Precision, autocast, choose
from affetto.errors import AudioError

Source = str | Path | bytes | BinaryIO | tuple[npt.NDArray[Any], int]
"""A path, a file's bytes, an open binary file, or samples with their rate in Hz."""

T = TypeVar("T")

BATCH_SECONDS = 20.0
"""Audio in one batch, padding included."""
READ_AHEAD = 256
"""Recordings that are read, at most, before they are sorted by length and heard."""
READ_AHEAD_SECONDS = 1200.0
"""Audio that is read, at least, before it is heard although there are more recordings to come."""


@dataclass(frozen=True)
class Prediction:
    """What a recogniser heard in one recording.

    Args:
        file: the recording's name as it was given; "" for arrays and bytes.
        start, end: seconds of the stretch that was heard.
        probabilities: category -> probability; they sum to 1. Empty if the model gives none.
        dimensions: dimension -> rating, on the scale that the model was trained on. Empty if the model gives none.
        notes: what a careful listener would want to know about the recording, in words.
    """

    file: str
    start: float
    end: float
    probabilities: dict[str, float] = field(default_factory=dict)
    dimensions: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def emotion(self) -> str:
        """The likeliest category.

        Raises:
            AttributeError: if the model gives no categories.
        """
        if not self.probabilities:
            raise AttributeError(f"no emotion: the model gives {', '.join(self.dimensions)} and no categories")
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The likeliest category's probability."""
        return self.probabilities[self.emotion]

    @property
    def row(self) -> dict[str, str | float]:
        """`file`, `start`, `end`; `emotion`, `confidence` and one probability a category; or the dimensions."""
        row: dict[str, str | float] = {"file": self.file, "start": self.start, "end": self.end}
        if self.probabilities:
            row |= {"emotion": self.emotion, "confidence": self.confidence}
        return {**row, **self.probabilities, **self.dimensions}


class Recognizer:
    """Hears which emotion a recording carries.

    Args:
        model: a loaded checkpoint.
        device: where to compute: "auto", "cpu", "cuda" or "mps".
        precision: "auto" computes in bfloat16 where the hardware is fast at it, "fp32" never, "bf16" always.

    Raises:
        ConfigError: if the device is not there.

    Example:
        >>> recognizer = Recognizer.from_pretrained()
        >>> time = np.arange(48_000) / 48_000
        >>> prediction = recognizer.predict((np.sin(1000 * time) * np.sin(9 * time), 48_000))
        >>> sorted(prediction.probabilities)
        ['anger', 'boredom', 'disgust', 'fear', 'happiness', 'neutral', 'sadness']
    """

    def __init__(self, model: Checkpoint, *, device: str = "auto", precision: Precision = "auto") -> None:
        self.checkpoint = model
        self.device = choose(device)
        self.precision: Precision = precision
        model.model.to(self.device).eval()

    @classmethod
    def from_pretrained(
        cls, source: str | Path | None = None, *, device: str = "auto", precision: Precision = "auto"
    ) -> "Recognizer":
        """The recogniser of a checkpoint.

        Args:
            source: the name of a model that ships, a folder, or a hub id; None: the model that ships.
            device: where to compute.
            precision: in which numbers.

        Raises:
            CheckpointError: if there is no such checkpoint, or it is damaged.
            ConfigError: if the device is not there.
        """
        return cls(checkpoint.load(locate(source)), device=device, precision=precision)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the checkpoint, with its card, to a folder."""
        checkpoint.save(self.checkpoint, Path(folder))
        self.checkpoint.model.to(self.device)

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories, in the order of the probabilities; or the dimensions."""
        return self.checkpoint.task.labels

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a table of predictions: `file`, `start` and `end`, then what the model gives."""
        return ("file", "start", "end", *self.checkpoint.task.columns)

    def predict(self, source: Source) -> Prediction:
        """What is heard in one recording.

        Args:
            source: a path, a file's bytes, an open binary file, or (samples, rate in Hz); samples of any channel
                count and number type.

        Raises:
            AudioError: if it cannot be heard.
        """
        return self._hear([_read(source)])[0]

    def predict_all(self, sources: Iterable[Source]) -> Iterator[Prediction | AudioError]:
        """What is heard in each of many recordings, in their order; batched by length.

        Yields:
            A prediction, or the error of a recording that cannot be heard: one bad file does not stop the rest.
        """
        return self._outcomes(_read, sources)

    def predict_corpus(self, corpus: Corpus) -> Iterator[Prediction | AudioError]:
        """What is heard in each utterance of a corpus, in its order; `file` as the corpus's table has it.

        Yields:
            A prediction with the utterance's start and end, or the error of one that cannot be heard.
        """
        return self._outcomes(lambda row: _utterance(corpus, row), range(len(corpus)))

    def predict_table(self, sources: Iterable[Source]) -> pd.DataFrame:
        """The same as a table: one row a recording, with `columns`.

        Raises:
            AudioError: at the first recording that cannot be heard.
        """
        rows = []
        for outcome in self.predict_all(sources):
            if isinstance(outcome, AudioError):
                raise outcome
            rows.append(outcome.row)
        return pd.DataFrame(rows, columns=list(self.columns))

    def _outcomes(self, read: "Callable[[T], _Heard]", items: Iterable[T]) -> Iterator[Prediction | AudioError]:
        """Predictions or errors of items, in their order; read ahead so that they can be batched by length."""
        ahead: list[_Heard | AudioError] = []
        seconds = 0.0
        for item in items:
            try:
                clip = read(item)
                ahead.append(clip)
                seconds += clip.recording.seconds
            except AudioError as error:
                ahead.append(error)
            if len(ahead) == READ_AHEAD or seconds >= READ_AHEAD_SECONDS:
                yield from self._in_order(ahead)
                ahead, seconds = [], 0.0
        yield from self._in_order(ahead)

    def _in_order(self, ahead: "Sequence[_Heard | AudioError]") -> Iterator[Prediction | AudioError]:
        heard = iter(self._hear([clip for clip in ahead if not isinstance(clip, AudioError)]))
        for clip in ahead:
            yield clip if isinstance(clip, AudioError) else next(heard)

    def _hear(self, clips: "Sequence[_Heard]") -> list[Prediction]:
        """Predictions of some recordings, in their order."""
        lengths = [len(clip.recording.waveform) for clip in clips]
        results: dict[int, Prediction] = {}
        for batch in by_length(lengths, len(clips), budget=round(BATCH_SECONDS * audio.SAMPLE_RATE)):
            with autocast(self.device, self.precision):
                rows = self.checkpoint.answers([clips[i].recording.waveform for i in batch], self.device)
            for i, row in zip(batch, rows.tolist(), strict=True):
                recording = clips[i].recording
                end = clips[i].start + recording.seconds
                heard = {self.checkpoint.task.gives: dict(zip(self.labels, row, strict=True))}
                probabilities, dimensions = heard.get("probabilities", {}), heard.get("dimensions", {})
                results[i] = Prediction(clips[i].name, clips[i].start, end, probabilities, dimensions, recording.notes)
        return [results[i] for i in range(len(clips))]


@dataclass(frozen=True)
class _Heard:
    """A recording under the name that it was given by, and the second at which it begins there."""

    name: str
    recording: Recording
    start: float = 0.0


def locate(source: str | Path | None) -> str | Path:
    """The folder or hub id meant by what a user wrote: a shipped model's name, a folder, a hub id, or nothing."""
    if source is None:
        return pretrained.folder(pretrained.DEFAULT)
    return pretrained.locate(source)


def _read(source: Source) -> _Heard:
    if isinstance(source, tuple):
        samples, rate = source
        return _Heard("", audio.from_array(np.asarray(samples), rate))
    name = str(source) if isinstance(source, str | Path) else ""
    return _Heard(name, audio.read(source))


def _utterance(corpus: Corpus, row: int) -> _Heard:
    file, start, _ = corpus.table.index[row]
    return _Heard(file, corpus.recording(row), start.total_seconds())
