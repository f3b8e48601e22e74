"""Confidence that means something: probabilities that come true, a threshold to refuse by, and sets of labels.

All of it is fitted on cross-validated predictions, the CSV of a results file, so on speakers that the network had not
heard; without networks and without the corpus. Whatever is reported of it is fitted on the other folds; what a
checkpoint carries is fitted on all.

Temperature scaling divides the logits by one number, so that order and answers stay as they were:

    Guo et al. (2017). On Calibration of Modern Neural Networks. ICML. arXiv:1706.04599, section 4.2.

Label sets hold every label whose probability is at least 1 - q, where q is a quantile of 1 minus the true label's
probability (least ambiguous sets, split conformal), and never nothing:

    Sadinle, Lei and Wasserman (2019). Least Ambiguous Set-Valued Classifiers with Bounded Error Levels. JASA 114(525).

Their guarantee is for clips drawn like those of the fit. Clips of a new speaker are not: coverage is right on the mean
over speakers at best, and `report` says how far single speakers are from it.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata

from affetto import scores
from affetto.errors import ConfigError

Array = npt.NDArray[np.float64]
JSON = dict[str, Any]

FLOOR = 5e-6
"""Probability below which nothing is told apart: half of the last digit that results keep."""
BINS = 10
"""Of the calibration error, each with as many clips."""
COVERAGE = 0.8
"""Share of clips that the threshold for `reliable` keeps."""
LEVEL = 0.95
"""Share of clips whose label set is to hold the true label."""


@dataclass(frozen=True)
class Calibration:
    """What turns a model's probabilities into ones to act on.

    Args:
        temperature: that the logits are divided by; below 1 the model was too timid, above 1 too bold.
        threshold: confidence from which an answer counts as reliable.
        coverage: share of clips of unseen speakers that reach the threshold.
        error: share of wrong answers among those.
        quantile: label sets hold labels whose probability is at least 1 minus this.
        level: share of clips whose set is to hold the true label.
        fitted_on: protocol, row, clips, speakers, for people.
    """

    temperature: float
    threshold: float
    coverage: float
    error: float
    quantile: float
    level: float
    fitted_on: JSON

    @property
    def config(self) -> JSON:
        """As a checkpoint keeps it."""
        return asdict(self)

    def apply(self, probabilities: npt.ArrayLike) -> Array:
        """Calibrated probabilities, same shape, of a model's own, (..., K)."""
        return temper(probabilities, self.temperature)

    def label_set(self, probabilities: Sequence[float], labels: Sequence[str]) -> tuple[str, ...]:
        """The labels that the truth is among in `level` of all cases, likeliest first; at least one.

        Args:
            probabilities: calibrated, (K,).
            labels: in their order.
        """
        inside = set_members(np.array([probabilities]), self.quantile)[0]
        order = np.argsort(-np.asarray(probabilities), kind="stable")
        return tuple(labels[i] for i in order if inside[i])


def parse(config: JSON) -> Calibration:
    """A calibration from what a checkpoint keeps.

    Raises:
        ValueError: if a number is missing or out of its range.
    """
    try:
        found = Calibration(**config)
    except TypeError as error:
        raise ValueError(f"calibration: {error}") from error
    shares = (found.threshold, found.coverage, found.error, found.quantile, found.level)
    if not (found.temperature > 0 and math.isfinite(found.temperature) and all(0 <= each <= 1 for each in shares)):
        raise ValueError("calibration: expected a positive temperature, and shares from 0 to 1")
    return found


def of_results(path: Path, labels: Sequence[str]) -> Calibration:
    """A calibration from a results file of categories.

    Of several seeds the first alone counts: it is one model that is calibrated, and what others answer to the same
    clips says nothing new of other speakers.

    Args:
        path: of its JSON or its CSV; both must be there.
        labels: the classes of the model to calibrate.

    Raises:
        ConfigError: if they cannot be read, or are of something else.
    """
    try:
        results = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        source = {"protocol": results["protocol"], "row": results["model"], "seeds": 1}
        first = results["seeds"][0]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{path.with_suffix('.json')}: is not a results file ({error!r})") from error
    table = scores.read(path.with_suffix(".csv"))
    return fit(table[table["seed"] == first], labels, source=source)


