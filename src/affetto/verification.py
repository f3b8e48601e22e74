"""Verifies a results file: every number in it is computed anew from the predictions beside it.

Three roads lead to a number and must meet: our own (audmetric inside), scikit-learn's and SciPy's, and the file. What
the file says of its origin must follow from what lies beside it: its own settings, the protocol, the trainings. With
the corpus at hand, the truth, the speakers and the whole protocol are compared with it as well.
"""

import hashlib
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

from affetto import changes, corpora, experiment, protocol, scores
from affetto.corpora.base import Corpus
from affetto.corpora.joint import join
from affetto.errors import ConfigError, CorpusError, ProtocolError
from affetto.experiment import Experiment
from affetto.labels import DIMENSIONS
from affetto.scores import JSON, CategoryScores, Scoring

TOLERANCE = 1e-9
"""Largest difference between two computations of the same fraction, or share of a larger number."""
PROBABILITY_TOLERANCE = 1e-4
"""Largest distance of a row's sum from 1: probabilities are written with five digits."""
SUMMARY = ("folds", "fold_mean", "fold_mean_by_seed", "deviation", "pooled", "by_speaker", "intervals", "undefined")
"""What `scores.summarise` computes and a results file repeats."""
SHAPE = {"protocol": str, "task": str, "labels": list, "folds": list, "seeds": list, "fingerprint": str}
"""What makes a JSON a results file."""
SAYS = "the corpus says"
PROTOCOL = "protocol.json"
"""What the protocol beside the results is called."""


@dataclass(frozen=True)
class Verification:
    """What came of verifying a results file.

    Args:
        path: of the file.
        numbers: how many of its numbers were computed anew.
        faults: what is wrong, a line each; none for a file in order.
        notes: what could not be compared, a line each.
    """

    path: Path
    numbers: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


class _Comparer:
    """Counts comparisons and remembers those that fail."""

    def __init__(self) -> None:
        self.numbers = 0
        self.faults: list[str] = []

    def same(self, stored: Any, computed: Any, where: str, says: str = "its predictions say") -> None:
        """Compare two pieces of JSON; undefined is null."""
        if isinstance(computed, dict):
            keys = set(computed) | (set(stored) if isinstance(stored, dict) else set())
            for key in sorted(keys, key=str):
                below = stored.get(key) if isinstance(stored, dict) else None
                self.same(below, computed.get(key), f"{where}.{key}", says)
        elif isinstance(computed, list):
            if not isinstance(stored, list) or len(stored) != len(computed):
                self.fault(where, f"expected {len(computed)} entries: the file says {stored!r}, {says} {computed!r}")
                return
            for number, (ours, theirs) in enumerate(zip(stored, computed, strict=True)):
                self.same(ours, theirs, f"{where}[{number}]", says)
        else:
            self.numbers += isinstance(computed, int | float)
            if not _equal(stored, computed):
                self.fault(where, f"the file says {stored!r}, {says} {computed!r}")

    def true(self, holds: bool, where: str, what: str) -> None:
        if not holds:
            self.fault(where, what)

    def fault(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")


def _equal(stored: Any, computed: Any) -> bool:
    if isinstance(computed, float) and math.isnan(computed):
        return stored is None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stored, computed))
    if numbers:
        return math.isclose(stored, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return isinstance(stored, bool) == isinstance(computed, bool) and bool(stored == computed)


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


def verify(path: Path, *given: Corpus) -> Verification:
    """Compute every number of a results file anew, and compare.

    Args:
        path: of the JSON; its predictions lie beside it as CSV, its protocol as `protocol.json`, its cells below.
        given: corpora to compare truth, speakers and folds with; without the one that was tested (and, across corpora,
            those that were learned from) they are taken as the file has them.

    Returns:
        The faults that were found, and a note if the results are another corpus's, with which they are not compared.

    Raises:
        ConfigError: if there is no results file.
    """
    results = _load(path, expected="what `affetto benchmark` writes")
    for key in SHAPE:
        if key not in results:
            raise ConfigError(f"{path}: is not a results file, it has no '{key}'")
    here = path.parent.resolve() / path.name  # a file may be named from inside its folder
    comparer, notes = _Comparer(), []
    scoring = _scoring(results, comparer)
    if scoring is not None:
        _names(here, results, comparer)
        stated = _settings(results, comparer)
        definition = _beside(here.with_name(PROTOCOL), "protocol", comparer)
        table = _predictions(here.with_suffix(".csv"), results, scoring, comparer)
        if table is not None:
            _numbers(table, results, scoring, comparer)
        _protocol(definition, stated, results, table, comparer)
        _cells(here.parent / "cells" / here.stem, definition, results, scoring, table, comparer)
        corpus = _asked(given, definition, results, comparer)
        if corpus is not None:
            _corpus(corpus, definition, results, table, comparer)
        elif given:
            names = ", ".join(each.name for each in given)
            notes.append(f"the results are {results.get('corpus')}'s: {names} was not compared with them")
    return Verification(path, comparer.numbers, tuple(comparer.faults), tuple(notes))


def _load(path: Path, *, expected: str) -> JSON:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); expected {expected}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no object; expected {expected}")
    return content


