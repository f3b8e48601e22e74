"""What a model is asked: its targets, its loss, and how outputs become answers and scores.

`Categories` asks which one of a fixed list of emotions a clip carries, `Dimensions` where it lies on scales such as
valence. `MaskedFrames` asks what stood in frames that were struck out, which needs no labels: it is how a speech BERT
is pretrained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from affetto import metrics
from affetto.batch import Padded
from affetto.config import JSON, Settings, parse
from affetto.errors import ConfigError, CorpusError
from affetto.labels import DIMENSIONS

Streams = Mapping[str, Padded]
Scale = tuple[float, float]
"""The lowest and the highest rating that a corpus's raters could give."""
Gives = Literal["probabilities", "dimensions"]
"""What answers are called, in predictions and in files."""

EPSILON = 1e-10
"""Added where 1 - CCC divides: of clips that agree in truth and in answer, the loss is 1 and moves nothing."""
DECIMALS = 5
"""Of the answers that results keep."""


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


class Recognition(Task, Protocol):
    """A task whose answers have names: what results, checkpoints and recognisers need to know of it."""

    @property
    def settings(self) -> "TaskSettings":
        """Of the task."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes or dimensions: a network gives a number for each."""
        ...

    @property
    def scales(self) -> dict[str, Scale]:
        """The scale of each label that has one."""
        ...

    @property
    def gives(self) -> Gives:
        """What its answers are called."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a table of answers, after file, start and end."""
        ...

    def targets(self, table: pd.DataFrame) -> Tensor:
        """The right answers of a corpus's rows, (n,) or (n, labels)."""
        ...

    def decode(self, outputs: Tensor) -> Tensor:
        """Answers (B, labels) of a network's outputs (B, labels)."""
        ...

    def truth(self, table: pd.DataFrame) -> list[JSON]:
        """What results keep of each of a corpus's rows: the right answer."""
        ...

    def answer(self, tallies: Tensor) -> list[JSON]:
        """What results keep of each clip's tallies: the answer that was given."""
        ...

    def known(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Which of a corpus's rows it can be asked about."""
        ...

    def strange(self, table: pd.DataFrame) -> str:
        """Why it cannot be asked about any of some rows, in words."""
        ...


class TaskSettings(Settings):
    """Base of the settings of every `Recognition`."""

    name: str

    def of(self, categories: Sequence[str], scales: Mapping[str, Scale]) -> Recognition:
        """The task that a corpus with these categories and dimensions poses.

        Raises:
            CorpusError: if it lacks what is asked for.
        """
        raise TypeError(f"{type(self).__name__} does not say which task it is of")

    @property
    def scores(self) -> tuple[str, ...]:
        """Those that settings can be chosen by, the first unless another is named."""
        raise TypeError(f"{type(self).__name__} does not say which scores it has")


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


TASKS: dict[str, type[TaskSettings]] = {"categories": CategoriesSettings, "dimensions": DimensionsSettings}
"""Settings of every `Recognition`, by its name."""


def parse_settings(content: Mapping[str, Any], *, source: str) -> TaskSettings:
    """Settings of the task that `content["name"]` names; of categories if it names none.

    Raises:
        ConfigError: if the name or a setting is unknown or wrong.
    """
    name = content.get("name", "categories")
    if name not in TASKS:
        raise ConfigError(f"{source}: no task is called '{name}'; the tasks are {', '.join(TASKS)}")
    return parse(TASKS[name], content, source=source)


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
