"""A recording on its way to a recogniser: its sound, its words, and what is known of its speaker."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from affetto import audio
from affetto.audio import Waveform
from affetto.baseline import Baseline
from affetto.vad import FRAME, Probabilities

Source = str | Path | bytes | BinaryIO | tuple[npt.NDArray[Any], int]
"""A path, a file's bytes, an open binary file, or samples with their rate in Hz."""


@dataclass(frozen=True)
class Heard:
    """A recording under its given name, where it begins there, what is said in it, and how its speaker sounds.

    Its waveform is empty where nobody listened, its words None where nobody knows or asks, as are the share of samples
    that are clipped and the probabilities of speech.
    """

    name: str
    waveform: Waveform
    start: float = 0.0
    notes: tuple[str, ...] = ()
    words: str | None = None
    baseline: Baseline | None = None
    clipped: float | None = None
    speech: Probabilities | None = None
    flagged: bool = True

    @property
    def seconds(self) -> float:
        """Duration in seconds; 0 where nobody listened."""
        return len(self.waveform) / audio.SAMPLE_RATE


def with_speech(heard: Heard, speech: Probabilities | None) -> Heard:
    """A recording with how likely it is speech.

    Raises:
        ValueError: if these are not the probabilities of all its frames.
    """
    frames = -(-len(heard.waveform) // FRAME)
    if speech is not None and len(speech) != frames:
        raise ValueError(f"speech: expected {frames} probabilities, one each 32 ms, got {len(speech)}")
    return replace(heard, speech=speech)


def read(source: Source | None) -> Heard:
    """A recording as a user gave it; None: there is none.

    Raises:
        AudioError: if it cannot be heard.
    """
    if source is None:
        return Heard("", np.zeros(0, np.float32))
    if isinstance(source, tuple):
        name, recording = "", audio.from_array(np.asarray(source[0]), source[1])
    else:
        name = str(source) if isinstance(source, str | Path) else ""
        recording = audio.read(source)
    return Heard(name, recording.waveform, notes=recording.notes, clipped=recording.clipped)