def _beside(path: Path, where: str, comparer: _Comparer) -> JSON:
    """What a file beside the results holds; nothing, and a fault, if there is none."""
    if not path.exists():
        comparer.fault(where, f"{path.name} is missing")
        return {}
    try:
        return _load(path, expected="what `affetto benchmark` writes")
    except ConfigError as error:
        comparer.fault(where, str(error))
        return {}


def _objects(value: Any) -> list[JSON]:
    """The objects of a list that may be anything."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _scoring(results: JSON, comparer: _Comparer) -> Scoring | None:
    """How the answers are scored; nothing, and faults, for a file that cannot be read any further."""
    for key, kind in SHAPE.items():
        comparer.true(
            isinstance(results[key], kind), key, f"the file says {results[key]!r}, which is no {kind.__name__}"
        )
    if comparer.faults:
        return None
    folds = all(
        isinstance(fold, dict) and {"fold", "seed", "n", "test"} <= set(fold) and isinstance(fold["test"], dict)
        for fold in results["folds"]
    )
    comparer.true(folds, "folds", "are not each an object with fold, seed, n and test")
    comparer.true(all(isinstance(label, str) for label in results["labels"]), "labels", "are not all words")
    comparer.true(all(isinstance(seed, int) for seed in results["seeds"]), "seeds", "are not all whole numbers")
    try:
        return None if comparer.faults else scores.scoring(results["task"], results["labels"])
    except ConfigError as error:
        comparer.fault("task", str(error))
        return None


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


def _settings(results: JSON, comparer: _Comparer) -> Experiment | None:
    """The experiment that the file says it is of; its fingerprint and what the file repeats of it must agree."""
    config = results.get("config")
    if not isinstance(config, dict):
        comparer.fault("config", "the settings are missing")
        return None
    for key in ("seeds", "shipped", "tuned_on"):
        comparer.same(results.get(key), config.get(key), key, "its config says")
    elsewhere = results.get("learned_from")
    learned = elsewhere.get("corpus") if isinstance(elsewhere, dict) else results.get("corpus")
    comparer.same(learned, config.get("corpus"), "learned_from.corpus" if elsewhere else "corpus", "its config says")
    for name in {str(results.get("corpus")), str(learned)} & set(corpora.names()):
        called = results.get("simulated") is True or not corpora.get(name).info.simulated
        comparer.true(called, "simulated", f"the file does not say so, but {name} is")
    comparer.same(results.get("model"), config.get("name"), "model", "its config says")
    task = config.get("task")
    comparer.same(results["task"], task.get("name") if isinstance(task, dict) else task, "task", "its config says")
    if isinstance(task, dict) and "names" in task:
        comparer.same(results["labels"], task["names"], "labels", "its config says")
    try:
        stated = experiment.from_config(config, source="config")
    except ConfigError as error:
        comparer.faults.append(str(error))
        return None
    comparer.same(results["fingerprint"], stated.fingerprint, "fingerprint", "its config says")
    transductive = stated.speaker_statistics or stated.protocol.endswith("-transductive")
    comparer.same(results.get("transductive"), transductive, "transductive", "its config says")
    return stated


def _predictions(path: Path, results: JSON, scoring: Scoring, comparer: _Comparer) -> pd.DataFrame | None:
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


def _numbers(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: _Comparer) -> None:
    """Every score, by our own code and by others'."""
    summary = scores.plain(scores.summarise(table, results["task"], results["labels"]))
    for key in SUMMARY:
        stored = results.get(key)
        if key == "folds":
            stored = [{name: fold.get(name) for name in ("fold", "seed", "n", "test")} for fold in results["folds"]]
        comparer.same(stored, summary[key], key)
    _witness(table, results, scoring, comparer)


def _rows(table: pd.DataFrame, results: JSON, scoring: Scoring, comparer: _Comparer) -> bool:
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


