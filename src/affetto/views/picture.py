"""A timeline as one image: per voice the waveform, bands of emotion, how sure the model is, and words where they fit.

Ten seconds are shown utterance by utterance. Of ten hours, where an utterance would be thinner than a line, each bar is
a stretch of time: its height is the part of it that was speech, its colours are the shares of the emotions.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from affetto import palette
from affetto.report.figures import INK, RULE, SOFT, STYLE, save
from affetto.segments import Timeline, Utterance
from affetto.views.envelope import Envelope, envelope, lanes
from affetto.views.summary import clock

WIDTH = 11.0
"""Inches."""
COLUMNS = 1000
"""Points of a waveform."""
BARS = 240
"""Stretches of a recording whose utterances are too many to be drawn."""
THINNEST = 0.02
"""Inches of a middling utterance, below which they are."""
LETTER = 0.075
"""Inches of a letter, about, at the size of `NAMES`."""
NAMES = 8.0
"""Points of the letters in bands."""
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 36000, 86400)
"""Seconds between two marks of the time axis."""
LINES = ("-", (0, (4, 2)), (0, (1, 1.5)))
"""Of valence, arousal and dominance, which have no colours of their own."""


def write_picture(timeline: Timeline, path: Path) -> None:
    """Draw a timeline; its recording is read again for the waveform.

    Args:
        timeline: of a recording that lies where it says.
        path: of the PNG, or SVG.

    Raises:
        AudioError: if the recording is not there any more.
    """
    save(picture(timeline, envelope(timeline.file, timeline, COLUMNS)), path)


def picture(timeline: Timeline, outline: Envelope) -> Figure:
    """A timeline with its waveform.

    Args:
        timeline: of one recording.
        outline: of its waveform, (channels, points, 2).
    """
    voices = timeline.voices or ("",)
    worded = not _crowded(timeline) and any(utterance.words for utterance in timeline.utterances)
    heights = [0.55, 0.6 if _crowded(timeline) else 0.26, *([0.22] if worded else []), 0.42] * len(voices)
    with matplotlib.rc_context({**STYLE, "axes.spines.left": False}):
        figure = Figure(figsize=(WIDTH, 0.9 + 1.15 * sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        rows = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
        each = len(heights) // len(voices)
        outlines = lanes(timeline, outline)
        loudest = max(float(np.abs(outline).max()), 1e-6)
        for number, voice in enumerate(voices):
            own = [utterance for utterance in timeline.utterances if utterance.voice == voice]
            first, second, *third, last = rows[each * number : each * (number + 1)]
            _waveform(first, timeline, outlines[number])
            first.set_ylim(-1.05 * loudest, 1.05 * loudest)
            first.set_yticks([0], [voice.replace("$", r"\$") or "speech"])
            _bands(second, timeline, own)
            for axes in third:
                _words(axes, timeline, own)
            _answers(last, timeline, own)
        _time(rows, timeline)
        _legend(figure, timeline)
        figure.suptitle(f"{Path(timeline.file).name}, heard by {timeline.model}".replace("$", r"\$"), fontsize=10)
    return figure


def _crowded(timeline: Timeline) -> bool:
    """Whether utterances are too thin to be told apart."""
    lengths = [utterance.seconds for utterance in timeline.utterances]
    return bool(lengths) and WIDTH * float(np.median(lengths)) / timeline.seconds < THINNEST


def _bands(axes: Any, timeline: Timeline, own: Sequence[Utterance]) -> None:
    """What is heard, from side to side or in bars."""
    axes.set_yticks([])
    if _crowded(timeline):
        bottom = np.zeros(BARS)
        edges = np.linspace(0, timeline.seconds, BARS + 1)
        for kind, shares in _shares(timeline, own).items():
            colour, hatch = _look(kind)
            look = {"fc": colour, "ec": SOFT, "lw": 0, "hatch": hatch}
            axes.stairs(bottom + shares, edges, baseline=bottom.copy(), fill=True, **look)
            bottom += shares
        axes.set_ylim(0, max(1e-6, *bottom))
        axes.set_ylabel("share of\nthe time", fontsize=NAMES)
        return
    axes.set_ylim(0, 1)
    for utterance in own:
        colour, hatch = _look(_kind(utterance))
        axes.axvspan(utterance.start, utterance.end, fc=colour, ec=SOFT if hatch else "white", lw=0.5, hatch=hatch)
        name = _kind(utterance)
        room = _room(timeline, utterance)
        name = name if room >= len(name) else name[: 3 * (room >= 3)]
        middle = (utterance.start + utterance.end) / 2
        axes.text(middle, 0.47, name, ha="center", va="center", fontsize=NAMES, color=palette.on(colour))


def _room(timeline: Timeline, utterance: Utterance) -> int:
    """Letters that have place in an utterance's width."""
    return int(0.92 * WIDTH * utterance.seconds / timeline.seconds / LETTER)


