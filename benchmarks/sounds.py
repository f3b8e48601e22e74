"""Sounds that are not speech, made by formula: music in twelve styles, noise and near silence; 16 kHz, deterministic.

Nothing here is meant to please. Each style has what sets a kind of music apart for a listener of speech: held
harmonics, repeated strokes, beats, glides, and tones with the formants of vowels, on which speech detectors are known
to fire. Even styles serve to tune what tells speech from the rest, odd ones to measure it (`TUNING`).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import signal

Waveform = npt.NDArray[np.float32]
Sound = Callable[[np.random.Generator, float], Waveform]

RATE = 16_000
SCALE = (0, 2, 3, 5, 7, 8, 10)
"""Natural minor, in semitones."""
FORMANTS = {"a": (800, 1150, 2900), "e": (400, 1600, 2700), "i": (300, 2300, 3000), "o": (450, 800, 2830)}
"""Hz; of sung vowels (after Peterson and Barney, 1952)."""


def _note(step: int, root: float = 110.0) -> float:
    """Hz of a step of the scale above a root."""
    octave, degree = divmod(step, len(SCALE))
    return float(root * 2 ** (octave + SCALE[degree] / 12))


def _time(seconds: float) -> npt.NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def _tone(hertz: float, seconds: float, *, roll: float = 1.0, vibrato: float = 0.0) -> npt.NDArray[np.float64]:
    """A harmonic tone whose partials fall with their number to the power of `roll`."""
    t = _time(seconds)
    phase = 2 * np.pi * hertz * t + vibrato * np.sin(2 * np.pi * 5.5 * t)
    numbers = np.arange(1, max(2, int(7_500 // hertz)))
    return np.asarray(sum(np.sin(n * phase) / n**roll for n in numbers[:24]))


def _shaped(x: npt.NDArray[np.float64], attack: float, decay: float) -> npt.NDArray[np.float64]:
    """A stroke: rises in `attack` seconds and decays by 1/e in `decay`."""
    t = _time(len(x) / RATE)
    return x * np.minimum(t / attack, 1.0) * np.exp(-t / decay)


def _vowel(x: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
    """A tone through the formants of a vowel."""
    out = np.zeros_like(x)
    for hertz, width, gain in zip(FORMANTS[name], (80, 100, 140), (1.0, 0.6, 0.3), strict=True):
        out += gain * signal.lfilter(*signal.iirpeak(hertz, hertz / width, fs=RATE), x)
    return out


def _put(track: npt.NDArray[np.float64], sound: npt.NDArray[np.float64], at: float, gain: float = 1.0) -> None:
    start = round(at * RATE)
    part = sound[: max(0, len(track) - start)]
    track[start : start + len(part)] += gain * part


def _finished(track: npt.NDArray[np.float64], rng: np.random.Generator) -> Waveform:
    """At a level between -30 and -6 dBFS peak."""
    peak = float(np.abs(track).max()) or 1.0
    return (track / peak * 10 ** (-rng.uniform(6, 30) / 20)).astype(np.float32)


def chords(rng: np.random.Generator, seconds: float) -> Waveform:
    """Held triads of a pad, one a second and a half."""
    track, root = np.zeros(round(seconds * RATE)), rng.uniform(80, 160)
    for at in np.arange(0, seconds, 1.5):
        step = int(rng.integers(0, 7))
        for third in (0, 2, 4):
            _put(track, _shaped(_tone(_note(step + third, root), 1.6, roll=1.4), 0.1, 2.0), at)
    return _finished(track, rng)


def arpeggios(rng: np.random.Generator, seconds: float) -> Waveform:
    """Broken chords of plucked tones."""
    track, root, pace = np.zeros(round(seconds * RATE)), rng.uniform(110, 220), rng.uniform(0.11, 0.25)
    for number, at in enumerate(np.arange(0, seconds, pace)):
        step = 3 * (number // 8 % 3) + (0, 2, 4, 7)[number % 4]
        _put(track, _shaped(_tone(_note(step, root), 0.5), 0.005, 0.15), at)
    return _finished(track, rng)


def _kick() -> npt.NDArray[np.float64]:
    t = _time(0.25)
    return _shaped(np.sin(2 * np.pi * (50 * t + 12 * (1 - np.exp(-t * 30)))), 0.002, 0.08)


def _hiss(rng: np.random.Generator, low: float, seconds: float) -> npt.NDArray[np.float64]:
    filtered = signal.sosfilt(signal.butter(2, low, "high", fs=RATE, output="sos"), rng.standard_normal(4_000))
    return _shaped(np.asarray(filtered), 0.001, seconds)


def drums(rng: np.random.Generator, seconds: float) -> Waveform:
    """Kick, snare and hat, with rolls."""
    track, beat = np.zeros(round(seconds * RATE)), 60 / rng.uniform(80, 150)
    for number, at in enumerate(np.arange(0, seconds, beat / 2)):
        _put(track, _hiss(rng, 5_000, 0.02), at, 0.5)
        if number % 4 == 0 or rng.random() < 0.15:
            _put(track, _kick(), at, 1.5)
        if number % 4 == 2:
            _put(track, _hiss(rng, 900, 0.07), at, 1.0)
    return _finished(track, rng)


def techno(rng: np.random.Generator, seconds: float) -> Waveform:
    """Four to the floor under a sawtooth bass with a sweeping filter."""
    track, beat, root = np.zeros(round(seconds * RATE)), 60 / rng.uniform(120, 145), rng.uniform(45, 70)
    for number, at in enumerate(np.arange(0, seconds, beat / 4)):
        if number % 4 == 0:
            _put(track, _kick(), at, 2.0)
        if number % 4 == 2:
            _put(track, _hiss(rng, 6_000, 0.03), at, 0.6)
        bass = signal.sawtooth(2 * np.pi * _note(int(rng.choice([0, 0, 2, 4])), root) * _time(beat / 4))
        cut = 400 + 1_500 * (1 + np.sin(2 * np.pi * at / 4)) / 2
        bass = signal.sosfilt(signal.butter(2, cut, fs=RATE, output="sos"), bass)
        _put(track, _shaped(np.asarray(bass), 0.003, 0.12), at, 0.8)
    return _finished(track, rng)


def orchestra(rng: np.random.Generator, seconds: float) -> Waveform:
    """Sections of slightly detuned strings in four parts, swelling."""
    track, root = np.zeros(round(seconds * RATE)), rng.uniform(90, 130)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.3 * _time(seconds))
    for at in np.arange(0, seconds, 1.2):
        step = int(rng.integers(0, 5))
        for part in (0, 4, 9, 14):
            for _ in range(3):
                hertz = _note(step + part, root) * 2 ** (rng.normal(0, 6) / 1200)
                _put(track, _shaped(_tone(hertz, 1.4, roll=1.2, vibrato=0.3), 0.15, 3.0), at)
    return _finished(track * swell, rng)


def _plucked(hertz: float, seconds: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A plucked string (Karplus and Strong, 1983)."""
    period = round(RATE / hertz)
    burst = np.zeros(round(seconds * RATE))
    burst[:period] = rng.uniform(-1, 1, period)
    feedback = np.zeros(period + 2)
    feedback[0], feedback[period], feedback[period + 1] = 1.0, -0.498, -0.498
    return np.asarray(signal.lfilter([1.0], feedback, burst))


