"""Scores of categories and of dimensions, each a pure function of truth and prediction.

Thin over audmetric, which is tested elsewhere. The papers' names: WA is `accuracy`, UA is `uar` (section 4.2, eqs. (12)
and (13) of the first paper; its text swaps the two, its equations and captions do not); CCC and PCC are `ccc` and
`pearson` (table 2 of the second paper).

A score that is not defined is `Undefined`: NaN with a reason. `from_counts` and `from_moments` give the same scores for
many sums at once, as resampling needs them (`affetto.statistics`); there an undefined score is plain NaN.
"""

from collections import Counter
from collections.abc import Callable, Sequence, Sized
from typing import Any

import audmetric
import numpy as np
import numpy.typing as npt

Labels = Sequence[str]
Ratings = Sequence[float] | npt.NDArray[np.floating[Any]]
Array = npt.NDArray[np.float64]

# A variance below this share of the mean square is the rounding of sums over some thousand float64 values (2e-16 each).
ROUNDING = 1e-12


class Undefined(float):
    """NaN that says why: compares, computes, prints and becomes JSON as NaN does, so it wins no comparison.

    Computing with it gives plain NaN; the reason is lost there.

    Attributes:
        reason: why there is no score, in a few words.

    Example:
        >>> score = accuracy([], [])
        >>> score
        Undefined('no clips')
        >>> print(score, score.reason, score > 0)
        nan no clips False
    """

    __slots__ = ("reason",)
    reason: str

    def __new__(cls, reason: str) -> "Undefined":
        """NaN with this reason."""
        self = super().__new__(cls, "nan")
        self.reason = reason
        return self

    def __repr__(self) -> str:
        return f"Undefined({self.reason!r})"

    def __str__(self) -> str:
        return "nan"

    def __reduce__(self) -> tuple[type["Undefined"], tuple[str]]:
        return Undefined, (self.reason,)


def accuracy(truth: Labels, prediction: Labels) -> float:
    """Share of right answers (WA).

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        Accuracy in 0..1; undefined for no clips.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> accuracy(["anger", "fear"], ["anger", "anger"])
        0.5
    """
    _check(truth, prediction)
    return float(audmetric.accuracy(truth, prediction)) if len(truth) else Undefined("no clips")


def uar(truth: Labels, prediction: Labels) -> float:
    """Mean recall over the classes that occur in the truth (UA, unweighted average recall).

    A class without a clip has no recall; counting it as 0 or 1 would say something about a speaker's recordings, not
    about the recogniser.

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        UAR in 0..1; undefined for no clips.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> uar(["anger", "anger", "fear"], ["anger", "boredom", "fear"])
        0.75
    """
    _check(truth, prediction)
    if not len(truth):
        return Undefined("no clips")
    return _mean_over_true_classes(audmetric.recall_per_class, truth, prediction)


def macro_f1(truth: Labels, prediction: Labels) -> float:
    """Mean F1 over the classes that occur in the truth.

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        F1 in 0..1; undefined for no clips.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> macro_f1(["anger", "anger", "anger", "fear"], ["anger", "anger", "anger", "anger"])
        0.42857142857142855
    """
    _check(truth, prediction)
    if not len(truth):
        return Undefined("no clips")
    return _mean_over_true_classes(audmetric.fscore_per_class, truth, prediction)


def weighted_f1(truth: Labels, prediction: Labels) -> float:
    """Mean F1 over the classes, each weighted by how often it is true.

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        F1 in 0..1; undefined for no clips.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> weighted_f1(["anger", "anger", "anger", "fear"], ["anger", "anger", "anger", "anger"])
        0.6428571428571428
    """
    _check(truth, prediction)
    if not len(truth):
        return Undefined("no clips")
    return _mean_over_true_classes(audmetric.fscore_per_class, truth, prediction, by_size=True)


