"""Folds as a table of splits says (`splits`), and the rows that its lines name."""

import posixpath
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from affetto import splits
from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.protocol.base import Fold, Protocol, digest, row_key, row_keys


def from_table(path: Path, corpus: Corpus) -> Protocol:
    """The folds of a table of splits (`splits`); the id ends in a hash of who is where.

    A file is found by its path below the corpus's root, or by the end of one where that leaves no choice.

    Raises:
        CorpusError: if the table cannot be read.
        ProtocolError: if it names a clip that the corpus does not have.
    """
    lines, content = splits.read(path), []
    find = row_finder(path, corpus)
    keys = row_keys(corpus.table)
    parts: dict[str, dict[str, list[int]]] = {}
    for line in lines:
        row = find(line)
        parts.setdefault(line.fold, {}).setdefault(line.split, []).append(row)
        content.append(f"{line.fold} {line.split} {keys[row]}")
    folds = tuple(
        Fold(
            fold if test == "test" else f"{fold}-{test}",
            tuple(sorted(part.get("train", []))),
            tuple(sorted(part.get("dev", []))),
            tuple(sorted(part.get(test, []))),
        )
        for fold, part in parts.items()
        for test in sorted(set(part) - {"train", "dev"}) or ["test"]
    )
    protocol = Protocol("", corpus, folds, rule=f"the table {path.name}", dev_rule="as in the table")
    stem = re.sub(r"[^\w.+-]+", "-", path.stem)
    return replace(protocol, id=f"{corpus.name}-{stem}-{digest(sorted(content))[:8]}")


def row_finder(path: Path, corpus: Corpus) -> Callable[[splits.Line], int]:
    """From a line of a table of splits to the corpus's row, as `from_table` finds it.

    Args:
        path: of the table, for errors; a line that names no clip of the corpus is a ProtocolError.
        corpus: whose rows.
    """
    known = {key: row for row, key in enumerate(row_keys(corpus.table))}
    bare: dict[str, set[str]] = {}
    for file in corpus.table.index.get_level_values("file"):
        bare.setdefault(PurePosixPath(file).name, set()).add(file)

    def find(line: splits.Line) -> int:
        named = posixpath.normpath(line.file)
        alike = bare.get(PurePosixPath(named).name, set())
        ends = [file for file in alike if f"/{file}".endswith(f"/{named}") or f"/{named}".endswith(f"/{file}")]
        file = ends[0] if len(ends) == 1 else named
        row = known.get(row_key(file, line.start, line.end))
        if row is None:
            raise ProtocolError(f"{path}: {corpus.name} has no clip {file} from {line.start:g} s; check the names")
        return row

    return find