def strings(rng: np.random.Generator, seconds: float) -> Waveform:
    """A guitar's picking."""
    track, root, pace = np.zeros(round(seconds * RATE)), rng.uniform(80, 120), rng.uniform(0.15, 0.35)
    for at in np.arange(0, seconds, pace):
        _put(track, _plucked(_note(int(rng.integers(0, 15)), root), 1.2, rng), at)
    return _finished(track, rng)


def bells(rng: np.random.Generator, seconds: float) -> Waveform:
    """Inharmonic strokes: bells and metal bars."""
    track, t = np.zeros(round(seconds * RATE)), _time(2.0)
    for at in np.arange(0, seconds, rng.uniform(0.3, 0.7)):
        hertz = _note(int(rng.integers(0, 14)), 220)
        stroke = sum(np.sin(2 * np.pi * hertz * r * t) / (k + 1) for k, r in enumerate((1, 2.76, 5.4, 8.93)))
        _put(track, _shaped(np.asarray(stroke), 0.002, 0.5), at)
    return _finished(track, rng)


def lead(rng: np.random.Generator, seconds: float) -> Waveform:
    """A synthesiser's melody with glides and vibrato over a drone."""
    t = _time(seconds)
    steps = np.repeat(rng.integers(7, 21, 64), round(0.25 * RATE))[: len(t)]
    hertz = signal.lfilter([0.002], [1, -0.998], [_note(int(step)) for step in steps])
    phase = 2 * np.pi * np.cumsum(hertz * (1 + 0.01 * np.sin(2 * np.pi * 6 * t))) / RATE
    return _finished(signal.square(phase, 0.3) + 0.4 * _tone(55, seconds)[: len(t)], rng)


def organ(rng: np.random.Generator, seconds: float) -> Waveform:
    """Drawbars, legato, two voices in thirds."""
    track, t = np.zeros(round(seconds * RATE)), _time(0.5)
    for at in np.arange(0, seconds, 0.45):
        for third in (0, 2):
            hertz = _note(7 + third + int(rng.integers(0, 7)))
            _put(track, np.asarray(sum(np.sin(2 * np.pi * hertz * n * t) for n in (0.5, 1, 1.5, 2, 3, 4))), at)
    return _finished(track, rng)


