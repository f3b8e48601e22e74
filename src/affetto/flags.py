"""What can be heard in a recording but not trusted: flags beside every prediction.

    too_short       lasts less than `SHORT` seconds
    silent          never louder than `QUIET` dB below full scale
    noisy           speech stands less than `SNR` dB above the noise between its words
    clipped         more than `CLIPPED` of its samples lie at the peak
    not_speech      where it is loud, a voice detector hears mostly no speech
    out_of_domain   unlike all speech on which the model's domain was fitted (see `domain`)

What cannot be heard at all (nothing, less than a frame, digital silence) is an `AudioError`, not a flag. The first five
need no model of emotion; their thresholds stand here with what they were chosen on: EMO-DB, its distorted copies, and
sounds made by formula.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from affetto.audio import SAMPLE_RATE, Waveform, peak_share
from affetto.vad import FRAME, Probabilities, SpeechDetector

Array = npt.NDArray[np.float64]

FLAGS = ("too_short", "silent", "noisy", "clipped", "not_speech", "out_of_domain")
"""In the order in which they are given."""

SHORT = 1.0
"""Seconds; of one second of EMO-DB's clips 44 in 100 are judged wrong, of the whole clips 5."""
QUIET = -60.0
"""dBFS of the loudest 32 ms. EMO-DB's are above -16, those of telephones' quietest learners above -34."""
SNR = 10.0
"""dB, as `Signal.snr` estimates it; EMO-DB's clips are above 13. With white noise at 10 dB, 20 in 100 are judged wrong
that are 5 in 100 without."""
CLIPPED = 0.001
"""Share of samples within 1 % of the peak; at most 0.0003 in EMO-DB, mostly above 0.002 after 6 dB of clipping."""
SPEECH = 0.4
"""Mean speech probability of loud frames; EMO-DB's are above 0.5, sounds made by formula below 0.34."""
LOUD = 35.0
"""dB below the loudest frame down to which a frame is loud: speech, and not the room around it."""
FLOOR = 0.05
"""Share of frames that are taken for noise: the quietest."""
HEARD = -95.0
"""dBFS below which a frame is digital silence, which is no noise."""


@dataclass(frozen=True)
class Signal:
    """What of a recording the flags are read from.

    Args:
        seconds: it lasts.
        level: dBFS of its loudest 32 ms.
        snr: dB of its speech over its quietest frames; NaN where no speech is heard.
        clipped: share of samples at the peak, before resampling.
        speech: mean speech probability of its loud frames.
    """

    seconds: float
    level: float
    snr: float
    clipped: float
    speech: float

    @classmethod
    def of(
        cls,
        waveform: Waveform,
        detector: SpeechDetector,
        *,
        speech: Probabilities | None = None,
        clipped: float | None = None,
    ) -> "Signal":
        """Measure a recording.

        Args:
            waveform: mono at 16 kHz, (n,).
            detector: may be shared.
            speech: probability in each 32 ms, (ceil(n / 512),), where that is known; None: the detector is asked.
            clipped: share of samples at the peak of what the waveform was made from; None: of the waveform itself.
        """
        probabilities = detector.probabilities(waveform) if speech is None else speech
        power = frame_power(waveform)
        loud = power > power.max() * 10 ** (-LOUD / 10)
        return cls(
            seconds=len(waveform) / SAMPLE_RATE,
            level=float(10 * np.log10(power.max() + 1e-20)),
            snr=signal_to_noise(power, probabilities),
            clipped=peak_share(waveform) if clipped is None else clipped,
            speech=float(probabilities[loud].mean()) if loud.any() else 0.0,
        )

    def flags(self, *, far: bool = False) -> tuple[str, ...]:
        """Which flags it earns; `far` says that it is out of the model's domain."""
        raised = {
            "too_short": self.seconds < SHORT,
            "silent": self.level < QUIET,
            "noisy": self.snr < SNR,
            "clipped": self.clipped > CLIPPED,
            "not_speech": self.speech < SPEECH,
            "out_of_domain": far,
        }
        return tuple(name for name in FLAGS if raised[name])


def frame_power(waveform: Waveform) -> Array:
    """Mean square of each 32 ms about the recording's mean, (ceil(n / 512),); the last frame is what is left."""
    centred = np.asarray(waveform, np.float64) - float(np.mean(waveform, dtype=np.float64))
    starts = np.arange(0, len(centred), FRAME)
    return np.asarray(np.add.reduceat(centred**2, starts) / np.minimum(FRAME, len(centred) - starts))


def signal_to_noise(power: Array, probabilities: Probabilities) -> float:
    """How much louder a recording's speech is than the noise below it, in dB.

    The noise is as loud as the quietest twentieth of the frames; between and within words somebody who speaks is that
    quiet for a moment. Right to 2 dB for white noise from 0 to 20 dB.

    Args:
        power: of the frames, (n,).
        probabilities: of speech in them, (n,).

    Returns:
        dB; NaN where no speech is heard.
    """
    speech = probabilities > 0.5
    heard = power[power > 10 ** (HEARD / 10)]
    if not speech.any() or not len(heard):
        return float("nan")
    noise = float(np.quantile(heard, FLOOR))
    return float(10 * np.log10(max(float(power[speech].mean()) - noise, 1e-12) / noise))
