"""Statistics of log-mel frames and a linear classifier: how emotion was recognised before networks.

openSMILE's "functionals" in small (Eyben, Wöllmer and Schuller, 2010; Schuller et al., the INTERSPEECH challenges since
2009): each clip becomes one vector of statistics over its frames, which is standardised with the training clips' mean
and deviation and mapped linearly to the classes. With `task.loss: hinge` and weight decay this is a linear support
vector machine.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.frontend import FrontEnd, LogMel, NamedFrontEnd
from affetto.layers import Classifier, Standardize
from affetto.models.base import ModelSettings, SpeechModel, Streams, register

LEVELS = FrontEnd(n_mels=40, n_fft=512, window="hamming", floor=1e-6, deltas=2)
"""Log-mel frames that keep their level, with first and second derivatives."""

PERCENTILES = (5, 25, 50, 75, 95)
N_STATISTICS = 2 + len(PERCENTILES)
"""Mean, standard deviation and the percentiles."""


class Functionals(nn.Module):
    """Waveforms (B, N) to the statistics of their log-mel frames (B, 1, 7 * width of a frame).

    Args:
        front_end: of the frames.
    """

    frame_rate = None
    """There is one vector a clip."""

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.log_mel = LogMel(front_end)
        self.width = N_STATISTICS * self.log_mel.width

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text."""
        return f"functionals mean deviation percentiles {PERCENTILES} {self.log_mel.fingerprint}"

    @torch.no_grad()
    def forward(self, waveforms: Padded) -> Padded:
        """Statistics of each waveform over its own frames."""
        frames = self.log_mel(waveforms)
        vectors = torch.stack([statistics(clip) for clip in frames.unbind()])
        return Padded(vectors[:, None], torch.ones_like(frames.lengths))


def statistics(frames: Tensor) -> Tensor:
    """Mean, (biased) standard deviation and percentiles of each feature over time.

    Args:
        frames: of one clip, (T, D).

    Returns:
        (7 * D,): D means, D deviations, D of each percentile. Percentiles between two frames are interpolated.
    """
    ordered = frames.sort(dim=0).values
    place = torch.tensor(PERCENTILES, device=frames.device, dtype=frames.dtype) / 100 * (len(frames) - 1)
    below = place.long()
    above = (below + 1).clamp(max=len(frames) - 1)
    percentiles = ordered[below].lerp(ordered[above], (place - below)[:, None])  # (5, D)
    return torch.cat([frames.mean(dim=0), frames.std(dim=0, correction=0), percentiles.flatten()])


class FunctionalsSettings(ModelSettings):
    """Of which frames the statistics are."""

    name: Literal["functionals"] = "functionals"
    front_end: NamedFrontEnd = Field(default=LEVELS, validate_default=True)


@register("functionals", paper="none; statistics of frames after openSMILE (Eyben et al., 2010)")
class FunctionalsClassifier(SpeechModel):
    """Statistics (B, 1, D) to logits (B, K)."""

    Settings = FunctionalsSettings

    def __init__(self, settings: FunctionalsSettings, n_classes: int) -> None:
        functionals = Functionals(settings.front_end)
        super().__init__({"functionals": functionals})
        self.standardize = Standardize(functionals.width)
        self.classifier = Classifier(functionals.width, n_classes)
        # The loss is convex: every start ends at the same weights, so none has to be drawn.
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Standardise with the mean and deviation of the training clips."""
        self.standardize.fit(batch["functionals"].values[:, 0] for batch in streams)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        with torch.autocast(streams["functionals"].values.device.type, enabled=False):
            logits: Tensor = self.classifier(self.standardize(streams["functionals"].values[:, 0].float()))
        return logits
