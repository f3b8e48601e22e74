"""From a file, bytes or an array to a waveform: mono float32 at 16 kHz.

Everything that enters Affetto as sound enters here, in training and in recognition alike, so that a recogniser hears
what its model heard. Decoding is libsndfile's (soundfile), resampling is soxr's; both are named in every checkpoint.
MP4 and WebM, which libsndfile does not know, are decoded by FFmpeg (`media`).
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from affetto import media
from affetto.errors import AudioError

SAMPLE_RATE = 16_000
"""Hz; of every waveform inside the package."""
RESAMPLER = "soxr-HQ"
"""Resampler and quality, as recorded in checkpoints."""
FRAME_SECONDS = 0.025
"""Analysis frame of every front end (25 ms): nothing shorter can be heard."""
SILENCE_PEAK = 1e-4
"""Largest deviation from the mean (full scale 1.0; -80 dBFS) that still counts as silence."""
PEAK = 0.99
"""Share of the largest sample from which a sample lies at the peak."""
EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", *media.EXTENSIONS)
"""File names that a folder is searched for."""

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A waveform with what is known of where it came from.

    Args:
        waveform: mono samples at 16 kHz, (n,), full scale 1.0.
        sample_rate: Hz of the source before resampling.
        channels: of the source before they were averaged.
        clipped: share of the source's samples that lie within 1 % of its peak.
    """

    waveform: Waveform
    sample_rate: int
    channels: int
    clipped: float = 0.0

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.waveform) / SAMPLE_RATE

    @property
    def notes(self) -> tuple[str, ...]:
        """What a careful listener would want to know about the source, in words; mostly nothing."""
        notes = []
        if self.sample_rate < SAMPLE_RATE:
            notes.append(
                f"{self.sample_rate} Hz audio has nothing above {self.sample_rate // 2} Hz; models hear 16 kHz"
            )
        if self.channels > 2:
            notes.append(f"{self.channels} channels were averaged into one")
        return tuple(notes)


def read(
    source: str | Path | bytes | BinaryIO, *, name: str | None = None, start: float = 0.0, end: float | None = None
) -> Recording:
    """The recording in a file, in bytes or in an open binary file.

    Args:
        source: path, the file's bytes, or a seekable binary stream; wav, flac, ogg, opus, mp3 (libsndfile), m4a, mp4
            and webm (PyAV, the extra `media`).
        name: what errors call the source; by default its path.
        start: seconds to begin at.
        end: seconds to stop at; None: to the end.

    Returns:
        The recording, resampled to 16 kHz, channels averaged.

    Raises:
        AudioError: if the source is missing, not audio, truncated, empty, shorter than a frame of 25 ms, silent, or
            holds values that are not finite.
    """
    if name is None:
        name = str(source) if isinstance(source, str | Path) else "<bytes>"
    if not start >= 0:
        raise ValueError(f"expected a start of 0 s or later, got {start}")
    with open_binary(source, name) as stream:
        samples, rate = _decode(stream, name, start, end)
    return from_array(samples, rate, name=name)


def seconds(path: Path, *, name: str) -> float:
    """The duration of a file in seconds, by its header, or where that cannot be trusted (MP4, WebM) by decoding it.

    Raises:
        AudioError: if the file is missing or not audio.
    """
    with open_binary(path, name) as stream:
        if media.family(first_bytes(stream)):
            return media.seconds(stream, name)
        with soundfile.SoundFile(stream) as file:
            return float(file.frames / file.samplerate)


