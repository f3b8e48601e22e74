"""What an audit looks at: folds of clips, what is known of them, and what a check comes to."""

import posixpath
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from affetto import corpora, splits
from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.protocol import Protocol, row_finder, row_key

Status = Literal["clean", "shared", "leak", "warning", "unknown"]
"""clean: nothing found; shared: in common, as the protocol says; leak: in common, and it must not be; warning: depends
on how the division is used; unknown: could not be looked for."""

COLUMNS = {"speaker": ("speaker",), "session": ("session",), "sentence": ("sentence", "text")}
"""Where a table says what a clip has in common with others; the first column with a filled cell counts."""


@dataclass(frozen=True)
class Finding:
    """What one check came to.

    Args:
        check: what was looked for.
        status: what was found.
        detail: in words.
        folds: those concerned.
    """

    check: str
    status: Status
    detail: str
    folds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All findings about one division.

    Args:
        subject: the protocol's id or the table's name.
        findings: in the order of the checks.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Those that make a number under this division say something else than it seems to."""
        return tuple(finding for finding in self.findings if finding.status == "leak")


@dataclass(frozen=True)
class Part:
    """One fold as an audit sees it: clips by their keys, in each split.

    Args:
        name: of the fold.
        train, dev, test: keys of clips (`protocol.row_key`, the path in its shortest form).
    """

    name: str
    train: frozenset[str]
    dev: frozenset[str]
    test: frozenset[str]

    @property
    def seen(self) -> frozenset[str]:
        """Clips that training or choice may look at."""
        return self.train | self.dev


@dataclass(frozen=True)
class Division:
    """Folds, and what is known of their clips.

    Args:
        subject: what is audited, in a word.
        folds: in order.
        known: for each of `COLUMNS`, clip -> value; a column that is not known is absent.
        shares: what train and test have in common by design.
        corpus: with the sound; None: only names are known.
    """

    subject: str
    folds: tuple[Part, ...]
    known: dict[str, dict[str, str]]
    shares: tuple[str, ...] = ()
    corpus: Corpus | None = field(default=None, repr=False)


def of_protocol(protocol: Protocol) -> Division:
    """A protocol as an audit sees it."""
    keys = keys_of(protocol.corpus)
    folds = tuple(
        Part(fold.name, *(frozenset(keys[row] for row in rows) for rows in (fold.train, fold.dev, fold.test)))
        for fold in protocol.folds
    )
    return Division(protocol.id, folds, _columns(protocol.corpus), protocol.shares, protocol.corpus)


def of_table(path: Path, corpus: Corpus | None = None) -> Division:
    """A table of splits: what its columns tell, and where it has none, its corpus's or its files' names.

    Speakers, sessions and sentences are called as the table calls them; the corpus's own names are taken for a kind of
    which the table has no filled cell. The two are never mixed: "03" and "3" would pass for two speakers.

    Args:
        path: the CSV.
        corpus: with the sound, and further columns; files are found as `protocol.from_table` finds them. None: what
            names and columns tell must do.

    Raises:
        CorpusError: if it cannot be read.
        ProtocolError: if a split is not train, dev or test, a fold lacks train or test, or the corpus lacks a clip.
    """
    parts: dict[str, dict[str, set[str]]] = {}
    cells: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    row_of = None if corpus is None else row_finder(path, corpus)
    keys = [] if corpus is None else keys_of(corpus)
    for line in splits.read(path):
        key = keys[row_of(line)] if row_of else row_key(plain(line.file), line.start, line.end)
        files[key] = line.file
        parts.setdefault(line.fold, {}).setdefault(line.split, set()).add(key)
        for column, cell in line.others.items():
            if cell:
                cells.setdefault(column, {})[key] = cell
    known = {} if corpus is None else _columns(corpus)
    for kind, columns in COLUMNS.items():
        if filled := next((cells[column] for column in columns if column in cells), None):
            known[kind] = filled
    if "speaker" not in known:
        stated = {key: speaker for key, file in files.items() if (speaker := _speaker_in_name(file))}
        known |= {"speaker": stated} if stated else {}
    folds = tuple(
        Part(
            name if test == "test" else f"{name}-{test}",
            *(frozenset(sides.get(side, ())) for side in ("train", "dev", test)),
        )
        for name, sides in parts.items()
        for test in sorted(set(sides) - {"train", "dev"}) or ["test"]
    )
    return complete(Division(path.name, folds, known, corpus=corpus))


def complete(division: Division) -> Division:
    """The division itself, if every fold has something to train and to test on."""
    for part in division.folds:
        if not part.train or not part.test:
            raise ProtocolError(
                f"{division.subject}, fold {part.name}: has {len(part.train)} clips to train and {len(part.test)} to "
                "test on; an audit compares the two, so expected some of both"
            )
    if not division.folds:
        raise ProtocolError(f"{division.subject}: has no folds, so there is nothing to compare")
    return division


def plain(file: str) -> str:
    """A file's path in its shortest form, so that `./b.wav`, `a/../b.wav` and `b.wav` are one."""
    return posixpath.normpath(file.replace("\\", "/"))


def keys_of(corpus: Corpus) -> list[str]:
    """What the rows of a corpus are called here."""
    return [row_key(plain(file), start.total_seconds(), end.total_seconds()) for file, start, end in corpus.table.index]


def _speaker_in_name(file: str) -> str | None:
    """The speaker that the name of a file states, if it is one of a corpus whose names are labels."""
    stem = PurePosixPath(file).stem
    for name in corpora.names():
        stated = (read := corpora.get(name).label_from_name) and read(stem)
        if stated:
            return f"{name} {stated[1]}"
    return None


def _columns(corpus: Corpus) -> dict[str, dict[str, str]]:
    """For each of `COLUMNS` that the corpus has, clip -> value."""
    keys, known = keys_of(corpus), {}
    for kind, columns in COLUMNS.items():
        for values in (corpus.table[name] for name in columns if name in corpus.table):
            pairs = zip(keys, values, values.notna(), strict=True)
            found = {key: str(value) for key, value, there in pairs if there and value != ""}
            if found:
                known[kind] = found
                break
    return known
