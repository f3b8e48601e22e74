"""Rows dealt out by the values of a column, and drawn by class; what the rules share.

Clips are drawn by what they are called (file and times), never by where they stand in a table or by a library's random
numbers, so that a protocol is the same on every machine and with every release.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.protocol.base import Fold, row_keys


def fold_of(name: str, column: "pd.Series[str]", dev: Sequence[str], test: Sequence[str]) -> Fold:
    """A fold by the values of a column; what is neither dev nor test is train."""
    train = [value for value in column.unique() if value not in (*dev, *test)]
    return Fold(name, rows_of(column, train), rows_of(column, dev), rows_of(column, test))


def rotate(fold_names: Sequence[str], groups: Sequence[Sequence[str]], column: "pd.Series[str]") -> tuple[Fold, ...]:
    """Each group is test once, the next one is dev."""
    dev = [*groups[1:], groups[0]]
    return tuple(fold_of(*each) for each in zip(fold_names, [column] * len(groups), dev, groups, strict=True))


def dealt(column: "pd.Series[str]", k: int) -> list[list[str]]:
    """The values of a column in sorted order, dealt to k groups in turn."""
    values = sorted(column.unique())
    return [values[i::k] for i in range(k)]


def rows_of(column: "pd.Series[str]", values: Iterable[str]) -> tuple[int, ...]:
    """Rows whose value is one of some, ascending."""
    wanted = column.isin(list(values))
    return tuple(row for row, yes in enumerate(wanted) if yes)


def column_of(corpus: Corpus, name: str, what: str) -> "pd.Series[str]":
    """A column without holes."""
    if name not in corpus.table.columns:
        raise ProtocolError(f"{corpus.name}: has no column '{name}', which {what} needs")
    column = corpus.table[name]
    if missing := int(column.isna().sum() + (column == "").sum()):
        raise ProtocolError(f"{corpus.name}: {missing} of {len(corpus)} rows have no {name}, which {what} needs")
    return column


def stratified(corpus: Corpus, rows: Iterable[int], size: int, *, salt: str) -> tuple[int, ...]:
    """`size` of some rows, each class in its share, by largest remainder."""
    classes = column_of(corpus, "emotion", "a division by class").iloc[list(rows)]
    if not 0 < size < len(classes):
        raise ProtocolError(f"{corpus.name}: {len(classes)} clips cannot be divided with {size} of them on one side")
    exact = {emotion: number * size / len(classes) for emotion, number in Counter(classes).items()}
    share = {emotion: int(number) for emotion, number in exact.items()}
    by_remainder = sorted(exact, key=lambda emotion: (share[emotion] - exact[emotion], emotion))
    for emotion in by_remainder[: size - sum(share.values())]:
        share[emotion] += 1
    return drawn(corpus, rows, share, salt)


def like(corpus: Corpus, rows: Sequence[int], model: Sequence[int], *, salt: str) -> tuple[int, ...]:
    """As many of some rows of each class as another set of rows has."""
    return drawn(corpus, rows, Counter(corpus.table["emotion"].iloc[list(model)]), salt)


def drawn(corpus: Corpus, rows: Iterable[int], share: Mapping[str, int], salt: str) -> tuple[int, ...]:
    """So many rows of each class, those whose salted names hash lowest: random, yet the same everywhere."""
    keys, emotions = row_keys(corpus.table), corpus.table["emotion"].tolist()
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{salt} {keys[row]}".encode()).digest())
    chosen: list[int] = []
    for emotion, number in share.items():
        chosen += [row for row in order if emotions[row] == emotion][:number]
    return tuple(sorted(chosen))
