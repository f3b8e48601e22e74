"""A protocol: folds of a corpus with an id, and its definition as plain JSON."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.files import is_safe_name

Kind = Literal["speaker", "session", "sentence"]
"""What train and test can have in common without having a clip in common."""
METRICS = ("wa", "ua", "macro_f1", "weighted_f1")
"""Of categories. UA and macro F1 are means over the classes that the fold's test clips have."""
RATING_METRICS = ("ccc", "pearson", "mse", "mae")
"""Of each dimension, on the corpus's own scale."""
AGGREGATION = "mean over folds, then over seeds; pooled over all clips beside it"


@dataclass(frozen=True)
class Fold:
    """One way of dealing the clips out.

    Args:
        name: the test speaker where each fold tests one, otherwise what is tested, or a number.
        train, dev, test: rows of the corpus's table, ascending; dev may be empty.
    """

    name: str
    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def seen(self) -> tuple[int, ...]:
        """Rows that may be looked at: train and dev."""
        return tuple(sorted({*self.train, *self.dev}))


@dataclass(frozen=True)
class Protocol:
    """Folds of a corpus, and everything else that decides whether two numbers may be compared.

    Args:
        id: names corpus, rule and version; printed beside every number.
        corpus: what is dealt out.
        folds: in order.
        rule: how the folds are made, as a sentence.
        dev_rule: what dev is, as a sentence.
        shares: what train and test have in common by design; everything else is to be kept apart.
        transductive: whether statistics of the test speakers' unlabelled clips are used.
        ceilings: what perfect readers of a simulated corpus would reach on the test clips: by reader, by `ua` or by
            dimension (its CCC), mean over folds; empty where nobody can know.
    """

    id: str
    corpus: Corpus = field(repr=False, compare=False)
    folds: tuple[Fold, ...] = field(repr=False)
    rule: str
    dev_rule: str
    shares: tuple[Kind, ...] = ()
    transductive: bool = False
    ceilings: Mapping[str, Mapping[str, float]] = field(default_factory=dict, repr=False, compare=False)

    def checked(self) -> "Protocol":
        """The protocol itself, if it can be trained and tested.

        Raises:
            ProtocolError: if a fold has nothing to train or to test on or a clip twice, or two folds share a name, or
                one cannot be part of a file's name.
        """
        names = [fold.name for fold in self.folds]
        if len({name.lower() for name in names}) < len(names) or not names:
            raise ProtocolError(f"{self.id}: expected folds of different names, got {', '.join(names) or 'none'}")
        for fold in self.folds:
            if not is_safe_name(fold.name):
                raise ProtocolError(
                    f"{self.id}: fold '{fold.name}' cannot name a file on every system; use letters, digits and _+-."
                )
            if not fold.train or not fold.test:
                raise ProtocolError(
                    f"{self.id}, fold {fold.name}: has {len(fold.train)} clips to train and {len(fold.test)} to test "
                    "on; expected some of both"
                )
            for split in ("train", "dev", "test"):
                repeated = [row for row, times in Counter(getattr(fold, split)).items() if times > 1]
                if repeated:
                    raise ProtocolError(
                        f"{self.id}, fold {fold.name}: {self.corpus.table.index[repeated[0]][0]} and "
                        f"{len(repeated) - 1} other clips are in {split} twice"
                    )
            for one, other in (("train", "test"), ("dev", "test"), ("train", "dev")):
                common = sorted(set(getattr(fold, one)) & set(getattr(fold, other)))
                if common:
                    raise ProtocolError(
                        f"{self.id}, fold {fold.name}: {self.corpus.table.index[common[0]][0]} and {len(common) - 1} "
                        f"other clips are in {one} and in {other}; `affetto audit` lists all leaks"
                    )
        return self

    @cached_property
    def definition(self) -> dict[str, Any]:
        """All of it as plain JSON: what `protocol.json` beside the results holds.

        Raises:
            CorpusError: if an audio file is missing, so that the corpus has no manifest.
        """
        speakers, keys = self.corpus.table["speaker"], row_keys(self.corpus.table)
        folds = [
            {
                "fold": fold.name,
                "train": len(fold.train),
                "dev": len(fold.dev),
                "test": len(fold.test),
                "dev_speakers": sorted(speakers.iloc[list(fold.dev)].dropna().unique()),
                "test_speakers": sorted(speakers.iloc[list(fold.test)].dropna().unique()),
                "sha256": digest(
                    f"{split} {key}"
                    for split in ("train", "dev", "test")
                    for key in sorted(keys[row] for row in getattr(fold, split))
                ),
            }
            for fold in self.folds
        ]
        known = {reader: dict(scores) for reader, scores in self.ceilings.items()}
        return {
            **about(self),
            **({"ceilings": known} if known else {}),
            "folds_sha256": digest(f"{fold['fold']} {fold['sha256']}" for fold in folds),
            "folds": folds,
        }


def about(protocol: Protocol) -> dict[str, Any]:
    """What a protocol's definition says of it as a whole, and of the corpus that is tested."""
    corpus, rated = protocol.corpus, protocol.corpus.dimensions
    return {
        "id": protocol.id,
        "corpus": corpus.name,
        "manifest_sha256": corpus.manifest_sha256(),
        "utterances": len(corpus),
        "speakers": list(corpus.speakers),
        "classes": list(corpus.categories),
        **({"dimensions": {name: list(scale) for name, scale in rated.items()}} if rated else {}),
        "rule": protocol.rule,
        "dev_rule": protocol.dev_rule,
        "shares": list(protocol.shares),
        "transductive": protocol.transductive,
        "metrics": [*(METRICS if corpus.categories else ()), *(RATING_METRICS if rated else ())],
        "aggregation": AGGREGATION,
    }


def row_key(file: str, start: float, end: float | None) -> str:
    """What a clip is called: file, start and end in microseconds; an end of None or NaN is the end of the file.

    Example:
        >>> row_key("calls/monday.wav", 0.0, 3.2)
        'calls/monday.wav,0.000000,3.200000'
    """
    return f"{file},{start:.6f},{'' if end is None or pd.isna(end) else f'{end:.6f}'}"


def row_keys(table: pd.DataFrame) -> list[str]:
    """What the rows of a corpus's table are called."""
    return [row_key(file, start.total_seconds(), end.total_seconds()) for file, start, end in table.index]


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of lines, in hexadecimal digits."""
    sha256 = hashlib.sha256()
    for line in lines:
        sha256.update(f"{line}\n".encode())
    return sha256.hexdigest()
