"""What a model is asked: its targets, its loss, and how logits become answers.

`Categories` asks which one of a fixed list of emotions a clip carries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from affetto.config import Settings
from affetto.errors import CorpusError


class CategoriesSettings(Settings):
    """How categories are trained."""

    name: Literal["categories"] = "categories"
    class_weights: Literal["none", "balanced"] = "none"
    """"balanced": cross-entropy weighted by inverse class frequency in the training data."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


@dataclass(frozen=True)
class Categories:
    """One of K emotions a clip.

    Args:
        labels: the classes, in the order of the logits.
        settings: of the loss.
    """

    labels: tuple[str, ...]
    settings: CategoriesSettings = CategoriesSettings()

    def targets(self, emotions: Sequence[str]) -> Tensor:
        """Class indices (n,) of emotions.

        Raises:
            CorpusError: if an emotion is not one of the classes.
        """
        index = {label: i for i, label in enumerate(self.labels)}
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
        """Cross-entropy, a scalar; logits (B, K), targets (B,)."""
        return F.cross_entropy(logits.float(), targets, weight=weights, label_smoothing=self.settings.label_smoothing)

    def decode(self, logits: Tensor) -> Tensor:
        """Probabilities (B, K) of logits (B, K)."""
        return logits.float().softmax(dim=-1)

    def answers(self, probabilities: Tensor) -> list[str]:
        """The likeliest class of each row of probabilities (B, K)."""
        return [self.labels[i] for i in probabilities.argmax(dim=-1).tolist()]
