"""What every task answers to."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import pandas as pd
import torch
from torch import Tensor

from affetto.batch import Padded
from affetto.config import JSON, Settings

Streams = Mapping[str, Padded]
Scale = tuple[float, float]
"""The lowest and the highest rating that a corpus's raters could give."""
Gives = Literal["probabilities", "dimensions"]
"""What answers are called, in predictions and in files."""


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
