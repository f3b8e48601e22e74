"""Voice activity: how likely each 32 ms of a waveform hold speech, by silero-vad (MIT).

The network comes with the package silero-vad, whose own Python code is not loaded: it takes torch along. Of the models
there, the one for sequences is run, which takes a block of frames in one call of onnxruntime and gives the same
probabilities as frame by frame. What it remembers of the past, 256 numbers and the last 64 samples, goes with a
`VoiceStream`, so that a stream in pieces of any size gives what the whole gives.

    Silero Team (2024). Silero VAD: pre-trained enterprise-grade voice activity detector.
    https://github.com/snakers4/silero-vad
"""

import importlib.util
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from affetto.audio import SAMPLE_RATE, Waveform
from affetto.errors import CheckpointError

FRAME = 512
"""Samples that one probability is of."""
FRAME_SECONDS = FRAME / SAMPLE_RATE
"""32 ms."""
CONTEXT = 64
"""Samples before a frame that the network sees with it."""
WIDTH = 128
"""Of the network's recurrent state."""
BLOCK = 512
"""Frames that are computed in one call, at most (16 s): bounds the memory."""

Probabilities = npt.NDArray[np.float32]
State = tuple[Probabilities, Probabilities, Waveform]
"""What a stream remembers."""


class SpeechDetector:
    """Tells speech from everything else at 16 kHz; one thread, and any number of streams at a time.

    Raises:
        CheckpointError: if the package silero-vad is not there or holds no such model.

    Example:
        >>> SpeechDetector().probabilities(np.zeros(16_000, np.float32)).max() < 0.1
        np.True_
    """

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The network, loaded when it is first used."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(_model()), options, providers=["CPUExecutionProvider"])

    def probabilities(self, waveform: Waveform) -> Probabilities:
        """Speech probability of each 32 ms.

        Args:
            waveform: mono at 16 kHz, (n,).

        Returns:
            Probabilities, (ceil(n / 512),); zeros follow the waveform in its last frame.
        """
        stream = self.stream()
        return np.concatenate([stream.feed(waveform), stream.flush()])

    def stream(self, state: State | None = None) -> "VoiceStream":
        """A waveform that comes in pieces; it knows nothing of other streams.

        Args:
            state: of a stream that is gone on with.
        """
        return VoiceStream(self, state)


class VoiceStream:
    """Speech probabilities of a waveform that comes in pieces.

    Args:
        detector: computes them.
        state: of a stream that is gone on with; None: it begins.
    """

    def __init__(self, detector: SpeechDetector, state: State | None = None) -> None:
        self.session = detector.session
        silence = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32), np.zeros(CONTEXT, np.float32)
        hidden, cell, self._waiting = silence if state is None else state
        self._hidden, self._cell = hidden.reshape(1, 1, WIDTH), cell.reshape(1, 1, WIDTH)

    @property
    def state(self) -> State:
        """All that it remembers: the network's two vectors; the last samples heard, then those of no whole frame."""
        return self._hidden.flatten(), self._cell.flatten(), self._waiting

    def feed(self, samples: Waveform) -> Probabilities:
        """Probabilities of the frames that are now whole.

        Args:
            samples: the next of the waveform, mono at 16 kHz, (n,).
        """
        waiting = np.concatenate([self._waiting, samples.astype(np.float32, copy=False)])
        whole = (len(waiting) - CONTEXT) // FRAME
        found = [np.zeros(0, np.float32)]
        for first in range(0, whole, BLOCK):
            frames = range(first, min(first + BLOCK, whole))
            found.append(self._hear(np.stack([waiting[FRAME * i : FRAME * (i + 1) + CONTEXT] for i in frames])))
        self._waiting = waiting[FRAME * whole :]
        return np.concatenate(found)

    def flush(self) -> Probabilities:
        """Ends the stream: the probability of its last frame, filled up with zeros; none if all were whole."""
        rest = len(self._waiting) - CONTEXT
        return self.feed(np.zeros(-rest % FRAME, np.float32))

    def _hear(self, frames: npt.NDArray[np.float32]) -> Probabilities:
        """Probabilities (n,) of frames with the samples before each, (n, 64 + 512)."""
        found, self._hidden, self._cell = self.session.run(
            ["speech_probs", "hn", "cn"], {"input": frames, "h": self._hidden, "c": self._cell}
        )
        return np.asarray(found, np.float32)


def _model() -> Path:
    """The file of the network, found without importing the package that it lies in."""
    spec = importlib.util.find_spec("silero_vad")
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0] if folders else "silero_vad") / "data" / "silero_vad_16k_sequence.onnx"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; finding speech takes silero-vad: pip install 'silero-vad>=6.2.3'")
    return path
