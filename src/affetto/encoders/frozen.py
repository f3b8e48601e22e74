"""An encoder that is never trained, with its front end before it and a summary after it: waveforms in, features out.

To the rest of the package it is one more front end: what comes out depends on the sound alone, so it is computed once
a clip and cached.
"""

import hashlib
from typing import Literal

import torch
from torch import nn

from affetto.batch import Padded
from affetto.encoders.whisper import Whisper, WhisperSettings
from affetto.frontend import LogMel


class Frozen(nn.Module):
    """Waveforms (B, N) to encoder states (B, T, width), or to their mean over time (B, 1, width).

    Args:
        settings: of the encoder.
        summary: "mean" averages over the clip's own states; "none" keeps them all.
    """

    def __init__(self, settings: WhisperSettings, *, summary: Literal["none", "mean"] = "none") -> None:
        super().__init__()
        self.settings = settings
        self.summary = summary
        self.log_mel = LogMel(settings.front_end)
        self.encoder = Whisper(settings).requires_grad_(False)
        self.width = self.encoder.width

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text: settings and weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        settings = self.settings.model_dump_json(exclude={"weights", "trainable"})
        return f"frozen {self.summary} {settings} {digest.hexdigest()}"

    def train(self, mode: bool = True) -> "Frozen":
        """Stays in evaluation mode whatever the model around it does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, waveforms: Padded) -> Padded:
        """States of each waveform; float32."""
        states = self.encoder(self.log_mel(waveforms))
        states = Padded(states.values.float(), states.lengths)
        if self.summary == "none":
            return states
        return Padded(states.mean()[:, None], torch.ones_like(states.lengths))
