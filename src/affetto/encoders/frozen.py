"""An encoder that is never trained, with its front end before it and a summary after it: waveforms in, features out.

To the rest of the package it is one more front end: what comes out depends on the sound alone, so it is computed once
a clip and cached.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affetto.batch import Padded, extend, pad
from affetto.encoders import weights
from affetto.encoders.whisper import Whisper, WhisperSettings
from affetto.frontend import LogMel

Summary = Literal["none", "mean", "loud_mean", "loud_quantiles"]

QUANTILES = (0.1, 0.5, 0.9)
"""Of each state's values over a clip's loud moments: where it mostly is, and how far it goes to either side."""

LOUD = 35.0
"""dB below a clip's loudest moment down to which a moment counts as loud: speech, and not the silence around it."""


SPEECH = 30.0
"""dB below a clip's loudest moment down to which a moment counts as speech when its ends are cut."""
MARGIN = 1_600
"""Samples (0.1 s) that are kept before the first and after the last moment of speech."""
LEVEL = 0.05
"""Root mean square that speech is brought to (-26 dB of full scale)."""
QUIETEST = 1e-5
"""Root mean square below which nothing is made louder than what has it: silence stays silence."""

LONGEST = 144_000
"""Samples (9 s) of the longest clip that is heard as a whole; EMO-DB's longest has 143,652."""
PIECE = 80_000
"""Samples (5 s) of the pieces of longer ones, at most."""
AT_ONCE = 16
"""Pieces that are heard in one batch."""


class Frozen(nn.Module):
    """Waveforms (B, N) to encoder states (B, T, width), or to a summary of them over time (B, 1, width).

    Args:
        settings: of the encoder.
        levelled: cut the silence around the speech and bring the speech to one level before listening: Whisper's input
            keeps the recording's level, and its positions how long it was silent, and corpora differ in both.
        summary: "mean" averages over the clip's own states, "loud_mean" over those of its loud moments;
            "loud_quantiles" gives `QUANTILES` of these, one after the other; "none" keeps all states.
    """

    def __init__(self, settings: WhisperSettings, *, summary: Summary = "none", levelled: bool = False) -> None:
        super().__init__()
        self.settings = settings
        self.summary = summary
        self.levelled = levelled
        self.log_mel = LogMel(settings.front_end)
        self.encoder = Whisper(settings).requires_grad_(False)
        self.width = self.encoder.width * (len(QUANTILES) if summary == "loud_quantiles" else 1)
        self._unpacked: str | None = None  # the fingerprint before `prepare`
        self.frame_rate = settings.frame_rate if summary == "none" else None

    def prepare(self, *, bf16: bool) -> None:
        """Make it fast at clips of ever other lengths, a few at a time. What is prepared must not be saved.

        Weights are kept in the precision that they are multiplied in, as to convert them anew for every batch takes as
        long as a clip of two seconds; and states of clips are multiplied without padding (`encoders.packed`).

        Args:
            bf16: whether it is run in bfloat16.
        """
        if self._unpacked is None:
            self._unpacked = self.fingerprint
        self.encoder.pack(torch.bfloat16 if bf16 else torch.float32)

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text: settings and weights, as they were before it was prepared."""
        if self._unpacked is not None:
            return self._unpacked
        settings = self.settings.model_dump_json(exclude={"weights", "trainable"})
        heard = "centred and levelled " if self.levelled else ""
        return f"frozen {heard}{self.summary} {settings} {weights.digest(self.encoder)}"

    def train(self, mode: bool = True) -> "Frozen":
        """Stays in evaluation mode whatever the model around it does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, waveforms: Padded) -> Padded:
        """States of each waveform; float32.

        One that is longer than `LONGEST` is heard in pieces of the same length, `PIECE` at most: Whisper's states
        depend on how long a clip goes on, and classifiers learn from clips of a few seconds.
        """
        if self.levelled:
            waveforms = pad([level(waveform) for waveform in waveforms.unbind()]).to(waveforms.values.device)
        if int(waveforms.lengths.max()) > LONGEST:
            whole = [self._encode_long(waveform) for waveform in waveforms.unbind()]
            frames, states = (pad(list(parts)) for parts in zip(*whole, strict=True))
        else:
            frames, states = self._encode(waveforms)
        if self.summary == "none":
            return states
        return Padded(self._summarise(frames, states)[:, None], torch.ones_like(states.lengths))

    def _encode_long(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and states of a waveform (N,), (T, M) and (T', D), a few pieces at a time."""
        pieces = _pieces(waveform)
        parts = [self._encode(pad(pieces[i : i + AT_ONCE])) for i in range(0, len(pieces), AT_ONCE)]
        frames, states = (
            torch.cat([each for part in side for each in part.unbind()]) for side in zip(*parts, strict=True)
        )
        return frames, states

    def _encode(self, waveforms: Padded) -> tuple[Padded, Padded]:
        """Log-mel frames and states of waveforms."""
        frames = self.log_mel(waveforms)
        states = self.encoder(frames)
        return frames, Padded(states.values.float(), states.lengths)

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


def _pieces(waveform: Tensor) -> list[Tensor]:
    """A waveform (N,) as it is, or if it is long in pieces that begin where a pair of frames does."""
    if len(waveform) <= LONGEST:
        return [waveform]
    count, pair = -(-len(waveform) // PIECE), 320
    edges = [round(len(waveform) * i / count / pair) * pair for i in range(count)]
    return [waveform[first:last] for first, last in zip(edges, [*edges[1:], len(waveform)], strict=True)]


def level(waveform: Tensor) -> Tensor:
    """A waveform (N,) without the silence around its speech, the speech at `LEVEL`; (N',), N' at most N.

    A constant in it, which is not sound, is taken out first: it would pass for loudness. Moments are of 10 ms, their
    power averaged over five. What is shorter than one moment stays as long as it is.
    """
    step, smooth = 160, 5
    moments = len(waveform) // step
    if not moments:
        return waveform
    waveform = waveform - waveform.mean()
    power = waveform[: moments * step].double().reshape(moments, step).square().mean(dim=1)
    power = F.avg_pool1d(power[None], smooth, stride=1, padding=smooth // 2)[0]  # (moments,)
    speech = power >= power.max() * 10 ** (-SPEECH / 10)
    places = speech.nonzero()[:, 0]
    start, end = int(places[0]) * step - MARGIN, (int(places[-1]) + 1) * step + MARGIN
    gain = LEVEL / power[speech].mean().sqrt().clamp(min=QUIETEST)
    return waveform[max(start, 0) : end] * gain.to(waveform.dtype)


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
