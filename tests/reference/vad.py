"""What silero-vad's own code makes of the samples one after the other: the witness of `affetto.vad`.

Writes vad.safetensors beside this file. Their TorchScript model is asked frame by frame, so neither the ONNX file nor
the way of running it are those of the package:

    python tests/reference/vad.py
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "samples"
CLIPS = ("03a07Nc", "15a05Eb", "08a02Fe")
PAUSE = 12_000
"""Samples of faint noise after each clip."""


def recording() -> np.ndarray:
    """The clips with pauses between them, float32 at 16 kHz; not a whole number of frames."""
    rng = np.random.default_rng(0)
    parts = []
    for clip in CLIPS:
        samples, rate = soundfile.read(SAMPLES / f"{clip}.wav", dtype="float32")
        assert rate == 16_000
        parts += [samples, 1e-3 * rng.standard_normal(PAUSE).astype(np.float32)]
    return np.concatenate(parts)


def main() -> None:
    """Ask frame by frame and write."""
    from silero_vad import load_silero_vad

    waveform = recording()
    model = load_silero_vad(onnx=False)
    model.reset_states()
    frames = torch.from_numpy(np.append(waveform, np.zeros(-len(waveform) % 512, np.float32))).reshape(-1, 512)
    with torch.inference_mode():
        probabilities = torch.cat([model(frame, 16_000).reshape(1) for frame in frames])
    save_file({"probabilities": probabilities}, HERE / "vad.safetensors")


if __name__ == "__main__":
    main()
