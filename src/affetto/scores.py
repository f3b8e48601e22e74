"""From a table of predictions to every number of a results file; without networks and without the corpus.

The table has one row a tested clip: `file,start,end,fold,seed`, then `truth,prediction` and one probability a class, or
for dimensions `<name>_truth,<name>` each, and last the `speaker`, empty where nobody is known.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from affetto import metrics, statistics
from affetto.errors import ConfigError

JSON = dict[str, Any]
Array = npt.NDArray[np.float64]

INDEX = ("file", "start", "end", "fold", "seed")
"""Columns of every table of predictions."""
DRAWS = 10_000
"""Of the bootstrap; its seed is 0, so that the same predictions give the same interval."""


@dataclass(frozen=True)
class CategoryScores:
    """Scores of answers that are one of some classes.

    Args:
        labels: the classes.
    """

    labels: tuple[str, ...]
    names = ("wa", "ua", "macro_f1", "weighted_f1")
    headline = ("wa", "ua")
    further = ("macro_f1",)
    primary = "ua"

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table, between index and speaker."""
        return ("truth", "prediction", *self.labels)

    def flat(self, record: JSON) -> JSON:
        """Truth and answer of a clip, as a cell keeps them, by column."""
        probabilities = dict(zip(self.labels, record["probabilities"], strict=True))
        return {"truth": record["truth"], "prediction": record["prediction"], **probabilities}

    def of(self, part: pd.DataFrame) -> dict[str, float]:
        """Every score of some rows."""
        return metrics.scores(list(part["truth"]), list(part["prediction"]))

    def sums(self, part: pd.DataFrame) -> Array:
        """Confusion counts of some rows, (K, K)."""
        return metrics.confusion(list(part["truth"]), list(part["prediction"]), self.labels).astype(np.float64)

    def from_sums(self, name: str) -> Callable[[Array], Array]:
        """One score from counts (..., K, K)."""
        return lambda counts: metrics.from_counts(counts)[name]


@dataclass(frozen=True)
class DimensionScores:
    """Scores of ratings on one or more dimensions: CCC, Pearson's r, MSE and MAE of each, and the mean CCC.

    Args:
        labels: the dimensions.
    """

    labels: tuple[str, ...]
    primary = "ccc"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the scores: `ccc`, the mean over dimensions, then `<score>_<dimension>`."""
        return ("ccc", *(f"{name}_{label}" for label in self.labels for name in ("ccc", "pearson", "mse", "mae")))

    @property
    def headline(self) -> tuple[str, ...]:
        """Of the scores: those that tables show. The mean is one of its own only where there are several."""
        each = tuple(f"ccc_{label}" for label in self.labels)
        return each if len(each) == 1 else ("ccc", *each)

    @property
    def further(self) -> tuple[str, ...]:
        """Of the scores: those that full tables show as well."""
        return tuple(f"{name}_{label}" for name in ("pearson", "mse") for label in self.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table, between index and speaker."""
        return tuple(column for label in self.labels for column in (f"{label}_truth", label))

    def flat(self, record: JSON) -> JSON:
        """Truth and answer of a clip, as a cell keeps them, by column."""
        return {column: record[column] for column in self.columns}

    def of(self, part: pd.DataFrame) -> dict[str, float]:
        """Every score of some rows."""
        return metrics.rating_scores(*self.pairs(part), self.labels)

    def pairs(self, part: pd.DataFrame) -> tuple[Array, Array]:
        """True and predicted ratings of some rows, (n, dimensions) each."""
        truth = part[[f"{label}_truth" for label in self.labels]].to_numpy(float)
        return truth, part[list(self.labels)].to_numpy(float)

    def sums(self, part: pd.DataFrame) -> Array:
        """Moments of some rows, (dimensions, 7): the six of `metrics.moments`, and the sum of absolute errors."""
        columns = zip(*(side.T for side in self.pairs(part)), strict=True)
        rows = [[*metrics.moments(truth, heard), np.abs(truth - heard).sum()] for truth, heard in columns]
        return np.array(rows, dtype=np.float64)

    def from_sums(self, name: str) -> Callable[[Array], Array]:
        """One score from moments (..., dimensions, 7)."""
        kind, _, label = name.partition("_")

        def score(sums: Array) -> Array:
            if not label:
                return np.asarray(metrics.from_moments(sums[..., :6])["ccc"].mean(axis=-1))
            own = sums[..., self.labels.index(label), :]
            if kind == "mae":
                with np.errstate(invalid="ignore"):
                    return np.asarray(own[..., 6] / own[..., 0])
            return metrics.from_moments(own[..., :6])[kind]

        return score


Scoring = CategoryScores | DimensionScores


def scoring(task: str, labels: Sequence[str]) -> Scoring:
    """How a task's answers are scored.

    Raises:
        ConfigError: if there is no such task.
    """
    kinds: dict[str, type[CategoryScores] | type[DimensionScores]] = {
        "categories": CategoryScores,
        "dimensions": DimensionScores,
    }
    if task not in kinds:
        raise ConfigError(f"no task is called '{task}'; the tasks are {', '.join(kinds)}")
    return kinds[task](tuple(labels))


