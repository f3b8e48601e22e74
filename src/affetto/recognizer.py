"""Recognition: from files, bytes or arrays, and where the model needs them transcripts, to emotions or ratings."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from affetto import audio, checkpoint, pretrained
from affetto.asr import Transcriber
from affetto.audio import Waveform
from affetto.batch import by_length
from affetto.checkpoint import Checkpoint
from affetto.corpora.base import Corpus
from affetto.device import Precision, autocast, choose
from affetto.errors import AudioError, ConfigError
from affetto.models.base import Sense

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
        asr: writes down what is said where no transcript is given; for models that hear words.
        without: what is not listened to although it is there; for models that can do without.

    Raises:
        ConfigError: if the device is not there, or the model cannot do without.

    Example:
        >>> recognizer = Recognizer.from_pretrained()
        >>> time = np.arange(48_000) / 48_000
        >>> prediction = recognizer.predict((np.sin(1000 * time) * np.sin(9 * time), 48_000))
        >>> sorted(prediction.probabilities)
        ['anger', 'boredom', 'disgust', 'fear', 'happiness', 'neutral', 'sadness']
    """

    def __init__(
        self,
        model: Checkpoint,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        asr: Transcriber | None = None,
        without: Sense | None = None,
    ) -> None:
        if without is not None and without not in model.model.optional:
            raise ConfigError(
                f"{model.name} cannot do without {without}: it was not trained to (see the setting modality_dropout)"
            )
        self.checkpoint = model
        self.senses = model.model.senses - {without}
        self.optional = model.model.optional if without is None else frozenset()
        self.asr = asr
        self.device = choose(device)
        self.precision: Precision = precision
        model.model.to(self.device).eval()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        asr: Transcriber | None = None,
        without: Sense | None = None,
    ) -> "Recognizer":
        """The recogniser of a checkpoint.

        Args:
            source: the name of a model that ships, a folder, or a hub id; None: the model that ships.
            device: where to compute.
            precision: in which numbers.
            asr: writes down what is said where no transcript is given.
            without: what is not listened to.

        Raises:
            CheckpointError: if there is no such checkpoint, or it is damaged.
            ConfigError: if the device is not there, or the model cannot do without.
        """
        return cls(checkpoint.load(locate(source)), device=device, precision=precision, asr=asr, without=without)

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

    def predict(self, source: Source | None, *, words: str | None = None) -> Prediction:
        """What is heard in one recording.

        Args:
            source: a path, a file's bytes, an open binary file, or (samples, rate in Hz); samples of any channel
                count and number type. None, where there are words alone, does for a model that needs no sound.
            words: what is said in it, "" for nothing; only looked at by models that hear words.

        Raises:
            AudioError: if it cannot be heard, or the model hears words, cannot do without, and there are none.
        """
        return self._hear([self._worded(_read(source), words)])[0]

    def predict_all(
        self, sources: Iterable[Source | None], *, words: Iterable[str | None] | None = None
    ) -> Iterator[Prediction | AudioError]:
        """What is heard in each of many recordings, in their order; batched by length.

        Args:
            sources: of the recordings, None where there are words alone.
            words: what is said in each, None where that is not known; None: nothing is known.

        Yields:
            A prediction, or the error of a recording that cannot be heard: one bad file does not stop the rest.
        """
        said = itertools.repeat(None) if words is None else words
        return self._outcomes(
            lambda item: self._worded(_read(item[0]), item[1]), zip(sources, said, strict=words is not None)
        )

    def predict_corpus(self, corpus: Corpus) -> Iterator[Prediction | AudioError]:
        """What is heard in each utterance of a corpus, in its order; `file` as the corpus's table has it.

        Transcripts are the corpus's own. A model that hears words alone needs no sound to be there.

        Yields:
            A prediction with the utterance's start and end, or the error of one that cannot be heard.
        """
        return self._outcomes(lambda row: self._utterance(corpus, row), range(len(corpus)))

    def predict_table(self, sources: Iterable[Source], *, words: Iterable[str | None] | None = None) -> pd.DataFrame:
        """The same as a table: one row a recording, with `columns`.

        Raises:
            AudioError: at the first recording that cannot be heard.
        """
        rows = []
        for outcome in self.predict_all(sources, words=words):
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
                seconds += clip.seconds
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
        results: dict[int, Prediction] = {}
        for batch in self._batches(clips):
            waveforms = [clips[i].waveform for i in batch] if self._sounds(clips[batch[0]]) else None
            words = [text for i in batch if (text := clips[i].words) is not None] or None
            with autocast(self.device, self.precision):
                rows = self.checkpoint.answers(waveforms, words, device=self.device)
            for i, row in zip(batch, rows.tolist(), strict=True):
                clip = clips[i]
                heard = {self.checkpoint.task.gives: dict(zip(self.labels, row, strict=True))}
                probabilities, dimensions = heard.get("probabilities", {}), heard.get("dimensions", {})
                end = clip.start + clip.seconds
                results[i] = Prediction(clip.name, clip.start, end, probabilities, dimensions, clip.notes)
        return [results[i] for i in range(len(clips))]

    def _batches(self, clips: "Sequence[_Heard]") -> Iterator[list[int]]:
        """Clips of which the same is there, and that are similar in length; indices into `clips`."""
        alike: dict[tuple[bool, bool], list[int]] = {}
        for i, clip in enumerate(clips):
            alike.setdefault((self._sounds(clip), clip.words is None), []).append(i)
        for group in alike.values():
            lengths = [len(clips[i].waveform) for i in group]
            for batch in by_length(lengths, len(group), budget=round(BATCH_SECONDS * audio.SAMPLE_RATE)):
                yield [group[i] for i in batch]

    def _sounds(self, clip: "_Heard") -> bool:
        """Whether there is sound that the model listens to."""
        return "sound" in self.senses and len(clip.waveform) > 0

    def _utterance(self, corpus: Corpus, row: int) -> "_Heard":
        file, start, _ = corpus.table.index[row]
        words = corpus.transcripts[row]
        if "sound" in self.senses or words is None:
            recording = corpus.recording(row)
            heard = _Heard(file, recording.waveform, start.total_seconds(), recording.notes)
            return self._worded(heard, words)
        return _Heard(file, np.zeros(0, np.float32), start.total_seconds(), words=words)

    def _worded(self, heard: "_Heard", words: str | None) -> "_Heard":
        """A recording with what is said in it, as it was given or as the ASR hears it.

        Raises:
            AudioError: if what the model hears is not there, and it cannot do without.
        """
        if "words" in self.senses:
            if words is None and self.asr is not None and len(heard.waveform):
                words = self.asr.transcribe(heard.waveform)
            heard = replace(heard, words=words)
        name, model = heard.name or "<array>", self.checkpoint.name
        sounds = self._sounds(heard)
        if "sound" in self.senses and not sounds and ("sound" not in self.optional or words is None):
            raise AudioError(name, "no_sound", f"has no recording, and {model} hears sound; give one")
        if "words" in self.senses and words is None:
            if "words" not in self.optional:
                hint = "give --transcripts FILE, or --asr MODEL"
                raise AudioError(name, "no_words", f"has no transcript, and {model} hears words; {hint}")
            heard = replace(heard, notes=(*heard.notes, "has no transcript, judged by the voice alone"))
        return heard


@dataclass(frozen=True)
class _Heard:
    """A recording under the name that it was given by, the second at which it begins there, and what is said in it.

    Its waveform is empty where nobody listened, its words None where nobody knows or asks.
    """

    name: str
    waveform: Waveform
    start: float = 0.0
    notes: tuple[str, ...] = ()
    words: str | None = None

    @property
    def seconds(self) -> float:
        """Duration in seconds; 0 where nobody listened."""
        return len(self.waveform) / audio.SAMPLE_RATE


def locate(source: str | Path | None) -> str | Path:
    """The folder or hub id meant by what a user wrote: a shipped model's name, a folder, a hub id, or nothing."""
    if source is None:
        return pretrained.folder(pretrained.DEFAULT)
    return pretrained.locate(source)


def _read(source: Source | None) -> _Heard:
    if source is None:
        return _Heard("", np.zeros(0, np.float32))
    if isinstance(source, tuple):
        name, recording = "", audio.from_array(np.asarray(source[0]), source[1])
    else:
        name = str(source) if isinstance(source, str | Path) else ""
        recording = audio.read(source)
    return _Heard(name, recording.waveform, notes=recording.notes)