def fit(table: pd.DataFrame, labels: Sequence[str], *, source: JSON) -> Calibration:
    """A calibration from cross-validated predictions of categories.

    Args:
        table: as `scores.read` gives it: a row a clip and seed, with fold, truth and a probability a label.
        labels: the classes.
        source: protocol and row, for people.

    Raises:
        ConfigError: if the table has no probabilities of these labels, or holds fewer than two folds.
    """
    probabilities, truth = taken(table, labels)
    temperature = fit_temperature(probabilities, truth)
    tempered = temper(probabilities, temperature)
    # Threshold and quantile see what unseen speakers will be given: probabilities of temperatures of other folds.
    threshold = threshold_for_coverage(cross_tempered(table, labels).max(axis=1), COVERAGE)
    kept = tempered.max(axis=1) >= threshold
    wrong = tempered.argmax(axis=1) != truth
    return Calibration(
        temperature=round(temperature, 4),
        threshold=round(threshold, 4),
        coverage=round(float(kept.mean()), 4),
        error=round(float(wrong[kept].mean()), 4),
        quantile=round(conformal_quantile(scores_of_truth(tempered, truth), LEVEL), 6),
        level=LEVEL,
        fitted_on={**source, "clips": len(table), "speakers": int(table["speaker"].nunique())},
    )


def taken(table: pd.DataFrame, labels: Sequence[str]) -> tuple[Array, npt.NDArray[np.int64]]:
    """Probabilities (n, K) and indices of the true labels (n,) of a table of predictions.

    Raises:
        ConfigError: if it has no such probabilities, a truth that is none of the labels, or fewer than two folds.
    """
    missing = [label for label in (*labels, "truth", "fold") if label not in table]
    if missing:
        raise ConfigError(f"calibration: the predictions have no column {', '.join(missing)}; are they of this model?")
    strange = sorted(set(table["truth"]) - set(labels))
    if strange:
        raise ConfigError(f"calibration: the predictions have the truth {strange[0]}, which the model cannot answer")
    if table["fold"].nunique() < 2:
        raise ConfigError("calibration: expected cross-validated predictions, of two folds or more")
    places = {label: place for place, label in enumerate(labels)}
    truth = np.array([places[label] for label in table["truth"]], np.int64)
    return np.asarray(table[list(labels)], np.float64), truth


