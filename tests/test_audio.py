import io
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affetto import audio
from affetto.errors import AudioError, AudioReason

REASONS = [reason for reason in get_args(AudioReason) if reason not in ("no_words", "no_sound")]
"""Those that are in the file itself; the others say that words or sound were not given at all."""


def tone(rate: int = 16_000, *, seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def wav(samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def faulty(reason: str, folder: Path) -> Path:
    """A file with the fault; for `missing`, none."""
    path = folder / f"{reason}.wav"
    not_finite = tone()
    not_finite[7] = np.nan
    contents = {
        "undecodable": b"this is a letter, not a recording",
        "truncated": wav(tone())[:20_000],
        "empty": b"",
        "too_short": wav(tone(seconds=0.02)),
        "silent": wav(np.full(16_000, 0.25)),
        "not_finite": wav(not_finite, subtype="FLOAT"),
    }
    if reason != "missing":
        path.write_bytes(contents[reason])
    return path


@pytest.mark.parametrize("reason", REASONS)
def test_every_fault_has_its_reason_and_names_the_file(reason, tmp_path):
    path = faulty(reason, tmp_path)
    with pytest.raises(AudioError, match=f"{reason}.wav: ") as caught:
        audio.read(path)
    assert caught.value.reason == reason
    assert caught.value.source == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason != "missing"])
