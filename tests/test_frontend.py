from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.signal import savgol_filter

from affetto.batch import Padded, pad
from affetto.frontend import PRESETS, LogMel, deltas

REFERENCE = Path(__file__).parent / "reference" / "log_mel.safetensors"
LENGTHS = (400, 5_000, 16_000, 1_777)


def noise(n_samples: int, *, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=PRESETS)
def log_mel(request) -> LogMel:
    return LogMel(PRESETS[request.param])


@pytest.mark.parametrize("clip", ["03a07Nc", "15a05Eb"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_named_front_end_agrees_with_its_original(name, clip):
    stored = load_file(REFERENCE)
    waveform = stored[f"{clip}.pcm16"] / 2**15
    frames = LogMel(PRESETS[name])(pad([waveform]))
    # librosa computes in float64; what float32 leaves of the weakest bins shows in decibels, five times a logarithm.
    atol = 1e-3 if name == "panns16k" else 1e-4
    torch.testing.assert_close(frames.values[0], stored[f"{clip}.{name}"], atol=atol, rtol=0)


def test_a_clip_in_a_batch_gives_what_it_gives_alone(log_mel):
    loudness = (1e-5, 1.0, 1e-2, 1e-4)  # Whisper's floor lies eight decades of power below the clip's own peak
    clips = [level * noise(length, seed=length) for length, level in zip(LENGTHS, loudness, strict=True)]
    for clip, frames in zip(clips, log_mel(pad(clips)).unbind(), strict=True):
        alone = log_mel(pad([clip])).unbind()[0]
        assert frames.shape == alone.shape
        torch.testing.assert_close(frames, alone, atol=1e-5, rtol=0)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(400, 3_000), more=st.integers(1, 2_000), name=st.sampled_from(sorted(PRESETS)))
def test_more_padding_gives_the_same_frames(length, more, name):
    log_mel = LogMel(PRESETS[name])
    waveform = noise(length)[None]
    alone = log_mel(Padded(waveform, torch.tensor([length])))
    padded = log_mel(Padded(F.pad(waveform, (0, more)), torch.tensor([length])))
    assert torch.equal(padded.lengths, alone.lengths)
    torch.testing.assert_close(padded.unbind()[0], alone.unbind()[0], atol=1e-5, rtol=0)


def test_beyond_a_clips_frames_there_are_zeros(log_mel):
    frames = log_mel(pad([noise(8_000), noise(1_600)]))
    assert frames.values.shape[1] == frames.lengths[0]
    assert not frames.values[~frames.mask].any()


# Whisper's: (log10(1e-10) + 4) / 4; PANNs': 10 log10(1e-10).
LEVELS = {"mel160": 0.0, "mockingjay160": 0.0, "whisper80": -1.5, "panns16k": -100.0}


@pytest.mark.parametrize(("name", "level"), LEVELS.items())
def test_silence_is_finite_and_the_same_everywhere(name, level):
    log_mel = LogMel(PRESETS[name])
    # 26 frames: the mean of so many equal numbers has no rounding error for a tiny deviation to blow up.
    frames = log_mel(pad([torch.zeros(25 * log_mel.front_end.hop_length)]))
    assert (frames.values == level).all()


@pytest.mark.parametrize("name", ["mel160", "mockingjay160"])
def test_features_are_standardised_over_the_clip(name):
    frames = LogMel(PRESETS[name])(pad([noise(16_000), noise(5_000, seed=1)]))
    for clip in frames.unbind():
        torch.testing.assert_close(clip.mean(dim=0), torch.zeros(160), atol=1e-5, rtol=0)
        torch.testing.assert_close(clip.std(dim=0, correction=0), torch.ones(160), atol=1e-4, rtol=0)


def test_no_filter_is_empty(log_mel):
    assert (log_mel.filters.sum(dim=0) > 0).all()


def test_fewer_points_would_leave_filters_of_mel160_empty():
    with pytest.warns(UserWarning, match="mel filter has all zero values"):
        log_mel = LogMel(PRESETS["mel160"].model_copy(update={"n_fft": 400}))
    assert int((log_mel.filters.sum(dim=0) == 0).sum()) == 10  # counted apart with librosa's filters


@pytest.mark.parametrize("n_samples", [400, 5_000, 16_000, 16_159])
def test_frames_are_as_many_as_announced(log_mel, n_samples):
    announced = log_mel.n_frames(torch.tensor([n_samples]))
    frames = log_mel(pad([noise(n_samples)]))
    assert torch.equal(frames.lengths, announced)
    assert frames.values.shape == (1, int(announced), log_mel.width)


def test_ten_milliseconds_a_frame_and_mockingjays_twelve_and_a_half():
    rates = {name: front_end.frame_rate for name, front_end in PRESETS.items()}
    assert rates == {"mel160": 100, "mockingjay160": 80, "whisper80": 100, "panns16k": 100}


@pytest.mark.parametrize(("order", "width"), [(0, 80), (1, 160), (2, 240)])
def test_deltas_follow_the_log_mel_in_each_frame(order, width):
    clips = pad([noise(4_000), noise(1_000, seed=1)])
    log_mel = LogMel(PRESETS["whisper80"])(clips)
    stacked = LogMel(PRESETS["whisper80"].model_copy(update={"deltas": order}))
    parts = stacked(clips).values.split(80, dim=-1)
    assert (stacked.width, len(parts)) == (width, width // 80)
    for part, expected in zip(parts, [log_mel, deltas(log_mel), deltas(log_mel, order=2)][: order + 1], strict=True):
        assert torch.equal(part, expected.values)


@pytest.mark.parametrize("order", [1, 2])
@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(9, 60), min_size=1, max_size=3), more=st.integers(0, 12))
def test_deltas_are_those_of_librosa_at_each_clips_own_ends(order, lengths, more):
    clips = pad([noise(3 * length, seed=length).reshape(length, 3) for length in lengths])
    padded = Padded(F.pad(clips.values, (0, 0, 0, more)), clips.lengths)
    got = deltas(padded, order=order)
    assert got.values.shape == padded.values.shape
    assert not got.values[~got.mask].any()
    for clip, values in zip(clips.unbind(), got.unbind(), strict=True):
        # The call that librosa.feature.delta makes at its defaults.
        expected = savgol_filter(clip.double().numpy(), 9, polyorder=order, deriv=order, axis=0, mode="interp")
        np.testing.assert_allclose(values.numpy(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("length", range(1, 10))
def test_deltas_of_a_clip_shorter_than_the_window_are_those_of_one_polynomial(length, order):
    clip = noise(2 * length).reshape(length, 2)
    got = deltas(pad([clip, noise(40).reshape(20, 2)]), order=order).unbind()[0]
    if length <= order:
        assert not got.any()
        return
    highest = np.polyfit(np.arange(length), clip.double().numpy(), deg=order)[0]
    np.testing.assert_allclose(got.numpy(), np.tile(order * highest, (length, 1)), atol=1e-6, rtol=0)  # 1! and 2!


def test_a_steady_rise_has_its_slope_for_delta_and_a_constant_none():
    steps = torch.arange(20.0)[:, None]
    torch.testing.assert_close(deltas(pad([0.5 * steps])).values, torch.full((1, 20, 1), 0.5))
    assert not deltas(pad([torch.full((20, 1), -13.8)])).values.any()


def test_autocast_does_not_coarsen_the_spectrum(log_mel):
    clip = pad([noise(4_000)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = log_mel(clip)
    assert coarse.values.dtype == torch.float32
    assert torch.equal(coarse.values, log_mel(clip).values)


def test_it_has_no_weights_and_its_fingerprint_is_its_settings(log_mel):
    assert log_mel.state_dict() == {}
    assert LogMel(log_mel.front_end).fingerprint == log_mel.fingerprint
    assert LogMel(log_mel.front_end.model_copy(update={"floor": 1e-5})).fingerprint != log_mel.fingerprint
