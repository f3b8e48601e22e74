"""What every corpus is: a table of who said what with which emotion, and where the sound lies.

The table is a pandas frame on audformat's segmented index (`file`, `start`, `end`), the shape that the field's tools
exchange. `file` is relative to the corpus's root, with forward slashes; an `end` of NaT means the whole file.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import audformat
import pandas as pd

from affetto import audio
from affetto.errors import AudioError, CorpusError
from affetto.labels import DIMENSIONS

Scale = tuple[float, float]
"""The lowest and the highest rating that a corpus's raters could give."""


@dataclass(frozen=True)
class CorpusInfo:
    """What can be said of a corpus without having it.

    Args:
        name: as used on the command line.
        title: the corpus's full name.
        language: ISO 639-3 codes, or "any".
        licence: SPDX id or the licence's own name.
        source: where its owner offers it.
        citation: the paper to cite.
        layout: paths below the root that make a folder this corpus, as shown when it is not found.
        categories: expected number of utterances per category; empty if unknown.
        speakers: speaker id -> (sex, age), the age None where nobody says; empty if unknown.
        dimensions: rated dimension -> scale of its ratings, in the order of `labels.DIMENSIONS`; empty if unknown.
        simulated: whether its speech was made for it, by a program: what is measured on it says nothing about people.
        has_sound: whether there is anything to hear. A corpus of text alone has none: `file` is then a sentence's id,
            and the column `transcript` holds the sentence.
        caveat: what keeps a model trained on it from being trusted elsewhere, as a sentence for its card.
        archive: URL of its owner's zip archive, where it may be had without asking; the SHA-256 of its files lie in
            `<name>.sha256` beside its reader.
    """

    name: str
    title: str
    language: str
    licence: str
    source: str
    citation: str
    layout: tuple[str, ...]
    categories: dict[str, int] = field(default_factory=dict)
    speakers: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    dimensions: dict[str, Scale] = field(default_factory=dict)
    simulated: bool = False
    has_sound: bool = True
    caveat: str = "On voices, languages, rooms and microphones unlike those of its training expect less."
    archive: str = ""


