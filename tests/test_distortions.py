import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from affetto import audio, distortions
from affetto.audio import SAMPLE_RATE
from affetto.distortions import DISTORTIONS
from affetto.errors import ConfigError

SAMPLES = Path(__file__).parents[1] / "samples"

STRENGTHS = {
    "gain": -20.0,
    "clipping": 12.0,
    "dc": 0.1,
    "resample_polyphase": 44_100.0,
    "resample_quick": 44_100.0,
    "resample_linear": 11_025.0,
    "telephone_band": 3_400.0,
    "mu_law": 1.0,
    "gsm": 1.0,
    "opus": 8.0,
    "white_noise": 20.0,
    "babble": 20.0,
    "room": 0.5,
    "tilt": -6.0,
    "leading_silence": 1.0,
    "truncation": 1.0,
    "stereo_delay": 1.0,
    "stereo_inverted": 1.0,
    "phase": 90.0,
    "speed": 1.1,
    "tempo": 0.9,
    "pitch": 2.0,
}


@pytest.fixture(scope="module")
def speech():
    return audio.read(SAMPLES / "03a07Nc.wav").waveform


def distorted(name, waveform, strength=None, seed=0):
    strength = STRENGTHS[name] if strength is None else strength
    return DISTORTIONS[name](waveform, strength, np.random.default_rng(seed))


def tone(hertz, seconds=2.0, level=0.5):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype("float32")


def level(waveform):
    """dB of full scale."""
    return 10 * np.log10(np.mean(np.square(waveform, dtype="float64")) + 1e-30)


def heard_at(hertz, name, strength=None):
    """dB that a distortion takes from or gives to a tone."""
    before = tone(hertz)
    middle = slice(SAMPLE_RATE // 2, -SAMPLE_RATE // 2)
    return level(distorted(name, before, strength)[middle]) - level(before[middle])


def pitch_of(waveform):
    """Hz of the strongest tone."""
    frequencies, power = signal.periodogram(waveform, SAMPLE_RATE, window="hann")
    return frequencies[power.argmax()]


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distortion_gives_a_waveform_and_the_same_one_again(name, speech):
    before = speech.copy()
    once, again = distorted(name, speech), distorted(name, speech)
    assert once.dtype == np.float32 and once.ndim == 1 and np.isfinite(once).all() and once.flags["C_CONTIGUOUS"]
    assert np.array_equal(once, again)
    assert np.array_equal(speech, before), "the recording itself stays as it was"
    assert once.shape != speech.shape or not np.allclose(once, speech, atol=1e-4)
    audio.from_array(once, SAMPLE_RATE)  # can still be heard


@pytest.mark.parametrize("name", ["white_noise", "babble", "room"])
def test_what_is_drawn_is_drawn_by_the_generator(name, speech):
    assert not np.array_equal(distorted(name, speech), distorted(name, speech, seed=1))


def test_a_name_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match="no distortion is called 'echo'; the distortions are gain, clipping"):
        distortions.named("echo")
    assert distortions.named("room") is DISTORTIONS["room"]


def test_gain_is_in_decibels(speech):
    assert level(distorted("gain", speech, -20)) == pytest.approx(level(speech) - 20, abs=1e-3)


def test_clipping_flattens_what_lies_above(speech):
    clipped = distorted("clipping", speech, 6.0206)
    top = np.abs(speech).max() / 2
    assert np.abs(clipped).max() == pytest.approx(top, rel=1e-4)
    below = np.abs(speech) < 0.99 * top
    assert np.array_equal(clipped[below], speech[below])


def test_dc_moves_the_mean_alone(speech):
    assert distorted("dc", speech, 0.1).mean() == pytest.approx(speech.mean() + 0.1, abs=1e-5)


@pytest.mark.parametrize("name", ["resample_polyphase", "resample_quick", "resample_linear"])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_another_resampler_keeps_the_middle_of_the_band(name, rate):
    assert heard_at(1000, name, rate) == pytest.approx(0, abs=0.1)
    before = tone(1000)
    lag = np.correlate(distorted(name, before, rate)[8000:16000], before[8008:15992], "valid").argmax()
    assert lag == 8, "nothing is shifted in time"


