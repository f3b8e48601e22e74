"""Scores of categories, each a pure function of truth and prediction over an explicit list of classes.

Thin over audmetric, which is tested elsewhere. The papers' names: WA is `accuracy`, UA is `uar` (section 4.2, eqs. (12)
and (13) of the first paper; its text swaps the two, its equations and captions do not).
"""

from collections.abc import Callable, Sequence

import audmetric
import numpy as np
import numpy.typing as npt

Labels = Sequence[str]


def accuracy(truth: Labels, prediction: Labels) -> float:
    """Share of right answers (WA).

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        Accuracy in 0..1; NaN for no clips.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> accuracy(["anger", "fear"], ["anger", "anger"])
        0.5
    """
    _check(truth, prediction)
    return float(audmetric.accuracy(truth, prediction)) if len(truth) else float("nan")


def uar(truth: Labels, prediction: Labels) -> float:
    """Mean recall over the classes that occur in the truth (UA, unweighted average recall).

    A class without a clip has no recall; counting it as 0 or 1 would say something about a speaker's recordings, not
    about the recogniser.

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        UAR in 0..1; NaN for no clips.

    Raises:
        ValueError: if lengths differ.

    Example:
        >>> uar(["anger", "anger", "fear"], ["anger", "boredom", "fear"])
        0.75
    """
    _check(truth, prediction)
    if not len(truth):
        return float("nan")
    return _mean_over_true_classes(audmetric.recall_per_class, truth, prediction)


def macro_f1(truth: Labels, prediction: Labels) -> float:
    """Mean F1 over the classes that occur in the truth.

    Args:
        truth: categories, (n,).
        prediction: categories, same length.

    Returns:
        F1 in 0..1; NaN for no clips.

    Raises:
        ValueError: if lengths differ.
    """
    _check(truth, prediction)
    if not len(truth):
        return float("nan")
    return _mean_over_true_classes(audmetric.fscore_per_class, truth, prediction)


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
    """WA, UA and macro F1 under the names that results files use."""
    return {
        "wa": accuracy(truth, prediction),
        "ua": uar(truth, prediction),
        "macro_f1": macro_f1(truth, prediction),
    }


def _mean_over_true_classes(per_class: Callable[..., dict[str, float]], truth: Labels, prediction: Labels) -> float:
    # All classes that occur are passed: audmetric would forget the clips whose prediction is not on its list.
    values = per_class(truth, prediction, labels=sorted({*truth, *prediction}))
    return float(np.mean([values[label] for label in sorted(set(truth))]))


def _check(truth: Labels, prediction: Labels) -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true and {len(prediction)} predicted categories; expected as many")
