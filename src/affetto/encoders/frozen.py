"""An encoder that is never trained, with its front end before it and a summary after it: waveforms in, features out.

To the rest of the package it is one more front end: what comes out depends on the sound alone, so it is computed once
a clip and cached.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from affetto.batch import Padded, extend
from affetto.encoders import weights
from affetto.encoders.whisper import Whisper, WhisperSettings
from affetto.frontend import LogMel

Summary = Literal["none", "mean", "loud_mean", "loud_quantiles"]

QUANTILES = (0.1, 0.5, 0.9)
"""Of each state's values over a clip's loud moments: where it mostly is, and how far it goes to either side."""

LOUD = 35.0
"""dB below a clip's loudest moment down to which a moment counts as loud: speech, and not the silence around it."""


class Frozen(nn.Module):
    """Waveforms (B, N) to encoder states (B, T, width), or to a summary of them over time (B, 1, width).

    Args:
        settings: of the encoder.
        summary: "mean" averages over the clip's own states, "loud_mean" over those of its loud moments;
            "loud_quantiles" gives `QUANTILES` of these, one after the other; "none" keeps all states.
    """

    def __init__(self, settings: WhisperSettings, *, summary: Summary = "none") -> None:
        super().__init__()
        self.settings = settings
        self.summary = summary
        self.log_mel = LogMel(settings.front_end)
        self.encoder = Whisper(settings).requires_grad_(False)
        self.width = self.encoder.width * (len(QUANTILES) if summary == "loud_quantiles" else 1)
        self.frame_rate = settings.front_end.frame_rate / 2 if summary == "none" else None

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text: settings and weights."""
        settings = self.settings.model_dump_json(exclude={"weights", "trainable"})
        return f"frozen {self.summary} {settings} {weights.digest(self.encoder)}"

    def train(self, mode: bool = True) -> "Frozen":
        """Stays in evaluation mode whatever the model around it does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, waveforms: Padded) -> Padded:
        """States of each waveform; float32."""
        frames = self.log_mel(waveforms)
        states = self.encoder(frames)
        states = Padded(states.values.float(), states.lengths)
        if self.summary == "none":
            return states
        return Padded(self._summarise(frames, states)[:, None], torch.ones_like(states.lengths))

    def _summarise(self, frames: Padded, states: Padded) -> Tensor:
        """One vector a clip, (B, width)."""
        if self.summary == "mean":
            return states.mean()
        loud = loud_moments(frames)  # (B, T)
        if self.summary == "loud_mean":
            return (states.values * loud[:, :, None]).sum(dim=1) / loud.sum(dim=1, keepdim=True)
        at = torch.tensor(QUANTILES, device=loud.device)
        clips = zip(states.values, loud, strict=True)
        return torch.stack([values[chosen].quantile(at, dim=0).flatten() for values, chosen in clips])


def loud_moments(frames: Padded) -> Tensor:
    """Where a clip is less than `LOUD` dB below its loudest moment.

    Args:
        frames: of the front end `whisper80`, (B, T, 80).

    Returns:
        True or False for each pair of frames, (B, ceil(T / 2)); False where padded.
    """
    # Whisper's scale: (log10(power) + 4) / 4.
    power = (10.0 ** (4.0 * frames.values.double())).sum(dim=2) * frames.mask  # (B, T)
    pairs = extend(torch.stack([power, frames.mask], dim=2), 2).reshape(len(frames), -1, 2, 2).sum(dim=2)
    power, count = pairs.unbind(dim=2)  # (B, ceil(T / 2)) each
    power = power / count.clamp(min=1)
    loud: Tensor = power > power.amax(dim=1, keepdim=True) * 10 ** (-LOUD / 10)
    return loud & (count > 0)
