"""Verifies a results file: every number in it is computed anew from the predictions beside it.

Three roads lead to a number and must meet: our own (audmetric inside), scikit-learn's and SciPy's, and the file. With
the corpus at hand, the truth, the speakers and the folds are compared with it as well.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import sklearn.metrics

from affetto import changes, protocol, scores
from affetto.corpora.base import Corpus
from affetto.errors import ConfigError
from affetto.scores import JSON, CategoryScores, Scoring

TOLERANCE = 1e-9
"""Largest difference between two computations of the same fraction."""
PROBABILITY_TOLERANCE = 1e-4
"""Largest distance of a row's sum from 1: probabilities are written with five digits."""
SUMMARY = ("folds", "fold_mean", "fold_mean_by_seed", "deviation", "pooled", "by_speaker", "intervals", "undefined")
"""What `scores.summarise` computes and a results file repeats."""


@dataclass(frozen=True)
class Verification:
    """What came of verifying a results file.

    Args:
        path: of the file.
        numbers: how many of its numbers were computed anew.
        faults: what is wrong, a line each; none for a file in order.
    """

    path: Path
    numbers: int
    faults: tuple[str, ...]


class _Comparer:
    """Counts comparisons and remembers those that fail."""

    def __init__(self) -> None:
        self.numbers = 0
        self.faults: list[str] = []

    def same(self, stored: Any, computed: Any, where: str) -> None:
        """Compare two pieces of JSON; undefined is null."""
        if isinstance(computed, dict):
            keys = set(computed) | (set(stored) if isinstance(stored, dict) else set())
            for key in sorted(keys, key=str):
                below = stored.get(key) if isinstance(stored, dict) else None
                self.same(below, computed.get(key), f"{where}.{key}")
        elif isinstance(computed, list):
            if not isinstance(stored, list) or len(stored) != len(computed):
                self.fault(where, f"expected {len(computed)} entries")
                return
            for number, (ours, theirs) in enumerate(zip(stored, computed, strict=True)):
                self.same(ours, theirs, f"{where}[{number}]")
        else:
            self.numbers += isinstance(computed, int | float)
            if not _equal(stored, computed):
                self.fault(where, f"the file says {stored!r}, its predictions say {computed!r}")

    def true(self, holds: bool, where: str, what: str) -> None:
        if not holds:
            self.fault(where, what)

    def fault(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")


def _equal(stored: Any, computed: Any) -> bool:
    if isinstance(computed, float) and math.isnan(computed):
        return stored is None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stored, computed))
    return math.isclose(stored, computed, rel_tol=0, abs_tol=TOLERANCE) if numbers else bool(stored == computed)


def find(paths: Iterable[Path]) -> list[Path]:
    """Results files among paths: the files themselves, and those below folders, sorted.

    Raises:
        ConfigError: if there is none.
    """
    found = []
    for path in paths:
        below = path.rglob("*.json") if path.is_dir() else [path]
        found += sorted(each for each in below if not path.is_dir() or each.with_suffix(".csv").exists())
    if not found:
        raise ConfigError(f"{', '.join(map(str, paths))}: no results files; expected what `affetto benchmark` writes")
    return found


def verify(path: Path, corpus: Corpus | None = None) -> Verification:
    """Compute every number of a results file anew, and compare.

    Args:
        path: of the JSON; its predictions lie beside it as CSV, its protocol as `protocol.json`, its cells below.
        corpus: to compare truth, speakers and folds with; None: they are taken as the file has them.

    Returns:
        The faults that were found.

    Raises:
        ConfigError: if there is no results file, or no predictions.
    """
    results = _load(path, expected="what `affetto benchmark` writes")
    for key in ("protocol", "task", "labels", "folds", "seeds", "fingerprint"):
        if key not in results:
            raise ConfigError(f"{path}: is not a results file, it has no '{key}'")
    table = scores.read(path.with_suffix(".csv"))
    scoring = scores.scoring(results["task"], results["labels"])
    comparer = _Comparer()
    _names(path, results, comparer)
    if _rows(table, results, scoring, comparer):
        summary = scores.plain(scores.summarise(table, results["task"], results["labels"]))
        for key in SUMMARY:
            stored = results.get(key)
            if key == "folds":
                stored = [{name: fold.get(name) for name in ("fold", "seed", "n", "test")} for fold in stored or []]
            comparer.same(stored, summary[key], key)
        _witness(table, results, scoring, comparer)
    _protocol(path.parent / "protocol.json", results, comparer)
    _cells(path, results, table, scoring, comparer)
    if corpus is not None:
        _corpus(corpus, results, table, comparer)
    return Verification(path, comparer.numbers, tuple(comparer.faults))


def _load(path: Path, *, expected: str) -> JSON:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); expected {expected}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no object; expected {expected}")
    return content


