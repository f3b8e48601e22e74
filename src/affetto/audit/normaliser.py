"""Whether a normaliser was fitted on test, told by its numbers alone."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affetto import tables
from affetto.audit.division import Division, Finding, Part, plain
from affetto.errors import ConfigError
from affetto.protocol import row_key

NORMALISER_TOLERANCE = 1e-3
"""A normaliser was fitted on those clips whose mean and deviation are its own, to this share of the deviation."""

Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""A normaliser's mean and scale, (D,) each."""


def normaliser(division: Division, features: Path, statistics: Path) -> Finding:
    """Whether a stored normaliser was fitted on test, told by its numbers.

    Args:
        division: the folds.
        features: CSV of the features before normalisation: `file`, `start` and `end` if need be, and columns of
            numbers.
        statistics: JSON with `mean` and `scale` (as scikit-learn's StandardScaler has them), one object, or one a fold
            by its name.

    Raises:
        CorpusError: if the features are not such a table.
        ConfigError: if the statistics are not such JSON, name other folds, or have another width.
    """
    values = _features(features)
    stored = _statistics(statistics, division)
    if not any(key in values for part in division.folds for key in part.seen | part.test):
        raise ConfigError(f"{features}: none of its files is a clip of {division.subject}; check the names")
    guilty: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for part in division.folds:
        if part.name not in stored:
            unclear.setdefault("no normaliser is stored for it", []).append(part.name)
            continue
        fits = _fitting(values, part, stored[part.name])
        if not fits:
            unclear.setdefault("it was fitted on none of the splits as they are", []).append(part.name)
        elif len({holds_test for _, holds_test in fits}) > 1:
            fitting = ", ".join(name for name, _ in fits)
            unclear.setdefault(f"cannot be told apart: {fitting} have the same mean and deviation", []).append(
                part.name
            )
        elif fits[0][1]:
            guilty[part.name] = fits[0][0]
    if guilty:
        sources = ", ".join(sorted(set(guilty.values())))
        return Finding("normaliser", "leak", f"its mean and deviation are those of {sources}", (*guilty,))
    if unclear:
        folds = tuple(name for group in unclear.values() for name in group)
        return Finding("normaliser", "unknown", "; ".join(unclear), folds)
    return Finding("normaliser", "clean", "its mean and deviation are those of train (and dev)")


def _fitting(values: dict[str, npt.NDArray[np.float64]], part: Part, stored: Moments) -> list[tuple[str, bool]]:
    """Which clips of a fold a normaliser may have been fitted on, and whether test clips are among them; best first."""
    candidates = {
        "train": part.train,
        "train and dev": part.seen,
        "test": part.test,
        "train and test": part.train | part.test,
        "dev and test": part.dev | part.test,
        "everything": part.seen | part.test,
    }
    names: dict[frozenset[str], str] = {}
    for name, keys in candidates.items():
        names.setdefault(keys, name)
    distances = {keys: _distance(values, keys, stored) for keys in names}
    near = sorted((keys for keys in names if distances[keys] < NORMALISER_TOLERANCE), key=distances.__getitem__)
    return [(names[keys], bool(keys & part.test)) for keys in near]


def _features(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    columns, rows = tables.read(path, "features.csv with the column file and columns of numbers")
    numeric = [column for column in columns if column not in ("file", "start", "end")]
    if "file" not in columns or not numeric:
        raise ConfigError(
            f"{path}: expected a column 'file' and at least one column of numbers, got {', '.join(columns)}"
        )
    values = {}
    for number, row in rows:
        where = f"{path}, row {number}"
        start, end = tables.seconds(row.get("start", ""), where) or 0.0, tables.seconds(row.get("end", ""), where)
        try:
            values[row_key(plain(row["file"]), start, end)] = np.array([float(row[c]) for c in numeric])
        except ValueError as error:
            raise ConfigError(f"{where}: expected a file and numbers, got {error}") from error
    return values


def _statistics(path: Path, division: Division) -> dict[str, Moments]:
    """Fold -> its normaliser's mean and scale."""
    names = [part.name for part in division.folds]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected JSON with 'mean' and 'scale' ({error!r})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected an object with 'mean' and 'scale', or one a fold, got {content!r}"[:300])
    if "mean" in content or "scale" in content:
        moments = _moments(content, str(path))
        return dict.fromkeys(names, moments)
    if not content or set(content) - set(names):
        raise ConfigError(
            f"{path}: expected 'mean' and 'scale', or one such object a fold by the names {', '.join(names)}; "
            f"got {', '.join(content) or 'nothing'}"
        )
    return {name: _moments(each, f"{path}, fold {name}") for name, each in content.items()}


def _moments(content: Any, where: str) -> Moments:
    """Mean and scale as arrays, if they are two rows of as many numbers."""
    try:
        mean, scale = (np.array(content[key], dtype=np.float64) for key in ("mean", "scale"))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: expected 'mean' and 'scale', a list of numbers each ({error!r})") from error
    if mean.ndim != 1 or mean.shape != scale.shape or not len(mean):
        raise ConfigError(
            f"{where}: expected as many numbers in 'mean' as in 'scale', got {mean.size} and {scale.size}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ConfigError(f"{where}: 'mean' and 'scale' hold what is not a number; expected finite ones")
    return mean, scale


def _distance(values: dict[str, npt.NDArray[np.float64]], keys: Iterable[str], stored: Moments) -> float:
    """How far mean and deviation of some clips are from a normaliser's, in its deviations; infinite without clips."""
    mean, scale = stored
    own = [values[key] for key in keys if key in values]
    if not own:
        return math.inf
    matrix = np.stack(own)  # (clips, D)
    if matrix.shape[1] != len(mean):
        raise ConfigError(f"the normaliser has {len(mean)} numbers, the features {matrix.shape[1]}")
    unit = np.where(scale > 0, scale, 1.0)
    deviation = np.where(matrix.std(0) > 0, matrix.std(0), 1.0)
    largest = float(np.max([np.abs(matrix.mean(0) - mean) / unit, np.abs(deviation - unit) / unit]))
    return largest if math.isfinite(largest) else math.inf