def test_straight_lines_leave_images_of_a_low_rate():
    def images(name):
        frequencies, power = signal.periodogram(distorted(name, tone(4000), 11_025), SAMPLE_RATE, window="hann")
        return 10 * np.log10(power[frequencies > 6000].max() / power.max())

    assert images("resample_polyphase") < -50 < -25 < images("resample_linear")


@pytest.mark.parametrize("name", ["telephone_band", "mu_law"])
def test_a_telephone_passes_its_band_alone(name):
    assert heard_at(1000, name) == pytest.approx(0, abs=0.3)
    assert heard_at(100, name) < -35
    assert heard_at(5000, name) < -35


def test_mu_law_gives_the_values_of_g711():
    """ITU-T G.711: code u stands for +-((2 (u mod 16) + 33) 2^(u div 16) - 33), on a scale of 8159 for full scale."""
    codes = np.arange(128)
    values = (2 * (codes % 16) + 33) * 2 ** (codes // 16) - 33
    table = np.sort(np.unique(np.concatenate([values, -values]))) / 8192
    given = np.linspace(-1, 1, 9001).astype(np.float32)
    got = distortions.coded(given, 8000, "WAV", "ULAW")
    assert np.isin(np.round(got * 8192).astype(int), np.round(table * 8192).astype(int)).all()
    above = np.searchsorted(table, given).clip(1, len(table) - 1)  # the two values around each sample
    assert np.minimum(np.abs(got - table[above]), np.abs(got - table[above - 1])).max() < 1e-4
    assert len(np.unique(got)) > 200


def test_gsm_in_a_wav_is_13_kilobits_and_worse_than_mu_law(speech):
    file = io.BytesIO()
    soundfile.write(file, tone(440, 10)[::2], 8000, format="WAV", subtype="GSM610")
    assert 8 * file.getbuffer().nbytes / 10 == pytest.approx(13_000, rel=0.03)
    band = distorted("telephone_band", speech)

    def error(name, passes):
        return level(distorted(name, speech, passes) - band) - level(band)

    assert error("mu_law", 1) < -30 < error("gsm", 1) < error("gsm", 3) < 0


def test_opus_loses_more_at_a_lower_rate(speech):
    def error(rate):
        return level(distorted("opus", speech, rate) - speech) - level(speech)

    assert error(128) < -25 < error(16) < error(6) < 0


@pytest.mark.parametrize("name", ["white_noise", "babble"])
@pytest.mark.parametrize("snr", [0, 20])
def test_noise_has_the_ratio_that_was_asked_for(name, snr, speech):
    noise = distorted(name, speech, snr) - speech
    assert level(speech - speech.mean()) - level(noise) == pytest.approx(snr, abs=0.01)


def test_white_noise_is_flat_and_babble_is_like_speech(speech):
    def high_share(name):
        noise = distorted(name, np.tile(speech, 4), 0) - np.tile(speech, 4)
        frequencies, power = signal.welch(noise, SAMPLE_RATE, nperseg=512)
        return power[frequencies >= 4000].sum() / power.sum()

    assert high_share("white_noise") == pytest.approx(0.5, abs=0.02)
    assert high_share("babble") < 0.1


def test_babble_of_other_clips_is_made_of_them(speech):
    others = [tone(500, 1.0), tone(700, 3.0)]
    mixed = distortions.babble_of(others)(speech, 10, np.random.default_rng(0))
    noise = mixed - speech
    assert level(speech - speech.mean()) - level(noise) == pytest.approx(10, abs=0.01)
    frequencies, power = signal.periodogram(noise, SAMPLE_RATE, window="hann")
    near = (np.abs(frequencies - 500) < 30) | (np.abs(frequencies - 700) < 30)
    assert power[near].sum() / power.sum() > 0.95


@pytest.mark.parametrize("rt60", [0.3, 0.8])
def test_a_room_decays_by_60_decibels_in_its_reverberation_time(rt60):
    """Schroeder (1965): the level that is left is the energy from then on; RT60 is read from -5 to -35 dB (T30)."""
    response = distortions.impulse_response(rt60, np.random.default_rng(0))
    tail = response[round(distortions.ROOM_GAP * SAMPLE_RATE) :]
    left = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1])
    left -= left[0]
    times = np.arange(len(tail)) / SAMPLE_RATE
    used = (left <= -5) & (left >= -35)
    slope = np.polyfit(times[used], left[used], 1)[0]
    assert -60 / slope == pytest.approx(rt60, rel=0.05)


