"""The first paper's small transformer on top of others (section 4.2): L' = 3, H = 120, A = 6, attention dropout 0.3."""

from typing import Self

from pydantic import Field, model_validator
from torch import nn

from affetto.layers import TransformerLayer
from affetto.models.base import ModelSettings

READINGS = (
    "the fusion's or downstream layers have a dropout of 0.1 after attention and feed-forward, too, as BERT's have; "
    "the paper names that of attention alone, 0.3",
)
"""What models that end in such a transformer read into the paper."""


class DownstreamSettings(ModelSettings):
    """Settings of a model that ends in such a transformer; the defaults are the paper's."""

    width: int = Field(default=120, ge=1)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=6, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_dropout: float = Field(default=0.3, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} heads on width {self.width}")
        return self


def transformer(settings: DownstreamSettings) -> nn.ModuleList:
    """Its layers; inner width 4 x H, Swish."""
    return nn.ModuleList(
        TransformerLayer(
            settings.width,
            settings.heads,
            inner=4 * settings.width,
            activation="swish",
            dropout=settings.dropout,
            attention_dropout=settings.attention_dropout,
        )
        for _ in range(settings.layers)
    )
