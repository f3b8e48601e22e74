"""The first paper's speech transformer alone, with a small transformer on top (Fusion-ConvBERT, sections 3.3 and 4.2).

Log-mel frames through a speech BERT, a projection to the fusion's width, L' layers of self-attention, the mean over
time, a linear layer. With pretrained weights (`encoder.weights`) it is the row "BERT" of the paper's Tables 4 to 7;
with random ones it is the row "Transformer".
"""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.encoders import speech_bert, weights
from affetto.encoders.speech_bert import SpeechBert, SpeechBertSettings
from affetto.frontend import LogMel, NamedFrontEnd
from affetto.layers import Classifier
from affetto.models import downstream
from affetto.models.base import READINGS, SpeechModel, Streams, register
from affetto.models.downstream import DownstreamSettings, transformer


class SpeechBertModelSettings(DownstreamSettings):
    """Settings of the transformer; the defaults are the paper's but for the size of the speech BERT."""

    name: Literal["speech_bert"] = "speech_bert"
    front_end: NamedFrontEnd = Field(default="mel160", validate_default=True)
    encoder: SpeechBertSettings = SpeechBertSettings()

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.encoder.inputs != (given := self.front_end.width):
            raise ValueError(f"encoder.inputs is {self.encoder.inputs}, but the front end gives {given} features")
        return self


@register(
    "speech_bert",
    paper="Fusion-ConvBERT (sections 3.3 and 4.2: BERT, Transformer)",
    differs=(
        "the downstream transformer has the fusion's size (L' = 3, H = 120, A = 6) and attends to itself; the paper "
        "only says that there is one",
        "the last states are averaged over the real frames before the linear layer; the paper does not say how",
        *downstream.READINGS,
        *speech_bert.READINGS,
        *READINGS,
    ),
)
class SpeechBertModel(SpeechModel):
    """Log-mel frames (B, T, 160) to logits (B, K)."""

    Settings = SpeechBertModelSettings

    def __init__(self, settings: SpeechBertModelSettings, n_classes: int) -> None:
        super().__init__({"log_mel": LogMel(settings.front_end)})
        self.settings = settings
        self.encoder = SpeechBert(settings.encoder)
        self.project = nn.Linear(self.encoder.width, settings.width)
        self.layers = transformer(settings)
        self.classifier = Classifier(settings.width, n_classes)

    def load_pretrained(self) -> None:
        """Fill the encoder with the weights that its settings name, if they do."""
        weights.load(self.encoder, self.settings.encoder.weights)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        states = self.encoder(streams["log_mel"])
        states = states.with_values(self.project(states.values))  # (B, T, D)
        for layer in self.layers:
            states = layer(states, states)
        logits: Tensor = self.classifier(states.mean())
        return logits
