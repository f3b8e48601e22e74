"""Corpora: one file each, from a folder on disk to a `Corpus`.

Adding one is writing one file with the decorator `register`; it is found here by being in this folder.
"""

from pathlib import Path

from affetto.corpora.base import REGISTRY, Corpus, CorpusInfo, Registered, load, register
from affetto.corpora.check import Finding, check
from affetto.errors import ConfigError, CorpusError, not_called

__all__ = ["Corpus", "CorpusInfo", "Finding", "Registered", "check", "find", "get", "names", "read", "register"]


def names() -> tuple[str, ...]:
    """The corpora that can be read, sorted."""
    load()
    return tuple(sorted(REGISTRY))


def get(name: str) -> Registered:
    """The corpus called `name`.

    Raises:
        ConfigError: if there is none; the message lists the names.
    """
    load()
    if name not in REGISTRY:
        raise ConfigError(not_called(name, names(), "corpus", kinds="corpora"))
    return REGISTRY[name]


def read(name: str, root: str | Path) -> Corpus:
    """Read the corpus `name` from a folder (or, for `table`, from a CSV file).

    Raises:
        ConfigError: if no corpus has that name.
        CorpusError: if the folder does not hold it.
    """
    return get(name).read(Path(root))


def find(path: str | Path, kind: str | None = None) -> Corpus:
    """The corpus at a path: of the kind that is named, or the first kind whose reader takes it.

    Kinds that are only read when they are named (`Registered.by_name`) are not tried.

    Raises:
        ConfigError: if no corpus has that name.
        CorpusError: if the path holds none.
    """
    path = Path(path)
    if kind is not None or path.is_file():
        return read(kind or "table", path)
    reasons = []
    for name in names():
        if get(name).by_name:
            continue
        try:
            return read(name, path)
        except CorpusError as error:
            reasons.append(str(error))
    raise CorpusError(f"{path}: is no corpus that is known ({'; '.join(reasons)})")
