"""Speech BERT: Mockingjay (Liu et al., ICASSP 2020, arXiv:1910.12638), the speech transformer of the first paper.

Acoustic frames through a linear layer, sinusoidal positions, layer norm, then BERT's post-norm layers. Preset `paper`
is the paper's (and Mockingjay BASE's) size: 21,388,800 parameters at 160 inputs. Original code: s3prl (Apache-2.0),
`pretrain/mockingjay`; written anew here.

Differs from Mockingjay as the first paper does: no down- and up-sampling (section 4.2), and the first paper's front end
(160 mel, 25/10 ms Hamming) for Mockingjay's 80 mel with deltas (50/12.5 ms Hann), so published weights do not fit.
Differs from the first paper, perhaps: GELU as in BERT; the paper names Swish without saying where.
"""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from affetto.batch import Padded
from affetto.config import Settings
from affetto.layers import TransformerLayer, initialise_bert, sinusoids

PRESETS = {
    "paper": {"width": 768, "layers": 3, "heads": 12},
    "small": {"width": 256, "layers": 3, "heads": 4},
}


class SpeechBertSettings(Settings):
    """Size and inputs of a speech BERT."""

    name: Literal["speech_bert"] = "speech_bert"
    preset: Literal["paper", "small"] | None = "small"
    """Fills width, layers and heads; None: they are given."""
    inputs: int = Field(default=160, ge=1)
    """Features a frame."""
    width: int = Field(default=256, ge=2, multiple_of=2)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fill_from_preset(self) -> Self:
        for key, value in PRESETS.get(self.preset or "", {}).items():
            if key not in self.model_fields_set:
                object.__setattr__(self, key, value)
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} heads on width {self.width}")
        return self


class SpeechBert(nn.Module):
    """Frames (B, T, inputs) to contextual frames (B, T, width)."""

    def __init__(self, settings: SpeechBertSettings) -> None:
        super().__init__()
        self.width = settings.width
        self.project = nn.Linear(settings.inputs, settings.width)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = nn.Dropout(settings.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(
                settings.width,
                settings.heads,
                inner=4 * settings.width,
                dropout=settings.dropout,
                attention_dropout=settings.attention_dropout,
            )
            for _ in range(settings.layers)
        )
        self.apply(initialise_bert)

    def forward(self, frames: Padded) -> Padded:
        """The last layer's states.

        Args:
            frames: (B, T, inputs).

        Returns:
            (B, T, width) on the same lengths.
        """
        x = self.project(frames.values)
        x = x + sinusoids(x.shape[1], self.width, device=x.device).to(x.dtype)
        states = frames.with_values(self.dropout(self.norm(x)))
        for layer in self.layers:
            states = layer(states, states)
        return states