def confusion(truth: Labels, prediction: Labels, labels: Labels) -> npt.NDArray[np.int64]:
    """Counts of clips, one row a true class, one column a predicted one.

    Args:
        truth: categories, (n,).
        prediction: categories, same length.
        labels: the classes, in the order of rows and columns.

    Returns:
        (len(labels), len(labels)).

    Raises:
        ValueError: if lengths differ.
    """
    _check(truth, prediction)
    return np.array(audmetric.confusion_matrix(truth, prediction, labels=list(labels)), dtype=np.int64)


def scores(truth: Labels, prediction: Labels) -> dict[str, float]:
    """WA, UA, macro and weighted F1 under the names that results files use."""
    return {
        "wa": accuracy(truth, prediction),
        "ua": uar(truth, prediction),
        "macro_f1": macro_f1(truth, prediction),
        "weighted_f1": weighted_f1(truth, prediction),
    }


def rating_scores(truth: Array, prediction: Array, dimensions: Sequence[str]) -> dict[str, float]:
    """CCC, Pearson, MSE and MAE of each dimension, and the mean CCC, under the names that results files use.

    Args:
        truth: ratings, (n, D).
        prediction: ratings on the same scales, (n, D).
        dimensions: what the D are called.

    Returns:
        `ccc`, the mean over dimensions, undefined if that of one is; then `<score>_<dimension>`.

    Raises:
        ValueError: if shapes differ.

    Example:
        >>> found = rating_scores(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]), ["valence"])
        >>> [(name, round(score, 2)) for name, score in found.items()]
        [('ccc', 0.43), ('ccc_valence', 0.43), ('pearson_valence', 1.0), ('mse_valence', 2.0), ('mae_valence', 1.0)]
    """
    if truth.shape != prediction.shape or truth.shape[1:] != (len(dimensions),):
        raise ValueError(f"shapes {truth.shape} and {prediction.shape}; expected (n, {len(dimensions)}) twice")
    scores = {
        f"{score.__name__}_{dimension}": score(truth[:, place], prediction[:, place])
        for place, dimension in enumerate(dimensions)
        for score in (ccc, pearson, mse, mae)
    }
    each = [scores[f"ccc_{dimension}"] for dimension in dimensions]
    undefined = next((score for score in each if np.isnan(score)), None)
    return {"ccc": float(np.mean(each)) if undefined is None else undefined, **scores}


def from_counts(counts: npt.ArrayLike) -> dict[str, Array]:
    """WA, UA, macro and weighted F1 of many confusions at once, as `scores` gives them for one.

    Args:
        counts: clips by true (row) and predicted (column) class, (..., K, K), as `confusion` gives them; every class
            that was predicted must be among the K, or its clips are missing.

    Returns:
        The names of `scores`, each (...) in 0..1; NaN where there are no clips. Classes that do not occur in the truth
        are not in the means.

    Raises:
        ValueError: if the last two axes differ in length.

    Example:
        >>> from_counts([[[1, 1], [0, 2]], [[0, 0], [0, 0]]])["wa"].tolist()
        [0.75, nan]
    """
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"counts of shape {counts.shape}; expected (..., K, K), rows truth, columns prediction")
    right = np.diagonal(counts, axis1=-2, axis2=-1)  # (..., K), like all until the means
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    # A class that is never true has no right answers: its recall and F1 come out as 0 and add nothing to the sums.
    recall = right / np.where(true > 0, true, 1.0)
    f1 = 2 * right / np.where(true + predicted > 0, true + predicted, 1.0)
    clips, classes = true.sum(axis=-1), (true > 0).sum(axis=-1)
    with np.errstate(invalid="ignore"):  # no clips: 0 / 0 is the NaN that is wanted
        return {
            "wa": right.sum(axis=-1) / clips,
            "ua": recall.sum(axis=-1) / classes,
            "macro_f1": f1.sum(axis=-1) / classes,
            "weighted_f1": (f1 * true).sum(axis=-1) / clips,
        }


