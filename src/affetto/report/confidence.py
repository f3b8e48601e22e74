"""Pictures of confidence: whether it comes true, and what refusing the unsure answers is worth."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affetto import calibration
from affetto.report.figures import ACCENT, INK, MARK, PALE, SOFT, STYLE, save


def confidence_figure(table: pd.DataFrame, labels: Sequence[str], *, title: str, path: Path) -> None:
    """Draw reliability before and after calibration, and the risk-coverage curve.

    Args:
        table: cross-validated predictions of categories, as `scores.read` gives them.
        labels: the classes.
        title: above it.
        path: of the PNG, or SVG.
    """
    save(confidence(table, labels, title=title), path)


def confidence(table: pd.DataFrame, labels: Sequence[str], *, title: str = "") -> Figure:
    """The same as a figure; temperatures are those of the other folds."""
    raw, truth = calibration.taken(table, labels)
    tempered = calibration.cross_tempered(table, labels)
    right = tempered.argmax(axis=1) == truth
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        left, middle = figure.subplots(1, 2)
        _reliability(left, {"as it is": raw.max(axis=1), "calibrated": tempered.max(axis=1)}, right)
        coverage, risk = calibration.risk_coverage(tempered.max(axis=1), right)
        middle.plot(100 * coverage, 100 * risk, color=ACCENT, linewidth=1.6)
        middle.plot([0, 100], [100 * risk[-1]] * 2, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        chosen = int(np.searchsorted(coverage, calibration.COVERAGE))
        middle.plot(100 * coverage[chosen], 100 * risk[chosen], "o", color=MARK, markersize=6, markeredgewidth=0)
        words = f"{100 * risk[chosen]:.1f} % wrong at {100 * coverage[chosen]:.0f} %"
        middle.annotate(
            words, (100 * coverage[chosen], 100 * risk[chosen]), (-8, 10), textcoords="offset points", ha="right"
        )
        middle.set_xlim(0, 101)
        middle.set_ylim(0, 115 * max(risk.max(), 0.01))
        middle.set_xlabel("answered, surest first, %")
        middle.set_ylabel("wrong among these, %")
        middle.set_title("What refusing is worth")
        figure.suptitle(title, color=INK, fontsize=10)
    return figure


def _reliability(axes: Axes, confidences: dict[str, calibration.Array], right: npt.NDArray[np.bool_]) -> None:
    """Accuracy over confidence in bins of as many clips each."""
    axes.plot([0, 100], [0, 100], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
    lowest = 1.0
    for (name, confidence), colour in zip(confidences.items(), (PALE, ACCENT), strict=True):
        bins = calibration.reliability(confidence, right)
        error = calibration.calibration_error(confidence, right)
        points = [(100 * each.confidence, 100 * each.accuracy) for each in bins]
        lowest = min(lowest, *(each.confidence for each in bins), *(each.accuracy for each in bins))
        axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=5, label=f"{name}, error {error:.3f}")
    axes.set_xlim(100 * lowest - 5, 102)
    axes.set_ylim(100 * lowest - 5, 102)
    axes.set_xlabel("confidence, %")
    axes.set_ylabel("right, %")
    axes.set_title("Does confidence come true?")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
