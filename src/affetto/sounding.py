"""Sound as it comes: a WAV or raw PCM in a pipe, or a microphone."""

import queue
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from affetto.errors import AudioError, ConfigError

CHUNK_SECONDS = 0.1
"""Of sound that comes at once."""
MICROPHONE_RATE = 16_000
"""Hz that a microphone is asked for; its driver resamples."""
NAME = "<stdin>"
FORMATS: dict[tuple[int, int], tuple[str, float]] = {
    (1, 8): ("u1", 128.0),
    (1, 16): ("<i2", 32_768.0),
    (1, 32): ("<i4", 2_147_483_648.0),
    (3, 32): ("<f4", 1.0),
    (3, 64): ("<f8", 1.0),
}
"""WAV's number of a coding and its bits, to numpy's type and its full scale."""
UNKNOWN_BYTES = 0x7FFF_0000
"""From here on what a WAV's header says of its length means that its writer did not know; as does 0."""
EXTENSIBLE = 0xFFFE
"""WAV's number of a coding that is told later in its header."""


@dataclass(frozen=True)
class Sound:
    """Sound that comes.

    Args:
        sample_rate: Hz.
        chunks: of one channel, each (n,), floats of full scale 1.0.
    """

    sample_rate: int
    chunks: Iterator[npt.NDArray[np.float32]]


@contextmanager
def piped(stream: BinaryIO, rate: int | None) -> Iterator[Sound]:
    """What comes in a pipe.

    Args:
        stream: a WAV file, or 16-bit PCM, one channel, little-endian.
        rate: Hz, of PCM without a header; None for WAV.

    Raises:
        AudioError: if it is neither.
    """
    if rate is not None:
        yield Sound(rate, _samples(stream, rate, 1, ("<i2", 32_768.0)))
        return
    head = _exactly(stream, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        got = "nothing" if not head else "something else"
        detail = f"holds {got}; expected a WAV file, or --rate HZ and 16-bit PCM, or --microphone"
        raise AudioError(NAME, "undecodable", detail)
    sample_rate, channels, kind, size = _wav(stream)
    known = size if 0 < size < UNKNOWN_BYTES else None
    yield Sound(sample_rate, _samples(stream, sample_rate, channels, kind, known))


def _wav(stream: BinaryIO) -> tuple[int, int, tuple[str, float], int]:
    """Rate, channels, kind of number and bytes of samples of a WAV file whose first 12 bytes were read."""
    form = b""
    while True:
        name, size = struct.unpack("<4sI", _exactly(stream, 8).ljust(8, b"\0"))
        if name == b"data":
            break
        if name == b"\0\0\0\0":
            raise AudioError(NAME, "truncated", "is a WAV file that ends before its samples")
        content = _exactly(stream, size + size % 2)
        if name == b"fmt ":
            form = content
    if len(form) < 16:
        raise AudioError(NAME, "undecodable", "is a WAV file that does not say of what kind")
    coding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if coding == EXTENSIBLE and len(form) >= 26:
        coding = struct.unpack("<H", form[24:26])[0]
    if (coding, bits) not in FORMATS or channels < 1:
        detail = f"is a WAV file of coding {coding} with {bits} bits; expected PCM of 8, 16 or 32 bits, or floats"
        raise AudioError(NAME, "undecodable", detail)
    return rate, channels, FORMATS[coding, bits], size


def _samples(
    stream: BinaryIO, rate: int, channels: int, kind: tuple[str, float], size: int | None = None
) -> Iterator[npt.NDArray[np.float32]]:
    """Samples as they come, channels averaged, until there are no more or so many bytes have come."""
    dtype, scale = np.dtype(kind[0]), kind[1]
    frame = dtype.itemsize * channels
    most = max(1, round(CHUNK_SECONDS * rate)) * frame
    rest = b""
    # What is there is taken, though it be less than a chunk: somebody waits for it.
    read = getattr(stream, "read1", stream.read)
    while data := read(most if size is None else min(most, size)):
        size = None if size is None else size - len(data)
        data = rest + data
        whole = len(data) // frame * frame
        rest = data[whole:]
        samples = np.frombuffer(data[:whole], dtype).astype(np.float32)
        if dtype == np.uint8:
            samples -= 128
        yield (samples / np.float32(scale)).reshape(-1, channels).mean(axis=1)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, or as many as there are."""
    parts = []
    while size > 0 and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


@contextmanager
def microphone() -> Iterator[Sound]:
    """What the microphone hears.

    Raises:
        ConfigError: if sounddevice is not installed, or there is no microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio, which it takes, is not there
        needs = "pip install 'affetto[microphone]', and PortAudio (libportaudio2 of Debian)"
        raise ConfigError(f"--microphone takes sounddevice: {needs} ({error})") from error
    heard: queue.Queue[npt.NDArray[np.float32]] = queue.Queue()

    def put(samples: npt.NDArray[np.float32], *_: Any) -> None:
        heard.put(samples[:, 0].copy())

    try:
        stream = sounddevice.InputStream(
            MICROPHONE_RATE,
            channels=1,
            dtype="float32",
            blocksize=round(CHUNK_SECONDS * MICROPHONE_RATE),
            callback=put,
        )
    except sounddevice.PortAudioError as error:
        raise ConfigError(f"--microphone: there is none that can be used ({error})") from error
    with stream:
        yield Sound(MICROPHONE_RATE, iter(heard.get, None))
