"""What is done to features in training alone: warped time and frequency, random stretches of long clips, SpecAugment.

Warping speaks a clip faster or slower, as speed perturbation does (Ko et al., 2015), and by a longer or shorter vocal
tract (Jaitly and Hinton, 2013), both by interpolation of log-mel frames.

SpecAugment (Park et al., 2019, arXiv:1904.08779): stripes of time and of frequency set to each bin's mean.

The first paper uses it without its parameters. The defaults are those of PANNs (Kong et al., 2020) for 64 mel bins,
two stripes each of up to 64 frames and 8 bins, with the bins scaled to 160; a time stripe never takes more than a fifth
of its clip.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
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


class WarpSettings(Settings):
    """How far time and frequency are stretched, evenly at random to either side."""

    tempo: float = Field(default=0.15, ge=0, lt=1)
    """Share by which a clip is spoken faster or slower, at most."""
    frequency: float = Field(default=0.1, ge=0, lt=1)
    """Share by which the mel axis is stretched or squeezed from its lower end on, at most."""


def warp(
    streams: Mapping[str, Padded], blocks: Mapping[str, int], settings: WarpSettings, generator: torch.Generator
) -> dict[str, Padded]:
    """Every clip with its time and its frequencies stretched, the same in all streams.

    Args:
        streams: log-mel frames, each (B, T, M).
        blocks: of each stream, how many spectra stand side by side in a frame: the log-mel bins and their deltas.
            Deltas are stretched as spectra; that a faster clip has steeper ones is left out.
        settings: how far.
        generator: on the CPU; where the randomness comes from.

    Returns:
        The streams, (B, T', M), each clip as long as its tempo makes it.
    """
    clips = len(next(iter(streams.values())))
    tempo = 1 + settings.tempo * (2 * torch.rand(clips, generator=generator) - 1)
    frequency = 1 + settings.frequency * (2 * torch.rand(clips, generator=generator) - 1)
    return {name: _warp(stream, blocks[name], tempo, frequency) for name, stream in streams.items()}


def _warp(stream: Padded, blocks: int, tempo: Tensor, frequency: Tensor) -> Padded:
    """Frames (B, T, M) at the places that tempo and frequency, (B,) each, send every output frame and bin to."""
    device, (clips, frames, width) = stream.values.device, stream.values.shape
    tempo, frequency = tempo.to(device), frequency.to(device)
    lengths = (stream.lengths / tempo).long().clamp(min=1)
    bins = width // blocks
    times = torch.arange(int(lengths.max()), device=device) * tempo[:, None]
    times = times.minimum(stream.lengths[:, None] - 1)  # (B, T')
    places = (torch.arange(bins, device=device) * frequency[:, None]).clamp(max=bins - 1)  # (B, bins)
    shape = (clips, times.shape[1], bins)
    across, along = _unit(places, bins)[:, None].expand(shape), _unit(times, frames)[:, :, None].expand(shape)
    grid = torch.stack([across, along], dim=-1)
    spectra = stream.values.reshape(clips, frames, blocks, bins).transpose(1, 2)  # (B, blocks, T, bins)
    warped = F.grid_sample(spectra, grid, padding_mode="border", align_corners=True)
    return Padded(warped.transpose(1, 2).flatten(2), lengths).zeroed()


def _unit(positions: Tensor, size: int) -> Tensor:
    """Positions 0..size - 1 on -1..1."""
    return 2 * positions / max(size - 1, 1) - 1


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


def spec_augment(
    log_mel: Padded, settings: SpecAugmentSettings, *, generator: torch.Generator, normalised: bool
) -> Padded:
    """A copy with random stripes in which every bin has its mean.

    Args:
        log_mel: (B, T, M).
        settings: number and width of the stripes.
        generator: on the CPU; where the randomness comes from.
        normalised: whether the frames were standardised over the clip, so that the mean is zero; otherwise it is taken
            over the frames that are here.

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
    struck = struck.to(log_mel.values.device)
    if normalised:
        return Padded(log_mel.values.masked_fill(struck, 0.0), log_mel.lengths)
    return log_mel.with_values(torch.where(struck, log_mel.mean()[:, None], log_mel.values))


def _stripe(sizes: Tensor, widest: Tensor, extent: int, generator: torch.Generator) -> Tensor:
    """One stripe a clip of uniform width in [0, widest) and uniform place, (B, extent)."""
    width = (torch.rand(len(sizes), generator=generator) * widest).long()
    start = (torch.rand(len(sizes), generator=generator) * (sizes - width + 1)).long()
    positions = torch.arange(extent)
    return (positions >= start[:, None]) & (positions < (start + width)[:, None])
