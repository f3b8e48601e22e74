"""The first paper's convolutional network alone (Fusion-ConvBERT, section 3.2, Table 1, Figure 2).

Four blocks of 3 x 3 convolution, layer norm and Swish with 64, 128, 256 and 512 maps, poolings of 4, 4, 4 and 2, a
dense layer of 512 and a linear layer to the classes.
"""

from collections.abc import Iterable
from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.frontend import LogMel, NamedFrontEnd
from affetto.layers import Classifier, ConvNorm, ConvStack, Standardize, Swish, max_pool
from affetto.models.base import CNN_READINGS, READINGS, ModelSettings, SpeechModel, Streams, register


class CNNSettings(ModelSettings):
    """Settings of the CNN; the defaults are the paper's."""

    name: Literal["cnn"] = "cnn"
    front_end: NamedFrontEnd = Field(default="mel160", validate_default=True)
    statistics: Literal["clip", "training"] = "clip"
    """Whose mean and deviation eq. (2) takes for each bin: the clip's, as the front end does, or those of the training
    clips, which leaves a clip its level and its colour; the front end then normalises nothing."""
    dense: int = Field(default=512, ge=1)
    conv_norm: ConvNorm = "point"
    """What the convolution blocks' layer norm runs over: the channels of each time-frequency point, or a whole clip."""
    swish: Swish = "fixed"
    """Whether eq. (4)'s slope stays at 1 or is learned, one a block."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Before and after the dense layer; the paper has none."""

    @model_validator(mode="after")
    def _normalise_once(self) -> Self:
        if self.statistics == "training":
            object.__setattr__(self, "front_end", self.front_end.model_copy(update={"normalisation": "none"}))
        return self

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        if self.front_end.width < 128:
            raise ValueError(f"the CNN's poolings take 128 features or more, got {self.front_end.width}")
        return self


@register(
    "cnn",
    paper="Fusion-ConvBERT (section 3.2, Table 1)",
    differs=(
        *READINGS,
        *CNN_READINGS,
        "what time is left after the last pooling is averaged: Table 1's 1 x 1 x 512 holds for one length only",
        "the dense layer ends in Swish, the paper's activation; Table 1 names none",
    ),
)
class CNN(SpeechModel):
    """Log-mel frames (B, T, 160) to logits (B, K)."""

    Settings = CNNSettings

    def __init__(self, settings: CNNSettings, n_classes: int) -> None:
        super().__init__({"log_mel": LogMel(settings.front_end)})
        self.standardize = Standardize(settings.front_end.width) if settings.statistics == "training" else None
        self.stack = ConvStack(norm=settings.conv_norm, swish=settings.swish)
        self.dropout = nn.Dropout(settings.dropout)
        bands = settings.front_end.width // 128
        self.dense = nn.Linear(512 * bands, settings.dense)
        self.classifier = Classifier(settings.dense, n_classes)

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Take eq. (2)'s mean and deviation from the training clips' frames, where the settings say so."""
        if self.standardize is not None:
            self.standardize.fit(batch["log_mel"].values[batch["log_mel"].mask] for batch in streams)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        frames = streams["log_mel"]
        if self.standardize is not None:
            frames = frames.with_values(self.standardize(frames.values))
        maps = max_pool(self.stack(frames), 2)  # (B, T / 128, M / 128, 512)
        pooled = Padded(maps.values.flatten(2), maps.lengths).mean()  # (B, 512)
        logits: Tensor = self.classifier(self.dropout(F.silu(self.dense(self.dropout(pooled)))))
        return logits
