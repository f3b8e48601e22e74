"""Tables of splits: which clip is train, dev or test in which fold, as CSV.

    fold,file,split,speaker
    1,wav/03a01Fa.wav,test,03
    1,wav/08a01Na.wav,train,08

Only `file` and `split` are needed: without `fold` there is one, without `start` and `end` a clip is its whole file.
Other columns (speaker, session, sentence, text, emotion) let an audit look for what the splits have in common.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from affetto import tables
from affetto.errors import CorpusError, ProtocolError

SPELLINGS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Words for a split, in lower case; `test1`, `test2`, ... are test sets of their own."""

LAYOUT = "splits.csv with the columns file, split (train, dev, test) and, if there are several, fold"


def canonical(word: str, where: str) -> str:
    """The split meant by a word: train, dev, test, or test with a number.

    Raises:
        ProtocolError: if it is none; `where` says which cell.

    Example:
        >>> canonical("Validation", "row 2"), canonical("Test1", "row 3")
        ('dev', 'test1')
    """
    low = word.strip().lower()
    if low in SPELLINGS:
        return SPELLINGS[low]
    if re.fullmatch(r"test\d+", low):
        return low
    raise ProtocolError(f"{where}: '{word}' is not a split; expected train, dev or test")


@dataclass(frozen=True)
class Line:
    """One clip in one fold.

    Args:
        fold, split: where it is; split is train, dev, test, or test with a number.
        file: with forward slashes.
        start, end: seconds; an end of None is the end of the file.
        others: further cells of the row, by column.
    """

    fold: str
    split: str
    file: str
    start: float
    end: float | None
    others: dict[str, str]


def read(path: Path) -> list[Line]:
    """The rows of a table of splits; a clip may be in several folds, or wrongly twice in one.

    Raises:
        CorpusError: if it is not a table, or lacks a column or a file's name.
        ProtocolError: if a split is not train, dev or test.
    """
    columns, rows = tables.read(path, LAYOUT)
    for needed in ("file", "split"):
        if needed not in columns:
            raise CorpusError(f"{path}: has no column '{needed}'; found {', '.join(columns)}; expected {LAYOUT}")
    lines = []
    for number, row in rows:
        where = f"{path}, row {number}"
        if not row["file"]:
            raise CorpusError(f"{where}: file is empty; fill it in or remove the row")
        lines.append(
            Line(
                row.get("fold") or "1",
                canonical(row["split"], where),
                row["file"].replace("\\", "/"),
                tables.seconds(row.get("start", ""), where) or 0.0,
                tables.seconds(row.get("end", ""), where),
                {key: cell for key, cell in row.items() if key not in ("fold", "split", "file", "start", "end")},
            )
        )
    if not lines:
        raise CorpusError(f"{path}: has a header but no rows; expected {LAYOUT}")
    return lines
