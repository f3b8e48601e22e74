"""Sound in the containers that telephones, meetings and browsers write: MP4 (m4a, mp4, mov, 3gp) and WebM or Matroska.

Decoding is FFmpeg's (PyAV), the extra `media`. Only these two families are taken, by their first bytes, and FFmpeg is
told which of its readers to use: its others would follow playlists to other files and addresses. PyAV's wheels hold
codecs under the GPL, which is why it is an extra and not part of the base.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from affetto.errors import AudioError

if TYPE_CHECKING:
    import av

EXTENSIONS = (".m4a", ".mp4", ".webm")
"""File names that a folder is searched for; others of these containers are read when they are named."""
SLACK = 0.1
"""Seconds by which sound may be shorter than its file says before it counts as truncated; WebM tells milliseconds, and
recorders round up to their own frames."""

Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """The sound of an open file, to be read once from its beginning.

    Args:
        sample_rate: Hz.
        channels: their number.
        seconds: that the file says it lasts; None where it does not say, or says it of picture and sound together.
        blocks: float32 samples (n, channels), full scale 1.0, of any length, in order.
    """

    sample_rate: int
    channels: int
    seconds: float | None
    blocks: Iterator[Block]


def family(header: bytes) -> str | None:
    r"""FFmpeg's name of the reader for a file, by its first 12 bytes; None if it is neither MP4 nor WebM.

    Example:
        >>> family(b"\0\0\0\x1cftypM4A "), family(b"RIFF\0\0\0\0WAVE")
        ('mov', None)
    """
    if header[4:8] == b"ftyp":
        return "mov"
    return "matroska" if header[:4] == b"\x1a\x45\xdf\xa3" else None


def read(stream: BinaryIO, name: str, start: float, end: float | None) -> tuple[Block, int]:
    """Samples (n, channels) of [start, end) seconds and their rate.

    Everything before is decoded as well, so that a stretch is exactly that part of the whole. Many stretches of a long
    file are read faster from a WAV.

    Raises:
        AudioError: as `opened`.
    """
    with opened(stream, name) as sound:
        first = round(start * sound.sample_rate)
        last = None if end is None else round(end * sound.sample_rate)
        kept, at = [np.zeros((0, sound.channels), np.float32)], 0
        for block in sound.blocks:
            kept.append(block[max(first - at, 0) : None if last is None else max(last - at, 0)])
            at += len(block)
            if last is not None and at >= last:
                break
        return np.concatenate(kept), sound.sample_rate


def seconds(stream: BinaryIO, name: str) -> float:
    """The duration of the sound, by decoding it: headers tell it roughly, that of the picture, or not at all.

    Raises:
        AudioError: as `opened`.
    """
    with opened(stream, name) as sound:
        return sum(len(block) for block in sound.blocks) / sound.sample_rate


@contextmanager
def opened(stream: BinaryIO, name: str) -> Iterator[Sound]:
    """The sound of an MP4 or WebM file, of which no more than a packet is held at a time.

    Where there are several tracks of sound, FFmpeg's choice: the one that is marked as default, or has most channels.

    Args:
        stream: at the beginning of the file, seekable.
        name: what errors call it.

    Raises:
        AudioError: if PyAV is not installed, or the file is damaged, truncated, or has a picture but no sound. Damage
            that lies further on is met while the blocks are read.
    """
    header = stream.read(12)
    stream.seek(0)
    reader = family(header)
    assert reader is not None, "asked for what is neither MP4 nor WebM"
    try:
        import av
    except ImportError as error:
        what = "MP4 (m4a, mp4, mov)" if reader == "mov" else "WebM or Matroska"
        hint = "which needs PyAV; install it with: pip install 'affetto[media]'"
        raise AudioError(name, "undecodable", f"is {what}, {hint}") from error
    try:
        with av.open(stream, format=reader) as container:
            track = container.streams.best("audio")
            if track is None:
                raise AudioError(name, "empty", "holds a picture and no sound")
            frames = _frames(container, track)
            first = next(frames, None)
            if first is None:
                raise AudioError(name, "empty", "holds no samples")
            promised = _promised(container, track)
            blocks = _blocks(itertools.chain([first], frames), promised or 0.0, name)
            yield Sound(first[0].sample_rate, first[0].layout.nb_channels, promised, blocks)
    except av.FFmpegError as error:
        raise AudioError(name, "undecodable", f"not audio that can be decoded ({error.strerror})") from error


def _frames(container: Any, track: Any) -> "Iterator[tuple[av.AudioFrame, int]]":
    """Decoded frames of a track, each with how many samples at its beginning an encoder of Opus put before the sound.

    FFmpeg leaves them out, but its version 8 counts them at the rate that a WebM track names and not at the 48 kHz that
    Opus is decoded to: of a track at 16 kHz it leaves a third out.
    """
    head = track.codec_context.extradata or b""
    before = int.from_bytes(head[10:12], "little") if head.startswith(b"OpusHead") else 0  # RFC 7845, section 5.1
    for packet in container.demux(track):
        left_out = (bytes(data)[:4] for data in packet.iter_sidedata() if before and data.data_type == "skip_samples")
        before -= int.from_bytes(next(left_out, b""), "little")
        for frame in packet.decode():
            yield frame, max(before, 0)
            before = 0


def _blocks(frames: "Iterator[tuple[av.AudioFrame, int]]", promised: float, name: str) -> Iterator[Block]:
    """Samples frame by frame, as floats; sees that all that was promised comes."""
    import av

    convert = av.AudioResampler(format="fltp")  # of the number type alone: rate and channels stay
    kind, count, rate = None, 0, 1
    for frame, before in frames:
        rate = frame.sample_rate
        if kind not in (None, (rate, frame.layout.name)):
            raise AudioError(name, "undecodable", f"changes its rate or its channels after {count / rate:.1f} s")
        kind = (rate, frame.layout.name)
        for plain in convert.resample(frame):
            block = plain.to_ndarray().T.astype(np.float32, copy=False)[before:]  # (n, channels)
            count += len(block)
            yield block
    if count / rate < promised - SLACK:
        detail = f"is truncated: {count / rate:.2f} of {promised:.2f} s could be decoded"
        raise AudioError(name, "truncated", detail)


def _promised(container: Any, track: Any) -> float | None:
    """Seconds of sound that a file says it has; None where it does not say, or says it of picture and sound."""
    import av

    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    if text := track.metadata.get("DURATION"):
        hours, minutes, rest = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(rest)
    alone = all(stream.type == "audio" for stream in container.streams)
    return container.duration / av.time_base if alone and container.duration is not None else None
