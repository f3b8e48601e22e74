"""CNN14 alone, the second paper's acoustic network (section 3; PANNs, see `encoders.cnn14`): row `cnn14`."""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from affetto.encoders import weights
from affetto.encoders.cnn14 import MELS, Cnn14, Cnn14Settings, initialise_xavier
from affetto.frontend import LogMel, NamedFrontEnd
from affetto.layers import Classifier
from affetto.models.base import ModelSettings, SpeechModel, Streams, register


class AcousticSettings(ModelSettings):
    """Settings of a network with a CNN14 in it; the defaults are the second paper's, as far as they are known."""

    front_end: NamedFrontEnd = Field(default="panns16k", validate_default=True)
    encoder: Cnn14Settings = Cnn14Settings()

    @model_validator(mode="after")
    def _check_bins(self) -> Self:
        if self.front_end.width != MELS:
            raise ValueError(f"CNN14 takes {MELS} features a frame, but the front end gives {self.front_end.width}")
        return self


class Cnn14ModelSettings(AcousticSettings):
    """Settings of CNN14 alone."""

    name: Literal["cnn14"] = "cnn14"


CNN14_READINGS = (
    "the paper gives neither front end nor initialisation: PANNs' for 16 kHz, and weights from scratch",
    "no dropout around the dense layer, as in code of the first author; PANNs has 0.5 (`encoder.dense_dropout`)",
    "clips shorter than 32 frames are extended by zeros after the first batch norm",
    "in a batch of several lengths, batch norm's statistics are those of real frames alone",
)
"""What both networks of the second paper read alike where the paper is silent."""


@register(
    "cnn14",
    paper="Multistage linguistic conditioning (section 3: CNN14); PANNs, Kong et al. (2020)",
    differs=CNN14_READINGS,
    n_classes=4,
)
class Cnn14Model(SpeechModel):
    """Log-mel frames (B, T, 64) to logits (B, K)."""

    Settings = Cnn14ModelSettings

    def __init__(self, settings: Cnn14ModelSettings, n_classes: int) -> None:
        super().__init__({"log_mel": LogMel(settings.front_end)})
        self.settings = settings
        self.encoder = Cnn14(settings.encoder)
        self.classifier = Classifier(self.encoder.width, n_classes)
        initialise_xavier(self.classifier)

    def load_pretrained(self) -> None:
        """Fill the encoder with the weights that its settings name, if they do."""
        weights.load(self.encoder, self.settings.encoder.weights)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.classifier(self.encoder(streams["log_mel"]))
        return logits
