"""From results to pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


def confusion_figure(counts: npt.NDArray[np.int64], labels: Sequence[str], *, title: str, path: Path) -> None:
    """Draw a confusion matrix, each row as shares of its true class, as the first paper's Figures 5 to 8 do.

    Args:
        counts: (K, K), rows are the truth.
        labels: the classes in that order.
        title: above it.
        path: of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(1.2 + 0.8 * len(labels), 1.0 + 0.72 * len(labels)), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(shares.shape):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("heard by the model")
    axes.set_ylabel("meant by the speaker")
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046)
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
