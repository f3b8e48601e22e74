"""Tables of transcripts: what is said in each utterance of any corpus, as CSV.

    file,start,end,transcript
    wav/03a01Fa.wav,0,,Der Lappen liegt auf dem Eisschrank.

`affetto transcribe` writes them. Only `file` and `transcript` are needed: without `start` and `end` a line is about its
whole file. An empty transcript says that nothing was said; a missing line says nothing at all.
"""

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from affetto import tables
from affetto.corpora.base import Corpus
from affetto.errors import CorpusError

LAYOUT = "words.csv with the columns file, transcript and, if a file holds several utterances, start, end"
"""What errors say was expected."""
COLUMNS = ("file", "start", "end", "transcript", "made_by")
"""Of the tables that are written here."""

Place = tuple[str, int, int | None]
"""File, start and end in milliseconds; an end of None is the end of the file."""


@dataclass(frozen=True)
class Transcripts:
    """The lines of such a table.

    Args:
        path: of the table.
        lines: transcript by place.
    """

    path: Path
    lines: dict[Place, str]

    @cached_property
    def _alone(self) -> dict[str, Place]:
        """The line about a file, of files that have one only."""
        count = Counter(file for file, _, _ in self.lines)
        return {place[0]: place for place in self.lines if count[place[0]] == 1}

    def place(self, file: str, start: float = 0.0, end: float | None = None) -> Place | None:
        """The line about a stretch of a file; about a whole file, the only one that there is, whatever its times.

        Args:
            file: as the table has it, or a path to what the table names relative to its own folder.
            start: seconds.
            end: seconds; None is the end of the file.
        """
        for name in (file.replace("\\", "/"), os.path.relpath(file, self.path.parent).replace("\\", "/")):
            if (place := _place(name, start, end)) in self.lines:
                return place
            if (start, end) == (0.0, None) and name in self._alone:
                return self._alone[name]
        return None

    def find(self, file: str) -> str | None:
        """What is said in a whole file; None where the table does not say."""
        place = self.place(file)
        return None if place is None else self.lines[place]


def read(path: Path) -> Transcripts:
    """The transcripts in a CSV file.

    Raises:
        CorpusError: if it is no table, lacks a column or a file's name, or is about the same stretch twice.
    """
    columns, rows = tables.read(path, LAYOUT)
    for needed in ("file", "transcript"):
        if needed not in columns:
            raise CorpusError(f"{path}: has no column '{needed}'; found {', '.join(columns)}; expected {LAYOUT}")
    lines: dict[Place, str] = {}
    numbers: dict[Place, int] = {}
    for number, row in rows:
        where = f"{path}, row {number}"
        if not row["file"]:
            raise CorpusError(f"{where}: file is empty; fill it in or remove the row")
        start, end = (tables.seconds(row.get(column, ""), where) for column in ("start", "end"))
        place = _place(row["file"].replace("\\", "/"), start or 0.0, end)
        if (earlier := numbers.setdefault(place, number)) != number:
            raise CorpusError(f"{where} repeats row {earlier}: {place[0]} from {start or 0:g} s; keep one of them")
        lines[place] = row["transcript"]
    return Transcripts(path, lines)


class Growing:
    """A table of transcripts that is written line by line as they come, and goes on where it was left.

    Args:
        path: of the table; what is there is kept.
        made_by: who transcribes, stated in each line.

    Raises:
        CorpusError: if the table there is not one of these, or of another transcriber.
    """

    def __init__(self, path: Path, made_by: str) -> None:
        self.path, self.made_by = path, made_by
        self.lines: dict[Place, str] = {}
        header = f"{','.join(COLUMNS)}\n".encode()
        content = path.read_bytes() if path.exists() else b""
        if not content.startswith(header) and not header.startswith(content):  # somebody else's, which stays as it is
            columns, _ = tables.read(path, LAYOUT)
            raise CorpusError(
                f"{path}: has the columns {', '.join(columns)}; expected {', '.join(COLUMNS)}, or no file"
            )
        whole = content[: content.rfind(b"\n") + 1]  # without a line that was cut off in the middle
        if path.exists():
            path.write_bytes(whole)
        if not whole:
            self._write(COLUMNS)
        _, rows = tables.read(path, LAYOUT)
        if others := {row["made_by"] for _, row in rows} - {made_by}:
            raise CorpusError(f"{path}: was made by {min(others)}, not by {made_by}; give another file")
        self.lines = read(path).lines

    def lacks(self, file: str, start: float = 0.0, end: float | None = None) -> bool:
        """Whether a stretch of a file, in seconds, still waits for its line."""
        return _place(file, start, end) not in self.lines

    def add(self, transcript: str, file: str, start: float = 0.0, end: float | None = None) -> None:
        """Write a line."""
        self._write((file, f"{start:.3f}", "" if end is None else f"{end:.3f}", transcript, self.made_by))
        self.lines[_place(file, start, end)] = transcript

    def _write(self, cells: Sequence[str]) -> None:
        try:
            with self.path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                csv.writer(stream, lineterminator="\n").writerow(cells)
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be written ({error.strerror})") from error


def join(corpus: Corpus, transcripts: Transcripts) -> tuple[Corpus, list[str]]:
    """A corpus with transcripts from a table instead of its own; and what is missing on either side, in words.

    Raises:
        CorpusError: if no utterance is in the table.
    """
    places = [transcripts.place(*stretch) for stretch in stretches(corpus)]
    used = {place for place in places if place is not None}
    if not used:
        first = next((place[0] for place in transcripts.lines), "nothing")
        raise CorpusError(
            f"{transcripts.path}: has none of the utterances of {corpus.name}; its first is of {first}, "
            f"theirs of {corpus.table.index[0][0]}"
        )
    notes = []
    if missing := [each for each, place in zip(stretches(corpus), places, strict=True) if place is None]:
        file, start, _ = missing[0]
        where = f"{file} from {start:g} s" if start else file
        notes.append(f"{transcripts.path}: lacks {len(missing)} of {len(corpus)} utterances, such as {where}")
    if strange := [place for place in transcripts.lines if place not in used]:
        notes.append(f"{transcripts.path}: lines of no utterance here: {len(strange)}, such as of {strange[0][0]}")
    words = [None if place is None else transcripts.lines[place] for place in places]
    return replace(corpus, table=corpus.table.assign(transcript=pd.Series(words, corpus.table.index, object))), notes


def _place(file: str, start: float, end: float | None) -> Place:
    return file, round(1000 * start), None if end is None else round(1000 * end)


def stretches(corpus: Corpus) -> list[tuple[str, float, float | None]]:
    """File, start and end of each utterance, in seconds."""
    return [
        (file, start.total_seconds(), None if pd.isna(end) else end.total_seconds())
        for file, start, end in corpus.table.index
    ]
