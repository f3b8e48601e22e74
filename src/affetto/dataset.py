"""A corpus as a model sees it: cached features and targets, dealt out in batches of similar length."""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor

from affetto import audio
from affetto.baseline import Baseline
from affetto.batch import Batch, Padded, by_length, pad
from affetto.cache import FeatureCache
from affetto.corpora.base import Corpus
from affetto.device import Precision, autocast, use_bf16
from affetto.errors import AudioError, CorpusError
from affetto.frontend import LogMel
from affetto.models.base import Sense, SpeechModel, sense
from affetto.progress import Progress, no_progress
from affetto.tasks import Recognition

MEMORY = 2 * 2**30
"""Bytes of features that a `Features` keeps in memory; the rest is read from the cache each time."""
FEATURES_VERSION = 1
"""Part of every feature's key; raised when the same settings and weights come to give other features."""


class Data(Protocol):
    """What training asks of data: clips by row, in batches."""

    lengths: list[int]
    """Frames of each row, of its longest stream."""
    targets: Tensor
    """What the task asks for of each row, (n,) or (n, D)."""
    heard: set[int]
    """Rows whose features were asked for; whoever wants to know what a training touched empties it first."""

    def batch(self, rows: Sequence[int]) -> Batch:
        """The streams and targets of some rows."""
        ...

    def baselines(self, rows: Sequence[int]) -> list[Baseline]:
        """The baseline of each row's speaker, made of the speaker's clips among the rows."""
        ...


