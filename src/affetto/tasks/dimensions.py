"""Where a clip lies on scales such as valence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from pydantic import Field, field_validator
from torch import Tensor

from affetto import metrics
from affetto.config import JSON
from affetto.errors import CorpusError
from affetto.labels import DIMENSIONS
from affetto.tasks.base import DECIMALS, Gives, Scale, Streams, TaskSettings

EPSILON = 1e-10
"""Added where 1 - CCC divides: of clips that agree in truth and in answer, the loss is 1 and moves nothing."""


class DimensionsSettings(TaskSettings):
    """How ratings on dimensions are trained."""

    name: Literal["dimensions"] = "dimensions"
    names: tuple[str, ...] = Field(default=DIMENSIONS, min_length=1)
    """Which; in whatever order they are written, they stand in that of `labels.DIMENSIONS`."""
    loss: Literal["mse", "ccc"] | None = None
    """"mse": mean squared error, in halves of the scale. "ccc": 1 - CCC of the batch, mean over the dimensions. null:
    as in the second paper (section 4.2), the first for a dimension alone, the second for several together."""
    scale: Scale | None = None
    """From the lowest to the highest rating, for a corpus that does not state it, such as a table of one's own."""

    @field_validator("names")
    @classmethod
    def _in_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or not set(names) <= set(DIMENSIONS):
            raise ValueError(f"expected each once, and of {', '.join(DIMENSIONS)} alone")
        return tuple(name for name in DIMENSIONS if name in names)

    @field_validator("scale")
    @classmethod
    def _rising(cls, scale: Scale | None) -> Scale | None:
        if scale is not None and not scale[0] < scale[1]:
            raise ValueError("expected the lowest rating, then the highest, such as [1, 5]")
        return scale

    def of(self, categories: Sequence[str], scales: Mapping[str, Scale]) -> "Dimensions":
        """The task with the corpus's scales.

        Raises:
            CorpusError: if the corpus does not state the scale of a dimension and `scale` neither, or they differ.
        """
        if not scales and self.scale is not None:
            scales = dict.fromkeys(self.names, self.scale)
        for name in self.names:
            if name not in scales:
                rated = f"its dimensions are {', '.join(scales)}" if scales else "task.scale=[1, 5] would state one"
                raise CorpusError(f"the corpus states no scale of {name}; {rated}")
            if self.scale is not None and tuple(scales[name]) != self.scale:
                low, high = scales[name]
                raise CorpusError(f"the corpus rates {name} from {low:g} to {high:g}; leave task.scale to it")
        return Dimensions(self.names, tuple(scales[name] for name in self.names), self)

    @property
    def scores(self) -> tuple[str, ...]:
        """The mean CCC, which is how epochs are chosen, too, and that of each dimension."""
        return ("ccc", *(f"ccc_{name}" for name in self.names))