def _protocol(
    definition: JSON, stated: Experiment | None, results: JSON, table: pd.DataFrame | None, comparer: _Comparer
) -> None:
    """What the file repeats of its protocol, and how many clips each fold trained on and tested."""
    if not definition:  # which is a fault already
        return
    for key, theirs in (
        ("protocol", "id"),
        ("corpus", "corpus"),
        ("manifest_sha256", "manifest_sha256"),
        ("folds_sha256", "folds_sha256"),
        ("transductive", "transductive"),
        ("learned_from", "learned_from"),
    ):
        comparer.same(results.get(key), definition.get(theirs), key, f"{PROTOCOL} says")
    if results["task"] == "categories":
        comparer.same(results["labels"], definition.get("classes"), "labels", f"{PROTOCOL} says")
    elif isinstance(rated := definition.get("dimensions"), dict):  # a table of one's own states none
        scales = {label: rated.get(label) for label in results["labels"]}
        comparer.same(results.get("scales"), scales, "scales", f"{PROTOCOL} says")
    folds = _objects(definition.get("folds"))
    lines = "".join(f"{fold.get('fold')} {fold.get('sha256')}\n" for fold in folds)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    comparer.same(definition.get("folds_sha256"), digest, f"{PROTOCOL}.folds_sha256", "its folds say")
    planned = [(fold.get("fold"), fold.get("test")) for fold in folds]
    for seed in results["seeds"]:
        found = [(fold["fold"], fold["n"]) for fold in results["folds"] if fold["seed"] == seed]
        comparer.true(found == planned, "folds", f"of seed {seed} are not those of {PROTOCOL}")
    _trained_on(folds, stated, results, comparer)
    if table is not None:
        for fold in folds:
            heard = table.loc[table["fold"] == fold.get("fold"), "speaker"].dropna().unique()
            where = f"{PROTOCOL}.folds.{fold.get('fold')}.test_speakers"
            comparer.same(fold.get("test_speakers"), sorted(map(str, heard)), where)


def _trained_on(folds: list[JSON], stated: Experiment | None, results: JSON, comparer: _Comparer) -> None:
    """What the models that were tested had been trained on, and on how many clips."""
    with_dev = results.get("trained_on") == "train+dev"
    if stated is not None:
        expected = "train+dev" if stated.refit and any(fold.get("dev") for fold in folds) else "train"
        comparer.same(results.get("trained_on"), expected, "trained_on", "its config says")
    sizes = {fold.get("fold"): (fold.get("train") or 0) + ((fold.get("dev") or 0) if with_dev else 0) for fold in folds}
    for number, fold in enumerate(results["folds"]):
        where = f"folds[{number}].n_train"
        comparer.same(fold.get("n_train"), sizes.get(fold["fold"]), where, f"{PROTOCOL} and trained_on say")


def _cells(
    folder: Path,
    definition: JSON,
    results: JSON,
    scoring: Scoring,
    table: pd.DataFrame | None,
    comparer: _Comparer,
) -> None:
    """The trainings that the predictions came from."""
    if not folder.is_dir():
        comparer.fault("cells", f"there is no cells/{folder.name}: its trainings are not there")
        return
    hashes = {fold.get("fold"): fold.get("sha256") for fold in _objects(definition.get("folds"))}
    finished: list[JSON] = []
    for fold in results["folds"]:
        name = f"{fold['fold']}-{fold['seed']}"
        cell = _beside(folder / f"{name}.json", "cells", comparer)
        if not cell:
            continue
        finished.append(cell)
        where = f"cells.{name}"
        origin = {
            "fingerprint": results["fingerprint"],
            "manifest_sha256": definition.get("manifest_sha256"),
            "fold_sha256": hashes.get(fold["fold"]),
            "words_sha256": (results.get("words") or {}).get("sha256"),
        }
        for key, expected in origin.items():
            comparer.same(cell.get(key), expected, f"{where}.{key}", f"the results and {PROTOCOL} say")
        for key in ("fold", "seed", "n", "n_train", "dev", "chosen", "best_epoch", "epochs"):
            comparer.same(fold.get(key), cell.get(key), f"{where}.{key}", "the cell says")
        if table is not None:
            part = table[(table["fold"] == fold["fold"]) & (table["seed"] == fold["seed"])]
            _answers(part, scoring, cell, where, comparer)
    if len(finished) == len(results["folds"]):
        for key in ("commit", "machine"):
            origins = sorted({str(cell[key]) for cell in finished if cell.get(key)})
            comparer.same(results.get(key), "; ".join(origins) or None, key, "its cells say")
        seconds = [cell["seconds"] for cell in finished if isinstance(cell.get("seconds"), int | float)]
        if len(seconds) == len(finished):
            comparer.same(results.get("seconds"), round(sum(seconds), 1), "seconds", "its cells say")
        else:
            comparer.fault("seconds", "not every cell has its own")


def _answers(part: pd.DataFrame, scoring: Scoring, cell: JSON, where: str, comparer: _Comparer) -> None:
    """What a cell answered to each clip against the predictions of its fold and seed."""
    rows = _objects(cell.get("predictions"))
    try:
        answers = [scoring.flat(row) for row in rows]
    except (KeyError, TypeError, ValueError):
        comparer.fault(where, "its predictions lack truth or answer")
        return
    words = {"file", "start", "end", "truth", "prediction"}
    named = [name for name in part if name in words]
    found = [tuple({**row, **answer}.get(name) for name in named) for row, answer in zip(rows, answers, strict=True)]
    stored = list(zip(*(part[name].astype(object).where(part[name].notna(), None) for name in named), strict=True))
    comparer.true(stored == found, where, "its predictions are not those of the table")
    if len(rows) == len(part):
        for name in (name for name in scoring.columns if name not in words):
            comparer.same(part[name].tolist(), [answer[name] for answer in answers], f"{where}.{name}", "the cell says")