@contextmanager
def open_binary(source: str | Path | bytes | BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The source as a binary stream; what goes wrong while it is read becomes an `AudioError`."""
    try:
        if isinstance(source, str | Path):
            path = Path(source)
            if not path.exists():
                raise AudioError(name, "missing", "no such file")
            if not path.is_file():
                raise AudioError(name, "undecodable", "not a file")
            with path.open("rb") as stream:
                yield stream
        else:
            yield io.BytesIO(source) if isinstance(source, bytes) else source
    except soundfile.LibsndfileError as error:
        raise AudioError(name, "undecodable", f"not audio that can be decoded ({_reason(error)})") from error
    except TypeError as error:  # soundfile takes a name in .raw for samples without a header
        raise AudioError(name, "undecodable", "raw samples without a header; convert them to WAV first") from error
    except OSError as error:
        raise AudioError(name, "undecodable", f"cannot be read ({error.strerror or error})") from error


def from_array(samples: npt.NDArray[Any], sample_rate: int, *, name: str = "<array>") -> Recording:
    """The recording in an array of any rate, channel count and number type.

    Args:
        samples: (n,), (n, channels) or (channels, n): the shorter axis is taken as channels. Integers are scaled by
            their type's full range (unsigned ones are centred), floats are taken as they are.
        sample_rate: Hz of the samples.
        name: what errors call the source.

    Returns:
        The recording at 16 kHz.

    Raises:
        AudioError: if it is empty, shorter than a frame of 25 ms, silent, or holds NaN or infinite values.
        ValueError: if the shape or the rate cannot be those of sound.

    Example:
        >>> from_array(np.full((8000, 2), 16384, dtype=np.int16) * np.array([[1], [-1]] * 4000, np.int16), 8000).seconds
        1.0
    """
    if sample_rate <= 0 or samples.ndim not in (1, 2):
        raise ValueError(f"expected (n,) or (n, channels) at a positive rate, got {samples.shape} at {sample_rate} Hz")
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T  # (n, channels)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    if samples.size == 0:
        raise AudioError(name, "empty", "holds no samples")
    waveform = _as_float(samples)
    if not np.isfinite(waveform).all():
        raise AudioError(name, "not_finite", "holds samples that are NaN or infinite")
    # Of the source: resampling rounds the corners off.
    clipped = peak_share(waveform)
    if waveform.ndim == 2:
        waveform = waveform.mean(axis=1)
    if len(waveform) < FRAME_SECONDS * sample_rate:
        seconds = len(waveform) / sample_rate
        raise AudioError(name, "too_short", f"lasts {1000 * seconds:.0f} ms, shorter than one frame of 25 ms")
    if np.abs(waveform - waveform.mean()).max() < SILENCE_PEAK:
        raise AudioError(name, "silent", "is silent: no sample rises above -80 dBFS")
    if sample_rate != SAMPLE_RATE:
        waveform = soxr.resample(waveform, sample_rate, SAMPLE_RATE, quality="HQ")
    return Recording(np.ascontiguousarray(waveform, dtype=np.float32), sample_rate, channels, clipped)


def peak_share(samples: npt.NDArray[np.float32]) -> float:
    """Share of samples, of any shape, within 1 % of the peak: hardly any, unless something cut the peaks off.

    Example:
        >>> peak_share(np.array([0.1, 0.5, -0.5, 0.3], np.float32))
        0.5
    """
    heights = np.abs(samples)
    return float((heights >= PEAK * heights.max()).mean())


def _decode(stream: BinaryIO, name: str, start: float, end: float | None) -> tuple[npt.NDArray[np.float32], int]:
    """Samples (n, channels) of [start, end) and their rate."""
    header = first_bytes(stream)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise AudioError(name, "empty", "is empty (0 bytes)")
    if media.family(header):
        return media.read(stream, name, start, end)
    promised = promised_bytes(header) - size
    with soundfile.SoundFile(stream) as file:
        if promised > 0:
            raise AudioError(name, "truncated", f"is truncated: {promised} bytes that its header promises are missing")
        rate: int = file.samplerate
        first = min(round(start * rate), file.frames)
        last = file.frames if end is None else min(round(end * rate), file.frames)
        file.seek(first)
        samples = file.read(max(last - first, 0), dtype="float32", always_2d=True)
    if len(samples) < last - first:
        raise AudioError(name, "truncated", f"is truncated: {len(samples)} of {last - first} samples could be decoded")
    return samples, rate


def first_bytes(stream: BinaryIO) -> bytes:
    """The first 12 bytes of a stream, which is left at its beginning."""
    header = stream.read(12)
    stream.seek(0)
    return header


def promised_bytes(header: bytes) -> int:
    """Size in bytes that the first 12 bytes of a WAV, AIFF or AU file promise; 0 for other formats and when streamed.

    libsndfile shortens such a file, when truncated, without a word, so its size is compared with this. Writers that do
    not know the length put 0 there, 0xFFFFFFFF (ffmpeg), or something from 0x7F000000 on (sox).
    """
    if len(header) < 12:
        return 0
    if header[:4] == b"RIFF":
        before, length = 8, int.from_bytes(header[4:8], "little")
    elif header[:4] == b"FORM":
        before, length = 8, int.from_bytes(header[4:8], "big")
    elif header[:4] == b".snd":
        before, length = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")
    else:
        return 0
    return 0 if length == 0 or length >= 0x7F000000 else before + length


def _as_float(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    kind = samples.dtype.kind
    if kind == "f":
        return samples.astype(np.float32, copy=False)
    if kind not in "iu":
        raise ValueError(f"expected integer or float samples, got {samples.dtype}")
    full_scale = float(2 ** (8 * samples.dtype.itemsize - 1))
    offset = full_scale if kind == "u" else 0.0
    return ((samples.astype(np.float64) - offset) / full_scale).astype(np.float32)


def _reason(error: soundfile.LibsndfileError) -> str:
    text: str = error.error_string
    return text.strip().rstrip(".")


def find(folder: Path, *, recursive: bool) -> list[Path]:
    """The audio files in a folder, sorted by name.

    Args:
        folder: where to look.
        recursive: look below it too.

    Returns:
        Paths that begin with `folder` as given, of the types in `EXTENSIONS`.
    """
    paths = folder.rglob("*") if recursive else folder.glob("*")
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in EXTENSIONS and path.is_file() and not path.name.startswith("._")
    )