def _sung(rng: np.random.Generator, seconds: float, root: float, pace: float) -> npt.NDArray[np.float64]:
    """Vowels held on notes, with vibrato."""
    track = np.zeros(round(seconds * RATE))
    for at in np.arange(0, seconds, pace):
        tone = _tone(_note(int(rng.integers(0, 8)), root), pace, roll=0.8, vibrato=0.5)
        _put(track, _shaped(_vowel(tone, rng.choice(list(FORMANTS))), 0.06, 1.5), at)
    return track / np.abs(track).max()


def vocalise(rng: np.random.Generator, seconds: float) -> Waveform:
    """One voice-like line of held vowels, alone."""
    return _finished(_sung(rng, seconds, rng.uniform(110, 330), rng.uniform(0.4, 0.9)), rng)


def choir(rng: np.random.Generator, seconds: float) -> Waveform:
    """Three vowel lines over an organ."""
    voices = sum(_sung(rng, seconds, root, 0.8) for root in (110.0, 165.0, 220.0))
    return _finished(np.asarray(voices) + 2 * organ(rng, seconds), rng)


def song(rng: np.random.Generator, seconds: float) -> Waveform:
    """A vowel line over drums and guitar."""
    backing = drums(rng, seconds) / 0.3 + strings(rng, seconds) / 0.3
    return _finished(_sung(rng, seconds, 165.0, 0.35) + backing, rng)


def _coloured(rng: np.random.Generator, seconds: float, power: float) -> npt.NDArray[np.float64]:
    """Noise whose power falls with frequency to a power; 0 white, 1 pink, 2 brown."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    return np.fft.irfft(spectrum * np.maximum(hertz, 20.0) ** (-power / 2), n)


def white(rng: np.random.Generator, seconds: float) -> Waveform:
    """Flat."""
    return _finished(_coloured(rng, seconds, 0), rng)


def pink(rng: np.random.Generator, seconds: float) -> Waveform:
    """Falling by 3 dB an octave."""
    return _finished(_coloured(rng, seconds, 1), rng)


def brown(rng: np.random.Generator, seconds: float) -> Waveform:
    """Falling by 6 dB an octave."""
    return _finished(_coloured(rng, seconds, 2), rng)


def hum(rng: np.random.Generator, seconds: float) -> Waveform:
    """The mains with harmonics, over a little hiss."""
    return _finished(_tone(float(rng.choice([50.0, 60.0])), seconds, roll=1.3) + 0.02 * white(rng, seconds), rng)


def machine(rng: np.random.Generator, seconds: float) -> Waveform:
    """A motor: noise in a band, beaten at its speed, with its whine."""
    t, speed = _time(seconds), rng.uniform(8, 30)
    band = signal.sosfilt(signal.butter(2, (200, 2_500), "band", fs=RATE, output="sos"), _coloured(rng, seconds, 1))
    beaten = band / np.abs(band).max() * (1 + 0.7 * signal.square(2 * np.pi * speed * t))
    return _finished(beaten + 0.3 * np.sin(2 * np.pi * speed * 40 * t), rng)


def wind(rng: np.random.Generator, seconds: float) -> Waveform:
    """Brown noise in gusts."""
    gusts = 1 + np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * _time(seconds) + rng.uniform(0, 6))
    return _finished(_coloured(rng, seconds, 1.6) * gusts, rng)


def faint(rng: np.random.Generator, seconds: float) -> Waveform:
    """What a microphone gives in a quiet room: pink noise below -66 dBFS."""
    noise = _coloured(rng, seconds, 1)
    return (noise / np.abs(noise).max() * 10 ** (-rng.uniform(66, 78) / 20)).astype(np.float32)


def _each(*sounds: Sound) -> dict[str, Sound]:
    return {sound.__name__: sound for sound in sounds}


MUSIC = _each(
    chords, arpeggios, drums, techno, orchestra, strings, bells, lead, organ, vocalise, choir, song
)  # fmt: skip
NOISE = _each(white, pink, brown, hum, machine, wind)
SILENCE = _each(faint)
TUNING = ("chords", "drums", "orchestra", "bells", "organ", "choir", "white", "brown", "machine")
"""Kinds on which thresholds may be chosen; the others are kept for measuring."""


def clips(name: str, number: int, *, seconds: float = 4.0) -> list[Waveform]:
    """So many clips of one kind, the same at every call."""
    sound = {**MUSIC, **NOISE, **SILENCE}[name]
    seed = int.from_bytes(name.encode(), "little") % 2**32
    return [sound(np.random.default_rng((seed, i)), seconds) for i in range(number)]
