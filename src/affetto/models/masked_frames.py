"""The network that pretrains a speech BERT: frames with stretches struck out in, all frames out.

Mockingjay's arrangement (Liu et al., 2020, section 2; first paper, section 3.3 and Figure 3). It recognises nothing:
other models take its encoder on, by `encoder.weights`.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from affetto.batch import Padded
from affetto.encoders import weights
from affetto.encoders.speech_bert import FramePredictor, SpeechBert, SpeechBertSettings
from affetto.frontend import LogMel, NamedFrontEnd
from affetto.models.base import ModelSettings, SpeechModel, Streams


class MaskedFramesSettings(ModelSettings):
    """What is pretrained, and on which frames."""

    name: Literal["masked_frames"] = "masked_frames"
    front_end: NamedFrontEnd = Field(default="mel160", validate_default=True)
    encoder: SpeechBertSettings = SpeechBertSettings()

    @model_validator(mode="after")
    def _check_inputs(self) -> Self:
        if self.encoder.inputs != self.front_end.width:
            raise ValueError(f"encoder.inputs is {self.encoder.inputs}, the front end gives {self.front_end.width}")
        return self


class MaskedFramesModel(SpeechModel):
    """Log-mel frames (B, T, M) to predicted frames (B, T, M)."""

    Settings = MaskedFramesSettings

    def __init__(self, settings: MaskedFramesSettings) -> None:
        super().__init__({"log_mel": LogMel(settings.front_end)})
        self.settings = settings
        self.encoder = SpeechBert(settings.encoder)
        self.head = FramePredictor(settings.encoder.width, settings.front_end.width)

    def load_pretrained(self) -> None:
        """Fill the encoder with the weights that its settings name, if they do; the head begins anew."""
        weights.load(self.encoder, self.settings.encoder.weights)

    def forward(self, streams: Streams) -> Padded:  # type: ignore[override]  # frames, where other models give logits
        """Predicted frames (B, T, M)."""
        predicted: Padded = self.head(self.encoder(streams["log_mel"]))
        return predicted