class Features:
    """Features and targets of a corpus's utterances, read from the cache as they are needed.

    Sound is opened only where the model hears sound. An utterance whose transcript is empty or missing is one in which
    nothing was said: a model that hears words is given "".

    Args:
        corpus: whose utterances.
        model: whose streams are listened through.
        task: gives the targets.
        cache: where features are kept.
        device: where missing ones are computed.
        precision: in which they are computed; part of their key.
        speaker_statistics: whether each clip is heard beside all its speaker's clips: with their baseline, where the
            model takes one; otherwise standardised with their mean and deviation.
        progress: told of each computed clip.

    Raises:
        AudioError: if a clip cannot be heard.
        CorpusError: if an emotion is not one of the task's classes, a rating that it asks for is missing, or the model
            hears words and there are none.
    """

    def __init__(
        self,
        corpus: Corpus,
        model: SpeechModel,
        task: Recognition,
        *,
        cache: FeatureCache,
        device: torch.device,
        precision: Precision = "auto",
        speaker_statistics: bool = False,
        progress: Progress = no_progress,
    ) -> None:
        self.corpus = corpus
        self.heard: set[int] = set()
        self.targets = task.targets(corpus.table)
        self.cache = cache
        dtype = "bf16" if use_bf16(device, precision) else "fp32"
        self._fingerprints = {
            name: f"{stream.fingerprint} {dtype} {audio.RESAMPLER} v{FEATURES_VERSION}"
            for name, stream in model.streams.items()
        }
        self._senses = {name: sense(stream) for name, stream in model.streams.items()}
        self._keys = {each: _content_keys(corpus, each) for each in model.senses}
        self._memory: dict[tuple[int, str], Tensor] = {}
        self._memory_bytes = 0
        self._statistics: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self._baselines: list[Baseline] | None = None
        self._compute_missing(model, device, precision, progress)
        if speaker_statistics and model.takes_baseline:
            self._baselines = self.baselines(range(len(corpus)))
        elif speaker_statistics:
            self._statistics = self._speaker_statistics()
        self.lengths = [max(len(self.get(i, name)) for name in self._fingerprints) for i in range(len(corpus))]

    def __len__(self) -> int:
        return len(self.corpus)

    def get(self, row: int, stream: str) -> Tensor:
        """What a stream made of an utterance, (T, D)."""
        features = self._find(row, stream)
        if features is None:
            path = self._path(row, stream)
            raise RuntimeError(f"{path} vanished from the cache while it was in use")
        self.heard.add(row)
        if self._statistics and self._senses[stream] == "sound":  # a speaker has a voice, and no words of their own
            mean, deviation = self._statistics[self.corpus.table["speaker"].iloc[row], stream]
            features = (features - mean) / deviation
        return features

    def batch(self, rows: Sequence[int]) -> Batch:
        """The features and targets of some utterances."""
        streams = {name: pad([self.get(row, name) for row in rows]) for name in self._fingerprints}
        return Batch(streams, self.targets[list(rows)], tuple(each for row in rows for each in self.beside(row)))

    def baselines(self, rows: Sequence[int]) -> list[Baseline]:
        """The baseline of each row's speaker, made of the speaker's clips among the rows.

        Raises:
            CorpusError: if a row has no speaker.
        """
        [stream] = self._fingerprints
        speakers = self._speakers().iloc[list(rows)]
        made = {}
        for speaker in speakers.unique():
            own = [row for row, name in zip(rows, speakers, strict=True) if name == speaker]
            lengths = torch.tensor([self.corpus.seconds(row) for row in own], dtype=torch.float32)
            summaries = torch.cat([self.get(row, stream) for row in own])
            made[speaker] = Baseline(summaries, lengths, self._fingerprints[stream])
        return [made[speaker] for speaker in speakers]

    def copies(self, rows: Sequence[int]) -> list[int]:
        """What is learned from where these rows are: themselves."""
        return list(rows)

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of what is listened through."""
        return tuple(self._fingerprints)

    def beside(self, row: int) -> tuple[Baseline, ...]:
        """The baseline that an utterance is heard beside; none where each is heard alone."""
        return () if self._baselines is None else (self._baselines[row],)

    def _speakers(self) -> "pd.Series[str]":
        speakers = self.corpus.table["speaker"]
        if speakers.isna().any():
            raise CorpusError(f"{self.corpus.name}: statistics by speaker need a speaker in every row")
        return speakers

    def _speaker_statistics(self) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
        """Mean and deviation, (D,) each, over all frames of each speaker and stream."""
        speakers = self._speakers()
        statistics = {}
        for speaker, rows in speakers.reset_index(drop=True).groupby(speakers.to_numpy()).groups.items():
            for stream in (name for name, heard in self._senses.items() if heard == "sound"):
                frames = torch.cat([self.get(int(row), stream) for row in rows])
                deviation = frames.std(0, correction=min(1, len(frames) - 1))  # of a single frame: 0
                statistics[str(speaker), stream] = (frames.mean(0), deviation.clamp(min=1e-5))
        return statistics

    def _key(self, row: int, stream: str) -> str:
        """What a stream's feature of an utterance depends on beside the stream."""
        return self._keys[self._senses[stream]][row]

    def _path(self, row: int, stream: str) -> Path:
        return self.cache.path(self._fingerprints[stream], self._key(row, stream))

    def _find(self, row: int, stream: str) -> Tensor | None:
        """The same, from memory or from the cache; None if the cache has none that can be read."""
        held = self._memory.get((row, stream))
        if held is not None:
            return held
        features = self.cache.load(self._path(row, stream))
        if features is None:
            return None
        size = features.numel() * features.element_size()
        if self._memory_bytes + size <= MEMORY:
            self._memory[row, stream] = features
            self._memory_bytes += size
        return features

    def _compute_missing(
        self, model: SpeechModel, device: torch.device, precision: Precision, progress: Progress
    ) -> None:
        # Looked into, not only at: a damaged file is computed anew.
        missing = [i for i in range(len(self)) if any(self._find(i, name) is None for name in self._fingerprints)]
        for done, row in enumerate(missing, start=1):
            # Each clip alone: which others happen to be missing must not show in the last digits.
            given = {each: self._given(row, each, device) for each in model.senses}
            for name, stream in model.streams.items():
                with torch.no_grad(), autocast(device, precision):
                    features: Padded = stream.to(device)(given[self._senses[name]])
                self.cache.save(self._fingerprints[name], self._key(row, name), features.values[0].float().cpu())
            progress("features", done, len(missing))

    def _given(self, row: int, heard: Sense, device: torch.device) -> Padded | list[str]:
        """What streams are called with, a batch of one utterance."""
        if heard == "words":
            return [self.corpus.transcripts[row] or ""]
        return pad([torch.from_numpy(self.corpus.recording(row).waveform)]).to(device)


