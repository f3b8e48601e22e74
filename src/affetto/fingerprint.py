"""Acoustic fingerprints: recordings that are the same sound under another guise.

For an audit of leaks between train and test: a copy made louder, coded as MP3, brought to another rate, cut or given
some noise has other bytes than its original and escapes a hash of the samples, but not the ear of a model. A print is
32 bits for every 10 ms: whether the difference in energy between two neighbouring bands rises or falls. Two recordings
are the same sound if few of these bits differ where one is laid over the other; where to lay them, an inverted index
of the bits tells. Another take of the same sentence by the same speaker is another sound.

Source: Haitsma and Kalker (2002), A Highly Robust Audio Fingerprinting System, ISMIR, sections 4 and 5.

Differs from the paper, which seeks three seconds of pop music:
    * frames of 256 ms every 10 ms and bands from 150 to 3,700 Hz (there 370 ms, 11.6 ms, 300 to 2,000 Hz): speech is
      shorter and changes faster, and the highest band stays below what a telephone or 8 kHz audio holds;
    * only bits that are strong in both recordings are compared. Noise and coding turn weak bits, another take turns
      strong ones too. Of all bits, white noise at 10 dB turns 0.15 (at most 0.23), and the most similar takes of
      RAVDESS differ in 0.18; of strong bits it turns 0.003 (at most 0.05), and the takes differ in 0.09;
    * quiet frames have no strong bits and are not indexed: their bits are the room's noise, or constant;
    * the index holds half words, every other bit, since noise at 10 dB leaves no whole word of some clips. The paper
      looks up words with their weakest bits turned instead, which is 1,024 of them for ten weak bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from affetto.audio import SAMPLE_RATE, SILENCE_PEAK, Waveform

WIN_LENGTH = 4096
"""Samples of a frame (256 ms): so long that a shift by half a hop turns only 4 % of the bits."""
HOP_LENGTH = 160
"""Samples from one frame to the next (10 ms)."""
LOWEST_FREQUENCY = 150.0
"""Hz at which the lowest band begins: above DC and the hum of the mains."""
HIGHEST_FREQUENCY = 3700.0
"""Hz at which the highest band ends: speech brought to 8 kHz and back has nothing to compare above."""
BITS = 32
"""Of a word. Each compares a band with the next higher one, so there is one band more, all as wide in log frequency."""
STRONG_BITS = 12
"""Of a frame: those whose difference moves furthest. By the frame, so that a quiet stretch of a long recording keeps
its own."""
QUIET = 35.0
"""dB below the loudest frame from which a frame is quiet."""
ROUNDING = 1e-6
"""Share of a frame's energy up to which a difference may be rounding and is never strong: that of a steady tone."""
SAME_SOUND = 0.07
"""Error rate up to which two recordings are the same sound, chosen on EMO-DB: twice that of the worst copy
with noise at 20 dB, less than half that of the nearest other sound.

Its 535 clips in other guises have 0 with another gain, polarity or DC offset, at 8 kHz, or cut by whole hops; at most
0.01 with noise at 20 dB; 0.02 as the worst MP3 or Vorbis, or cut off the hops; 0.035 cut, coded and noisy at once; 0.05
with noise at 10 dB, or three times as loud and clipped (medians 0.003 and 0.002). Of all pairs of the clips themselves
that the index looks at, 19,643 of 142,845, the lowest has 0.17, in an overlap of 0.4 s; takes of a sentence by one
actor in one emotion have 0.287 or more.

RAVDESS is harder, since its actors repeat a sentence in the same rhythm (its takes showed that weak bits must not
count): the most similar takes have 0.091, 0.096 and 0.099, other pairs 0.10 or more. Below the limit lies one pair, and
it holds the same samples: 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07."""
LEAST_OVERLAP = 0.4
"""Seconds of frames that sound in both recordings, without which they are not compared; with less, other sounds come
near by chance: on EMO-DB to 0.14 at 0.3 s, 0.17 at 0.4 s, 0.24 at 1 s. With
a frame's length, the shortest stretch that can be found lasts 0.66 s."""
LEAST_HITS = 2
"""Half words that must agree at an offset before the recordings are laid over each other there. Of EMO-DB's clips with
noise at 10 dB two hits find all but one. Three take a fifth of the time, but miss more of the short ones."""
COMMONEST = 4096
"""Occurrences of a half word, in recordings yet to come, beyond which the index does not follow it, since that costs
their square. The commonest of RAVDESS occurs 95 times in 267,000 words. Loops that repeat exactly make commoner
ones, and of more copies of a recording than this not all pairs are found."""

