import io
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from affetto import audio
from affetto.fingerprint import LEAST_OVERLAP, SAME_SOUND, Match, fingerprint, matches

RATE = audio.SAMPLE_RATE


def noisy(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """With white noise that much below the mean level."""
    noise = np.random.default_rng(1).standard_normal(len(waveform))
    return waveform + noise * np.sqrt(np.mean(waveform**2)) * 10 ** (-decibels / 20)


def coded(waveform: np.ndarray, *, rate: int = RATE, **settings: object) -> np.ndarray:
    """Written to a file at that rate and read again as the package reads."""
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(waveform, RATE, rate), rate, **settings)
    return audio.read(file.getvalue()).waveform


def after(seconds: float, waveform: np.ndarray) -> np.ndarray:
    return waveform[round(seconds * RATE) :]


def before_end(seconds: float, waveform: np.ndarray) -> np.ndarray:
    return waveform[: -round(seconds * RATE)]


def with_silence(seconds: float, waveform: np.ndarray) -> np.ndarray:
    return np.concatenate((np.zeros(round(seconds * RATE)), waveform))


MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III"}
VORBIS = {"format": "OGG", "subtype": "VORBIS"}

# A recording in another guise, and the seconds into it at which the guise begins.
GUISES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "copy": (lambda x: x, 0.0),
    "quieter": (lambda x: 0.1 * x, 0.0),
    "quieter, 16 bit": (lambda x: coded(0.1 * x, format="WAV", subtype="PCM_16"), 0.0),
    "louder": (lambda x: 3 * x, 0.0),
    "louder, clipped": (lambda x: (3 * x).clip(-1, 1), 0.0),
    "polarity": (lambda x: -x, 0.0),
    "DC offset": (lambda x: x + 0.1, 0.0),
    "noise at 20 dB": (lambda x: noisy(x, 20), 0.0),
    "noise at 10 dB": (lambda x: noisy(x, 10), 0.0),
    "MP3": (lambda x: coded(x, **MP3), 0.0),
    "MP3, worst": (lambda x: coded(x, **MP3, compression_level=0.99), 0.0),
    "Vorbis": (lambda x: coded(x, **VORBIS), 0.0),
    "Vorbis, worst": (lambda x: coded(x, **VORBIS, compression_level=1.0), 0.0),
    "8 kHz": (lambda x: coded(x, rate=8_000, format="WAV", subtype="PCM_16"), 0.0),
    "telephone": (lambda x: coded(x, rate=8_000, format="WAV", subtype="ULAW"), 0.0),
    "silence in front": (lambda x: with_silence(0.3, x), -0.3),
    "silence in front, off the hops": (lambda x: with_silence(0.305, x), -0.305),
    "start cut off": (lambda x: after(0.3, x), 0.3),
    "start cut off, off the hops": (lambda x: after(0.305, x), 0.305),
    "end cut off": (lambda x: before_end(0.3, x), 0.0),
    "both cut off": (lambda x: before_end(0.3, after(0.305, x)), 0.305),
    "two seconds": (lambda x: after(0.45, x)[: 2 * RATE], 0.45),
    "much at once": (lambda x: noisy(coded(after(0.305, x), **MP3), 20), 0.305),
}


