"""Checks a corpus before it is believed: every file is decoded once and every label compared with what is known.

Nothing is changed and nothing raises: each fault becomes a `Finding`, so that one damaged file does not hide the next.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

from affetto import audio
from affetto.corpora.base import REGISTRY, Corpus, load
from affetto.errors import AudioError, AudioReason

CLIP_LEVEL = 0.95
"""Share of full scale at which a recording may be clipped; a flat top below it was scaled down afterwards."""
CLIP_RUN = 3
"""Consecutive samples at the same highest (or lowest) value that make a flat top. Peak-normalised speech, such as
EMO-DB and parts of RAVDESS, touches full scale too, but in none of their 1,975 files for three samples on end."""
CLIP_SHARE = 1e-4
"""Share of a file's samples in flat tops from which it counts as clipped: 5 samples in 3 s at 16 kHz."""

Problem = AudioReason | Literal["outside", "clipped", "duplicate", "contradiction", "scale", "count"]
"""`AudioReason`: cannot be heard; outside: a segment leaves its file; duplicate: the same sound as another utterance;
contradiction: the file's name states another label; scale: a rating that the corpus's raters could not give; count: a
category has more or fewer utterances than published. Of text alone, a sentence may be empty or a duplicate."""


@dataclass(frozen=True)
class Finding:
    """One fault of a corpus.

    Args:
        file: as in the corpus's index; empty when the fault is the whole corpus's.
        start: seconds at which the utterance begins.
        end: seconds at which it ends; None: with the file.
        problem: the kind of fault.
        detail: what was found and what was expected, in words.
    """

    file: str
    start: float
    end: float | None
    problem: Problem
    detail: str


def check(corpus: Corpus) -> list[Finding]:
    """The faults of a corpus, in the order of its table, those of the whole corpus last.

    Finds files that are missing or cannot be heard (undecodable, truncated, empty, too short, silent, not finite),
    clipped files, segments that leave their file, utterances with the same sound, file names that state another
    emotion or speaker than the table, ratings outside the corpus's scale, and categories whose number differs from the
    published one; of text alone, sentences that are empty or the same as another. Flat tops are sought in the samples
    as stored: MP3 and other lossy coding hides them.

    Args:
        corpus: as read.

    Returns:
        The findings; an empty list for a corpus in order.
    """
    load()
    seen: dict[str, tuple[str, str]] = {}
    findings: list[Finding] = []
    if corpus.info.has_sound:
        for file, rows in corpus.table.groupby(level="file", sort=False):
            findings += _check_file(corpus, str(file), rows, seen)
    else:
        findings += _texts(corpus)
    return [*findings, *_ratings(corpus), *_counts(corpus)]


def _check_file(corpus: Corpus, file: str, rows: pd.DataFrame, seen: dict[str, tuple[str, str]]) -> Iterator[Finding]:
    """Faults of one file and its utterances; `seen` maps the hash of a sound to the first (file, emotion) with it."""
    path = corpus.path(file)
    try:
        recording = audio.read(path, name=file)
    except AudioError as error:
        yield Finding(file, 0.0, None, error.reason, error.detail)
        yield from _contradictions(file, rows)
        return
    stored, _ = soundfile.read(path, dtype="float32", always_2d=True)  # (n, channels)
    if (share := flat_top_share(stored)) >= CLIP_SHARE:
        yield Finding(file, 0.0, None, "clipped", f"{share:.2%} of the samples lie in flat tops at full scale")
    for (start, end), emotion in zip(_spans(rows), rows["emotion"], strict=True):
        if start >= recording.seconds or (end is not None and end > recording.seconds + audio.FRAME_SECONDS):
            yield Finding(file, start, end, "outside", f"the file lasts only {recording.seconds:.3f} s")
            continue
        stop = None if end is None else round(end * audio.SAMPLE_RATE)
        waveform = recording.waveform[round(start * audio.SAMPLE_RATE) : stop]
        try:
            audio.from_array(waveform, audio.SAMPLE_RATE)
        except AudioError as error:
            yield Finding(file, start, end, error.reason, error.detail)
            continue
        sound = hashlib.sha256(waveform.tobytes()).hexdigest()
        if sound in seen:
            earlier, its_emotion = seen[sound]
            known = "" if pd.isna(its_emotion) else f" ({its_emotion})"
            yield Finding(file, start, end, "duplicate", f"the same sound as {earlier}{known}")
        else:
            seen[sound] = (file, emotion)
    yield from _contradictions(file, rows)


