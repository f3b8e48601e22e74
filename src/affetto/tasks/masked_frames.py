"""What stood in frames that were struck out: how a speech BERT is pretrained, without labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from affetto.batch import Padded
from affetto.config import Settings
from affetto.tasks.base import Streams


class MaskedFramesSettings(Settings):
    """Which frames are struck out in pretraining; the defaults are Mockingjay's, which the first paper takes over.

    The paper speaks of shares of frames, Mockingjay's code throws one die for a whole clip; so does this.
    """

    name: Literal["masked_frames"] = "masked_frames"
    share: float = Field(default=0.15, gt=0, lt=1)
    """Of a clip's frames that are predicted."""
    span: int = Field(default=7, ge=1)
    """Frames in a row that are chosen together."""
    zeroed: float = Field(default=0.8, ge=0, le=1)
    """Share of clips whose chosen spans are set to zero."""
    replaced: float = Field(default=0.1, ge=0, le=1)
    """Share of clips whose chosen spans are replaced by others of the same clip; those of the rest stay."""

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.zeroed + self.replaced > 1 + 1e-9:
            raise ValueError(f"zeroed and replaced are shares of all clips, got {self.zeroed} and {self.replaced}")
        return self

    def spans(self, length: int) -> int:
        """How many spans are chosen in a clip of so many frames; none in one that is too short."""
        return round(length * self.share / self.span) if length > self.span else 0


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
        count = self.settings.spans(length)
        if not count:
            return torch.empty(0, self.settings.span, dtype=torch.int64)
        starts = torch.randperm(length - self.settings.span + 1, generator=generator)[:count]
        return starts[:, None] + torch.arange(self.settings.span)

    def _starts(self, length: int, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(length - self.settings.span + 1, (count,), generator=generator)