def _names(path: Path, results: JSON, comparer: _Comparer) -> None:
    comparer.true(path.stem == results.get("model"), "model", f"is {results.get('model')}, the file {path.name}")
    comparer.true(
        path.parent.name == results["protocol"],
        "protocol",
        f"is {results['protocol']}, the folder {path.parent.name}",
    )
    known = changes.Line(results["protocol"], results.get("model", ""), results["fingerprint"])
    listed = changes.read(path.parents[1])
    comparer.true(known in listed, "fingerprint", f"is not listed in {changes.NAME}")


def _rows(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: _Comparer) -> bool:
    """Whether the predictions are such that scores can be computed from them."""
    expected = [*scores.INDEX, *scoring.columns, "speaker"]
    if list(table.columns) != expected:
        comparer.fault("predictions", f"have the columns {', '.join(table.columns)}; expected {', '.join(expected)}")
        return False
    if not len(table):
        comparer.fault("predictions", "are empty")
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


def _witness(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: _Comparer) -> None:
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


def _protocol(path: Path, results: JSON, comparer: _Comparer) -> None:
    if not path.exists():
        comparer.fault("protocol", f"there is no {path.name} beside the results")
        return
    definition = _load(path, expected="what `affetto benchmark` writes")
    for key, theirs in (
        ("protocol", "id"),
        ("corpus", "corpus"),
        ("manifest_sha256", "manifest_sha256"),
        ("folds_sha256", "folds_sha256"),
        ("transductive", "transductive"),
    ):
        comparer.same(results.get(key), definition.get(theirs), key)
    planned = [(fold["fold"], fold["test"]) for fold in definition.get("folds", [])]
    for seed in results["seeds"]:
        found = [(fold["fold"], fold["n"]) for fold in results["folds"] if fold["seed"] == seed]
        comparer.true(found == planned, "folds", f"of seed {seed} are not those of {path.name}")


def _cells(path: Path, results: JSON, table: pd.DataFrame, scoring: Scoring, comparer: _Comparer) -> None:
    """The trainings that the predictions came from, where they are kept."""
    folder = path.parent / "cells" / path.stem
    if not folder.is_dir():
        return
    for (seed, fold), part in table.groupby(["seed", "fold"], sort=False):
        cell_path = folder / f"{fold}-{seed}.json"
        if not cell_path.exists():
            comparer.fault("cells", f"{cell_path.name} is missing")
            continue
        cell = _load(cell_path, expected="a finished training")
        comparer.same(cell.get("fingerprint"), results["fingerprint"], f"cells.{cell_path.stem}.fingerprint")
        stated: JSON = next((each for each in results["folds"] if (each["fold"], each["seed"]) == (fold, seed)), {})
        for key in ("n_train", "dev", "chosen", "best_epoch", "epochs"):
            comparer.same(stated.get(key), cell.get(key), f"cells.{cell_path.stem}.{key}")
        stored = [(row["file"], row.get("prediction"), row.get("truth")) for row in cell.get("predictions", [])]
        if isinstance(scoring, CategoryScores):
            found = list(zip(part["file"], part["prediction"], part["truth"], strict=True))
            comparer.true(stored == found, f"cells.{cell_path.stem}", "its predictions are not those of the table")


def _corpus(corpus: Corpus, results: JSON, table: pd.DataFrame, comparer: _Comparer) -> None:
    """Truth, speakers and folds against the corpus itself."""
    comparer.same(results.get("manifest_sha256"), corpus.manifest_sha256(), "manifest_sha256")
    known = dict(zip(protocol.row_keys(corpus.table), corpus.table.itertuples(index=False), strict=True))
    keys = [
        protocol.row_key(file, start, end)
        for file, start, end in zip(table["file"], table["start"], table["end"], strict=True)
    ]
    for number, what in enumerate(_contradictions(keys, known, table)):
        if number == 3:
            comparer.fault("corpus", "and others")
            break
        comparer.fault("corpus", what)
    settings = results.get("config", {})
    dealt = protocol.create(
        settings.get("protocol", results["protocol"]), corpus, transductive=bool(results.get("transductive"))
    )
    comparer.same(results.get("folds_sha256"), dealt.definition["folds_sha256"], "folds_sha256")
    names = protocol.row_keys(corpus.table)
    planned = {fold.name: {names[row] for row in fold.test} for fold in dealt.folds}
    for seed in results["seeds"]:
        for fold in planned:
            tested = {
                key for key, f, s in zip(keys, table["fold"], table["seed"], strict=True) if (f, s) == (fold, seed)
            }
            comparer.true(tested == planned[fold], "corpus", f"fold {fold}, seed {seed} tests other clips than planned")


def _contradictions(keys: list[str], known: dict[str, Any], table: pd.DataFrame) -> Iterator[str]:
    for number, key in enumerate(keys):
        if key not in known:
            yield f"has no clip {key}"
            continue
        own = known[key]
        if "truth" in table and table["truth"].iloc[number] != own.emotion:
            yield f"{key} is {own.emotion}, the file says {table['truth'].iloc[number]}"
        speaker = None if pd.isna(own.speaker) else own.speaker
        if table["speaker"].iloc[number] != speaker:
            yield f"{key} is said by {speaker}, the file says {table['speaker'].iloc[number]}"
