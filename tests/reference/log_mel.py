"""What librosa and transformers make of two short clips: the witnesses of `affetto.frontend`.

Writes log_mel.safetensors beside this file. Needs librosa, which neither the package nor its tests do:

    pip install librosa && python tests/reference/log_mel.py
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "samples"
CLIPS = {"03a07Nc": (8_000, 12_800), "15a05Eb": (16_000, 19_333)}
"""Sample -> first and last sample of the cut: one a whole number of hops, one not."""


def mel160(waveform: np.ndarray) -> np.ndarray:
    """Section 3.1 of the first paper with librosa, (T, 160)."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=16_000,
        n_fft=1024,
        win_length=400,
        hop_length=160,
        window="hamming",
        center=True,
        pad_mode="reflect",
        power=2.0,
        n_mels=160,
        fmin=0.0,
        fmax=8_000.0,
        htk=True,
        norm="slaney",
    )
    log_mel = np.log(power + 1e-6)
    return ((log_mel - log_mel.mean(axis=1, keepdims=True)) / log_mel.std(axis=1, keepdims=True)).T


def mockingjay160(waveform: np.ndarray) -> np.ndarray:
    """Feature "mel" of Mockingjay's code, with librosa's defaults of then: 80 mel and their deltas, (T, 160)."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=16_000,
        n_fft=2048,
        win_length=800,
        hop_length=200,
        window="hann",
        center=True,
        pad_mode="reflect",
        power=2.0,
        n_mels=80,
        fmin=0.0,
        fmax=8_000.0,
        htk=False,
        norm="slaney",
    )
    log_mel = np.log(power + 1e-6)
    frames = np.concatenate([log_mel, librosa.feature.delta(log_mel, width=9, order=1, mode="interp")])
    return ((frames - frames.mean(axis=1, keepdims=True)) / frames.std(axis=1, keepdims=True)).T


def whisper80(waveform: np.ndarray) -> np.ndarray:
    """Whisper's own extractor as transformers has it, without padding to 30 s, (T, 80)."""
    from transformers import WhisperFeatureExtractor

    features = WhisperFeatureExtractor()(waveform, sampling_rate=16_000, padding=False, return_tensors="np")
    return features["input_features"][0].T


def panns16k(waveform: np.ndarray) -> np.ndarray:
    """What PANNs' `Cnn14_16k` hears with librosa, after which it is modelled, (T, 64)."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=16_000,
        n_fft=512,
        win_length=512,
        hop_length=160,
        window="hann",
        center=True,
        pad_mode="reflect",
        power=2.0,
        n_mels=64,
        fmin=50.0,
        fmax=8_000.0,
    )
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T


def main() -> None:
    """Write the stored arrays."""
    import soundfile
    from safetensors.numpy import save_file

    arrays = {}
    for name, (start, stop) in CLIPS.items():
        pcm, _ = soundfile.read(SAMPLES / f"{name}.wav", start=start, stop=stop, dtype="int16")
        waveform = (pcm / 2**15).astype(np.float32)
        arrays[f"{name}.pcm16"] = pcm
        arrays[f"{name}.mel160"] = mel160(waveform).astype(np.float32)
        arrays[f"{name}.mockingjay160"] = mockingjay160(waveform).astype(np.float32)
        arrays[f"{name}.whisper80"] = whisper80(waveform).astype(np.float32)
        arrays[f"{name}.panns16k"] = panns16k(waveform).astype(np.float32)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, HERE / "log_mel.safetensors")


if __name__ == "__main__":
    main()
