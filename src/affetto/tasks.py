"""What a model is asked: its targets, its loss, and how outputs become answers and scores.

`Categories` asks which one of a fixed list of emotions a clip carries. `MaskedFrames` asks what stood in frames that
were struck out, which needs no labels: it is how a speech BERT is pretrained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from affetto import metrics
from affetto.batch import Padded
from affetto.config import Settings
from affetto.errors import CorpusError

Streams = Mapping[str, Padded]


class Task(Protocol):
    """What training needs to know of a task."""

    @property
    def width(self) -> int:
        """Numbers that `tally` gives a clip."""
        ...

    def weights(self, targets: Tensor) -> Tensor | None:
        """What the loss weighs the training targets with; None: nothing."""
        ...

    def pose(self, streams: Streams, targets: Tensor, generator: torch.Generator) -> tuple[Streams, Tensor]:
        """The question that a batch is asked: streams to give to the model, and the right answers."""
        ...

    def loss(self, outputs: Any, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """What training makes small, a scalar."""
        ...

    def tally(self, outputs: Any, targets: Tensor) -> Tensor:
        """What is kept of a batch's outputs for `judge`, (B, width)."""
        ...

    def judge(self, tallies: Tensor, targets: Tensor) -> tuple[float, dict[str, float]]:
        """Loss and scores of clips, from their tallies (n, width) and their targets."""
        ...

    def rank(self, loss: float, scores: Mapping[str, float]) -> tuple[float, ...]:
        """How good an epoch's loss and scores on dev are; the greatest is the best."""
        ...


class CategoriesSettings(Settings):
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
        places = self.targets(labels)
        result = probabilities.clone()
        result[:, places] = probabilities[:, places].sum(dim=1, keepdim=True) * second
        return result

    def answers(self, probabilities: Tensor) -> list[str]:
        """The likeliest class of each row of probabilities (B, K)."""
        return [self.labels[i] for i in probabilities.argmax(dim=-1).tolist()]


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


class MaskedFramesSettings(Settings):
    """Which frames are struck out in pretraining; the defaults are Mockingjay's, as the first paper has them."""

    name: Literal["masked_frames"] = "masked_frames"
    share: float = Field(default=0.15, gt=0, lt=1)
    """Of a clip's frames that are predicted."""
    span: int = Field(default=7, ge=1)
    """Frames in a row that are chosen together."""
    zeroed: float = Field(default=0.8, ge=0, le=1)
    """Share of clips whose chosen spans are set to zero."""
    replaced: float = Field(default=0.1, ge=0, le=1)
    """Share of clips whose chosen spans are replaced by others of the same clip; those of the rest stay."""


@dataclass(frozen=True)
class MaskedFrames:
    """What stood in frames that were struck out (Mockingjay, Liu et al., 2020, section 2.2; first paper, section 3.3).

    For each clip, spans are drawn anew each time; then one throw of a die says for all of them whether they are set to
    zero, replaced by frames from elsewhere in the clip, or left as they are. The loss is the mean absolute error of the
    chosen frames, all frames of each span.

    Differs from the original code: that of the paper's time counts the first frame of each span alone; clips too short
    for a span add nothing to the loss.

    Args:
        settings: of the spans.
        stream: whose frames are struck out.
    """

    settings: MaskedFramesSettings = MaskedFramesSettings()
    stream: str = "log_mel"

    @property
    def width(self) -> int:
        """Numbers that `tally` gives a clip: the sum of its errors, and how many they are."""
        return 2

    def weights(self, targets: Tensor) -> None:
        """None: every chosen frame counts alike."""

    def pose(self, streams: Streams, targets: Tensor, generator: torch.Generator) -> tuple[Streams, Tensor]:
        """Streams with frames struck out, and what stood there.

        Args:
            streams: the frames (B, T, M), and whatever else is left alone.
            targets: not looked at.
            generator: on the CPU; where the randomness comes from.

        Returns:
            The streams; the original frames (B, T, M) where they were chosen, NaN elsewhere.
        """
        frames = streams[self.stream]
        struck, chosen = frames.values.clone(), torch.zeros(frames.values.shape[:2], dtype=torch.bool)
        for clip, length in enumerate(frames.lengths.tolist()):
            spans = self._spans(length, generator)
            die = torch.rand((), generator=generator).item()
            if not len(spans):
                continue
            chosen[clip, spans.flatten()] = True
            if die < self.settings.zeroed:
                struck[clip, spans.flatten()] = 0.0
            elif die < self.settings.zeroed + self.settings.replaced:
                others = self._starts(length, len(spans), generator)[:, None] + torch.arange(self.settings.span)
                for span, other in zip(spans, others, strict=True):  # where they overlap, the last counts
                    struck[clip, span] = frames.values[clip, other]
        answers = frames.values.masked_fill(~chosen.to(frames.values.device)[:, :, None], math.nan)
        return {**streams, self.stream: Padded(struck, frames.lengths)}, answers

    def loss(self, outputs: Padded, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean absolute error (L1) of the chosen frames, a scalar; outputs and targets (B, T, M)."""
        chosen = ~targets.isnan()
        if not chosen.any():
            return outputs.values.sum() * 0.0
        return F.l1_loss(outputs.values.float()[chosen], targets[chosen])

    def tally(self, outputs: Padded, targets: Tensor) -> Tensor:
        """Sum of each clip's absolute errors and their number, (B, 2)."""
        chosen = ~targets.isnan()
        errors = (outputs.values.float() - targets).abs().where(chosen, 0.0)
        return torch.stack([errors.sum(dim=(1, 2)), chosen.sum(dim=(1, 2))], dim=1)

    def judge(self, tallies: Tensor, targets: Tensor) -> tuple[float, dict[str, float]]:
        """L1 over the chosen frames of all clips; NaN if there are none."""
        total, count = tallies.double().sum(dim=0).tolist()
        l1 = total / count if count else math.nan
        return l1, {"l1": l1}

    def rank(self, loss: float, scores: Mapping[str, float]) -> tuple[float, ...]:
        """The lowest L1 is the best; a NaN never wins."""
        return (-math.inf if math.isnan(loss) else -loss,)

    def _spans(self, length: int, generator: torch.Generator) -> Tensor:
        """Frames of a clip's spans, (n, span); they may overlap, but none begins where another does."""
        count = round(length * self.settings.share / self.settings.span)
        if count == 0 or length <= self.settings.span:
            return torch.empty(0, self.settings.span, dtype=torch.int64)
        starts = torch.randperm(length - self.settings.span + 1, generator=generator)[:count]
        return starts[:, None] + torch.arange(self.settings.span)

    def _starts(self, length: int, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(length - self.settings.span + 1, (count,), generator=generator)