class Views:
    """Features of clips as they are and of distorted copies of them.

    Row v * n + i is clip i of n in view v; the first view is that of the clips as they are. Copies are for training.

    Args:
        views: of the same clips, in the same order.
    """

    def __init__(self, views: Sequence[Features]) -> None:
        self.views = views
        self.targets = torch.cat([view.targets for view in views])
        self.lengths = [length for view in views for length in view.lengths]

    def __len__(self) -> int:
        return len(self.views[0])

    @property
    def heard(self) -> set[int]:
        """Clips whose features were asked for, in any view."""
        return set().union(*(view.heard for view in self.views))

    @heard.setter
    def heard(self, clips: set[int]) -> None:
        for view in self.views:
            view.heard = set()
        self.views[0].heard = clips

    def copies(self, rows: Sequence[int]) -> list[int]:
        """What is learned from where these clips are: themselves, and their copies."""
        return [number * len(self) + row for number in range(len(self.views)) for row in rows]

    def batch(self, rows: Sequence[int]) -> Batch:
        """The features and targets of some rows."""
        parts = [(self.views[row // len(self)], row % len(self)) for row in rows]
        streams = {name: pad([view.get(row, name) for view, row in parts]) for name in self.views[0].streams}
        beside = tuple(each for view, row in parts for each in view.beside(row))
        return Batch(streams, self.targets[list(rows)], beside)

    def baselines(self, rows: Sequence[int]) -> list[Baseline]:
        """The baseline of each row's speaker, made of the speaker's clips among the rows in the same view.

        Raises:
            CorpusError: if a row has no speaker.
        """
        made: dict[int, Baseline] = {}
        for number, view in enumerate(self.views):
            own = [row for row in rows if row // len(self) == number]
            made |= dict(zip(own, view.baselines([row % len(self) for row in own]), strict=True))
        return [made[row] for row in rows]


class Recordings:
    """Unlabelled recordings for a task that makes its own targets: heard anew in every epoch, however many hours.

    Nothing is written to disk, and no more than `memory` bytes of log-mel frames stay in memory. A recording that turns
    out to hold no sound, or to be damaged, is one frame of zeros, which is too short to be asked about: among a hundred
    thousand there are some, and none should end a training of days.

    Args:
        corpus: whose recordings.
        model: whose one stream, a log-mel front end, is listened through.
        memory: bytes of features that are kept rather than computed again.
        progress: told of each recording whose length was looked up, and of each that cannot be heard.

    Raises:
        AudioError: if a recording cannot be opened.
    """

    def __init__(
        self, corpus: Corpus, model: SpeechModel, *, memory: int = MEMORY, progress: Progress = no_progress
    ) -> None:
        [(self.name, stream)] = model.streams.items()
        assert isinstance(stream, LogMel), f"{self.name} is no log-mel front end"
        # A front end of its own, on the CPU, wherever the model goes.
        self.stream = copy.deepcopy(stream)
        self.corpus = corpus
        self.heard: set[int] = set()
        self.targets = torch.zeros(len(corpus), 0)
        self.lengths: list[int] = []
        for row in range(len(corpus)):
            self.lengths.append(round(corpus.seconds(row) * stream.frame_rate) + 1)
            progress("lengths", row + 1, len(corpus))
        self._memory: dict[int, Tensor] = {}
        self._left = memory
        self._unheard: set[int] = set()
        self._progress = progress

    def __len__(self) -> int:
        return len(self.corpus)

    def hears(self, row: int) -> bool:
        """Whether a recording can be heard; it is tried."""
        self.get(row)
        return row not in self._unheard

    def get(self, row: int) -> Tensor:
        """The frames of a recording, (T, M); of one that cannot be heard (1, M), zeros."""
        self.heard.add(row)
        frames = self._memory.get(row)
        if frames is None:
            frames = self._listen(row)
            if (size := frames.numel() * frames.element_size()) <= self._left:
                self._memory[row] = frames
                self._left -= size
        return frames

    def _listen(self, row: int) -> Tensor:
        try:
            waveform = torch.from_numpy(self.corpus.recording(row).waveform)
        except AudioError:
            self._unheard.add(row)
            self._progress("left out, as they cannot be heard", len(self._unheard), len(self))
            return torch.zeros(1, self.stream.width)
        with torch.no_grad():
            frames: Tensor = self.stream(pad([waveform])).values[0]
        return frames

    def batch(self, rows: Sequence[int]) -> Batch:
        """The frames of some recordings."""
        return Batch({self.name: pad([self.get(row) for row in rows])}, self.targets[list(rows)])

    def baselines(self, rows: Sequence[int]) -> list[Baseline]:
        """None of these recordings is heard beside others."""
        raise TypeError("recordings for pretraining have no baselines")


def shuffled_batches(
    lengths: Sequence[int], size: int, *, generator: torch.Generator, pool: int = 8
) -> Iterator[list[int]]:
    """Batches in random order of clips that are alike in length but otherwise random.

    Args:
        lengths: of each clip.
        size: clips a batch.
        generator: where the randomness comes from.
        pool: batches' worth of random clips among which neighbours in length are batched.

    Yields:
        Indices into `lengths`; each exactly once over all batches.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for first in range(0, len(order), pool * size):
        part = order[first : first + pool * size]
        batches += [[part[i] for i in batch] for batch in by_length([lengths[i] for i in part], size)]
    for position in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[position]


def _content_keys(corpus: Corpus, heard: Sense) -> list[str]:
    """A key a row: the hash of what was said; or of the audio file's bytes and of the stretch."""
    if heard == "words":
        corpus.check_transcripts()
        return [hashlib.sha256((text or "").encode()).hexdigest() for text in corpus.transcripts]
    hashes = corpus.file_hashes()
    keys = []
    for file, start, end in corpus.table.index:
        stretch = f"{start.total_seconds():.6f}-{'' if pd.isna(end) else f'{end.total_seconds():.6f}'}"
        keys.append(hashlib.sha256(f"{hashes[file]} {stretch}".encode()).hexdigest())
    return keys