def flat_top_share(samples: npt.NDArray[Any]) -> float:
    """Share of samples in flat tops: runs of at least `CLIP_RUN` at the highest or lowest value, near full scale.

    Args:
        samples: (n, channels), full scale 1.0.

    Returns:
        The share of the worst channel, in [0, 1].

    Example:
        >>> tone = 2 * np.sin(2 * np.pi * 100 * np.arange(16000)[:, None] / 16000)
        >>> flat_top_share(tone / 2), round(flat_top_share(tone.clip(-1, 1)), 3)
        (0.0, 0.662)
    """
    flat = [sum(_flat_top(channel, extreme) for extreme in (channel.max(), channel.min())) for channel in samples.T]
    return max(flat) / len(samples)


def _flat_top(channel: npt.NDArray[Any], extreme: float) -> int:
    """Number of samples in runs of at least `CLIP_RUN` at an extreme value of the channel."""
    if abs(extreme) < CLIP_LEVEL:
        return 0
    edges = np.diff(np.concatenate(([0], channel == extreme, [0])))
    runs = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(runs[runs >= CLIP_RUN].sum())


def _contradictions(file: str, rows: pd.DataFrame) -> Iterator[Finding]:
    """Utterances whose file has a name of a known corpus that states another emotion or speaker."""
    for name, registered in REGISTRY.items():
        stated = registered.label_from_name and registered.label_from_name(PurePosixPath(file).stem)
        if not stated:
            continue
        for column, expected in zip(("emotion", "speaker"), stated, strict=True):
            for (start, end), given in zip(_spans(rows), rows[column], strict=True):
                if not pd.isna(given) and given.lstrip("0") != expected.lstrip("0"):
                    detail = f"the {column} is '{given}', but the name is {name}'s for '{expected}'"
                    yield Finding(file, start, end, "contradiction", detail)


def _spans(rows: pd.DataFrame) -> Iterator[tuple[float, float | None]]:
    """Start and end of each row in seconds."""
    for _, start, end in rows.index:
        yield start.total_seconds(), None if pd.isna(end) else end.total_seconds()


def _texts(corpus: Corpus) -> Iterator[Finding]:
    """Sentences of a corpus of text alone that are empty, or the same as another."""
    seen: dict[str, str] = {}
    for file, text in zip(corpus.table.index.get_level_values("file"), corpus.table["transcript"], strict=True):
        if not text.strip():
            yield Finding(file, 0.0, None, "empty", "there is no text")
        elif (first := seen.setdefault(text, file)) != file:
            yield Finding(file, 0.0, None, "duplicate", f"the same text as {first}")


def _ratings(corpus: Corpus) -> Iterator[Finding]:
    """Ratings outside their scale."""
    for dimension, (low, high) in corpus.dimensions.items():
        ratings = corpus.table[dimension]
        rows = corpus.table[ratings.notna() & ~ratings.between(low, high)]
        for (file, _, _), (start, end), rating in zip(rows.index, _spans(rows), rows[dimension], strict=True):
            yield Finding(file, start, end, "scale", f"{dimension} is {rating:g}, on a scale from {low:g} to {high:g}")


def _counts(corpus: Corpus) -> Iterator[Finding]:
    """Categories whose number of utterances differs from the published one."""
    if not corpus.info.categories:
        return
    found = Counter(corpus.table["emotion"].dropna())
    for category in sorted({*corpus.info.categories, *found}):
        published = corpus.info.categories.get(category, 0)
        if found[category] != published:
            yield Finding("", 0.0, None, "count", f"{category}: {found[category]} utterances, {published} published")
