"""Pieces are what the whole is, and end with the same errors."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from affetto import audio, pieces
from affetto.errors import AudioError


def heard(path: Path, *, seconds: float = 0.31, channels: pieces.Channels = "mix") -> np.ndarray:
    return np.concatenate(list(pieces.pieces(path, channels=channels, seconds=seconds)))


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_samples_are_those_of_the_whole(rate, ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, noise(3.3, rate, 2), rate)
    whole = audio.read(path).waveform
    found = heard(path)
    assert found.dtype == np.float32 and found.shape == (len(whole), 1)
    np.testing.assert_array_equal(found[:, 0], whole)


def test_channels_stay_apart(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(2.0, 44_100, 2), 44_100, subtype="FLOAT")
    found = heard(path, channels="split")
    samples, rate = soundfile.read(path, dtype="float32")
    for channel in (0, 1):
        alone = audio.from_array(samples[:, channel], rate).waveform
        np.testing.assert_array_equal(found[:, channel], alone)


def test_a_header_tells_rate_channels_and_seconds(tmp_path):
    soundfile.write(tmp_path / "x.wav", noise(1.5, 8_000, 2), 8_000)
    assert pieces.header(tmp_path / "x.wav") == pieces.Header(8_000, 2, 1.5)


@pytest.mark.parametrize(
    "fault", ["missing", "empty", "undecodable", "no samples", "too short", "silent", "nan", "cut"]
)
def test_errors_are_those_of_the_whole(fault, tmp_path):
    path = tmp_path / "x.wav"
    samples = {
        "no samples": np.zeros(0),
        "too short": noise(0.02, 16_000)[:, 0],
        "silent": np.full(40_000, 0.25) + 5e-5 * np.sin(np.arange(40_000)),
        "nan": np.append(noise(1.0, 16_000)[:, 0], np.nan),
        "cut": noise(1.0, 16_000)[:, 0],
    }
    if fault in samples:
        soundfile.write(path, samples[fault], 16_000, subtype="FLOAT")
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-4_000])
    if fault in ("empty", "undecodable"):
        path.write_bytes(b"" if fault == "empty" else b"not audio at all" * 9)
    with pytest.raises(AudioError) as whole:
        audio.read(path)
    with pytest.raises(AudioError) as in_pieces:
        heard(path)
    assert in_pieces.value.reason == whole.value.reason
    assert in_pieces.value.detail.startswith(whole.value.detail)


def test_what_comes_before_a_damaged_end_is_heard(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(20.0, 16_000), 16_000)
    whole = audio.read(path).waveform
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = []
    with pytest.raises(AudioError, match="truncated|damaged") as error:
        for piece in pieces.pieces(path, seconds=1.0):
            found.append(piece[:, 0])
    assert error.value.reason == "truncated"
    before = np.concatenate(found)
    assert len(before) > 8 * 16_000
    np.testing.assert_array_equal(before, whole[: len(before)])