def ccc(truth: Ratings, prediction: Ratings) -> float:
    """Concordance correlation coefficient (Lin, 1989), from population moments (divided by n, not n - 1).

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2): 1 only if every prediction equals the truth. One constant side
    makes it 0; it is undefined (0 / 0) only when both sides are the same constant.

    Args:
        truth: ratings, (n,).
        prediction: ratings on the same scale, (n,).

    Returns:
        CCC in -1..1; undefined for fewer than two values, for NaN or infinity among them, and for 0 / 0.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> ccc([1, 2, 3, 4], [2, 3, 4, 5])
        0.7142857142857143
        >>> ccc([3, 3], [3, 3])
        Undefined('truth and prediction are the same constant')
    """
    return _of_ratings(_concordance, truth, prediction, fewest=2)


def pearson(truth: Ratings, prediction: Ratings) -> float:
    """Pearson's correlation coefficient (the second paper's PCC), blind to scale and offset.

    Args:
        truth: ratings, (n,).
        prediction: values, (n,), on any scale.

    Returns:
        Correlation in -1..1; undefined for fewer than two values, for NaN or infinity among them, and when a side is
        constant.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> round(pearson([1, 2, 3], [10, 20, 60]), 4)
        0.9449
        >>> pearson([3, 3, 3], [1, 2, 3])
        Undefined('the truth is constant')
    """
    return _of_ratings(_correlation, truth, prediction, fewest=2)


def mse(truth: Ratings, prediction: Ratings) -> float:
    """Mean squared error, in squared units of the scale; less is better.

    Args:
        truth: ratings, (n,).
        prediction: ratings on the same scale, (n,).

    Returns:
        0 or more; undefined for no clips, and for NaN or infinity among the values.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> mse([1, 2], [1, 4])
        2.0
    """
    return _of_ratings(audmetric.mean_squared_error, truth, prediction, fewest=1)


def mae(truth: Ratings, prediction: Ratings) -> float:
    """Mean absolute error, in units of the scale; less is better.

    Args:
        truth: ratings, (n,).
        prediction: ratings on the same scale, (n,).

    Returns:
        0 or more; undefined for no clips, and for NaN or infinity among the values.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> mae([1, 2], [1, 4])
        1.0
    """
    return _of_ratings(audmetric.mean_absolute_error, truth, prediction, fewest=1)


def moments(truth: Ratings, prediction: Ratings, *, centre: float = 0.0) -> Array:
    """Sums from which `from_moments` computes CCC, Pearson and MSE; those of two sets of clips add up.

    Args:
        truth: ratings x, (n,).
        prediction: ratings y on the same scale, (n,).
        centre: taken from both first, which changes none of the three scores. Without it, variances are small
            differences of large sums and lose digits: pass the middle of the scale, the same for all sums to be added.

    Returns:
        n, sum x, sum y, sum x^2, sum y^2, sum xy: (6,).

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> moments([3, 5], [4, 4], centre=4).tolist()
        [2.0, 0.0, 0.0, 2.0, 0.0, 0.0]
    """
    x, y = (values - centre for values in _same_length(truth, prediction))
    return np.array([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y], dtype=np.float64)


def from_moments(moments: npt.ArrayLike) -> dict[str, Array]:
    """CCC, Pearson and MSE of many sets of clips at once.

    Args:
        moments: as `moments` gives them, or sums of such, (..., 6).

    Returns:
        `ccc`, `pearson` and `mse`, each (...); NaN where the functions of these names are undefined. A side whose
        spread is less than a millionth of its distance from the centre counts as constant: it is lost in rounding.

    Raises:
        ValueError: if the last axis does not hold six moments.

    Example:
        >>> both = moments([1, 2], [2, 3]) + moments([3, 4], [4, 5])
        >>> {name: round(float(score), 4) for name, score in from_moments(both).items()}
        {'ccc': 0.7143, 'pearson': 1.0, 'mse': 1.0}
    """
    moments = np.asarray(moments, dtype=np.float64)
    if moments.ndim < 1 or moments.shape[-1] != 6:
        raise ValueError(f"moments of shape {moments.shape}; expected (..., 6): n, sums of x, y, x^2, y^2, xy")
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is the NaN that is wanted
        n = moments[..., 0]
        x, y, xx, yy, xy = np.moveaxis(moments[..., 1:] / n[..., None], -1, 0)  # means, each (...)
        var_x, var_y = _variance(x, xx), _variance(y, yy)
        cov = np.where((var_x == 0) | (var_y == 0), 0.0, xy - x * y)
        concordance = 2 * cov / (var_x + var_y + (x - y) ** 2)
        correlation = cov / (np.sqrt(var_x) * np.sqrt(var_y))
        return {
            "ccc": np.where(n >= 2, np.clip(concordance, -1, 1), np.nan),
            "pearson": np.where(n >= 2, np.clip(correlation, -1, 1), np.nan),
            "mse": np.maximum(xx - 2 * xy + yy, 0.0),
        }


