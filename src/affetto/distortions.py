"""What recordings suffer on their way to a listener, in stated strengths: from gain to telephones, noise and rooms.

Each distortion is a function of a waveform, one number that says how strong (its unit stands in the registry), and a
random generator; the same three give the same answer. `stress` tests models with them, training hardens models by them.
Level is kept wherever level is not the point, so that a room is not also a change of gain.

Example:
    >>> quieter = DISTORTIONS["gain"](np.ones(16_000, np.float32), -20, np.random.default_rng(0))
    >>> round(float(quieter[0]), 3)
    0.1
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy import signal

from affetto.audio import SAMPLE_RATE, Waveform
from affetto.errors import ConfigError, not_called

Apply = Callable[[Waveform, float, np.random.Generator], Waveform]
Array = npt.NDArray[np.float64]

TELEPHONE_RATE = 8_000
"""Hz."""
TELEPHONE_LOW = 300.0
"""Hz; lower edge of the telephone band."""
TELEPHONE_HIGH = 3_400.0
"""Hz; its upper edge."""
ROOM_VOLUME = 60.0
"""Cubic metres; with the reverberation time it says at which distance a room is as loud as the speaker."""
ROOM_DISTANCE = 1.0
"""Metres from mouth to microphone."""
ROOM_GAP = 0.003
"""Seconds from the direct sound to the first reflection."""
TILT_CENTRE = 1_000.0
"""Hz that a tilt leaves alone."""
TALKERS = 8
"""Voices that make a babble."""
STRETCH_FRAME = 0.03
"""Seconds of the pieces that a clip is stretched by: two to five periods of a voice."""
STRETCH_SEARCH = 0.008
"""Seconds to either side where a piece that continues the last one is looked for: a period of a low voice."""


@dataclass(frozen=True)
class Distortion:
    """One way in which recordings suffer.

    Args:
        name: in the registry.
        unit: of its strength.
        says: what it does, in a few words.
        apply: waveform (n,) at 16 kHz, strength and randomness to the distorted waveform, (n',).
    """

    name: str
    unit: str
    says: str
    apply: Apply

    def __call__(self, waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
        """The distorted waveform, float32 (n',) at 16 kHz."""
        return np.ascontiguousarray(self.apply(waveform, strength, rng), dtype=np.float32)


DISTORTIONS: dict[str, Distortion] = {}
"""Every distortion, by its name."""


def named(name: str) -> Distortion:
    """The distortion of that name.

    Raises:
        ConfigError: if there is none; the names are listed.
    """
    if name not in DISTORTIONS:
        raise ConfigError(not_called(name, DISTORTIONS, "distortion"))
    return DISTORTIONS[name]


def _register(name: str, unit: str, says: str) -> Callable[[Apply], Apply]:
    def add(apply: Apply) -> Apply:
        DISTORTIONS[name] = Distortion(name, unit, says, apply)
        return apply

    return add


@_register("gain", "dB", "louder or quieter, beyond full scale too")
def gain(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform times 10^(strength / 20)."""
    return waveform * np.float32(10 ** (strength / 20))


@_register("clipping", "dB", "its peaks cut off that far below the highest")
def clipping(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform with all that lies above its peak less `strength` dB cut off there."""
    top = float(np.abs(waveform).max()) * 10 ** (-strength / 20)
    return waveform.clip(-top, top)


@_register("dc", "of full scale", "a constant added, as by a cheap sound card")
def dc(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform plus `strength`."""
    return waveform + np.float32(strength)


@_register("resample_polyphase", "Hz", "stored at that rate, and brought back by scipy's polyphase filter")
def resample_polyphase(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """To `strength` Hz by soxr and back by `scipy.signal.resample_poly`."""
    stored = _resampled(waveform, SAMPLE_RATE, strength)
    divisor = np.gcd(SAMPLE_RATE, round(strength))
    return fit(signal.resample_poly(stored, SAMPLE_RATE // divisor, round(strength) // divisor), len(waveform))


@_register("resample_quick", "Hz", "stored at that rate, and brought back by soxr's quick cubic interpolation")
def resample_quick(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """To `strength` Hz by soxr and back by its QQ quality."""
    stored = _resampled(waveform, SAMPLE_RATE, strength)
    return fit(soxr.resample(stored, strength, SAMPLE_RATE, quality="QQ"), len(waveform))


@_register("resample_linear", "Hz", "stored at that rate, and brought back by straight lines between samples")
def resample_linear(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """To `strength` Hz by soxr and back by linear interpolation: what a resampler should not be, and often is."""
    stored = _resampled(waveform, SAMPLE_RATE, strength)
    times = np.arange(len(waveform)) * (strength / SAMPLE_RATE)
    straight: Waveform = np.interp(times, np.arange(len(stored)), stored).astype(np.float32)
    return straight


@_register("telephone_band", "Hz", "300 Hz up to that, at 8 kHz")
def telephone_band(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """Through a band of 300..`strength` Hz (sixth-order Butterworth at either edge) and a rate of 8 kHz."""
    return _from_telephone(_to_telephone(waveform, strength), len(waveform))


@_register("mu_law", "passes", "through a telephone of 8 kHz mu-law (ITU-T G.711), so many times over")
def mu_law(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The telephone band, coded `strength` times in 8 bits of mu-law."""
    return _telephone(waveform, round(strength), "WAV", "ULAW")


@_register("gsm", "passes", "through a mobile telephone (GSM 06.10 full rate, 13 kbit/s), so many times over")
def gsm(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The telephone band, coded `strength` times by GSM 06.10."""
    return _telephone(waveform, round(strength), "WAV", "GSM610")


@_register("opus", "kbit/s", "through Opus at that bit rate, as in calls over the internet")
def opus(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """Coded by Opus at about `strength` kbit/s, 6 to 256, which chooses its own band."""
    # libsndfile spreads a compression level of 1..0 evenly over Opus's bit rates of 6..256 kbit/s a channel.
    return coded(waveform, SAMPLE_RATE, "OGG", "OPUS", compression=1 - (strength - 6) / 250)


@_register("white_noise", "dB SNR", "white noise under the voice")
def white_noise(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform with Gaussian white noise at `strength` dB of signal-to-noise ratio over the whole clip."""
    return mixed(waveform, rng.standard_normal(len(waveform)), strength)


@_register("babble", "dB SNR", "eight synthesised voices talking at once under the voice")
def babble(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform with the babble of synthesised talkers at `strength` dB of signal-to-noise ratio."""
    voices = sum(_talker(len(waveform), rng) for _ in range(TALKERS))
    return mixed(waveform, np.asarray(voices), strength)


@_register("room", "s RT60", "one metre away in a room of 60 cubic metres with that reverberation time")
def room(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform as heard in a room, as long and as loud as before; the tail after its end is lost."""
    heard = signal.fftconvolve(waveform, impulse_response(strength, rng))[: len(waveform)]
    return _levelled(heard, waveform)


@_register("tilt", "dB/octave", "a spectrum that rises or falls, as by another microphone")
def tilt(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The spectrum times `strength` dB an octave around 1 kHz, from 50 Hz on; as loud as before."""
    frequencies = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE).clip(min=50)
    slope = 10 ** (strength * np.log2(frequencies / TILT_CENTRE) / 20)
    return _levelled(np.fft.irfft(np.fft.rfft(waveform) * slope, len(waveform)), waveform)


@_register("leading_silence", "s", "digital silence before the first word")
def leading_silence(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform after `strength` seconds of zeros."""
    return np.concatenate([np.zeros(round(strength * SAMPLE_RATE), np.float32), waveform])


@_register("truncation", "s", "nothing left but that much of its middle")
def truncation(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The middle `strength` seconds; all of a clip that is shorter."""
    size = round(strength * SAMPLE_RATE)
    start = max(0, (len(waveform) - size) // 2)
    return waveform[start : start + size]


@_register("stereo_delay", "ms", "the mean of two channels, one of them that much later")
def stereo_delay(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform averaged with itself `strength` ms later, as from two microphones: a comb filter."""
    return np.float32(0.5) * (waveform + _delayed(waveform, strength))


@_register("stereo_inverted", "ms", "the mean of two channels, one of them upside down and that much later")
def stereo_inverted(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform averaged with its inverse `strength` ms later, as from a wrongly soldered microphone."""
    return np.float32(0.5) * (waveform - _delayed(waveform, strength))


@_register("phase", "degrees", "all frequencies turned by that angle; 180 turns the wave upside down")
def phase(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform with the phase of each frequency advanced by `strength` degrees."""
    turned: Waveform = np.real(signal.hilbert(waveform) * np.exp(1j * np.deg2rad(strength))).astype(np.float32)
    return turned


@_register("speed", "times", "played faster or slower, and so higher or lower (Ko et al., 2015)")
def speed(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform at `strength` times its speed: shorter and higher above 1."""
    return _resampled(waveform, SAMPLE_RATE * strength, SAMPLE_RATE)


@_register("tempo", "times", "spoken faster or slower at the same pitch")
def tempo(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform at `strength` times its tempo, by overlapping pieces of it."""
    return stretched(waveform, 1 / strength)


@_register("pitch", "semitones", "higher or lower, formants too, in the same time")
def pitch(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
    """The waveform with all frequencies `strength` semitones higher, as long as before."""
    factor = 2 ** (strength / 12)
    return fit(_resampled(stretched(waveform, factor), SAMPLE_RATE * factor, SAMPLE_RATE), len(waveform))


def babble_of(clips: Sequence[Waveform]) -> Distortion:
    """Babble made of recorded speech instead of synthesised voices.

    Args:
        clips: of other speakers, each (n,).

    Returns:
        A distortion called `babble` whose talkers are drawn from the clips, each begun at a random place.
    """

    def apply(waveform: Waveform, strength: float, rng: np.random.Generator) -> Waveform:
        chosen = [clips[i] for i in rng.choice(len(clips), TALKERS, replace=len(clips) < TALKERS)]
        voices = [np.resize(np.roll(clip, -int(rng.integers(len(clip)))), len(waveform)) for clip in chosen]
        return mixed(waveform, np.sum([voice / _rms(voice) for voice in voices], axis=0), strength)

    return Distortion("babble", "dB SNR", f"{TALKERS} recorded voices talking at once under the voice", apply)


def mixed(waveform: Waveform, noise: npt.NDArray[np.floating], snr: float) -> Waveform:
    """A waveform and noise, (n,) each, at a signal-to-noise ratio.

    Args:
        waveform: the signal.
        noise: of any level but none.
        snr: dB, the ratio of the two powers over the whole clip, both without their means.

    Returns:
        Their sum, (n,), the signal as it was.
    """
    noise = noise - noise.mean()
    level = float(np.std(waveform)) / _rms(noise) * 10 ** (-snr / 20)
    return (waveform + level * noise).astype(np.float32)


def impulse_response(rt60: float, rng: np.random.Generator) -> Array:
    """A room's answer to an impulse: the direct sound, then noise that decays exponentially (Polack, 1988).

    Direct sound and reverberation are as loud as each other at the critical distance 0.057 sqrt(V / RT60) metres
    (Kuttruff, Room Acoustics, section 5.1), and the direct sound falls by 6 dB with each doubling of the distance.

    Args:
        rt60: seconds in which the level falls by 60 dB.
        rng: where the noise comes from.

    Returns:
        The response at 16 kHz, (n,), 1 at its beginning, as long as `rt60`.
    """
    times = np.arange(round(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / rt60) * (times >= ROOM_GAP)
    ratio = 0.057 * np.sqrt(ROOM_VOLUME / rt60) / ROOM_DISTANCE
    response: Array = tail / np.sqrt((tail**2).sum()) / ratio
    response[0] = 1.0
    return response


def coded(waveform: Waveform, rate: int, container: str, codec: str, *, compression: float | None = None) -> Waveform:
    """A waveform written and read again by libsndfile, in memory.

    Args:
        waveform: (n,).
        rate: its sample rate in Hz.
        container: libsndfile's name of the file type, such as WAV.
        codec: its name of the coding, such as ULAW.
        compression: 0 (least) to 1 (most), of codecs that have it.

    Returns:
        What is left of it, (n,), kept within full scale as the file's samples are.
    """
    file = io.BytesIO()
    within = waveform.clip(-1, 1)
    soundfile.write(file, within, rate, format=container, subtype=codec, compression_level=compression)
    file.seek(0)
    samples, _ = soundfile.read(file, dtype="float32")
    return fit(samples, len(waveform))


def stretched(waveform: Waveform, factor: float) -> Waveform:
    """A waveform `factor` times as long at the same pitch, by WSOLA (Verhelst and Roelands, 1993).

    Pieces are laid over each other half by half; each is taken near where it should be, at the place that best
    continues the piece before.

    Args:
        waveform: (n,).
        factor: of its length; above 1: slower.

    Returns:
        (round(n * factor),).
    """
    half = round(STRETCH_FRAME * SAMPLE_RATE) // 2
    search = round(STRETCH_SEARCH * SAMPLE_RATE)
    size = round(len(waveform) * factor)
    window = signal.windows.hann(2 * half, sym=False)
    padded = np.pad(waveform.astype(np.float64), (search + half, search + 4 * half))
    out = np.zeros(size + 4 * half)
    place = search  # in `padded`, of the piece that lies at 0 of `out`, whose first half is cut off in the end
    for start in range(0, size + half, half):
        out[start : start + 2 * half] += window * padded[place : place + 2 * half]
        wanted = padded[place + half : place + 3 * half]
        aim = min(search + round((start + half) / factor), len(padded) - 3 * half - search)
        around = padded[aim - search : aim + search + 2 * half]
        energy = signal.fftconvolve(around**2, np.ones(2 * half), mode="valid").clip(min=1e-12)
        likeness = signal.fftconvolve(around, wanted[::-1], mode="valid") / np.sqrt(energy)
        place = aim - search + int(likeness.argmax())
    return out[half : half + size].astype(np.float32)


def fit(waveform: npt.NDArray[np.floating], size: int) -> Waveform:
    """The first `size` samples of a waveform, with zeros after its end where it is shorter."""
    cut = waveform[:size].astype(np.float32)
    return np.pad(cut, (0, size - len(cut)))


def _telephone(waveform: Waveform, passes: int, container: str, codec: str) -> Waveform:
    """Through the telephone band and a codec at 8 kHz, `passes` times."""
    narrow = _to_telephone(waveform, TELEPHONE_HIGH)
    for _ in range(passes):
        narrow = coded(narrow, TELEPHONE_RATE, container, codec)
    return _from_telephone(narrow, len(waveform))


def _to_telephone(waveform: Waveform, high: float) -> Waveform:
    edges = signal.butter(6, (TELEPHONE_LOW, high), "bandpass", fs=SAMPLE_RATE, output="sos")
    return _resampled(signal.sosfilt(edges, waveform), SAMPLE_RATE, TELEPHONE_RATE)


def _from_telephone(narrow: Waveform, size: int) -> Waveform:
    return fit(_resampled(narrow, TELEPHONE_RATE, SAMPLE_RATE), size)


def _resampled(waveform: npt.NDArray[np.floating], rate: float, to: float) -> Waveform:
    resampled: Waveform = soxr.resample(waveform.astype(np.float32), rate, to, quality="HQ")
    return resampled


def _delayed(waveform: Waveform, milliseconds: float) -> Waveform:
    late = round(milliseconds / 1000 * SAMPLE_RATE)
    return fit(np.pad(waveform, (late, 0)), len(waveform))


def _levelled(distorted: npt.NDArray[np.floating], waveform: Waveform) -> Waveform:
    """A distorted waveform as loud as it was before; silence stays silent."""
    return (distorted * (_rms(waveform) / max(_rms(distorted), 1e-12))).astype(np.float32)


def _rms(waveform: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def _talker(size: int, rng: np.random.Generator) -> Array:
    """A synthesised voice, (size,): syllables of random vowels at about four a second, on a pitch of its own."""
    voice = np.zeros(size + SAMPLE_RATE)
    lowest = rng.uniform(90, 200)
    place = -int(rng.integers(SAMPLE_RATE // 4))
    while place < size:
        length = int(rng.uniform(0.12, 0.35) * SAMPLE_RATE)
        syllable = _vowel(length, lowest * rng.uniform(1, 1.5), rng)
        kept = syllable[max(0, -place) :]
        start = max(0, place)
        voice[start : start + len(kept)] += kept
        place += length + int(rng.exponential(0.04) * SAMPLE_RATE)
    return voice[:size]


def _vowel(length: int, pitch: float, rng: np.random.Generator) -> Array:
    """A pulse train through three formants (Klatt's resonators), swelling and fading."""
    glide = pitch * np.linspace(1, rng.uniform(0.85, 1.1), length)
    pulses = np.diff(np.floor(np.cumsum(glide) / SAMPLE_RATE), prepend=0.0)
    sound = pulses + 0.02 * rng.standard_normal(length)
    for low, high, width in ((300, 800, 80), (900, 2300, 120), (2400, 3200, 180)):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        turn = 2 * np.pi * rng.uniform(low, high) / SAMPLE_RATE
        poles = [1, -2 * radius * np.cos(turn), radius**2]
        sound = signal.lfilter([sum(poles)], poles, sound)
    swell: Array = sound * signal.windows.hann(length)
    return swell / max(_rms(swell), 1e-12)