def test_bytes_and_streams_have_the_same_faults_as_files(reason, tmp_path):
    content = faulty(reason, tmp_path).read_bytes()
    for source in (content, io.BytesIO(content)):
        with pytest.raises(AudioError, match="^upload: ") as caught:
            audio.read(source, name="upload")
        assert caught.value.reason == reason


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "FLAC", "OGG", "MP3"])
def test_half_a_file_is_never_taken_for_a_whole_one(container):
    file = io.BytesIO()
    soundfile.write(file, tone(seconds=2), 16_000, format=container)
    with pytest.raises(AudioError) as caught:
        audio.read(file.getvalue()[: len(file.getvalue()) // 2])
    assert caught.value.reason in ("truncated", "undecodable", "empty")


def test_a_header_without_samples_is_empty():
    with pytest.raises(AudioError, match="holds no samples") as caught:
        audio.read(wav(np.zeros(0)))
    assert caught.value.reason == "empty"


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_streamed_wav_of_unknown_length_is_read(length):
    content = bytearray(wav(tone()))
    content[4:8] = length.to_bytes(4, "little")
    content[40:44] = length.to_bytes(4, "little")
    if length:
        assert audio.read(bytes(content)).seconds == 1.0
    else:  # the length of the samples is unknown as well: libsndfile finds none
        with pytest.raises(AudioError, match="holds no samples"):
            audio.read(bytes(content))


def test_folders_raw_samples_and_impossible_names_are_refused(tmp_path):
    raw = tmp_path / "samples.raw"
    raw.write_bytes(bytes(4000))
    for source, words in ((tmp_path, "not a file"), (raw, "without a header"), ("x" * 5000, "File name too long")):
        with pytest.raises(AudioError, match=words) as caught:
            audio.read(source)
        assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("source", [str, Path, Path.read_bytes, lambda path: io.BytesIO(path.read_bytes())])
def test_path_bytes_and_stream_hold_the_same_recording(source, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(tone()))
    recording = audio.read(source(path))
    assert recording.waveform.dtype == np.float32
    assert recording.waveform.flags.c_contiguous
    np.testing.assert_allclose(recording.waveform, tone(), atol=2**-15)


@pytest.mark.parametrize(
    ("container", "subtype", "error"),
    [
        ("FLAC", "PCM_16", 2**-15),
        ("OGG", "VORBIS", 0.02),
        ("OGG", "OPUS", 0.02),
        ("MP3", "MPEG_LAYER_III", 0.02),
        ("AIFF", "PCM_24", 2**-22),
        ("AU", "PCM_16", 2**-15),
    ],
)
def test_containers_give_back_what_was_written(container, subtype, error, tmp_path):
    path = tmp_path / "a.bin"
    soundfile.write(path, tone(), 16_000, format=container, subtype=subtype)
    recording = audio.read(path)
    assert recording.seconds == 1.0
    middle = slice(2_000, 14_000)
    assert np.sqrt(np.mean((recording.waveform - tone())[middle] ** 2)) < error


def test_a_segment_is_that_part_of_the_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(tone()))
    whole = audio.read(path).waveform
    np.testing.assert_array_equal(audio.read(path, start=0.25, end=0.75).waveform, whole[4_000:12_000])
    np.testing.assert_array_equal(audio.read(path, start=0.25).waveform, whole[4_000:])
    np.testing.assert_array_equal(audio.read(path, end=9.0).waveform, whole)
    with pytest.raises(AudioError, match="holds no samples"):
        audio.read(path, start=1.5)
    with pytest.raises(ValueError, match="start of 0 s or later, got -1"):
        audio.read(path, start=-1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_agrees_with_scipy_on_a_tone_within_the_band(rate):
    waveform = audio.from_array(tone(rate, frequency=1_000), rate).waveform
    divisor = np.gcd(rate, 16_000)
    witness = scipy.signal.resample_poly(tone(rate, frequency=1_000), 16_000 // divisor, rate // divisor)
    assert len(waveform) == len(witness) == 16_000
    middle = slice(1_600, -1_600)  # the filters differ at the edges
    np.testing.assert_allclose(waveform[middle], witness[middle], atol=2e-3)
    np.testing.assert_allclose(waveform[middle], tone(frequency=1_000)[middle], atol=1e-4)


def test_what_16_khz_cannot_hold_is_removed_not_folded():
    waveform = audio.from_array(tone(48_000, frequency=10_000) + 0.01 * tone(48_000), 48_000).waveform
    assert np.abs(waveform[1_600:-1_600]).max() < 0.006


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [
        (np.uint8, 2**7, 2**7),
        (np.int8, 2**7, 0),
        (np.int16, 2**15, 0),
        (np.int32, 2**31, 0),
        (np.float32, 1, 0),
        (np.float64, 1, 0),
    ],
)
def test_number_types_are_scaled_by_their_range(dtype, scale, offset):
    samples = tone() * scale + offset
    samples = samples.round().astype(dtype) if scale > 1 else samples.astype(dtype)
    waveform = audio.from_array(samples, 16_000).waveform
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, tone(), atol=max(0.51 / scale, 1e-7))


def test_channels_are_averaged_whichever_axis_they_are_on():
    samples = np.stack([tone() * gain for gain in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)], axis=1)  # (n, 6)
    recording = audio.from_array(samples, 16_000)
    assert recording.channels == 6
    np.testing.assert_allclose(recording.waveform, samples.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(audio.from_array(samples.T, 16_000).waveform, recording.waveform)
    assert audio.read(wav(samples)).channels == 6


def test_channels_that_cancel_each_other_are_silent():
    with pytest.raises(AudioError, match="silent"):
        audio.from_array(np.stack([tone(), -tone()]), 16_000)


def test_notes_say_what_a_model_cannot_hear():
    assert audio.from_array(tone(), 16_000).notes == ()
    assert "nothing above 4000 Hz" in audio.from_array(tone(8_000), 8_000).notes[0]
    assert "6 channels" in audio.from_array(np.stack([tone()] * 6), 16_000).notes[0]


@pytest.mark.parametrize(
    ("samples", "rate"), [(np.zeros((2, 2, 2)), 16_000), (tone(), 0), (tone() > 0, 16_000), (np.array("a"), 16_000)]
)
def test_what_cannot_be_sound_is_a_value_error(samples, rate):
    with pytest.raises(ValueError, match="expected"):
        audio.from_array(samples, rate)


@given(arrays(np.float32, st.integers(0, 900), elements=st.floats(-4, 4, width=32)), st.sampled_from([8_000, 16_000]))
def test_an_array_is_heard_or_refused_and_never_anything_else(samples, rate):
    try:
        recording = audio.from_array(samples, rate)
    except AudioError as error:
        assert error.reason in ("empty", "too_short", "silent")
    else:
        assert np.isfinite(recording.waveform).all()
        assert recording.seconds == pytest.approx(len(samples) / rate, abs=1e-3)


def test_find_lists_audio_files_by_name(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("b.WAV", "a.flac", "notes.txt", "._a.wav", "below/c.mp3"):
        (tmp_path / name).touch()
    assert audio.find(tmp_path, recursive=False) == [tmp_path / "a.flac", tmp_path / "b.WAV"]
    assert audio.find(tmp_path, recursive=True)[-1] == tmp_path / "below" / "c.mp3"


@pytest.mark.parametrize(("name", "rate"), [("a.wav", 44_100), ("a.flac", 8_000), ("a.ogg", 16_000)])
def test_a_files_duration_is_that_of_its_sound(name, rate, tmp_path):
    soundfile.write(tmp_path / name, tone(rate, seconds=1.3), rate)
    assert audio.seconds(tmp_path / name, name=name) == pytest.approx(1.3, abs=1e-4)
    assert audio.seconds(tmp_path / name, name=name) == pytest.approx(audio.read(tmp_path / name).seconds, abs=1e-3)


@pytest.mark.parametrize(("reason", "words"), [("missing", "^clip: no such file"), ("undecodable", "^clip: not audio")])
def test_a_duration_of_nothing_is_refused_by_name(reason, words, tmp_path):
    with pytest.raises(AudioError, match=words) as caught:
        audio.seconds(faulty(reason, tmp_path), name="clip")
    assert caught.value.reason == reason