def test_a_room_is_as_loud_as_the_speaker_at_its_critical_distance(monkeypatch):
    monkeypatch.setattr(distortions, "ROOM_DISTANCE", 0.057 * np.sqrt(distortions.ROOM_VOLUME / 0.5))
    response = distortions.impulse_response(0.5, np.random.default_rng(0))
    assert (response[1:] ** 2).sum() == pytest.approx(response[0] ** 2)


@pytest.mark.parametrize("name", ["room", "tilt", "phase"])
def test_what_is_not_about_level_keeps_it(name, speech):
    assert level(distorted(name, speech)) == pytest.approx(level(speech), abs=0.05)


def test_tilt_is_in_decibels_an_octave():
    sound = tone(500) + tone(1000) + tone(4000)
    frequencies, power = signal.periodogram(distorted("tilt", sound, -6), SAMPLE_RATE, window="hann")
    low, middle, high = (power[np.abs(frequencies - hertz) < 5].sum() for hertz in (500, 1000, 4000))
    assert 10 * np.log10(middle / low) == pytest.approx(-6, abs=0.05)
    assert 10 * np.log10(high / middle) == pytest.approx(-12, abs=0.05)


def test_silence_comes_first_and_truncation_keeps_the_middle(speech):
    late = distorted("leading_silence", speech, 2)
    assert not late[:32_000].any() and np.array_equal(late[32_000:], speech)
    assert np.array_equal(distorted("truncation", speech, 1), speech[6305:22_305])
    assert np.array_equal(distorted("truncation", speech, 60), speech)


def test_two_channels_are_what_reading_a_stereo_file_gives(tmp_path, speech):
    late = np.pad(speech, (16, 0))[: len(speech)]
    for name, second in (("stereo_delay", late), ("stereo_inverted", -late)):
        soundfile.write(tmp_path / "stereo.wav", np.stack([speech, second], 1), SAMPLE_RATE, subtype="FLOAT")
        assert np.allclose(audio.read(tmp_path / "stereo.wav").waveform, distorted(name, speech, 1.0), atol=1e-6)


def test_phase_turns_a_sine_into_a_cosine_and_upside_down(speech):
    sine = tone(1000)
    cosine = (0.5 * np.cos(2 * np.pi * 1000 * np.arange(len(sine)) / SAMPLE_RATE)).astype("float32")
    assert np.allclose(distorted("phase", sine, 90), cosine, atol=1e-5)
    assert np.allclose(distorted("phase", speech, 180), -speech, atol=1e-5)
    spectra = [np.abs(np.fft.rfft(each)) for each in (speech, distorted("phase", speech, 45))]
    assert np.allclose(*spectra, atol=0.2 * spectra[0].std())


def test_speed_tempo_and_pitch_change_what_they_say():
    before = tone(440)
    for name, strength, seconds, hertz in (
        ("speed", 1.25, 2 / 1.25, 550),
        ("tempo", 0.8, 2 / 0.8, 440),
        ("tempo", 1.25, 2 / 1.25, 440),
        ("pitch", 2, 2.0, 440 * 2 ** (2 / 12)),
        ("pitch", -4, 2.0, 440 * 2 ** (-4 / 12)),
    ):
        after = distorted(name, before, strength)
        assert len(after) / SAMPLE_RATE == pytest.approx(seconds, abs=1e-3)
        assert pitch_of(after) == pytest.approx(hertz, abs=1.0), name
        assert level(after) == pytest.approx(level(before), abs=0.2)
