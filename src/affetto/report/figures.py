"""From results to pictures: drawn with Matplotlib, the same bytes whenever the numbers are the same.

A picture is drawn once and shown twice: as a file on white, and inside the page, where its colours become those of the
page (`svg`, `INKS`) and so follow the reader's light or dark setting.
"""

import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from affetto.files import write_whole
from affetto.scores import CategoryScores, Scoring

Array = npt.NDArray[np.float64]

PAPER, INK, SOFT, RULE = "#ffffff", "#1d1f22", "#63676d", "#d8d5cc"
ACCENT, PALE, MARK, ON_ACCENT = "#2a5f96", "#a9c1da", "#b0521d", "#fefefe"
INKS = {
    INK: "ink",
    SOFT: "soft",
    RULE: "rule",
    ACCENT: "accent",
    PALE: "pale",
    MARK: "mark",
    ON_ACCENT: "on-accent",
}
"""Colours of a file, and the names that they have in the page's style sheet."""
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "affetto",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": INK,
}
_LINES = (ACCENT, MARK, INK, PALE, SOFT)
"""Colours of the models in one panel."""
WIDTH = 4.9
"""Of a picture, inches: on a telephone it is shown at about its own size."""
LINE = 20
"""Letters of a name beside a picture before it goes on below."""
POINTS = 600
"""Of a picture of residuals, over all its panels; more are thinned evenly. The lines are of all."""


@dataclass(frozen=True)
class Bar:
    """One row of a picture of scores.

    Args:
        name: beside it.
        score: in 0..1 or a correlation; NaN leaves the place empty.
        interval: its ends; NaN draws none.
        published: what a paper says; None if nothing.
        by_speaker: scores of each speaker.
    """

    name: str
    score: float
    interval: tuple[float, float]
    published: float | None = None
    by_speaker: tuple[float, ...] = ()


def error_figure(table: pd.DataFrame, scoring: Scoring, *, title: str, path: Path) -> None:
    """Draw what a row gets wrong: the confusion matrix of categories, the residuals of dimensions.

    Args:
        table: of predictions.
        scoring: of its task.
        title: above it.
        path: of the PNG, or SVG.
    """
    if isinstance(scoring, CategoryScores):
        confusion_figure(scoring.sums(table).astype(np.int64), scoring.labels, title=title, path=path)
    else:
        residual_figure(*scoring.pairs(table), scoring.labels, title=title, path=path)


def confusion_figure(counts: npt.NDArray[np.int64], labels: Sequence[str], *, title: str, path: Path) -> None:
    """Draw a confusion matrix, each row as shares of its true class, as the first paper's Figures 5 to 8 do.

    Args:
        counts: (K, K), rows are the truth.
        labels: the classes in that order.
        title: above it.
        path: of the PNG, or SVG.
    """
    save(confusion(counts, labels, title=title), path)


def residual_figure(truth: Array, prediction: Array, labels: Sequence[str], *, title: str, path: Path) -> None:
    """Draw what a model of dimensions gets wrong: prediction minus truth over truth, with its regression line.

    A line that falls says that the model keeps to the middle of the scale: low ratings come out too high and high ones
    too low. The second paper's Figure 3 shows the same lines.

    Args:
        truth: ratings, (n, dimensions).
        prediction: on the same scale, same shape.
        labels: the dimensions in that order.
        title: above it.
        path: of the PNG, or SVG.
    """
    save(residuals(truth, prediction, labels, title=title), path)