def temper(probabilities: npt.ArrayLike, temperature: float) -> Array:
    """Softmax of the logits over a temperature, from the softmax of the logits themselves; (..., K) both.

    Example:
        >>> temper([0.8, 0.2], 0.5).round(3).tolist()
        [0.941, 0.059]
    """
    logits = np.log(np.clip(np.asarray(probabilities, np.float64), FLOOR, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(probabilities: Array, truth: npt.NDArray[np.int64]) -> float:
    """The temperature of least negative log-likelihood, between 1/20 and 20.

    Args:
        probabilities: (n, K).
        truth: indices, (n,).
    """
    found = minimize_scalar(
        lambda logarithm: negative_log_likelihood(temper(probabilities, math.exp(logarithm)), truth),
        bounds=(-math.log(20), math.log(20)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)


def cross_tempered(table: pd.DataFrame, labels: Sequence[str]) -> Array:
    """Probabilities (n, K) of a table of predictions, each fold's by the temperature of all other folds."""
    probabilities, truth = taken(table, labels)
    result = np.empty_like(probabilities)
    for fold in table["fold"].unique():
        own = (table["fold"] == fold).to_numpy()
        result[own] = temper(probabilities[own], fit_temperature(probabilities[~own], truth[~own]))
    return result


def negative_log_likelihood(probabilities: Array, truth: npt.NDArray[np.int64]) -> float:
    """Mean of -ln p of the true label; probabilities below `FLOOR` count as that."""
    return float(-np.log(np.clip(probabilities[np.arange(len(truth)), truth], FLOOR, 1.0)).mean())


def brier(probabilities: Array, truth: npt.NDArray[np.int64]) -> float:
    """Mean squared distance to the truth (Brier, 1950), summed over labels: 0 to 2."""
    return float(((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(axis=1).mean())


@dataclass(frozen=True)
class Bin:
    """Clips of similar confidence.

    Args:
        clips: how many.
        confidence: their mean.
        accuracy: share of right answers.
    """

    clips: int
    confidence: float
    accuracy: float


def reliability(confidence: Array, right: npt.NDArray[np.bool_], *, bins: int = BINS) -> list[Bin]:
    """Confidence beside accuracy in bins of as many clips each, from the least confident.

    Args:
        confidence: (n,).
        right: whether the answer was, (n,).
        bins: how many; fewer if there are fewer clips.
    """
    parts = np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(confidence)))
    return [Bin(len(part), float(confidence[part].mean()), float(right[part].mean())) for part in parts]


def calibration_error(confidence: Array, right: npt.NDArray[np.bool_], *, bins: int = BINS) -> float:
    """Expected calibration error (Naeini et al., 2015) over equal-mass bins, in [0, 1]; NaN without clips."""
    if not len(confidence):
        return math.nan
    found = reliability(confidence, right, bins=bins)
    return sum(each.clips * abs(each.confidence - each.accuracy) for each in found) / len(confidence)


def risk_coverage(confidence: Array, right: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Share of clips that are answered, and share of wrong answers among them, for every threshold (n,) each.

    Clips of equal confidence go in or out together, so a curve has as many points as there are confidences
    (El-Yaniv and Wiener, 2010).
    """
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    risk = np.cumsum(~right[order]) / answered
    last = np.append(np.diff(confidence[order]) != 0, True)
    return answered[last] / len(order), risk[last]


def area_under_risk(confidence: Array, right: npt.NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve (AURC; Geifman et al., 2019): the mean risk over clips as thresholds."""
    coverage, risk = risk_coverage(confidence, right)
    return float((np.diff(coverage, prepend=0.0) * risk).sum())


def threshold_for_coverage(confidence: Array, coverage: float) -> float:
    """The highest confidence that at least this share of clips reach."""
    return float(np.sort(confidence)[::-1][max(0, math.ceil(coverage * len(confidence) - 1e-9) - 1)])


def threshold_for_error(confidence: Array, right: npt.NDArray[np.bool_], error: float) -> float:
    """The lowest confidence above which at most this share of answers are wrong; infinity if there is none."""
    coverage, risk = risk_coverage(confidence, right)
    fitting = np.flatnonzero(risk <= error)
    return threshold_for_coverage(confidence, coverage[fitting[-1]]) if len(fitting) else math.inf


def scores_of_truth(probabilities: Array, truth: npt.NDArray[np.int64]) -> Array:
    """Nonconformity: 1 minus the true label's probability, (n,)."""
    return np.asarray(1 - probabilities[np.arange(len(truth)), truth])


def conformal_quantile(scores: Array, level: float) -> float:
    """The ceil((n + 1) level)-th smallest score; 1, which takes every label in, where there are too few.

    Example:
        >>> conformal_quantile(np.arange(1, 10) / 10, 0.9)
        0.9
    """
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return 1.0 if rank > len(scores) else float(np.sort(scores)[rank - 1])


def set_members(probabilities: Array, quantile: float) -> npt.NDArray[np.bool_]:
    """Which labels are in each clip's set, (n, K): those with a probability of 1 - quantile, and the likeliest."""
    likeliest = rankdata(-probabilities, method="ordinal", axis=1) == 1
    return np.asarray((1 - probabilities <= quantile) | likeliest)


def report(table: pd.DataFrame, labels: Sequence[str]) -> JSON:
    """What calibration does to predictions of unseen speakers: every number fitted on the other folds.

    Returns:
        `raw` and `calibrated`, each with `ece`, `brier`, `nll`, and the `bins` of the diagram; `error` of all clips;
        `selective`: `aurc`, and at `COVERAGE` the share `answered` by the other folds' thresholds and its `error`;
        `sets`: their `coverage`, mean `size`, share of `single` ones, and coverage `by_speaker`.
    """
    probabilities, truth = taken(table, labels)
    tempered = cross_tempered(table, labels)
    right = tempered.argmax(axis=1) == truth
    confidence = tempered.max(axis=1)
    answered = np.empty(len(table), bool)
    inside = np.empty(tempered.shape, bool)
    temperatures = []
    for fold in table["fold"].unique():
        own = (table["fold"] == fold).to_numpy()
        temperatures.append(fit_temperature(probabilities[~own], truth[~own]))
        others = temper(probabilities[~own], temperatures[-1])
        answered[own] = confidence[own] >= threshold_for_coverage(others.max(axis=1), COVERAGE)
        inside[own] = set_members(tempered[own], conformal_quantile(scores_of_truth(others, truth[~own]), LEVEL))
    covered = inside[np.arange(len(truth)), truth]
    surest = confidence >= threshold_for_coverage(confidence, COVERAGE)
    return {
        "clips": len(table),
        "temperatures": [round(each, 4) for each in temperatures],
        "raw": _quality(probabilities, truth),
        "calibrated": _quality(tempered, truth),
        "error": float(1 - right.mean()),
        "selective": {
            "aurc": area_under_risk(confidence, right),
            "wanted": COVERAGE,
            "surest": {"coverage": float(surest.mean()), "error": float(1 - right[surest].mean())},
            "by_other_folds": {"coverage": float(answered.mean()), "error": float(1 - right[answered].mean())},
        },
        "sets": {
            "level": LEVEL,
            "coverage": float(covered.mean()),
            "size": float(inside.sum(axis=1).mean()),
            "single": float((inside.sum(axis=1) == 1).mean()),
            "by_speaker": {
                str(speaker): float(covered[part].mean()) for speaker, part in table.groupby("speaker").indices.items()
            },
        },
    }


def _quality(probabilities: Array, truth: npt.NDArray[np.int64]) -> JSON:
    """Calibration error and proper scores."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    return {
        "ece": calibration_error(confidence, right),
        "brier": brier(probabilities, truth),
        "nll": negative_log_likelihood(probabilities, truth),
        "bins": [asdict(each) for each in reliability(confidence, right)],
    }
