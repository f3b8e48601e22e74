"""What judges recordings: a checkpoint with all that stands before and after its network."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from affetto import audio, checkpoint, pretrained
from affetto.asr import Transcriber
from affetto.baseline import Baseline
from affetto.batch import Padded, by_length
from affetto.checkpoint import Checkpoint
from affetto.corpora.base import Corpus
from affetto.device import Precision, autocast, choose, use_bf16
from affetto.errors import AudioError, ConfigError
from affetto.flags import Signal
from affetto.models.base import Sense, Streams
from affetto.recognizer.heard import Heard, Source, read, with_speech
from affetto.recognizer.prediction import Prediction
from affetto.recognizer.running import RunningBaseline
from affetto.vad import Probabilities, SpeechDetector

T = TypeVar("T")

BATCH_SECONDS = 20.0
"""Audio in one batch, padding included."""
READ_AHEAD = 256
"""Recordings that are read, at most, before they are sorted by length and heard."""
READ_AHEAD_SECONDS = 1200.0
"""Audio that is read, at least, before it is heard although there are more recordings to come."""


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
            why = "it was not trained to (see the setting modality_dropout)"
            if without not in model.model.senses:
                raise ConfigError(f"{model.name} hears no {without}: there is nothing to do without")
            if len(model.model.senses) == 1:
                why = f"it hears {without} alone"
            raise ConfigError(f"{model.name} cannot do without {without}: {why}")
        self.checkpoint = model
        self.senses = model.model.senses - {without}
        self.optional = model.model.optional if without is None else frozenset()
        self.asr = asr
        self.detector = SpeechDetector()
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

    def prepare(self) -> None:
        """Make it fast at many recordings of ever other lengths (`Frozen.prepare`); it must not be saved then."""
        self.checkpoint.model.prepare(bf16=use_bf16(self.device, self.precision))

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
        """Of a table of predictions: `file`, `start` and `end`, then what the model gives, and how far to trust it."""
        trust = ("label_set", "reliable", "flags") if self.checkpoint.calibration else ("flags",)
        return ("file", "start", "end", *self.checkpoint.task.columns, *trust)

    @cached_property
    def heard_by(self) -> str:
        """Fingerprint of what makes the vectors of a speaker's baseline.

        Raises:
            ConfigError: if the model takes no baseline.
        """
        model = self.checkpoint.model
        if not model.takes_baseline:
            raise ConfigError(
                f"{self.checkpoint.name} takes no speaker's baseline: it was not trained to (see the setting baseline)"
            )
        [stream] = model.streams.values()
        return str(stream.fingerprint)

    def baseline(self, clips: Iterable[Source]) -> Baseline:
        """What a speaker is like, from clips of that speaker alone; nobody needs to know what they feel in them.

        Raises:
            AudioError: at the first clip that cannot be heard.
            ConfigError: if the model takes no baseline, or there are no clips.
        """
        return self._baseline([read(clip) for clip in clips])

    def baseline_of(self, clips: Iterable[Source]) -> Baseline | None:
        """The same of those clips that can be heard; None if none can.

        Raises:
            ConfigError: if the model takes no baseline.
        """
        heard = []
        for clip in clips:
            with suppress(AudioError):  # told where the clip itself is judged
                heard.append(read(clip))
        return self._baseline(heard) if heard else None

    def _baseline(self, heard: Sequence[Heard]) -> Baseline:
        heard_by = self.heard_by
        if not heard:
            raise ConfigError("a speaker's baseline is made of one clip or more, got none")
        lengths = torch.tensor([clip.seconds for clip in heard], dtype=torch.float32)
        return Baseline(self.summaries(heard), lengths, heard_by)

    def running(self) -> RunningBaseline:
        """A baseline that grows with every clip it judges, for one speaker.

        Raises:
            ConfigError: if the model takes no baseline.
        """
        return RunningBaseline(self)

    def predict(
        self, source: Source | None, *, words: str | None = None, baseline: Baseline | None = None
    ) -> Prediction:
        """What is heard in one recording.

        Args:
            source: a path, a file's bytes, an open binary file, or (samples, rate in Hz); samples of any channel
                count and number type. None, where there are words alone, does for a model that needs no sound.
            words: what is said in it, "" for nothing; only looked at by models that hear words.
            baseline: of its speaker.

        Raises:
            AudioError: if it cannot be heard, or the model hears words, cannot do without, and there are none.
            ConfigError: if the model takes no baseline, or it is another model's.
        """
        return self.judge([self._beside(self._worded(read(source), words), baseline)])[0]

    def predict_all(
        self,
        sources: Iterable[Source | None],
        *,
        words: Iterable[str | None] | None = None,
        baselines: Iterable[Baseline | None] | None = None,
        speech: Iterable[Probabilities | None] | None = None,
        flagged: bool = True,
    ) -> Iterator[Prediction | AudioError]:
        """What is heard in each of many recordings, in their order; batched by length.

        Args:
            sources: of the recordings, None where there are words alone.
            words: what is said in each, None where that is not known; None: nothing is known.
            baselines: of each one's speaker, None where there is none; None: there are none.
            speech: probability in each 32 ms of each, where a speech detector has heard it already (`affetto.vad`).
            flagged: whether it is said how far to trust the answers; a provisional one can do without.

        Yields:
            A prediction, or the error of a recording that cannot be heard: one bad file does not stop the rest.

        Raises:
            ConfigError: if the model takes no baseline, or one is another model's.
        """
        said = itertools.repeat(None) if words is None else words
        known = itertools.repeat(None) if baselines is None else baselines
        likely = itertools.repeat(None) if speech is None else speech
        given = zip(zip(sources, said, strict=words is not None), known, strict=baselines is not None)

        def given_as(
            item: tuple[tuple[tuple[Source | None, str | None], Baseline | None], Probabilities | None],
        ) -> Heard:
            ((source, text), baseline), probabilities = item
            heard = with_speech(self._beside(self._worded(read(source), text), baseline), probabilities)
            return replace(heard, flagged=flagged)

        return self._outcomes(given_as, zip(given, likely, strict=speech is not None))

    def predict_corpus(
        self, corpus: Corpus, *, baselines: Sequence[Baseline | None] | None = None
    ) -> Iterator[Prediction | AudioError]:
        """What is heard in each utterance of a corpus, in its order; `file` as the corpus's table has it.

        Transcripts are the corpus's own. A model that hears words alone needs no sound to be there.

        Args:
            corpus: the utterances.
            baselines: of each one's speaker, None where there is none; None: there are none.

        Yields:
            A prediction with the utterance's start and end, or the error of one that cannot be heard.
        """
        known = [None] * len(corpus) if baselines is None else baselines
        return self._outcomes(lambda row: self._beside(self._utterance(corpus, row), known[row]), range(len(corpus)))

    def speaker_baselines(self, corpus: Corpus) -> list[Baseline | None]:
        """A baseline for each utterance of a corpus: all that its speaker says there, the utterance itself included.

        None where the speaker is not known, and for speakers of whom nothing can be heard.

        Raises:
            ConfigError: if the model takes no baseline, or the corpus names no speaker.
        """
        speakers = corpus.table["speaker"].tolist()
        made: dict[str, Baseline | None] = {}
        for speaker in dict.fromkeys(name for name in speakers if isinstance(name, str)):
            clips = []
            for row in (row for row, name in enumerate(speakers) if name == speaker):
                with suppress(AudioError):
                    clips.append(self._utterance(corpus, row))
            made[speaker] = self._baseline(clips) if clips else None
        if not made:
            raise ConfigError(f"{corpus.name}: baselines by speaker need a column 'speaker' that names them")
        return [made.get(speaker) for speaker in speakers]

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

    def _outcomes(self, read: Callable[[T], Heard], items: Iterable[T]) -> Iterator[Prediction | AudioError]:
        """Predictions or errors of items, in their order; read ahead so that they can be batched by length."""
        ahead: list[Heard | AudioError] = []
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

    def _in_order(self, ahead: Sequence[Heard | AudioError]) -> Iterator[Prediction | AudioError]:
        heard = iter(self.judge([clip for clip in ahead if not isinstance(clip, AudioError)]))
        for clip in ahead:
            yield clip if isinstance(clip, AudioError) else next(heard)

    def judge(self, clips: Sequence[Heard]) -> list[Prediction]:
        """Predictions of some recordings, in their order."""
        if self.checkpoint.model.takes_baseline:
            return self.told(clips, self.summaries(clips)) if clips else []
        results: dict[int, Prediction] = {}
        for batch in self._batches(clips):
            waveforms = [clips[i].waveform for i in batch] if self._sounds(clips[batch[0]]) else None
            words = [text for i in batch if (text := clips[i].words) is not None] or None
            with autocast(self.device, self.precision):
                streams = self.checkpoint.hear(waveforms, words, device=self.device)
                rows = self.checkpoint.judge(streams)
            for i, row, far in zip(batch, rows.tolist(), self._far(streams, [clips[i] for i in batch]), strict=True):
                results[i] = self._prediction(clips[i], row, far=far)
        return [results[i] for i in range(len(clips))]

    def summaries(self, clips: Sequence[Heard]) -> torch.Tensor:
        """What the model makes of each recording, (clips, D), float32, on the CPU; for models that take baselines."""
        made: dict[int, torch.Tensor] = {}
        for batch in self._batches(clips):
            with autocast(self.device, self.precision):
                [stream] = self.checkpoint.hear([clips[i].waveform for i in batch], device=self.device).values()
            # Copied: a batch's whole tensor would stay for the sake of one clip, and as a tensor of inference.
            made |= {i: row.float().cpu().clone() for i, row in zip(batch, stream.values[:, 0], strict=True)}
        return torch.stack([made[i] for i in range(len(clips))])

    def told(self, clips: Sequence[Heard], summaries: torch.Tensor) -> list[Prediction]:
        """Predictions of recordings of which the model made these, (clips, D), each beside its speaker's baseline."""
        [name] = self.checkpoint.model.streams
        streams = {name: Padded(summaries[:, None], torch.ones(len(clips), dtype=torch.long)).to(self.device)}
        rows = self.checkpoint.judge(streams, [clip.baseline for clip in clips]).tolist()
        far = self._far(streams, clips)
        return [self._prediction(*each[:2], far=each[2]) for each in zip(clips, rows, far, strict=True)]

    def _beside(self, heard: Heard, baseline: Baseline | None) -> Heard:
        """A recording with its speaker's baseline."""
        if baseline is None:
            return heard
        baseline.check(self.heard_by)
        return replace(heard, baseline=baseline)

    def _far(self, streams: Streams, clips: Sequence[Heard]) -> list[bool]:
        """Which of some clips are out of the model's domain; none where that is not known, or nobody asks."""
        domain, voices = self.checkpoint.domain, None
        if domain is not None and any(clip.flagged for clip in clips):
            voices = self.checkpoint.voices(streams)
        if domain is None or voices is None:
            return [False] * len(clips)
        return [bool(far) for far in domain.distances(voices) > domain.threshold]

    def _prediction(self, clip: Heard, answers: list[float], *, far: bool) -> Prediction:
        """What is told of a clip, given the model's answers, (labels,)."""
        flags: tuple[str, ...] = ()
        if self._sounds(clip) and clip.flagged:
            signal = Signal.of(clip.waveform, self.detector, speech=clip.speech, clipped=clip.clipped)
            flags = signal.flags(far=far)
        told = Prediction(clip.name, clip.start, clip.start + clip.seconds, notes=clip.notes, flags=flags)
        calibration = self.checkpoint.calibration
        if self.checkpoint.task.gives == "dimensions":
            ratings = dict(zip(self.labels, answers, strict=True))
            return replace(told, dimensions=ratings, notes=(*told.notes, *self._off_scale(ratings)))
        if calibration is None:
            return replace(told, probabilities=dict(zip(self.labels, answers, strict=True)))
        probabilities = calibration.apply(answers).tolist()
        told = replace(told, probabilities=dict(zip(self.labels, probabilities, strict=True)))
        if not clip.flagged:
            return told
        return replace(
            told,
            label_set=calibration.label_set(probabilities, self.labels),
            reliable=not flags and max(probabilities) >= calibration.threshold,
        )

    def _off_scale(self, ratings: dict[str, float]) -> Iterator[str]:
        """Ratings further from their scale's middle than its ends are twice over, in words: no rater gives such."""
        for name, rating in ratings.items():
            low, high = self.checkpoint.task.scales[name]
            if abs(rating - (low + high) / 2) > high - low:
                yield f"{name} is rated far off the scale of {low:g} to {high:g}: no answer to go by"

    def _batches(self, clips: Sequence[Heard]) -> Iterator[list[int]]:
        """Clips of which the same is there, and that are similar in length; indices into `clips`."""
        alike: dict[tuple[bool, bool], list[int]] = {}
        for i, clip in enumerate(clips):
            alike.setdefault((self._sounds(clip), clip.words is None), []).append(i)
        for group in alike.values():
            lengths = [len(clips[i].waveform) for i in group]
            for batch in by_length(lengths, len(group), budget=round(BATCH_SECONDS * audio.SAMPLE_RATE)):
                yield [group[i] for i in batch]

    def _sounds(self, clip: Heard) -> bool:
        """Whether there is sound that the model listens to."""
        return "sound" in self.senses and len(clip.waveform) > 0

    def _utterance(self, corpus: Corpus, row: int) -> Heard:
        file, start, _ = corpus.table.index[row]
        words = corpus.transcripts[row]
        if "sound" in self.senses or words is None:
            recording = corpus.recording(row)
            heard = Heard(file, recording.waveform, start.total_seconds(), recording.notes, clipped=recording.clipped)
            return self._worded(heard, words)
        return Heard(file, np.zeros(0, np.float32), start.total_seconds(), words=words)

    def _worded(self, heard: Heard, words: str | None) -> Heard:
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


def locate(source: str | Path | None) -> str | Path:
    """The folder or hub id meant by what a user wrote: a shipped model's name, a folder, a hub id, or nothing."""
    if source is None:
        return pretrained.folder(pretrained.DEFAULT)
    return pretrained.locate(source)