def misheard_figure(table: pd.DataFrame, labels: Sequence[str], *, title: str, path: Path) -> None:
    """Draw the CCC of dimensions over the word error rate of what models read, a panel a dimension, a line a model.

    Args:
        table: a row a model and rate, as `mishearing.sweep` gives it: `model`, `wer`, `ccc_<dimension>`.
        labels: the dimensions.
        title: above it.
        path: of the PNG, or SVG.
    """
    save(misheard(table, labels, title=title), path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure on white; its ending says whether as PNG or as SVG."""
    if path.suffix == ".svg":
        write_whole(path, svg(draw(figure), themed=False).encode())
        return
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    write_whole(path, buffer.getvalue())


def draw(figure: Figure) -> str:
    """A figure as Matplotlib's own SVG."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def svg(drawn: str, *, themed: bool, name: str = "") -> str:
    """Matplotlib's SVG without prologue, metadata, unused ids, and digits that nobody sees.

    Args:
        drawn: as `draw` gives it.
        themed: whether it stands inside a page that defines the colours `INKS`; otherwise it is a file, on white.
        name: makes the ids in it its own.
    """
    text = drawn[drawn.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', text))
    text = re.sub(r"<[^>]+>", lambda match: _slim(match[0], used, f"{name}-" if name else "", themed), text)
    text = re.sub(r">\s+<", ">\n<", text)
    for _ in range(2):  # groups in groups
        text = re.sub(r"<g>\n(<[^g/][^>]*/>|<text[^>]*>[^<]*</text>)\n</g>", r"\1", text)
    head, _, body = text.partition(">")
    box = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', head)
    assert box is not None
    if themed:
        return f'<svg {box[0]} class="plot">{body.strip()}'
    size = f'width="{float(box[1]) * 4 / 3:.0f}" height="{float(box[2]) * 4 / 3:.0f}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]} {size} font-family="sans-serif">'
    return f'{opening}\n<rect width="100%" height="100%" fill="{PAPER}"/>{body.strip()}\n'


def confusion(counts: npt.NDArray[np.int64], labels: Sequence[str], *, title: str = "", small: bool = False) -> Figure:
    """A confusion matrix; `small` for one of many."""
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.36 if small else 0.52
    figure, axes = _figure(1.1 + side * len(labels), 0.9 + side * len(labels))
    for row, column in np.ndindex(shares.shape):
        share = float(shares[row, column])
        if not counts[row, column]:
            continue
        cell = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fc=ACCENT, lw=0, alpha=share, clip_on=False)
        axes.add_patch(cell)
        text = "1" if share == 1 else f"{share:.2f}".removeprefix("0")
        colour = ON_ACCENT if share > 0.68 else INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7.5 if small else 9)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_aspect("equal")
    size, names = 8 if small else 9, [_words(label) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(len(labels)), names, fontsize=size)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xlabel("heard by the model", fontsize=size)
    axes.set_ylabel("meant by the speaker", fontsize=size)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(_words(title))
    return figure


def bars(
    rows: Mapping[str, Sequence[Bar]], *, factor: float, chance: float | None, label: str, mark: str = "paper"
) -> Figure:
    """Scores with intervals, and what the paper says.

    Args:
        rows: of one score or two, by its name, primary last; each the same rows in the same order.
        factor: from score to axis.
        chance: what guessing gets in the last score; None if that is not one number.
        label: of the axis.
        mark: whose the published scores are.
    """
    kinds = list(rows)
    number = len(rows[kinds[0]])
    height = 0.72 / len(kinds)
    figure, axes = _figure(WIDTH, 0.9 + 0.24 * len(kinds) * number + 0.16 * number)
    for place, kind in enumerate(kinds):
        colour = ACCENT if place == len(kinds) - 1 else PALE
        for line, bar in enumerate(rows[kind]):
            y = line - 0.36 + height * (place + 0.5)
            low, high = (factor * end for end in bar.interval)
            if not math.isnan(bar.score):
                axes.barh(y, factor * bar.score, height=height * 0.86, color=colour, linewidth=0)
                _value(axes, factor * bar.score, y, factor, ON_ACCENT if colour == ACCENT else INK)
            elif len(kinds) > 1:  # whose the mark in this place is
                axes.text(0.01 * factor, y, f"{kind}: no result", color=SOFT, fontsize=7.5, va="center")
            if not math.isnan(low):
                for ink, width in ((ON_ACCENT, 3.6), (INK, 1.4)):  # a light line below, to stand out on the bar
                    axes.plot([low, high], [y, y], color=ink, linewidth=width, solid_capstyle="butt")
            if bar.published is not None:
                axes.plot(factor * bar.published, y, "D", color=MARK, markersize=4.5, markeredgewidth=0)
    handles: list[Any] = [
        Patch(color=ACCENT if place == len(kinds) - 1 else PALE, label=kind) for place, kind in enumerate(kinds)
    ]
    if any(not math.isnan(bar.interval[0]) for kind in kinds for bar in rows[kind]):
        handles.append(Line2D([], [], color=INK, linewidth=1.2, label="95 % interval"))
    if any(bar.published is not None for kind in kinds for bar in rows[kind]):
        handles.append(Line2D([], [], color=MARK, marker="D", markersize=4.5, linewidth=0, label=mark))
    if chance is not None:
        axes.axvline(factor * chance, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        handles.append(
            Line2D([], [], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), label=f"guessing ({kinds[-1]})")
        )
    axes.set_yticks(range(number), [_name(bar.name) for bar in rows[kinds[0]]])
    axes.set_ylim(number - 0.45, -0.55)
    axes.set_xlim(0, factor * 1.02)
    axes.set_xticks(np.linspace(0, factor, 6))
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=3,
        columnspacing=1.2,
        handlelength=1.2,
        fontsize=8.5,
        frameon=False,
        labelcolor=INK,
    )
    return figure