def read(path: Path) -> pd.DataFrame:
    """The table of predictions in a CSV file.

    Raises:
        ConfigError: if it cannot be read, or lacks a column.
    """
    try:
        # Only an empty cell is missing: a speaker may be called NA.
        words = dict.fromkeys(("file", "fold", "truth", "prediction", "speaker"), str)
        table = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a table of predictions ({error})") from error
    missing = [column for column in (*INDEX, "speaker") if column not in table]
    if missing:
        raise ConfigError(f"{path}: has no column {', '.join(missing)}; found {', '.join(table.columns)}")
    return table.assign(speaker=table["speaker"].astype(object).where(table["speaker"].notna(), None))


def summarise(table: pd.DataFrame, task: str, labels: Sequence[str]) -> JSON:
    """Every number that follows from a table of predictions.

    Args:
        table: as described above.
        task: `categories` or `dimensions`.
        labels: classes or dimensions.

    Returns:
        `folds`, the scores of each fold and seed; `fold_mean`, their mean over folds and then over seeds;
        `fold_mean_by_seed`; `deviation`, over seeds, of `fold_mean`; `pooled`, the mean over seeds of the scores over
        all clips; `by_speaker`, the same for each speaker's clips; `intervals` of `fold_mean` and `pooled` (see
        `statistics.speaker_bootstrap`); `confusion` over all seeds (rows are the truth; categories only); and
        `undefined`, the reason for every number that is NaN, by its path.
    """
    scores = scoring(task, labels)
    folds: list[JSON] = []
    for (_, fold), part in table.groupby(["seed", "fold"], sort=False):
        folds.append({"fold": fold, "seed": int(part["seed"].iloc[0]), "n": len(part), "test": scores.of(part)})
    frame = pd.DataFrame([{"seed": fold["seed"], **fold["test"]} for fold in folds])
    by_seed = {seed: part[list(scores.names)].mean(skipna=False) for seed, part in frame.groupby("seed")}
    over_seeds = pd.DataFrame(by_seed).T
    pooled = pd.DataFrame([scores.of(part) for _, part in table.groupby("seed", sort=False)])
    summary: JSON = {
        "folds": folds,
        "fold_mean": _floats(over_seeds.mean(skipna=False)),
        "fold_mean_by_seed": {str(seed): _floats(row) for seed, row in by_seed.items()},
        "deviation": {name: statistics.over_seeds(over_seeds[name].tolist()).deviation for name in scores.names},
        "pooled": _floats(pooled.mean(skipna=False)),
        "by_speaker": _by_speaker(table, scores),
        "intervals": _intervals(table, scores),
    }
    if isinstance(scores, CategoryScores):
        summary["confusion"] = scores.sums(table).astype(int).tolist()
    summary["undefined"] = dict(_undefined(summary))
    return summary


def _by_speaker(table: pd.DataFrame, scores: Scoring) -> JSON:
    """Mean over seeds of the scores of each speaker's clips."""
    result: JSON = {}
    for speaker, part in table.dropna(subset="speaker").groupby("speaker"):
        seeds = pd.DataFrame([scores.of(own) for _, own in part.groupby("seed")])
        result[str(speaker)] = {"n": round(len(part) / len(seeds)), **_floats(seeds.mean(skipna=False))}
    return result


def _intervals(table: pd.DataFrame, scores: Scoring) -> JSON:
    """Bootstrap intervals of every score."""
    result: JSON = {"level": 0.95, "draws": DRAWS, "clusters": int(table["speaker"].nunique()), "reason": None}
    nameless = int(table["speaker"].isna().sum())
    if nameless:
        return {**result, "reason": f"{nameless} clips have no speaker"}
    sums = clustered(table, scores)
    for name in scores.names:
        found = statistics.speaker_bootstrap(sums, scores.from_sums(name), draws=DRAWS)
        for aggregate in ("fold_mean", "pooled"):
            interval = getattr(found, aggregate)
            ends = [interval.low, interval.high]
            if interval.reason:
                ends = [metrics.Undefined(interval.reason)] * 2
                result["reason"] = result["reason"] or interval.reason
            result.setdefault(aggregate, {})[name] = ends
    return result


def clustered(table: pd.DataFrame, scores: Scoring) -> Array:
    """Additive sums by seed, fold and speaker, (seeds, folds, speakers, ...), each in order of first appearance."""
    axes = [list(dict.fromkeys(table[name])) for name in ("seed", "fold", "speaker")]
    sums = np.zeros((*map(len, axes), *scores.sums(table[:0]).shape))
    for key, part in table.groupby(["seed", "fold", "speaker"], sort=False):
        sums[tuple(axis.index(value) for axis, value in zip(axes, key, strict=True))] = scores.sums(part)
    return sums


def _undefined(summary: JSON, path: str = "") -> list[tuple[str, str]]:
    """Path and reason of every NaN."""
    found = []
    for key, value in summary.items():
        here = f"{path}{key}"
        if isinstance(value, dict):
            found += _undefined(value, f"{here}.")
        elif key == "folds":
            for fold in value:
                found += _undefined(fold["test"], f"folds.{fold['fold']}-{fold['seed']}.")
        elif isinstance(value, list) and value and isinstance(value[0], float):
            found += _undefined({key: value[0]}, path)
        elif isinstance(value, float) and math.isnan(value):
            found.append((here, getattr(value, "reason", "a part of it is undefined")))
    return found


def plain(content: Any) -> Any:
    """JSON in which NaN is null, as JSON knows no NaN."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content


def _floats(series: "pd.Series[float]") -> dict[str, float]:
    return {str(name): float(value) for name, value in series.items()}
