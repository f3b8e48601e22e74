"""A linear classifier on a summary of a frozen encoder's states: the lightest head that a strong encoder can have.

Clip by clip, the states of the chosen layers are averaged over time (or summarised otherwise, see `pooling`),
standardised with the training clips' mean and deviation, and mapped linearly to the classes: multinomial logistic
regression when trained with cross-entropy and weight decay. On a few hundred clips it is hard to beat ("linear probes",
Alain and Bengio, 2016, arXiv:1610.01644).
"""

from collections.abc import Iterable
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.encoders import whisper
from affetto.encoders.frozen import Frozen
from affetto.encoders.whisper import WhisperSettings
from affetto.layers import Classifier, Standardize
from affetto.models.base import ModelSettings, SpeechModel, Streams, register
from affetto.pretrained import encoder_weights


class LinearProbeSettings(ModelSettings):
    """Which encoder is probed, and where."""

    name: Literal["linear_probe"] = "linear_probe"
    encoder: WhisperSettings = Field(default=WhisperSettings(outputs=(2, 3)))
    pooling: Literal["mean", "loud_mean", "loud_quantiles"] = "mean"
    """What stands for a clip: the mean of its states, or of those of its loud moments, or their quantiles
    (see `encoders.frozen`)."""

    @model_validator(mode="after")
    def _check_frozen(self) -> Self:
        if self.encoder.trainable:
            raise ValueError("a linear probe's encoder is frozen, got encoder.trainable true")
        return self


@register("linear_probe", paper="none; linear probes after Alain and Bengio (2016)")
class LinearProbe(SpeechModel):
    """Summaries of states (B, 1, D) to logits (B, K)."""

    Settings = LinearProbeSettings

    def __init__(self, settings: LinearProbeSettings, n_classes: int) -> None:
        frozen = Frozen(settings.encoder, summary=settings.pooling)
        super().__init__({"speech": frozen})
        self.settings = settings
        self.standardize = Standardize(frozen.width)
        self.classifier = Classifier(frozen.width, n_classes)
        # The loss is convex: every start ends at the same weights, so none has to be drawn.
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def load_pretrained(self) -> None:
        """Fill the encoder with the weights that its settings name."""
        frozen = self.streams["speech"]
        assert isinstance(frozen, Frozen)
        whisper.load_weights(frozen.encoder, encoder_weights(self.settings.encoder.weights))

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Standardise with the mean and deviation of the training clips."""
        self.standardize.fit(batch["speech"].values[:, 0] for batch in streams)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        with torch.autocast(streams["speech"].values.device.type, enabled=False):
            logits: Tensor = self.classifier(self.standardize(streams["speech"].values[:, 0].float()))
        return logits