def _kind(utterance: Utterance) -> str:
    """The emotion; "" where nothing was judged, or the model gives none."""
    heard = utterance.prediction
    return heard.emotion if heard is not None and heard.probabilities else ""


def _look(kind: str) -> tuple[str, str | None]:
    return (palette.colour(kind), None) if kind else ("#f0eee8", "////")


def _shares(timeline: Timeline, own: Sequence[Utterance]) -> dict[str, npt.NDArray[np.float64]]:
    """Of each bar the share of its time in each emotion; "" is what was not judged."""
    width = timeline.seconds / BARS
    found = {kind: np.zeros(BARS) for kind in (*_present(timeline), "")}
    for utterance in own:
        found[_kind(utterance)] += _overlap(utterance, width) / width
    return {kind: np.minimum(shares, 1) for kind, shares in found.items() if shares.any()}


def _overlap(utterance: Utterance, width: float) -> npt.NDArray[np.float64]:
    """Seconds of an utterance in each bar."""
    edges = width * np.arange(BARS + 1)
    return np.diff(np.clip(edges, utterance.start, utterance.end))


def _waveform(axes: Any, timeline: Timeline, outline: npt.NDArray[np.float32]) -> None:
    """The outline of a voice, (points, 2)."""
    low, high = outline.T
    at = (np.arange(len(low)) + 0.5) * timeline.seconds / len(low)
    axes.tick_params(axis="y", length=0)
    axes.fill_between(at, low, high, fc=SOFT, ec=SOFT, lw=0.5)


def _answers(axes: Any, timeline: Timeline, own: Sequence[Utterance]) -> None:
    """How sure the model is, in %; or its ratings, a line each."""
    judged = [utterance for utterance in own if utterance.prediction is not None]
    if timeline.gives == "dimensions":
        for label, line in zip(timeline.labels, LINES, strict=False):
            ratings = [u.prediction.dimensions[label] for u in judged if u.prediction is not None]
            _steps(axes, judged, ratings, linestyle=line, label=label)
        axes.legend(loc="upper right", frameon=False, fontsize=NAMES, ncols=3)
        axes.set_ylabel("rating", fontsize=NAMES)
        return
    axes.set_ylim(0, 105)
    axes.set_yticks([0, 50, 100], ["0", "50", "100 %"], fontsize=NAMES)
    axes.set_ylabel("confidence", fontsize=NAMES)
    axes.axhline(50, color=RULE, lw=0.8, zorder=0)
    confidences = [100 * u.prediction.confidence for u in judged if u.prediction is not None]
    if not _crowded(timeline):
        _steps(axes, judged, confidences)
        return
    width = timeline.seconds / BARS
    weights = np.array([_overlap(utterance, width) for utterance in judged]).reshape(-1, BARS)
    spoken = weights.sum(axis=0)
    mean = np.where(spoken > 0, np.asarray(confidences) @ weights / np.maximum(spoken, 1e-9), np.nan)
    axes.plot(width * (np.arange(BARS) + 0.5), mean, color=INK, lw=1.0)


def _steps(axes: Any, judged: Sequence[Utterance], values: Sequence[float], **look: Any) -> None:
    """A level an utterance, with gaps where nothing is said."""
    at = [time for utterance in judged for time in (utterance.start, utterance.end, utterance.end)]
    levels = [level for value in values for level in (value, value, math.nan)]
    axes.plot(at, levels, color=INK, lw=1.6, solid_capstyle="butt", **look)


def _words(axes: Any, timeline: Timeline, own: Sequence[Utterance]) -> None:
    """What is said, as much as fits below each utterance."""
    axes.set_yticks([])
    for utterance in own:
        room = _room(timeline, utterance)
        text = utterance.words or ""
        if len(text) > room:
            text = f"{text[: room - 1].rstrip()}…" if room > 4 else ""
        axes.text(utterance.start, 0.5, text.replace("$", r"\$"), fontsize=NAMES, va="center", color=INK)


def _time(rows: Sequence[Any], timeline: Timeline) -> None:
    """The axis at the bottom, in minutes and seconds."""
    step = next((step for step in STEPS if timeline.seconds / step <= 10), STEPS[-1])
    for axes in rows:
        axes.set_xlim(0, timeline.seconds)
        axes.xaxis.set_major_locator(FixedLocator(list(np.arange(0, timeline.seconds + 1e-6, step))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    for axes in rows[:-1]:
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="x", length=0)


def _present(timeline: Timeline) -> tuple[str, ...]:
    """Emotions that are heard, in the order of the labels."""
    heard = {_kind(utterance) for utterance in timeline.judged}
    return tuple(label for label in timeline.labels if label in heard)


def _legend(figure: Figure, timeline: Timeline) -> None:
    handles = [Patch(fc=palette.colour(emotion), label=emotion) for emotion in _present(timeline)]
    if len(timeline.judged) < len(timeline.utterances):
        colour, hatch = _look("")
        handles.append(Patch(fc=colour, ec=SOFT, hatch=hatch, lw=0, label="not judged"))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=9, labelcolor=INK)