def strip(rows: Sequence[Bar], *, factor: float, label: str) -> Figure:
    """The scores of single speakers, a line a row, with their mean."""
    figure, axes = _figure(WIDTH, 0.6 + 0.38 * len(rows))
    for y, bar in enumerate(rows):
        known = [factor * score for score in bar.by_speaker if not math.isnan(score)]
        axes.axhline(y, color=RULE, linewidth=0.8, zorder=0)
        axes.plot(known, [y] * len(known), "o", color=ACCENT, alpha=0.6, markersize=6.5, markeredgewidth=0)
        if known:
            mean = float(np.mean(known))
            axes.plot([mean, mean], [y - 0.28, y + 0.28], color=INK, linewidth=1.6)
    axes.set_yticks(range(len(rows)), [_name(bar.name) for bar in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(*_limits([factor * score for bar in rows for score in bar.by_speaker], factor))
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def bill(rows: Sequence[Bar], *, factor: float, label: str) -> Figure:
    """A score under the four rules of the leakage bill.

    Args:
        rows: from the strictest rule.
        factor: from score to axis.
        label: of the axis.
    """
    figure, axes = _figure(WIDTH, 0.65 + 0.44 * len(rows))
    strict = factor * rows[0].score
    axes.axvline(strict, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    for y, bar in enumerate(rows):
        known = [factor * score for score in bar.by_speaker if not math.isnan(score)]
        axes.plot(known, [y + 0.24] * len(known), "o", color=SOFT, alpha=0.45, markersize=4, markeredgewidth=0)
        low, high = (factor * end for end in bar.interval)
        if not math.isnan(low):
            axes.plot([low, high], [y, y], color=ACCENT, linewidth=2, solid_capstyle="butt")
        axes.plot(factor * bar.score, y, "o", color=ACCENT, markersize=8, markeredgewidth=0)
        places = 1 if factor == 100 else 2
        axes.annotate(
            f"{factor * bar.score:.{places}f}",
            (factor * bar.score, y),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=INK,
        )
    axes.set_yticks(range(len(rows)), [_name(bar.name) for bar in rows])
    axes.set_ylim(len(rows) - 0.5, -0.65)
    axes.set_xlim(*_limits([factor * score for bar in rows for score in (*bar.by_speaker, *bar.interval)], factor))
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def residuals(truth: Array, prediction: Array, labels: Sequence[str], *, title: str = "") -> Figure:
    """Prediction minus truth over truth, a panel a dimension, on the same axes."""
    truth, error = np.asarray(truth, float), np.asarray(prediction, float) - np.asarray(truth, float)
    figure = Figure(figsize=(0.6 + 2.1 * len(labels), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0]
        for number, (axes, label) in enumerate(zip(panels, labels, strict=True)):
            x, y = truth[:, number], error[:, number]
            known = np.isfinite(x) & np.isfinite(y)
            x, y = x[known], y[known]
            axes.axhline(0, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
            thin = max(1, math.ceil(len(x) * len(labels) / POINTS))
            axes.plot(x[::thin], y[::thin], "o", color=ACCENT, alpha=0.3, markersize=3, markeredgewidth=0)
            heading = label
            if len(x) > 1 and np.ptp(x) > 0:
                slope, offset = np.polyfit(x, y, 1)
                ends = np.array([x.min(), x.max()])
                axes.plot(ends, slope * ends + offset, color=MARK, linewidth=1.6)
                heading = f"{label}, slope {slope:+.2f}".replace("-", "\N{MINUS SIGN}")
            axes.set_title(_words(heading))
            axes.set_xlabel("truth")
        panels[0].set_ylabel("prediction \N{MINUS SIGN} truth")
        if title:
            figure.suptitle(_words(title), fontsize=10)
    return figure


def misheard(table: pd.DataFrame, labels: Sequence[str], *, title: str = "") -> Figure:
    """CCC over word error rate in %, a panel a dimension, a line a model; dotted what it has without words."""
    figure = Figure(figsize=(0.6 + 2.1 * len(labels), 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, label in zip(panels, labels, strict=True):
            for (name, rows), colour in zip(table.groupby("model", sort=False), itertools.cycle(_LINES), strict=False):
                axes.plot(
                    100 * rows["wer"],
                    rows[f"ccc_{label}"],
                    "o-",
                    color=colour,
                    markersize=3.5,
                    label=_words(str(name)),
                )
                for value in rows.loc[rows["wer"].isna(), f"ccc_{label}"]:
                    axes.axhline(value, linestyle=":", color=colour, label="without words")
            axes.set_title(_words(label))
            axes.set_xlabel("word error rate in %")
        panels[0].set_ylabel("CCC")
        if table["model"].nunique() > 1 or table["wer"].isna().any():
            panels[0].legend(frameon=False, fontsize=8)
        if title:
            figure.suptitle(_words(title), fontsize=10)
    return figure


def residual_lines(rows: Mapping[str, tuple[Array, Array]], labels: Sequence[str]) -> Figure:
    """The lines of `residuals` alone, those of several rows together, as the second paper's Figure 3 has them.

    Args:
        rows: truth and prediction of each, (n, dimensions) twice.
        labels: the dimensions.
    """
    figure = Figure(figsize=(0.6 + 2.1 * len(labels), 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    looks = [(colour, dash) for dash in ("-", (0, (4, 2))) for colour in (ACCENT, MARK, SOFT, PALE, INK)]
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0]
        for number, (axes, label) in enumerate(zip(panels, labels, strict=True)):
            axes.axhline(0, color=RULE, linewidth=0.8)
            for (name, (truth, prediction)), (colour, dash) in zip(rows.items(), looks, strict=False):
                x, y = truth[:, number], prediction[:, number] - truth[:, number]
                if np.ptp(x) > 0:
                    ends = np.array([x.min(), x.max()])
                    line = np.polyval(np.polyfit(x, y, 1), ends)
                    axes.plot(ends, line, color=colour, linestyle=dash, linewidth=1.6, label=_words(str(name)))
            axes.set_title(_words(label))
            axes.set_xlabel("truth")
        panels[0].set_ylabel("prediction \N{MINUS SIGN} truth")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=5, fontsize=8.5, frameon=False, labelcolor=INK)
    return figure


def _value(axes: Any, value: float, y: float, factor: float, colour: str) -> None:
    """A bar's score at its foot, or beside it where it is too short."""
    short = value < 0.16 * factor
    axes.annotate(
        f"{value:.{1 if factor == 100 else 2}f}",
        (max(value, 0.0) if short else 0.0, y),
        xytext=(5, -0.5),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK if short else colour,
    )


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.add_subplot()


def _limits(values: Sequence[float], factor: float) -> tuple[float, float]:
    """Ends of an axis: tenths of the scale that hold all values, with a little room."""
    known = [value for value in values if math.isfinite(value)]
    step = factor / 10
    low = step * math.floor(min(known, default=0.0) / step)
    high = step * math.ceil(max(known, default=factor) / step)
    return low - step / 5, high + step / 5


def _words(text: str) -> str:
    """Words for Matplotlib, which takes what stands between dollars for mathematics."""
    return text.replace("$", r"\$")


def _name(text: str) -> str:
    """A name beside a picture, on several lines if it is long."""
    lines = [""]
    for piece in re.findall(r"[^- ]+[- ]*|[- ]+", text):
        if lines[-1] and len(lines[-1]) + len(piece) > LINE:
            lines.append("")
        lines[-1] += piece
    return _words("\n".join(line.strip() for line in lines))


def _slim(tag: str, used: set[str], prefix: str, themed: bool) -> str:
    tag = re.sub(r' id="([\w.-]+)"', lambda match: f' id="{prefix}{match[1]}"' if match[1] in used else "", tag)
    tag = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}", tag).replace("xlink:href", "href")
    tag = re.sub(r"-?\d+\.\d{2,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), tag)
    tag = re.sub(r"\bfont: (?:\w+ )*?([\d.]+px) [^;\"]*", r"font-size: \1", tag)
    tag = re.sub(r"; font-family: [^;\"]*", "", tag)
    tag = re.sub(r' transform="rotate\(-?0 [^)]*\)"|; stroke-linejoin: miter', "", tag)
    if themed:
        for colour, variable in INKS.items():
            tag = tag.replace(colour, f"var(--{variable})")
    return " ".join(tag.split())