def voice(seed: int, *, seconds: float = 3.0) -> np.ndarray:
    """What passes for speech: thirty harmonics of a wandering pitch, each getting louder and softer by itself."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    grid = np.arange(0, seconds + 0.08, 0.08)

    def wandering(low: float, high: float) -> np.ndarray:
        return np.interp(np.arange(n) / RATE, grid, rng.uniform(low, high, len(grid)))

    turns = np.cumsum(rng.uniform(100, 200) * wandering(0.8, 1.2)) / RATE
    harmonics = sum(10 ** wandering(-1.5, 0) * np.sin(2 * np.pi * k * turns) / k for k in range(1, 31))
    return (0.1 * harmonics + 1e-3 * rng.standard_normal(n)).astype(np.float32)


def prints(waveforms: list[np.ndarray]) -> list[np.ndarray]:
    return [fingerprint(np.asarray(waveform, dtype=np.float32)) for waveform in waveforms]


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    return [voice(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def takes(emodb_root: Path) -> dict[str, np.ndarray]:
    """200 clips of EMO-DB: all takes of the same sentence by the same actor in the same emotion, then others."""
    versions = defaultdict(list)
    for path in sorted((emodb_root / "wav").glob("*.wav")):
        versions[path.stem[:6]].append(path)
    several = [path for paths in versions.values() if len(paths) > 1 for path in paths]
    single = [path for paths in versions.values() if len(paths) == 1 for path in paths]
    chosen = [*several, *single[:: len(single) // (200 - len(several))]][:200]
    return {path.stem: audio.read(path).waveform for path in chosen}


def assert_found(originals: list[np.ndarray], guise: str) -> None:
    """Every original finds its guise, at the right place, and nothing else."""
    disguise, begins = GUISES[guise]
    found = matches(prints([*originals, *map(disguise, originals)]))
    assert [(match.first, match.second) for match in found] == [(i, i + len(originals)) for i in range(len(originals))]
    for match in found:
        assert match.offset == pytest.approx(begins, abs=0.0101)
        assert 0 <= match.error_rate <= SAME_SOUND
        assert match.overlap >= LEAST_OVERLAP


@pytest.mark.parametrize("guise", GUISES)
def test_a_voice_is_found_in_every_guise(guise, voices):
    assert_found(voices, guise)


@pytest.mark.parametrize("guise", GUISES)
def test_an_actor_is_found_in_every_guise(guise, takes):
    assert_found([takes[name] for name in ("03a02Wb", "03a02Wc", "03b10Na", "16b09La", "16b10Tb")], guise)


def test_takes_of_the_same_sentence_are_other_sounds(takes):
    found = matches(prints(list(takes.values())), error_rate=1.0)
    assert len(found) > 100
    assert min(match.error_rate for match in found) > 2 * SAME_SOUND


def test_the_index_finds_what_trying_every_offset_finds(takes):
    originals = list(takes.values())[:5]
    heard = prints([*originals, *(noisy(after(0.305, x), 10) for x in originals)])
    found = {(match.first, match.second): match for match in matches(heard)}
    for second in range(len(heard)):
        for first in range(second):
            assert (lowest_error_rate(heard[first], heard[second]) <= SAME_SOUND) == ((first, second) in found)


def lowest_error_rate(one: np.ndarray, other: np.ndarray) -> float:
    """Of all offsets with enough overlap, bit by bit."""
    signs, strong = ([each[:, column, None] >> np.arange(32) & 1 for each in (one, other)] for column in (0, 1))
    rates = []
    for shift in range(-len(other), len(one)):
        here, there = slice(max(shift, 0), shift + len(other)), slice(max(-shift, 0), len(one) - shift)
        both = strong[0][here] & strong[1][there]
        heard = strong[0][here].any(axis=1) & strong[1][there].any(axis=1)
        if heard.sum() * 0.01 >= LEAST_OVERLAP:
            rates.append((both & (signs[0][here] ^ signs[1][there])).sum() / both.sum())
    return min(rates)


def test_all_pairs_of_several_copies_in_order(voices):
    copies = prints([voices[0], voices[1], 0.5 * voices[0], after(0.5, voices[0]), -voices[1]])
    found = matches(copies)
    assert [(match.first, match.second, match.offset) for match in found] == [
        (0, 2, 0.0),
        (0, 3, 0.5),
        (1, 4, 0.0),
        (2, 3, 0.5),
    ]
    assert found[0] == Match(0, 2, 0.0, 0.0, found[0].overlap)
    assert 2.5 < found[0].overlap <= 3 - 0.256


def test_a_stricter_caller_gets_fewer(voices):
    heard = prints([voices[0], after(0.305, voices[0]), after(1.5, voices[0])])
    assert [(match.first, match.second) for match in matches(heard)] == [(0, 1), (0, 2), (1, 2)]
    assert [(match.first, match.second) for match in matches(heard, error_rate=0.0)] == [(0, 2)]
    assert [(match.first, match.second) for match in matches(heard, overlap=2.0)] == [(0, 1)]


def test_gain_polarity_and_offset_leave_the_print_as_it_is(voices):
    assert np.array_equal(fingerprint(voices[0]), fingerprint(np.float32(-0.25) * voices[0]))


def test_a_print_has_a_word_and_its_strong_bits_for_every_hop(voices):
    heard = fingerprint(voices[0])
    assert heard.dtype == np.uint32
    assert heard.shape == ((3 * RATE - 4096) // 160, 2)
    assert set((heard[:, 1, None] >> np.arange(32) & 1).sum(axis=1)) == {12}


@pytest.mark.parametrize("samples", [0, 1, 400, 4096, 4255])
def test_a_clip_shorter_than_two_frames_has_an_empty_print(samples, voices):
    short = fingerprint(voices[0][:samples])
    assert short.shape == (0, 2)
    assert matches([short, short, fingerprint(voices[0])]) == []


def test_a_long_recording_has_the_print_of_its_parts(voices):
    whole = fingerprint(np.concatenate(voices))
    for place, part in enumerate(voices):
        heard = fingerprint(part)
        begin = place * 3 * RATE // 160
        assert np.array_equal(whole[begin : begin + len(heard), 0], heard[:, 0])


@pytest.mark.parametrize("level", [0.0, 0.25, -1.0])
def test_silence_is_left_to_a_hash(level):
    silence = fingerprint(np.full(2 * RATE, level, dtype=np.float32))
    assert len(silence) == 174
    assert not silence[:, 1].any()
    assert matches([silence, silence]) == []


def test_pauses_do_not_count(voices):
    pause = np.zeros(2 * RATE)
    noise = 1e-4 * np.random.default_rng(2).standard_normal(2 * RATE)
    shouts = [np.concatenate((voice, each)) for voice in voices[:2] for each in (pause, noise)]
    found = matches(prints(shouts))
    assert [(match.first, match.second) for match in found] == [(0, 1), (2, 3)]
    assert all(match.overlap <= 3.0 for match in found)


def test_steady_tones_match_nothing():
    time = np.arange(2 * RATE) / RATE
    tones = [np.sin(2 * np.pi * frequency * time) for frequency in (200, 300, 440, 1000, 1234.5)]
    assert matches(prints([*tones, *tones, *map(np.sign, tones)])) == []


def test_rooms_without_speech_match_nothing():
    rng = np.random.default_rng(3)
    assert matches(prints([0.01 * rng.standard_normal(3 * RATE) for _ in range(8)])) == []


def test_no_recordings_have_no_matches(voices):
    assert matches([]) == []
    assert matches(prints(voices[:1])) == []
