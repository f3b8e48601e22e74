"""From waveforms to log-mel spectrograms, in torch, batched, each clip as if it were alone.

The STFT sees every clip reflected at its own two ends, as librosa and Whisper's own code do, never a neighbour's
padding. What a front end does is a `FrontEnd` of plain numbers that travels with the checkpoint; the named ones:

* `mel160`: the first paper (Fusion-ConvBERT, section 3.1): 25 ms Hamming, 10 ms hop, 160 mel by eq. (1), natural
  logarithm, each bin standardised over the utterance, eq. (2). 400 samples are zero-padded to a 1024-point FFT:
  with fewer points some of the 160 filters at low frequencies would be empty.
* `mockingjay160`: what Mockingjay's own code hears (Liu et al., 2020; andi611/Mockingjay-Speech-Representation, MIT,
  `utility/audio.py`): 50 ms Hann, 12.5 ms hop, 80 mel (Slaney), natural logarithm, then their 80 deltas; each of the
  160 standardised over the utterance.
* `whisper80`: OpenAI Whisper's input (Radford et al., 2022, section 2.2): 25 ms Hann, 10 ms hop, 80 mel (Slaney),
  log10, limited to 8 decades below the clip's maximum, scaled to about -1..1.
* `panns16k`: the second paper's network was made for this input, that of PANNs' `Cnn14_16k` (Kong et al., 2020;
  qiuqiangkong/audioset_tagging_cnn, MIT): 32 ms Hann, 10 ms hop, 64 mel (Slaney) of 50 to 8000 Hz, decibels.

Differs from the paper: eq. (2) gives z-scores, which no choice of mean and deviation keeps within -1..1 as the text
has it; they are not clipped.
"""

import math
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator
from torch import Tensor, nn

from affetto.batch import Padded, expand, pad
from affetto.config import Settings


class FrontEnd(Settings):
    """What a log-mel front end does, in numbers.

    Args:
        n_mels: mel filters.
        win_length: samples of the analysis window.
        n_fft: points of the FFT; the window is centred in it.
        hop_length: samples between frames.
        window: shape of the analysis window.
        mel_scale: "htk" is eq. (1) of the first paper; "slaney" is linear below 1 kHz.
        low, high: Hz; the mel filters' band.
        floor: added to ("log") or lower bound of the power before the logarithm.
        compression: natural logarithm, Whisper's log10 with its dynamic range, or decibels: 10 log10.
        deltas: orders of derivatives over time (see `deltas`) that follow the log-mel bins in each frame.
        normalisation: "utterance" standardises each feature of a frame over the clip; "none" leaves it.
        last_frame: keep the frame centred on the clip's very end, as librosa does and Whisper does not.
        sample_rate: Hz.
    """

    n_mels: int
    win_length: int = 400
    n_fft: int = 400
    hop_length: int = 160
    window: Literal["hann", "hamming"] = "hann"
    mel_scale: Literal["htk", "slaney"] = "slaney"
    low: float = 0.0
    high: float = 8_000.0
    floor: float = 1e-10
    compression: Literal["log", "whisper", "decibel"] = "log"
    normalisation: Literal["utterance", "none"] = "none"
    last_frame: bool = True
    sample_rate: int = 16_000
    deltas: Literal[0, 1, 2] = 0

    @property
    def width(self) -> int:
        """Features a frame."""
        return self.n_mels * (1 + self.deltas)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length


PRESETS: dict[str, FrontEnd] = {
    "mel160": FrontEnd(
        n_mels=160,
        n_fft=1024,
        window="hamming",
        mel_scale="htk",
        floor=1e-6,  # Mockingjay's own: log(mel + 1e-6)
        normalisation="utterance",
    ),
    "mockingjay160": FrontEnd(
        n_mels=80,
        win_length=800,
        n_fft=2048,
        hop_length=200,
        floor=1e-6,
        normalisation="utterance",
        deltas=1,
    ),
    "whisper80": FrontEnd(n_mels=80, compression="whisper", last_frame=False),
    "panns16k": FrontEnd(n_mels=64, win_length=512, n_fft=512, low=50.0, compression="decibel"),
}
"""The named front ends."""


def _named(value: Any) -> Any:
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(f"no front end has this name; the front ends are {', '.join(PRESETS)}")
        return PRESETS[value]
    return value


NamedFrontEnd = Annotated[FrontEnd, BeforeValidator(_named)]
"""A setting given by a preset's name or in full; in resolved settings it stands in full."""

NORMALISATION_FLOOR = 1e-5
"""Smallest standard deviation that a feature is divided by; one that never changes becomes zero."""

DELTA_WINDOW = 9
"""Frames that a derivative is taken over; librosa's."""