def _corpus(corpus: Corpus, definition: JSON, results: JSON, table: pd.DataFrame | None, comparer: _Comparer) -> None:
    """Truth, speakers and the protocol against the corpus itself."""
    names = protocol.row_keys(corpus.table)
    keys: list[str] = []
    if table is not None:
        known = dict(zip(names, corpus.table.itertuples(index=False), strict=True))
        keys = [protocol.row_key(*row) for row in zip(table["file"], table["start"], table["end"], strict=True)]
        for number, what in enumerate(_contradictions(keys, known, table)):
            if number == 3:
                comparer.fault("corpus", "and others")
                break
            comparer.fault("corpus", what)
    if "learned_from" in definition:
        _elsewhere(corpus, definition, names, keys, table, comparer)
        return
    config = results.get("config")
    name = config.get("protocol") if isinstance(config, dict) else None
    try:
        dealt = protocol.create(str(name), corpus, transductive=bool(results.get("transductive")))
        now = dealt.definition
    except (ProtocolError, CorpusError) as error:
        comparer.fault("corpus", str(error))
        return
    for key in ("manifest_sha256", "folds_sha256"):
        comparer.same(results.get(key), now[key], key, SAYS)
    comparer.same(definition, now, PROTOCOL, SAYS)
    if table is not None:
        planned = {fold.name: {names[row] for row in fold.test} for fold in dealt.folds}
        for seed in results["seeds"]:
            for fold, clips in planned.items():
                here = ((table["fold"] == fold) & (table["seed"] == seed)).tolist()
                tested = {key for key, yes in zip(keys, here, strict=True) if yes}
                comparer.true(tested == clips, "corpus", f"fold {fold}, seed {seed} tests other clips than planned")


def _elsewhere(
    corpus: Corpus,
    definition: JSON,
    names: list[str],
    keys: list[str],
    table: pd.DataFrame | None,
    comparer: _Comparer,
) -> None:
    """The tested clips of models that learned from another corpus, against the tested one.

    Args:
        corpus: the tested one.
        definition: of the transfer.
        names: what the corpus's clips are called.
        keys: what the clips of the predictions are called.
        table: of predictions.
        comparer: of what differs.
    """
    comparer.same(definition.get("manifest_sha256"), corpus.manifest_sha256(), f"{PROTOCOL}.manifest_sha256", SAYS)
    try:
        tested = {names[row] for row in protocol.tested(corpus, str(definition.get("clips")))}
    except (ProtocolError, CorpusError) as error:
        comparer.fault("corpus", str(error))
        return
    if table is not None:
        for (seed, fold), part in pd.Series(keys).groupby([table["seed"].to_numpy(), table["fold"].to_numpy()]):
            comparer.true(set(part) == tested, "corpus", f"fold {fold}, seed {seed} tests other clips than planned")


def _asked(given: tuple[Corpus, ...], definition: JSON, results: JSON, comparer: _Comparer) -> Corpus | None:
    """The corpus that results are of, or the joint one; None if it, or a part of it, is not among those given."""
    known = {corpus.name: corpus for corpus in given}
    if "trained" not in definition:
        return known.get(str(results.get("corpus")))
    needed = {*map(str, definition["trained"]), str(definition.get("tested"))}
    if not needed <= set(known):
        return None
    try:
        return join([known[name] for name in needed], definition.get("classes"))
    except CorpusError as error:
        comparer.fault("corpus", str(error))
        return None


def _contradictions(keys: list[str], known: dict[str, Any], table: pd.DataFrame) -> Iterator[str]:
    for number, key in enumerate(keys):
        if key not in known:
            yield f"has no clip {key}"
            continue
        own = known[key]
        if "truth" in table and table["truth"].iloc[number] != own.emotion:
            yield f"{key} is {own.emotion}, the file says {table['truth'].iloc[number]}"
        for label in (label for label in DIMENSIONS if f"{label}_truth" in table):
            rating, stored = getattr(own, label, math.nan), table[f"{label}_truth"].iloc[number]
            if not _equal(float(stored), float(rating)):
                yield f"{key}: its {label} is {rating}, the file says {stored}"
        speaker = None if pd.isna(own.speaker) else own.speaker
        if table["speaker"].iloc[number] != speaker:
            yield f"{key} is said by {speaker}, the file says {table['speaker'].iloc[number]}"
