"""What is done to features in training alone: random stretches of long clips, and SpecAugment.

SpecAugment (Park et al., 2019, arXiv:1904.08779): stripes of time and of frequency set to zero.

The first paper uses it without its parameters. The defaults are those of PANNs (Kong et al., 2020) for 64 mel bins,
two stripes each of up to 64 frames and 8 bins, with the bins scaled to 160; a time stripe never takes more than a fifth
of its clip.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from affetto.batch import Padded, pad
from affetto.config import Settings


class SpecAugmentSettings(Settings):
    """Sizes of the stripes."""

    time_stripes: int = Field(default=2, ge=0)
    time_width: int = Field(default=64, ge=0)
    """Frames, at most."""
    time_share: float = Field(default=0.2, ge=0, le=1)
    """Of the clip's frames, at most."""
    mel_stripes: int = Field(default=2, ge=0)
    mel_width: int = Field(default=20, ge=0)
    """Bins, at most."""


def crop(
    streams: Mapping[str, Padded], rates: Mapping[str, float | None], seconds: float, generator: torch.Generator
) -> dict[str, Padded]:
    """A random stretch of every clip that is longer, the same one in all streams.

    Args:
        streams: each (B, T, D).
        rates: frames a second of each stream; None: it has no time (one vector a clip), and stays.
        seconds: length of the stretch.
        generator: on the CPU; where the randomness comes from.

    Returns:
        The streams, each at most `seconds` long.
    """
    place = torch.rand(len(next(iter(streams.values()))), generator=generator)  # 0..1 of what a clip has to spare
    return {
        name: stream if (rate := rates[name]) is None else _stretch(stream, round(seconds * rate), place)
        for name, stream in streams.items()
    }


def _stretch(stream: Padded, size: int, place: Tensor) -> Padded:
    """At most `size` frames of each clip."""
    spare = (stream.lengths.cpu() - size).clamp(min=0)
    starts = (place * (spare + 1)).long().clamp(max=spare)  # (B,)
    clips = zip(stream.unbind(), starts.tolist(), strict=True)
    cut = pad([frames[start : start + size] for frames, start in clips])
    return Padded(cut.values, cut.lengths.to(stream.lengths.device))


def spec_augment(log_mel: Padded, settings: SpecAugmentSettings, *, generator: torch.Generator) -> Padded:
    """A copy with random stripes at zero, which is the mean of normalised log-mel frames.

    Args:
        log_mel: (B, T, M).
        settings: number and width of the stripes.
        generator: on the CPU; where the randomness comes from.

    Returns:
        (B, T, M) on the same lengths.
    """
    n_clips, n_frames, n_mels = log_mel.values.shape
    lengths = log_mel.lengths.cpu()
    widest = (lengths * settings.time_share).long().clamp(max=settings.time_width)
    struck = torch.zeros(n_clips, n_frames, n_mels, dtype=torch.bool)
    for _ in range(settings.time_stripes):
        struck |= _stripe(lengths, widest, n_frames, generator)[:, :, None]
    bins = torch.full((n_clips,), n_mels)
    widest = torch.full((n_clips,), min(settings.mel_width, n_mels))
    for _ in range(settings.mel_stripes):
        struck |= _stripe(bins, widest, n_mels, generator)[:, None, :]
    return Padded(log_mel.values.masked_fill(struck.to(log_mel.values.device), 0.0), log_mel.lengths)


def _stripe(sizes: Tensor, widest: Tensor, extent: int, generator: torch.Generator) -> Tensor:
    """One stripe a clip of uniform width in [0, widest) and uniform place, (B, extent)."""
    width = (torch.rand(len(sizes), generator=generator) * widest).long()
    start = (torch.rand(len(sizes), generator=generator) * (sizes - width + 1)).long()
    positions = torch.arange(extent)
    return (positions >= start[:, None]) & (positions < (start + width)[:, None])