_EVERY_OTHER = np.uint32(0x55555555)
_ODD_HALF = np.uint32(0x80000000)
"""A bit that no half word uses, set to tell odd halves from even ones."""
_FRAMES_AT_ONCE = 64
"""Frames transformed together: 1 MB, which stays in the processor's cache."""

Print = npt.NDArray[np.uint32]
"""(frames, 2): the word of each frame, and a word whose set bits are the strong ones, none in quiet frames."""


@dataclass(frozen=True)
class Match:
    """Two recordings that are the same sound.

    Args:
        first: index of the earlier one in the list of prints.
        second: index of the later one.
        offset: seconds into the first at which the second begins; negative where the second begins before.
        error_rate: share of differing bits among those strong in both, in [0, 1].
        overlap: seconds of frames that sound in both.
    """

    first: int
    second: int
    offset: float
    error_rate: float
    overlap: float


def fingerprint(waveform: Waveform) -> Print:
    """The print of a recording: 32 bits for every 10 ms, and which of them are strong.

    Bit m of frame n, counted from the highest, is set if E(n, m) - E(n, m + 1) > E(n - 1, m) - E(n - 1, m + 1), where
    E(n, m) is the energy of band m (equation 1 of the paper); it is strong if the sides differ by much. Gain, polarity
    and a DC offset change nothing.

    Args:
        waveform: mono samples at 16 kHz, (n,).

    Returns:
        (frames, 2), the first frame, which has none before it, left out; empty for less than two frames, 266 ms. No
        bit is strong in quiet frames, nor in any frame of what `audio` calls silent.

    Example:
        >>> noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
        >>> fingerprint(noise).shape, bool((fingerprint(noise) == fingerprint(-0.5 * noise)).all())
        ((74, 2), True)
    """
    frames = 1 + (len(waveform) - WIN_LENGTH) // HOP_LENGTH
    if frames < 2:
        return np.zeros((0, 2), np.uint32)
    windows = np.lib.stride_tricks.sliding_window_view(waveform, WIN_LENGTH)[::HOP_LENGTH]
    blocks = [_energies(windows[begin : begin + _FRAMES_AT_ONCE]) for begin in range(0, frames, _FRAMES_AT_ONCE)]
    energies = np.concatenate(blocks)  # (frames, BITS + 1)
    moves = np.diff(energies[:, :-1] - energies[:, 1:], axis=0)  # (frames - 1, BITS)
    sizes = np.abs(moves)
    loudness = energies[1:].sum(axis=1, keepdims=True)
    strong = sizes >= np.partition(sizes, -STRONG_BITS, axis=1)[:, -STRONG_BITS, None]
    strong &= sizes > ROUNDING * loudness
    strong &= loudness > loudness.max() * 10 ** (-QUIET / 10)
    strong &= np.abs(waveform - waveform.mean()).max() >= SILENCE_PEAK
    return np.stack((_packed(moves > 0), _packed(strong)), axis=1)


def _energies(windows: Waveform) -> npt.NDArray[np.float64]:
    """Energy of each band in frames of samples, (frames, BITS + 1)."""
    edges = np.geomspace(LOWEST_FREQUENCY, HIGHEST_FREQUENCY, BITS + 2)
    bins = np.ceil(edges * WIN_LENGTH / SAMPLE_RATE).astype(int)
    spectrum = np.fft.rfft(windows * np.hanning(WIN_LENGTH).astype(np.float32))[:, : bins[-1]]
    power = spectrum.real**2 + spectrum.imag**2
    return np.add.reduceat(power, bins[:-1], axis=1, dtype=np.float64)


def _packed(bits: npt.NDArray[np.bool_]) -> Print:
    """A word for each row of 32 bits."""
    return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)


