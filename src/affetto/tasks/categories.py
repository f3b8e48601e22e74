"""Which one of a fixed list of emotions a clip carries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from affetto import metrics
from affetto.config import JSON
from affetto.errors import CorpusError
from affetto.tasks.base import DECIMALS, Gives, Scale, Streams, TaskSettings


class CategoriesSettings(TaskSettings):
    """How categories are trained."""

    name: Literal["categories"] = "categories"
    class_weights: Literal["none", "balanced"] = "none"
    """"balanced": cross-entropy weighted by inverse class frequency in the training data."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["cross_entropy", "hinge"] = "cross_entropy"
    """"hinge": squared, each class against the rest; with weight decay a linear model is then a support vector machine.
    Its outputs are margins, and the probabilities made of them by softmax are not calibrated."""

    @model_validator(mode="after")
    def _check_smoothing(self) -> Self:
        if self.loss == "hinge" and self.label_smoothing:
            raise ValueError(f"label_smoothing goes with cross_entropy, got {self.label_smoothing} with hinge")
        return self

    def of(self, categories: Sequence[str], scales: Mapping[str, Scale]) -> "Categories":
        """The task with the corpus's categories.

        Raises:
            CorpusError: if it has none.
        """
        if not categories:
            raise CorpusError("the corpus has no emotions; for ratings, say `task: dimensions`")
        return Categories(tuple(categories), self)

    @property
    def scores(self) -> tuple[str, ...]:
        """UAR first, which is how epochs are chosen, too."""
        return ("ua", "wa", "macro_f1")


@dataclass(frozen=True)
class Categories:
    """One of K emotions a clip.

    Args:
        labels: the classes, in the order of the logits.
        settings: of the loss.
    """

    labels: tuple[str, ...]
    settings: CategoriesSettings = CategoriesSettings()

    @property
    def scales(self) -> dict[str, Scale]:
        """None."""
        return {}

    @property
    def gives(self) -> Gives:
        """Probabilities."""
        return "probabilities"

    @property
    def columns(self) -> tuple[str, ...]:
        """The likeliest class, its probability, and the probability of each."""
        return ("emotion", "confidence", *self.labels)

    def targets(self, table: pd.DataFrame) -> Tensor:
        """Class indices (n,) of a corpus's rows.

        Raises:
            CorpusError: if an emotion is missing or not one of the classes.
        """
        return self.places(table["emotion"].tolist())

    def places(self, emotions: Sequence[str]) -> Tensor:
        """Class indices (n,) of emotions.

        Raises:
            CorpusError: if an emotion is not one of the classes.
        """
        index = {label: i for i, label in enumerate(self.labels)}
        if missing := sum(not isinstance(emotion, str) for emotion in emotions):
            raise CorpusError(f"{missing} of {len(emotions)} utterances have no emotion; categories need one in each")
        unknown = sorted({emotion for emotion in emotions if emotion not in index})
        if unknown:
            raise CorpusError(f"the corpus has {', '.join(unknown)}; this model's classes are {', '.join(self.labels)}")
        return torch.tensor([index[emotion] for emotion in emotions], dtype=torch.int64)

    def weights(self, targets: Tensor) -> Tensor | None:
        """Weight of each class in the loss, (K,), from the training targets; None: all the same.

        Inverse class frequency, with mean 1 over the training clips; a class without a clip weighs nothing.
        """
        if self.settings.class_weights == "none":
            return None
        counts = torch.bincount(targets, minlength=len(self.labels)).float()
        present = counts > 0
        return torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0.0)

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Cross-entropy or squared hinge, a scalar; logits (B, K), targets (B,)."""
        if self.settings.loss == "hinge":
            return _squared_hinge(logits.float(), targets, weights)
        return F.cross_entropy(logits.float(), targets, weight=weights, label_smoothing=self.settings.label_smoothing)

    @property
    def width(self) -> int:
        """Numbers that `tally` gives a clip: K."""
        return len(self.labels)

    def pose(self, streams: Streams, targets: Tensor, generator: torch.Generator) -> tuple[Streams, Tensor]:
        """The batch as it is."""
        return streams, targets

    def decode(self, logits: Tensor) -> Tensor:
        """Probabilities (B, K) of logits (B, K)."""
        return logits.float().softmax(dim=-1)

    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Probabilities (B, K) of logits (B, K)."""
        return self.decode(outputs)

    def judge(self, tallies: Tensor, targets: Tensor) -> tuple[float, dict[str, float]]:
        """Unweighted cross-entropy and the scores of `metrics.scores`, from probabilities (n, K) and targets (n,)."""
        loss = F.nll_loss(tallies.clamp(min=1e-12).log(), targets).item()
        return loss, metrics.scores([self.labels[i] for i in targets.tolist()], self.answers(tallies))

    def rank(self, loss: float, scores: Mapping[str, float]) -> tuple[float, ...]:
        """The highest UAR is the best, and among equals the lowest loss; a NaN never wins."""
        uar = scores["ua"]
        return (-math.inf, -math.inf) if math.isnan(uar) or math.isnan(loss) else (uar, -loss)

    def divide(self, probabilities: Tensor, second: Tensor, labels: Sequence[str]) -> Tensor:
        """Probabilities whose share of a few classes is divided among them as another model says.

        Args:
            probabilities: (B, K).
            second: of the few classes, (B, len(labels)).
            labels: these, in the order of `second`.

        Returns:
            (B, K).
        """
        places = self.places(labels)
        result = probabilities.clone()
        result[:, places] = probabilities[:, places].sum(dim=1, keepdim=True) * second
        return result

    def answers(self, probabilities: Tensor) -> list[str]:
        """The likeliest class of each row of probabilities (B, K)."""
        return [self.labels[i] for i in probabilities.argmax(dim=-1).tolist()]

    def truth(self, table: pd.DataFrame) -> list[JSON]:
        """The true class of each row."""
        return [{"truth": emotion} for emotion in table["emotion"]]

    def answer(self, tallies: Tensor) -> list[JSON]:
        """Likeliest class and probabilities of each clip, from probabilities (n, K)."""
        return [
            {"prediction": answer, "probabilities": [round(p, DECIMALS) for p in probabilities]}
            for answer, probabilities in zip(self.answers(tallies), tallies.tolist(), strict=True)
        ]

    def known(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Rows of one of the classes."""
        return table["emotion"].isin(list(self.labels))

    def strange(self, table: pd.DataFrame) -> str:
        """The emotions that are none of the classes."""
        return f"the model does not know {', '.join(sorted(set(table['emotion'].dropna()))) or 'of no emotion'}"


def _squared_hinge(margins: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Squared hinge loss of each class against the rest, summed over classes, mean over clips.

    As in LIBLINEAR (Fan et al., 2008), and so in scikit-learn's LinearSVC, a class's weight counts for its own clips
    and not for the rest's. A weight decay of d is LinearSVC's C of 1 / (d * clips).
    """
    own = F.one_hot(targets, margins.shape[1]).bool()
    errors = torch.where(own, 1 - margins, 1 + margins).clamp(min=0).square()  # (B, K)
    if weights is not None:
        errors = torch.where(own, weights * errors, errors)
    return errors.sum(dim=1).mean()
