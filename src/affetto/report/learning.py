"""Pictures of a training: its loss by epoch, and what a pretrained model makes of frames that were struck out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affetto.report.figures import ACCENT, MARK, PAPER, SOFT, STYLE, WIDTH, save

Frames = npt.NDArray[np.float32]


def curve_figure(curves: Mapping[str, Sequence[float]], *, label: str, path: Path) -> None:
    """Draw losses by epoch.

    Args:
        curves: name -> loss of each epoch from 1; two at most.
        label: of the losses' axis.
        path: of the PNG, or SVG.
    """
    with matplotlib.rc_context(STYLE):
        figure, [axes] = _figure(2.6, 1)
        for (name, losses), colour in zip(curves.items(), (SOFT, ACCENT), strict=False):
            axes.plot(range(1, len(losses) + 1), losses, color=colour, label=name, linewidth=1.5)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.legend(frameon=False)
    save(figure, path)


def frames_figure(panels: Mapping[str, Frames], chosen: npt.NDArray[np.bool_], *, rate: float, path: Path) -> None:
    """Draw log-mel frames one below the other, on one scale, with a bar over the frames that were chosen.

    Args:
        panels: title -> frames (T, M).
        chosen: which frames a model had to predict, (T,).
        rate: frames a second.
        path: of the PNG, or SVG.
    """
    low, high = np.percentile(np.concatenate([panel.ravel() for panel in panels.values()]), [1, 99])
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _figure(1.5 * len(panels), len(panels))
        for axes, (title, frames) in zip(all_axes, panels.items(), strict=True):
            extent = (0.0, len(frames) / rate, 0.0, float(frames.shape[1]))
            axes.imshow(frames.T, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma")
            axes.set_title(title, loc="left")
            axes.set_ylabel("mel bin")
            for start, end in _runs(chosen):
                axes.axvspan(start / rate, end / rate, ymin=0.97, color=MARK, linewidth=0)
        all_axes[-1].set_xlabel("seconds")
    save(figure, path)


def _runs(chosen: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First frame and frame after the last of each stretch of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _figure(height: float, rows: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, squeeze=False)[:, 0]