def matches(prints: Sequence[Print], *, error_rate: float = SAME_SOUND, overlap: float = LEAST_OVERLAP) -> list[Match]:
    """All pairs of recordings that are the same sound, in part or as a whole.

    Silent recordings match nothing, not even each other: copies of silence are for a hash of the samples to find.

    Args:
        prints: as `fingerprint` gives them.
        error_rate: the highest at which two recordings are the same sound.
        overlap: the least, in seconds.

    Returns:
        One match for each pair, at the offset where the fewest bits differ, ordered by `first`, then `second`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rain, wind = rng.standard_normal((2, 32_000)).astype(np.float32)
        >>> matches([fingerprint(sound) for sound in (rain, wind, 0.5 * rain[8_000:])])
        [Match(first=0, second=2, offset=0.5, error_rate=0.0, overlap=1.24)]
    """
    found: dict[tuple[int, int], tuple[float, Match]] = {}
    for first, second, shift in _places(prints):
        one, other = prints[first][max(-shift, 0) :], prints[second][max(shift, 0) :]
        one, other = one[: len(other)], other[: len(one)]  # (frames, 2)
        strong = one[:, 1] & other[:, 1]
        seconds = int(np.count_nonzero((one[:, 1] != 0) & (other[:, 1] != 0))) * HOP_LENGTH / SAMPLE_RATE
        if seconds < overlap or not strong.any():
            continue
        differ = one[:, 0] ^ other[:, 0]
        errors = _ones(differ & strong) / _ones(strong)
        rank = _ones(differ) / (BITS * len(differ))  # of all bits: sharper in time, since weak bits turn first
        if errors <= error_rate and rank < found.get((first, second), (1.0,))[0]:
            found[first, second] = rank, Match(first, second, -shift * HOP_LENGTH / SAMPLE_RATE, errors, seconds)
    return [found[pair][1] for pair in sorted(found)]


def _ones(words: Print) -> int:
    """Number of bits set in all words together."""
    return int(np.unpackbits(words.view(np.uint8)).sum(dtype=np.int64))


def _places(prints: Sequence[Print]) -> Iterator[tuple[int, int, int]]:
    """Where to lay prints over each other: first, second, and the frames by which the second runs late.

    All prints are laid out on one line, with gaps as long as the longest. How far along the line a half word lies, less
    its frame in the first print, tells then which the second is and how late it runs.
    """
    sounding = [np.flatnonzero(each[:, 1]) for each in prints]
    if not sum(map(len, sounding)):
        return
    lengths = [len(each) for each in prints]
    gap = max(lengths)
    origins = np.cumsum([0, *lengths[:-1]]) + gap * np.arange(len(prints))
    bounds = np.cumsum([0, *(2 * len(frames) for frames in sounding)])  # of each print in `keys` and `frames`
    words = np.concatenate([each[frames, 0] for each, frames in zip(prints, sounding, strict=True)])
    halves = np.stack((words & _EVERY_OTHER, words >> np.uint32(1) & _EVERY_OTHER | _ODD_HALF), axis=1).ravel()
    keys = np.unique(halves, return_inverse=True)[1]
    frames = np.repeat(np.concatenate(sounding), 2)
    index = (np.repeat(origins, np.diff(bounds)) + frames)[np.argsort(keys, kind="stable")]
    counts = np.bincount(keys)
    ends = np.cumsum(counts)
    begins = ends - counts  # of each key's occurrences in the index, first in this print, soon in later ones only
    for first, (begin, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        mine = keys[begin:end]
        np.add.at(begins, mine, 1)
        later = ends[mine] - begins[mine]
        later[later > COMMONEST] = 0
        hits = np.arange(later.sum()) + np.repeat(begins[mine] - np.cumsum(later) + later, later)
        places, votes = np.unique(index[hits] - np.repeat(frames[begin:end], later), return_counts=True)
        places = places[votes >= LEAST_HITS]
        seconds = np.searchsorted(origins, places + gap, side="right") - 1
        for second, shift in zip(seconds.tolist(), (places - origins[seconds]).tolist(), strict=True):
            yield first, second, shift
