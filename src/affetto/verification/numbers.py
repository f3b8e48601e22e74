"""Scores, computed anew from the predictions by our own code and by others'."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
import sklearn.metrics

from affetto import scores
from affetto.errors import ConfigError
from affetto.scores import JSON, CategoryScores, Scoring
from affetto.verification.comparer import Comparer

PROBABILITY_TOLERANCE = 1e-4
"""Largest distance of a row's sum from 1: probabilities are written with five digits."""


SUMMARY = ("folds", "fold_mean", "fold_mean_by_seed", "deviation", "pooled", "by_speaker", "intervals", "undefined")
"""What `scores.summarise` computes and a results file repeats."""


def predictions_of(path: Path, results: JSON, scoring: Scoring, comparer: Comparer) -> pd.DataFrame | None:
    """The predictions, if scores can be computed from them."""
    if not path.exists():
        comparer.fault("predictions", f"{path.name} is missing: no number can be computed")
        return None
    try:
        table = scores.read(path)
    except ConfigError as error:
        comparer.fault("predictions", str(error))
        return None
    return table if _rows(table, results, scoring, comparer) else None


def check_numbers(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: Comparer) -> None:
    """Every score, by our own code and by others'."""
    summary = scores.plain(scores.summarise(table, results["task"], results["labels"]))
    for key in SUMMARY:
        stored = results.get(key)
        if key == "folds":
            stored = [{name: fold.get(name) for name in ("fold", "seed", "n", "test")} for fold in results["folds"]]
        comparer.same(stored, summary[key], key)
    _witness(table, results, scoring, comparer)


def _rows(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: Comparer) -> bool:
    """Whether the predictions are such that scores can be computed from them."""
    expected = [*scores.INDEX, *scoring.columns, "speaker"]
    if list(table.columns) != expected:
        comparer.fault("predictions", f"have the columns {', '.join(table.columns)}; expected {', '.join(expected)}")
        return False
    if not len(table):
        comparer.fault("predictions", "are empty")
        return False
    words = [name for name in ("file", "fold", "truth", "prediction") if name in expected]
    numbers = [name for name in expected if name not in (*words, "speaker")]
    strange = [name for name in numbers if not pd.api.types.is_numeric_dtype(table[name])]
    holes = [name for name in (*words, *numbers) if name != "end" and table[name].isna().any()]
    if strange or holes:
        comparer.true(not strange, "predictions", f"hold words where numbers belong: {', '.join(strange)}")
        comparer.true(not holes, "predictions", f"have empty cells: {', '.join(holes)}")
        return False
    comparer.true(sorted(set(table["seed"])) == sorted(results["seeds"]), "seeds", "are not those of the predictions")
    twice = table.duplicated(list(scores.INDEX))
    comparer.true(not twice.any(), "predictions", f"{int(twice.sum())} clips are tested twice in a fold and seed")
    tested = [
        frozenset(zip(part["fold"], part["file"], part["start"], part["end"].fillna(-1), strict=True))
        for _, part in table.groupby("seed")
    ]
    comparer.true(all(a == b for a, b in pairwise(tested)), "predictions", "the seeds test different clips")
    if isinstance(scoring, CategoryScores):
        strange = sorted(({*table["truth"], *table["prediction"]}) - set(scoring.labels))
        if strange:
            comparer.fault("labels", f"lack {', '.join(map(str, strange))}, which the predictions have")
            return False
        probabilities = table[list(scoring.labels)].to_numpy(float)
        sums = np.abs(probabilities.sum(axis=1) - 1)
        wrong = int((~(sums <= PROBABILITY_TOLERANCE)).sum())
        comparer.true(not wrong, "predictions", f"the probabilities of {wrong} rows do not add up to 1")
        chosen = probabilities[np.arange(len(table)), [scoring.labels.index(label) for label in table["prediction"]]]
        lower = int((chosen < probabilities.max(axis=1)).sum())
        comparer.true(not lower, "predictions", f"{lower} are not the class with the highest probability")
    return True


def _witness(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: Comparer) -> None:
    """The same means by scikit-learn and SciPy, without any of our own code."""
    witness = _by_sklearn if isinstance(scoring, CategoryScores) else _by_scipy
    by_seed: dict[int, list[JSON]] = {}
    for fold, ((seed, _), part) in zip(results["folds"], table.groupby(["seed", "fold"], sort=False), strict=False):
        expected = witness(part, scoring.labels)
        comparer.same(fold["test"], expected, f"scikit-learn: folds.{fold['fold']}-{fold['seed']}")
        by_seed.setdefault(int(str(seed)), []).append(expected)
    means = {seed: _mean(folds) for seed, folds in by_seed.items()}
    comparer.same(results.get("fold_mean"), _mean(list(means.values())), "scikit-learn: fold_mean")
    pooled = _mean([witness(part, scoring.labels) for _, part in table.groupby("seed")])
    comparer.same(results.get("pooled"), pooled, "scikit-learn: pooled")
    if isinstance(scoring, CategoryScores):
        counts = sklearn.metrics.confusion_matrix(table["truth"], table["prediction"], labels=list(scoring.labels))
        comparer.same(results.get("confusion"), counts.tolist(), "scikit-learn: confusion")


def _by_sklearn(part: pd.DataFrame, labels: tuple[str, ...]) -> JSON:
    pair = {"y_true": part["truth"].tolist(), "y_pred": part["prediction"].tolist()}
    present = {"labels": sorted(set(part["truth"])), "zero_division": 0.0}
    return {
        "wa": float(sklearn.metrics.accuracy_score(**pair)),
        "ua": float(sklearn.metrics.recall_score(**pair, **present, average="macro")),
        "macro_f1": float(sklearn.metrics.f1_score(**pair, **present, average="macro")),
        "weighted_f1": float(sklearn.metrics.f1_score(**pair, **present, average="weighted")),
    }


def _by_scipy(part: pd.DataFrame, labels: tuple[str, ...]) -> JSON:
    expected: JSON = {}
    for label in labels:
        truth, prediction = part[f"{label}_truth"].to_numpy(float), part[label].to_numpy(float)
        covariance = np.cov(truth, prediction, ddof=0) if len(truth) > 1 else np.full((2, 2), math.nan)
        spread = covariance[0, 0] + covariance[1, 1] + (truth.mean() - prediction.mean()) ** 2
        varied = len(truth) > 1 and truth.std() > 0 and prediction.std() > 0
        expected[f"ccc_{label}"] = float(2 * covariance[0, 1] / spread) if spread > 0 else math.nan
        expected[f"pearson_{label}"] = float(scipy.stats.pearsonr(truth, prediction).statistic) if varied else math.nan
        expected[f"mse_{label}"] = float(sklearn.metrics.mean_squared_error(truth, prediction))
        expected[f"mae_{label}"] = float(sklearn.metrics.mean_absolute_error(truth, prediction))
    return {"ccc": float(np.mean([expected[f"ccc_{label}"] for label in labels])), **expected}


def _mean(parts: list[JSON]) -> JSON:
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]} if parts else {}