class LogMel(nn.Module):
    """Waveforms to log-mel frames.

    Args:
        front_end: its settings.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        make = torch.hann_window if self.front_end.window == "hann" else torch.hamming_window
        # Derived from the settings, so not part of the weights.
        self.register_buffer("window", make(self.front_end.win_length), persistent=False)
        self.register_buffer("filters", _mel_filters(self.front_end), persistent=False)

    @property
    def width(self) -> int:
        """Features a frame."""
        return self.front_end.width

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.front_end.frame_rate

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text: equal fingerprints give equal frames."""
        return f"log-mel {self.front_end.model_dump_json()}"

    def n_frames(self, n_samples: Tensor) -> Tensor:
        """Frames made of waveforms of so many samples."""
        whole = n_samples.div(self.front_end.hop_length, rounding_mode="floor")
        return whole + 1 if self.front_end.last_frame else whole.clamp(min=1)

    @torch.no_grad()
    def forward(self, waveforms: Padded) -> Padded:
        """Log-mel frames of each waveform.

        Args:
            waveforms: (B, N) at 16 kHz.

        Returns:
            (B, T, width), zero beyond each clip's frames.
        """
        # fp32 whatever the caller's autocast says: bf16 has too few digits for a power spectrum.
        with torch.autocast(waveforms.values.device.type, enabled=False):
            power = self._power(waveforms)
            mel = power.values @ self.filters  # (B, T, M)
            frames = self._with_deltas(self._compress(power.with_values(mel)))
        if self.front_end.normalisation == "utterance":
            return _standardise(frames)
        return frames

    def _power(self, waveforms: Padded) -> Padded:
        """Power spectrum, (B, T, n_fft // 2 + 1)."""
        front_end = self.front_end
        reflected = pad([_reflect(row, front_end.n_fft // 2) for row in waveforms.unbind()])
        spectrum = torch.stft(
            reflected.values.float(),
            n_fft=front_end.n_fft,
            hop_length=front_end.hop_length,
            win_length=front_end.win_length,
            window=self.window,
            center=False,
            return_complex=True,
        )  # (B, n_fft // 2 + 1, T)
        lengths = self.n_frames(waveforms.lengths)
        frames = spectrum.abs().square().transpose(1, 2)[:, : int(lengths.max())]
        return Padded(frames, lengths.to(frames.device))

    def _compress(self, mel: Padded) -> Padded:
        if self.front_end.compression == "log":
            return mel.with_values((mel.values + self.front_end.floor).log())
        log_mel = mel.values.clamp(min=self.front_end.floor).log10()
        if self.front_end.compression == "decibel":
            return mel.with_values(10.0 * log_mel)
        peak = log_mel.masked_fill(~expand(mel.mask, log_mel), -torch.inf).amax(dim=(1, 2), keepdim=True)
        return mel.with_values((torch.maximum(log_mel, peak - 8.0) + 4.0) / 4.0)

    def _with_deltas(self, log_mel: Padded) -> Padded:
        derivatives = [deltas(log_mel, order=order).values for order in range(1, self.front_end.deltas + 1)]
        return Padded(torch.cat([log_mel.values, *derivatives], dim=-1), log_mel.lengths)  # (B, T, M * (1 + deltas))


def deltas(frames: Padded, *, order: int = 1) -> Padded:
    """How frames change: at each, the derivative of a polynomial fitted to the 9 frames around it.

    The same as librosa's `feature.delta` at its defaults, which is the filter of Savitzky and Golay (1964): at its two
    ends a clip takes the derivative over its first or last 9 frames. librosa refuses clips of fewer than 9 frames; here
    one polynomial is fitted to all that there are, and a clip of `order` frames or fewer has derivatives of zero.

    Args:
        frames: (B, T, D).
        order: of the derivative, and degree of the polynomial.

    Returns:
        (B, T, D), change a frame (to the power of `order`), zero beyond each clip's frames.
    """
    values = torch.zeros_like(frames.values)
    for row, clip in zip(values, frames.unbind(), strict=True):
        row[: len(clip)] = _derivative(clip, order)
    return Padded(values, frames.lengths)


def _derivative(clip: Tensor, order: int) -> Tensor:
    """The derivative at each frame of one clip, (T, D)."""
    window = min(DELTA_WINDOW, len(clip))
    if window <= order:
        return torch.zeros_like(clip)
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    powers = offsets[:, None] ** torch.arange(order + 1)  # (window, order + 1)
    weights = math.factorial(order) * torch.linalg.pinv(powers)[order]  # (window,); least squares
    # Without the first frame's level, which no derivative holds, what never changes gives zero and not rounding errors.
    windows = (clip - clip[:1]).unfold(0, window, 1)  # (T - window + 1, D, window)
    centres = torch.arange(len(clip), device=clip.device) - (window - 1) // 2
    derivatives: Tensor = windows @ weights.to(clip)  # (T - window + 1, D)
    return derivatives[centres.clamp(0, len(clip) - window)]


def _reflect(waveform: Tensor, margin: int) -> Tensor:
    """The waveform with `margin` samples reflected at both ends; clips too short for that are first zero-padded."""
    if len(waveform) <= margin:
        waveform = F.pad(waveform, (0, margin + 1 - len(waveform)))
    return F.pad(waveform[None], (margin, margin), mode="reflect")[0]


def _standardise(frames: Padded) -> Padded:
    """Each feature to mean 0 and (biased) deviation 1 over the clip's own frames."""
    centred = frames
    for _ in range(2):  # what rounding leaves of a constant feature's mean would be divided by the floor
        centred = centred.with_values(centred.values - centred.mean()[:, None])
    deviation = centred.with_values(centred.values.square()).mean().sqrt()[:, None]
    return centred.with_values(centred.values / deviation.clamp(min=NORMALISATION_FLOOR))


def _mel_filters(front_end: FrontEnd) -> Tensor:
    """Triangular filters with Slaney's area normalisation, (n_fft // 2 + 1, n_mels)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=front_end.n_fft // 2 + 1,
        num_mel_filters=front_end.n_mels,
        min_frequency=front_end.low,
        max_frequency=front_end.high,
        sampling_rate=front_end.sample_rate,
        norm="slaney",
        mel_scale=front_end.mel_scale,
    )
    return torch.from_numpy(filters).float()
