"""Sound in a pipe, of every kind of WAV and of none; and the command that hears it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affetto import sounding
from affetto.errors import AudioError, ConfigError
from affetto.resources import folder

CLIP = folder("samples") / "12b02Wd.wav"


class Pipe(io.RawIOBase):
    """Gives some bytes at a time, and cannot be rewound."""

    def __init__(self, content: bytes, size: int) -> None:
        self.content, self.size, self.at = content, size, 0

    def readinto(self, buffer) -> int:
        part = self.content[self.at : self.at + min(self.size, len(buffer))]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def heard(content: bytes, *, size: int = 777, rate: int | None = None) -> tuple[np.ndarray, int]:
    with sounding.piped(io.BufferedReader(Pipe(content, size)), rate) as sound:
        return np.concatenate([np.zeros(0, np.float32), *sound.chunks]), sound.sample_rate


def wav(samples: np.ndarray, rate: int, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **options)
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_in_a_pipe_is_read_as_soundfile_reads_it(subtype, kind, channels):
    rng = np.random.default_rng(0)
    content = wav(rng.uniform(-0.9, 0.9, (3_001, channels)), 22_050, format=kind, subtype=subtype)
    samples, rate = heard(content)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    assert rate == 22_050
    np.testing.assert_allclose(samples, expected.mean(axis=1), atol=1e-6)


def test_raw_samples_are_heard_at_the_rate_that_is_told():
    samples = np.arange(-2_000, 2_000, dtype="<i2")
    got, rate = heard(samples.tobytes() + b"\1", rate=8_000)
    assert rate == 8_000
    np.testing.assert_array_equal(got, (samples / np.float32(32_768)).astype(np.float32))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds nothing; expected a WAV file, or --rate HZ"),
        (b"OggS" + bytes(100), "holds something else"),
        (b"RIFF\0\0\0\0WAVE", "ends before its samples"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "does not say of what kind"),
        (wav(np.zeros(100), 16_000, format="WAV", subtype="ULAW"), "of coding 7 with 8 bits; expected PCM"),
    ],
)
def test_what_is_no_sound_is_told_of(content, told):
    with pytest.raises(AudioError, match=f"<stdin>: .*{told}"):
        heard(content)


def test_a_microphone_takes_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match=r"--microphone takes sounddevice: pip install 'affetto\[microphone\]'"):
        with sounding.microphone():
            pass


def listen(*options: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from affetto.cli import main; main()", "listen", *options]
    return subprocess.run(command, input=content, capture_output=True)


@pytest.mark.slow
def test_the_command_hears_a_pipe():
    told = listen(content=Path(CLIP).read_bytes())
    assert told.returncode == 0, told.stderr
    assert told.stdout.decode().split() == ["0:00.0", "-", "0:02.6", "anger", *told.stdout.decode().split()[4:]]
    assert told.stderr.decode() == "2.6 s heard\n"


@pytest.mark.slow
def test_the_command_gives_events_a_line():
    samples, rate = soundfile.read(CLIP, dtype="int16")
    told = listen("--json", "--rate", str(rate), "--update", "0.5", content=samples.tobytes())
    events = [json.loads(line) for line in told.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "utterance.start" and kinds[-2:] == ["measurement.result", "utterance.end"]
    assert kinds.count("measurement.update") >= 2 and told.stderr == b""


@pytest.mark.slow
def test_the_command_says_what_it_takes():
    told = listen(content=b"hello")
    assert told.returncode == 1 and b"expected a WAV file, or --rate HZ" in told.stderr
