"""Recordings of any length, piece by piece: the same samples as `affetto.audio` gives, in constant memory.

soxr's stream gives bit for bit what it gives for the whole.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from affetto import media
from affetto.audio import FRAME_SECONDS, SAMPLE_RATE, SILENCE_PEAK, first_bytes, open_binary, promised_bytes
from affetto.errors import AudioError
from affetto.media import Sound

Channels = Literal["mix", "split"]
"""Whether channels are averaged into one, or stay apart."""

PIECE_SECONDS = 10.0
"""Decoded at once."""
UNKNOWN_FRAMES = 2**62
"""From here on a header's count of samples means that the writer did not know it."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Args:
        sample_rate: Hz.
        channels: how many.
        seconds: that it should last; None where it does not say.
    """

    sample_rate: int
    channels: int
    seconds: float | None


def header(path: str | Path) -> Header:
    """What a file says of itself; of MP4 and WebM the first samples are decoded, of others nothing.

    Raises:
        AudioError: if it is missing, empty or not audio.
    """
    with open_binary(path, str(path)) as stream:
        missing = _check_not_empty(stream, str(path))
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        with _opened(stream, str(path), PIECE_SECONDS) as sound:
            # libsndfile counts the samples that are there, not those that were promised.
            whole = 1 + max(missing, 0) / size
            return Header(sound.sample_rate, sound.channels, None if sound.seconds is None else whole * sound.seconds)


def pieces(path: str | Path, *, channels: Channels = "mix", seconds: float = PIECE_SECONDS) -> Iterator[Samples]:
    """A file's samples at 16 kHz, in their order.

    Args:
        path: wav, flac, ogg, opus, mp3 (libsndfile), m4a, mp4 and webm (PyAV, the extra `media`).
        channels: averaged into one, or apart.
        seconds: of a piece, about.

    Yields:
        Samples, (n, 1) or (n, channels), full scale 1.0. Together they are what `audio.read` gives.

    Raises:
        AudioError: as `audio.read` does; but what comes before damage is given before it is told of. Only whether the
            whole file is silent is known at its end.
    """
    name = str(path)
    with open_binary(path, name) as stream:
        missing = _check_not_empty(stream, name)
        with _opened(stream, name, seconds) as sound:
            check = _Check(name, sound.sample_rate)
            convert = Converter(sound.sample_rate, sound.channels if channels == "split" else 1)
            for block in sound.blocks:
                check.feed(block)
                yield convert.feed(block if channels == "split" else block.mean(axis=1, keepdims=True))
            yield convert.flush()
        if missing > 0:
            raise AudioError(name, "truncated", f"is truncated: {missing} bytes that its header promises are missing")
        check.finish()


def _check_not_empty(stream: BinaryIO, name: str) -> int:
    """Bytes that the header promises and the file lacks."""
    head = first_bytes(stream)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise AudioError(name, "empty", "is empty (0 bytes)")
    return promised_bytes(head) - size


@contextmanager
def _opened(stream: BinaryIO, name: str, seconds: float) -> Iterator[Sound]:
    """The sound of a file, in blocks of about so many seconds."""
    if media.family(first_bytes(stream)):
        with media.opened(stream, name) as sound:
            yield replace(sound, blocks=_gathered(sound.blocks, round(seconds * sound.sample_rate)))
        return
    with soundfile.SoundFile(stream) as file:
        rate: int = file.samplerate
        promised = file.frames / rate if file.frames < UNKNOWN_FRAMES else None
        yield Sound(rate, file.channels, promised, _blocks(file, name, round(seconds * rate)))


def _gathered(blocks: Iterator[Samples], size: int) -> Iterator[Samples]:
    """Small blocks put together to blocks of at least a size, but for the last."""
    ahead: list[Samples] = []
    for block in blocks:
        ahead.append(block)
        if sum(map(len, ahead)) >= size:
            yield np.concatenate(ahead)
            ahead = []
    if ahead:
        yield np.concatenate(ahead)


def _blocks(file: soundfile.SoundFile, name: str, size: int) -> Iterator[Samples]:
    """Samples (n, channels) as they are decoded."""
    done = 0
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            at = done / file.samplerate
            raise AudioError(name, "truncated", f"is damaged: cannot be decoded after {at:.1f} s") from error
        if not len(block):
            break
        done += len(block)
        yield block
    if done < file.frames < UNKNOWN_FRAMES:
        raise AudioError(name, "truncated", f"is truncated: {done} of {file.frames} samples could be decoded")


class Converter:
    """Resamples what comes in pieces of any size; nothing to do at 16 kHz.

    Args:
        rate: Hz of what comes.
        channels: of it.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.channels = channels
        self.stream = None
        if rate != SAMPLE_RATE:
            self.stream = soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32", quality="HQ")

    def feed(self, block: Samples) -> Samples:
        """What can be told at 16 kHz of samples (n, channels) and those before them."""
        return block if self.stream is None else self._resample(block, last=False)

    def flush(self) -> Samples:
        """The rest, at the end."""
        nothing = np.zeros((0, self.channels), np.float32)
        return nothing if self.stream is None else self._resample(nothing, last=True)

    def _resample(self, block: Samples, *, last: bool) -> Samples:
        assert self.stream is not None
        found: Samples = self.stream.resample_chunk(np.ascontiguousarray(block), last=last)
        return found.reshape(-1, self.channels)


class _Check:
    """What `audio.read` checks in a whole waveform, kept up piece by piece."""

    def __init__(self, name: str, rate: int) -> None:
        self.name, self.rate = name, rate
        self.samples, self.total = 0, 0.0
        self.low, self.high = np.inf, -np.inf

    def feed(self, block: Samples) -> None:
        """Look at samples (n, channels)."""
        if not np.isfinite(block).all():
            at = self.samples / self.rate
            raise AudioError(self.name, "not_finite", f"holds samples that are NaN or infinite after {at:.1f} s")
        mean = block.mean(axis=1)
        self.samples += len(mean)
        self.total += float(mean.sum(dtype=np.float64))
        self.low, self.high = min(self.low, float(mean.min())), max(self.high, float(mean.max()))

    def finish(self) -> None:
        """Look back at the whole."""
        if not self.samples:
            raise AudioError(self.name, "empty", "holds no samples")
        seconds = self.samples / self.rate
        if seconds < FRAME_SECONDS:
            detail = f"lasts {1000 * seconds:.0f} ms, shorter than one frame of 25 ms"
            raise AudioError(self.name, "too_short", detail)
        mean = self.total / self.samples
        if max(self.high - mean, mean - self.low) < SILENCE_PEAK:
            raise AudioError(self.name, "silent", "is silent: no sample rises above -80 dBFS")
