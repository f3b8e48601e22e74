import math
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr

from affetto import audio, flags
from affetto.distortions import named
from affetto.flags import Signal
from affetto.vad import SpeechDetector

ROOT = Path(__file__).parents[1]
CLIPS = sorted((ROOT / "samples").glob("*.wav"))
sys.path.append(str(ROOT / "benchmarks"))
import sounds  # noqa: E402


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.fixture(params=CLIPS, ids=lambda path: path.stem)
def speech(request) -> audio.Waveform:
    return audio.read(request.param).waveform


def test_speech_has_no_flags(speech, detector):
    assert Signal.of(speech, detector).flags() == ()


def test_what_was_heard_already_is_not_heard_again(speech, detector):
    assert Signal.of(speech, None, speech=detector.probabilities(speech)) == Signal.of(speech, detector)


def test_the_snr_of_white_noise_is_estimated_to_a_few_db(speech, detector):
    for snr in (5, 15):
        noisy = named("white_noise")(speech, snr, np.random.default_rng(0))
        assert Signal.of(noisy, detector).snr == pytest.approx(snr, abs=3)
        assert ("noisy" in Signal.of(noisy, detector).flags()) == (snr < flags.SNR)


def test_what_is_cut_off_at_its_peak_is_clipped_before_resampling_too(speech, detector):
    assert "clipped" in Signal.of(named("clipping")(speech, 10, np.random.default_rng(0)), detector).flags()
    high = soxr.resample(speech, 16_000, 44_100)
    cut = audio.from_array(high.clip(-abs(high).max() / 3, abs(high).max() / 3), 44_100)
    assert cut.clipped > flags.CLIPPED > audio.from_array(high, 44_100).clipped
    assert "clipped" in Signal.of(cut.waveform, detector, clipped=cut.clipped).flags()


def test_faint_and_short_speech_is_heard_with_a_flag(speech, detector):
    assert "silent" in Signal.of(speech * np.float32(1e-3), detector).flags()
    assert "too_short" in Signal.of(speech[:12_000], detector).flags()


@pytest.mark.parametrize("kind", [*sounds.MUSIC, *sounds.NOISE, *sounds.SILENCE])
def test_music_noise_and_silence_are_no_speech(kind, detector):
    for clip in sounds.clips(kind, 3):
        found = Signal.of(clip, detector).flags()
        assert "not_speech" in found
        assert ("silent" in found) == (kind in sounds.SILENCE)


def test_silence_around_speech_leaves_it_speech(speech, detector):
    around = np.concatenate([np.zeros(48_000, np.float32), speech, np.zeros(48_000, np.float32)])
    assert Signal.of(around, detector).flags() == ()


def test_power_and_level_are_numpys(speech, detector):
    power = flags.frame_power(speech)
    frames = (speech - speech.mean(dtype=np.float64))[: len(speech) // 512 * 512].reshape(-1, 512)
    np.testing.assert_allclose(power[: len(frames)], np.var(frames, axis=1) + frames.mean(axis=1) ** 2, rtol=1e-6)
    assert Signal.of(speech, detector).level == pytest.approx(10 * math.log10(power.max()))


def test_flags_come_in_their_order(detector):
    clip = named("clipping")(sounds.clips("white", 1)[0][:8_000], 6, np.random.default_rng(0))
    found = Signal.of(clip, detector).flags(far=True)
    assert found == ("too_short", "clipped", "not_speech", "out_of_domain")
    assert [flag for flag in flags.FLAGS if flag in found] == list(found)