def residual_slope(moments: npt.ArrayLike) -> Array:
    """Slope of the least-squares line of residuals (prediction minus truth) over the truth, of many sets at once.

    0 where errors do not depend on the truth; -1 where all answers are the same. Less than 0 says that answers keep to
    the middle of the scale (second paper, Figure 3).

    Args:
        moments: as `moments` gives them, or sums of such, (..., 6).

    Returns:
        The slope, (...); NaN where the truth is constant.

    Example:
        >>> round(float(residual_slope(moments([1, 2, 3], [1.5, 2, 2.5]))), 4)
        -0.5
    """
    moments = np.asarray(moments, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is the NaN that is wanted
        x, y, xx, _, xy = np.moveaxis(moments[..., 1:] / moments[..., :1], -1, 0)
        variance = _variance(x, xx)
        return np.where(variance > 0, (xy - x * y) / variance - 1, np.nan)


def _mean_over_true_classes(
    per_class: Callable[..., dict[str, float]], truth: Labels, prediction: Labels, *, by_size: bool = False
) -> float:
    # All classes that occur are passed: audmetric would forget the clips whose prediction is not on its list.
    values = per_class(truth, prediction, labels=sorted({*truth, *prediction}))
    classes, sizes = zip(*sorted(Counter(truth).items()), strict=True)
    return float(np.average([values[label] for label in classes], weights=sizes if by_size else None))


def _of_ratings(
    score: Callable[[Array, Array], float],
    truth: Ratings,
    prediction: Ratings,
    *,
    fewest: int,
) -> float:
    x, y = _same_length(truth, prediction)
    if not len(x):
        return Undefined("no clips")
    if len(x) < fewest:
        return Undefined("fewer than two values")
    if np.isnan(x).any() or np.isnan(y).any():
        return Undefined("NaN among the values")
    if np.isinf(x).any() or np.isinf(y).any():
        return Undefined("infinity among the values")
    with np.errstate(all="ignore"):  # what over- or underflows is caught below
        value = score(x, y)
    return value if np.isfinite(value) or isinstance(value, Undefined) else Undefined("too large or too close values")


def _concordance(x: Array, y: Array) -> float:
    # Asked of the values themselves: the mean of equal values may differ from them in the last digit, and audmetric
    # would make a CCC of 1 out of two such rounding errors.
    if _constant(x) and _constant(y) and x[0] == y[0]:
        return Undefined("truth and prediction are the same constant")
    if _constant(x) or _constant(y):
        return 0.0
    return float(np.clip(audmetric.concordance_cc(x, y), -1.0, 1.0))


def _correlation(x: Array, y: Array) -> float:
    for values, side in ((x, "truth"), (y, "prediction")):
        if _constant(values):
            return Undefined(f"the {side} is constant")
    return float(audmetric.pearson_cc(x, y))


def _constant(values: Array) -> bool:
    return bool(values.min() == values.max())


def _variance(mean: Array, square: Array) -> Array:
    variance = square - mean**2
    return np.where(variance <= ROUNDING * square, 0.0, variance)


def _check(truth: Sized, prediction: Sized, what: str = "categories") -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true and {len(prediction)} predicted {what}; expected as many")


def _same_length(truth: Ratings, prediction: Ratings) -> tuple[Array, Array]:
    _check(truth, prediction, "values")
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"truth of shape {x.shape}, prediction of shape {y.shape}; expected (n,): one rating a clip")
    return x, y