@dataclass(frozen=True)
class Dimensions:
    """Ratings of a clip on one or more dimensions (second paper, section 4.2), on their corpus's own scale.

    A network answers in halves of the scale, from its middle: 0 is the middle, 1 the highest rating. So a new network,
    whose outputs are near 0, begins in the middle of whatever scale. Answers beyond the ends are left as they are. The
    squared error that is trained on is in these halves, too, so that a learning rate suits all scales alike.

    Differs from the paper: it does not say how a network's outputs become ratings.

    Args:
        labels: the dimensions, in the order of the outputs.
        ends: the scale of each.
        settings: of the loss.
    """

    labels: tuple[str, ...]
    ends: tuple[Scale, ...]
    settings: DimensionsSettings = DimensionsSettings()

    @property
    def scales(self) -> dict[str, Scale]:
        """Of each dimension."""
        return dict(zip(self.labels, self.ends, strict=True))

    @property
    def gives(self) -> Gives:
        """Ratings on dimensions."""
        return "dimensions"

    @property
    def columns(self) -> tuple[str, ...]:
        """The dimensions."""
        return self.labels

    @property
    def width(self) -> int:
        """Numbers that `tally` gives a clip: D."""
        return len(self.labels)

    def targets(self, table: pd.DataFrame) -> Tensor:
        """Ratings (n, D) of a corpus's rows.

        Raises:
            CorpusError: if a rating is missing, or outside the scale that the settings state. A corpus that states its
                own scale may leave it: a few of IEMOCAP's means of raters do.
        """
        for name, (low, high) in self.scales.items():
            if name not in table:
                raise CorpusError(f"the corpus has no column '{name}'")
            if missing := int(table[name].isna().sum()):
                raise CorpusError(f"{missing} of {len(table)} utterances have no {name}; dimensions need it in each")
            outside = int((~table[name].between(low, high)).sum())
            if outside and self.settings.scale is not None:
                raise CorpusError(f"{outside} of {len(table)} utterances have a {name} beyond {low:g} to {high:g}")
        return torch.tensor(table[list(self.labels)].to_numpy("float32"))

    def weights(self, targets: Tensor) -> None:
        """None: every clip counts alike."""

    def pose(self, streams: Streams, targets: Tensor, generator: torch.Generator) -> tuple[Streams, Tensor]:
        """The batch as it is."""
        return streams, targets

    def decode(self, outputs: Tensor) -> Tensor:
        """Ratings (B, D) of a network's outputs (B, D)."""
        low, high = torch.tensor(self.ends, dtype=torch.float32, device=outputs.device).T
        ratings: Tensor = (low + high) / 2 + outputs.float() * (high - low) / 2
        return ratings

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean squared error in halves of the scale, or mean over dimensions of 1 - CCC, a scalar; both (B, D)."""
        return self._loss(self.decode(outputs), targets)

    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Ratings (B, D) of a network's outputs (B, D)."""
        return self.decode(outputs)

    def judge(self, tallies: Tensor, targets: Tensor) -> tuple[float, dict[str, float]]:
        """Loss over all clips and the scores of `metrics.rating_scores`, from ratings (n, D) and true ones (n, D)."""
        truth, prediction = targets.double(), tallies.double()
        scores = metrics.rating_scores(truth.numpy(), prediction.numpy(), self.labels)
        return self._loss(prediction, truth).item(), {name: float(score) for name, score in scores.items()}

    def rank(self, loss: float, scores: Mapping[str, float]) -> tuple[float, ...]:
        """The highest mean CCC is the best, and among equals the lowest loss; a NaN never wins."""
        ccc = scores["ccc"]
        return (-math.inf, -math.inf) if math.isnan(ccc) or math.isnan(loss) else (ccc, -loss)

    def truth(self, table: pd.DataFrame) -> list[JSON]:
        """The true ratings of each row."""
        names = [f"{label}_truth" for label in self.labels]
        ratings = table[list(self.labels)].to_numpy("float64").tolist()
        return [dict(zip(names, own, strict=True)) for own in ratings]

    def answer(self, tallies: Tensor) -> list[JSON]:
        """The predicted ratings of each clip, from ratings (n, D)."""
        rounded = ([round(rating, DECIMALS) for rating in own] for own in tallies.tolist())
        return [dict(zip(self.labels, own, strict=True)) for own in rounded]

    def known(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Rows that are rated on all dimensions."""
        if missing := [label for label in self.labels if label not in table]:
            raise CorpusError(
                f"the corpus has no column {', '.join(missing)}; the model rates {', '.join(self.labels)}"
            )
        return table[list(self.labels)].notna().all(axis=1)

    def strange(self, table: pd.DataFrame) -> str:
        """That ratings are missing."""
        return f"they lack a rating of {' or '.join(self.labels)}"

    def _loss(self, prediction: Tensor, truth: Tensor) -> Tensor:
        if (self.settings.loss or ("mse" if self.width == 1 else "ccc")) == "mse":
            low, high = torch.tensor(self.ends, dtype=truth.dtype, device=truth.device).T
            error: Tensor = 2 * (prediction - truth) / (high - low)
            return error.square().mean()
        return (1 - _concordance(prediction, truth)).mean()


def _concordance(prediction: Tensor, truth: Tensor) -> Tensor:
    """CCC (Lin, 1989) of each column, (D,), from population moments; predictions and truth (B, D)."""
    means = prediction.mean(0), truth.mean(0)
    apart = prediction - means[0], truth - means[1]
    variances = apart[0].square().mean(0) + apart[1].square().mean(0)
    return 2 * (apart[0] * apart[1]).mean(0) / (variances + (means[0] - means[1]).square() + EPSILON)
