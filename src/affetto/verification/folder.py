"""Results files and what lies beside them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from affetto import changes
from affetto.errors import ConfigError
from affetto.scores import JSON
from affetto.verification.comparer import Comparer

PROTOCOL = "protocol.json"
"""What the protocol beside the results is called."""


SHAPE = {"protocol": str, "task": str, "labels": list, "folds": list, "seeds": list, "fingerprint": str}
"""What makes a JSON a results file."""


def find(paths: Iterable[Path]) -> list[Path]:
    """Results files among paths: the files themselves, and those below folders, sorted.

    A results file is every `<protocol>/<row>.json`, whether or not its predictions are there. A protocol's folder holds
    `protocol.json` or lies beside `CHANGES.md`; elsewhere predictions or trainings of the same name tell it.

    Raises:
        ConfigError: if there is none in one of the paths.
    """
    found: list[Path] = []
    for path in paths:
        below = sorted(each for each in path.rglob("*.json") if _is_results(each)) if path.is_dir() else [path]
        if not below:
            raise ConfigError(f"{path}: no results files; expected what `affetto benchmark` writes")
        found += below
    return list(dict.fromkeys(found))


def _is_results(path: Path) -> bool:
    folder = path.parent.resolve()
    beside = (folder / PROTOCOL, folder.parent / changes.NAME, folder / "cells" / path.stem, path.with_suffix(".csv"))
    is_cell = folder.parent.name == "cells"
    return path.name != PROTOCOL and not is_cell and path.is_file() and any(each.exists() for each in beside)


def load(path: Path, *, expected: str) -> JSON:
    """The object that a file holds.

    Raises:
        ConfigError: if there is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); expected {expected}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no object; expected {expected}")
    return content


def beside(path: Path, where: str, comparer: Comparer) -> JSON:
    """What a file beside the results holds; nothing, and a fault, if there is none."""
    if not path.exists():
        comparer.fault(where, f"{path.name} is missing")
        return {}
    try:
        return load(path, expected="what `affetto benchmark` writes")
    except ConfigError as error:
        comparer.fault(where, str(error))
        return {}


def objects(value: Any) -> list[JSON]:
    """The objects of a list that may be anything."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