@dataclass(frozen=True)
class Corpus:
    """A corpus on disk: its table and its root. Does not hold audio; `recording` reads it.

    Args:
        info: what is known of the corpus.
        root: folder that `file` is relative to.
        table: one row an utterance on audformat's index (`file`, `start`, `end`), with at least the column `emotion`
            (category) and `speaker`, and a column of numbers for each of the info's dimensions; what is missing there
            is NaN. Other columns are the corpus's own.
    """

    info: CorpusInfo
    root: Path
    table: pd.DataFrame

    def __post_init__(self) -> None:
        assert tuple(self.info.dimensions) == tuple(name for name in DIMENSIONS if name in self.info.dimensions)
        missing = sorted({"emotion", "speaker", *self.info.dimensions} - set(self.table.columns))
        if missing:
            raise CorpusError(f"{self.name}: the table has no column {', '.join(missing)}")
        if not audformat.is_segmented_index(self.table.index):
            raise CorpusError(f"{self.name}: the table is not on audformat's segmented index (file, start, end)")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def name(self) -> str:
        """The corpus's name on the command line."""
        return self.info.name

    @property
    def categories(self) -> tuple[str, ...]:
        """The emotions that occur, sorted."""
        return tuple(sorted(self.table["emotion"].dropna().unique()))

    @property
    def dimensions(self) -> dict[str, Scale]:
        """The rated dimensions with their scales."""
        return self.info.dimensions

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers that occur, sorted."""
        return tuple(sorted(self.table["speaker"].dropna().unique()))

    def path(self, file: str) -> Path:
        """Where the audio of an index entry lies."""
        return self.root / file

    def recording(self, row: int) -> audio.Recording:
        """The sound of one utterance.

        Raises:
            AudioError: if it cannot be heard.
        """
        file, start, end = self.table.index[row]
        self._demand_sound(file)
        stop = None if pd.isna(end) else end.total_seconds()
        return audio.read(self.path(file), name=file, start=start.total_seconds(), end=stop)

    def seconds(self, row: int) -> float:
        """How long one utterance is, without decoding it.

        Raises:
            AudioError: if its file cannot be opened.
        """
        file, start, end = self.table.index[row]
        self._demand_sound(file)
        if pd.isna(end):
            return audio.seconds(self.path(file), name=file) - float(start.total_seconds())
        return float((end - start).total_seconds())

    @cached_property
    def transcripts(self) -> tuple[str | None, ...]:
        """What was said in each utterance; None where that is not known, "" for nothing.

        From the column `transcript`, or else `text`, the sentence that an actor was given.
        """
        column = next((name for name in ("transcript", "text") if name in self.table), None)
        if column is None:
            return (None,) * len(self)
        return tuple(text.strip() if isinstance(text, str) else None for text in self.table[column])

    def check_transcripts(self) -> None:
        """See that at least one utterance has a transcript.

        Raises:
            CorpusError: if none has.
        """
        if not any(self.transcripts):
            raise CorpusError(
                f"{self.name}: no utterance has a transcript, and the model hears words; "
                "give a table of them with --transcripts (`affetto transcribe` makes one)"
            )

    @cached_property
    def transcripts_sha256(self) -> str:
        """SHA-256 over all utterances' names, times and transcripts, in order of name."""
        digest = hashlib.sha256()
        spoken = pd.Series(self.transcripts, index=self.table.index).sort_index()
        for (file, start, end), text in zip(spoken.index, spoken, strict=True):
            seconds = "" if pd.isna(end) else f"{end.total_seconds():.6f}"
            digest.update(f"{file},{start.total_seconds():.6f},{seconds},{text or ''}\n".encode())
        return digest.hexdigest()

    def select(self, mask: "pd.Series[bool]") -> "Corpus":
        """The corpus with only the rows where `mask` is true."""
        return replace(self, table=self.table[mask.to_numpy()])

    def manifest_sha256(self) -> str:
        """SHA-256 over the names, times, labels, speakers and `file_hashes` of all utterances, in order of name.

        Ratings are labels, too. Two copies of a corpus with the same manifest give the same folds, the same truth and
        the same sound (of text alone: the same sentences).

        Raises:
            CorpusError: if an audio file is missing.
        """
        digest = hashlib.sha256()
        table = self.table.sort_index()
        hashes = self.file_hashes()
        rated = [name for name in DIMENSIONS if name in table]
        labels = table[["emotion", "speaker", *rated]].itertuples(index=False)
        for (file, start, end), row in zip(table.index, labels, strict=True):
            seconds = "" if pd.isna(end) else f"{end.total_seconds():.6f}"
            emotion, speaker, *ratings = ("" if pd.isna(value) else value for value in row)
            rating = "".join("," if value == "" else f",{value:.6f}" for value in ratings)
            line = f"{file},{start.total_seconds():.6f},{seconds},{emotion},{speaker}{rating},{hashes[file]}\n"
            digest.update(line.encode())
        return digest.hexdigest()

    def file_hashes(self) -> dict[str, str]:
        """SHA-256 of each audio file's bytes; of text alone, of each sentence's.

        Raises:
            CorpusError: if an audio file is missing.
        """
        files = self.table.index.get_level_values("file")
        if not self.info.has_sound:
            texts = zip(files, self.transcripts, strict=True)
            return {file: hashlib.sha256((text or "").encode()).hexdigest() for file, text in texts}
        return {file: self._file_sha256(file) for file in files.unique()}

    def _demand_sound(self, file: str) -> None:
        if not self.info.has_sound:
            raise AudioError(file, "missing", f"{self.name} is text alone: there is nothing to hear, only to read")

    def _file_sha256(self, file: str) -> str:
        path = self.path(file)
        if not path.is_file():
            raise CorpusError(f"{self.name}: {path} is missing; `affetto corpora check` lists all such files")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


Reader = Callable[[Path], Corpus]
NameLabel = Callable[[str], tuple[str, str] | None]
"""From a file's name, without its ending, to the (emotion, speaker) that it states; None if it is not this corpus's."""


@dataclass(frozen=True)
class Registered:
    """A corpus that Affetto can read.

    Args:
        info: what it is.
        read: from a path to the corpus.
        label_from_name: what a file's name states, for corpora whose names are their labels.
        by_name: whether it has to be asked for by name, because it has no labels, or takes a folder that is another
            corpus's as well; `find` does not try it.
    """

    info: CorpusInfo
    read: Reader
    label_from_name: NameLabel | None = None
    by_name: bool = False


REGISTRY: dict[str, Registered] = {}


def register(
    info: CorpusInfo, *, label_from_name: NameLabel | None = None, by_name: bool = False
) -> Callable[[Reader], Reader]:
    """Decorator: enter a reader under its corpus's name."""

    def enter(read: Reader) -> Reader:
        assert info.name not in REGISTRY, f"two corpora are called {info.name}"
        REGISTRY[info.name] = Registered(info, read, label_from_name, by_name)
        return read

    return enter


def load() -> None:
    """Import every file in this folder, so that each corpus has entered itself in `REGISTRY`."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")


def not_found(info: CorpusInfo, root: Path, what: str) -> CorpusError:
    """The error for a folder that is not this corpus, with the layout that was expected."""
    return CorpusError(f"{info.name}: {what} under {root}; expected e.g. {', '.join(info.layout)}")
