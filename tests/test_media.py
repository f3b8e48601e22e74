import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from affetto import audio, media, pieces
from affetto.errors import AudioError

av = pytest.importorskip("av", reason="PyAV, the extra media, is not installed")

SAMPLES = Path(__file__).parents[1] / "samples"
CLIP = SAMPLES / "12b02Wd.wav"
KINDS = {
    "a.m4a": ("-c:a", "aac", "-b:a", "96k"),
    "stereo.m4a": ("-c:a", "aac", "-ac", "2", "-ar", "44100"),
    "lossless.m4a": ("-c:a", "alac"),
    "faststart.mp4": ("-c:a", "aac", "-movflags", "+faststart"),
    "fragments.mp4": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "300000"),
    "pcm.mov": ("-c:a", "pcm_s16le",),
    "a.webm": ("-c:a", "libopus", "-b:a", "32k"),
    "48.webm": ("-c:a", "libopus", "-ar", "48000", "-frame_duration", "60"),
    "vorbis.webm": ("-c:a", "libvorbis", "-ac", "2"),
    "a.mkv": ("-c:a", "flac"),
}  # fmt: skip
VIDEOS = {
    "video.mp4": ("-c:v", "mpeg4", "-c:a", "aac"),
    "video.webm": ("-c:v", "libvpx", "-c:a", "libopus", "-ac", "2"),
}


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The program that is the witness; not the library inside PyAV, but another build."""
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("ffmpeg is not installed")
    return found


@pytest.fixture(scope="session")
def encoded(ffmpeg, tmp_path_factory) -> Path:
    """A folder with the clip in every kind of file, three of them with a picture or with nothing else."""
    folder = tmp_path_factory.mktemp("media")
    picture = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=6")  # longer than the sound
    for name, options in KINDS.items():
        run(ffmpeg, "-i", CLIP, *options, folder / name)
    for name, options in VIDEOS.items():
        run(ffmpeg, *picture, "-i", CLIP, *options, folder / name)
    run(ffmpeg, *picture, "-c:v", "mpeg4", folder / "silent film.mp4")
    return folder


def run(ffmpeg: str, *arguments: object) -> bytes:
    command = [ffmpeg, "-nostdin", "-loglevel", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def by_ffmpeg(ffmpeg: str, path: Path, rate: int, channels: int) -> np.ndarray:
    """Samples (n, channels) as the program decodes them."""
    raw = run(ffmpeg, "-i", path, "-map", "0:a:0", "-f", "f32le", "-")
    return np.frombuffer(raw, np.float32).reshape(-1, channels)


@pytest.mark.parametrize("name", [*KINDS, *VIDEOS])
def test_the_samples_are_those_that_ffmpeg_gives(name, encoded, ffmpeg):
    with (encoded / name).open("rb") as stream:
        samples, rate = media.read(stream, name, 0.0, None)
    assert rate == {"stereo.m4a": 44_100}.get(name, 48_000 if name in ("a.webm", "48.webm", "video.webm") else 16_000)
    assert samples.dtype == np.float32
    expected = by_ffmpeg(ffmpeg, encoded / name, rate, samples.shape[1])
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=2e-5)
    recording = audio.read(encoded / name)
    np.testing.assert_array_equal(recording.waveform, audio.from_array(samples, rate).waveform)
    assert recording.seconds == pytest.approx(audio.read(CLIP).seconds, abs=0.13)  # two frames of AAC at 16 kHz


@pytest.mark.parametrize("name", ["lossless.m4a", "pcm.mov", "a.mkv"])
def test_what_loses_nothing_gives_the_clip_itself(name, encoded):
    np.testing.assert_array_equal(audio.read(encoded / name).waveform, audio.read(CLIP).waveform)


@pytest.mark.parametrize("name", ["a.m4a", "video.mp4", "a.webm"])
def test_path_bytes_and_stream_hold_the_same_recording_and_a_stretch_is_part_of_it(name, encoded):
    path = encoded / name
    whole = audio.read(path)
    for source in (path.read_bytes(), io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(audio.read(source).waveform, whole.waveform)
    with path.open("rb") as stream:
        samples, rate = media.read(stream, name, 0.0, None)
        stream.seek(0)
        part, _ = media.read(stream, name, 0.5, 1.25)
        np.testing.assert_array_equal(part, samples[rate // 2 : round(1.25 * rate)])
    with pytest.raises(AudioError, match="holds no samples"):
        audio.read(path, start=60)
    assert audio.seconds(path, name=name) == pytest.approx(whole.seconds, abs=1e-4)


@pytest.mark.parametrize("name", ["stereo.m4a", "a.webm", "video.mp4"])
def test_a_long_recording_is_read_piece_by_piece_like_the_whole(name, encoded):
    found = list(pieces.pieces(encoded / name, seconds=0.5))
    assert len(found) > 4
    np.testing.assert_allclose(np.concatenate(found)[:, 0], audio.read(encoded / name).waveform, atol=1e-6)
    header = pieces.header(encoded / name)
    recording = audio.read(encoded / name)
    assert (header.sample_rate, header.channels) == (recording.sample_rate, recording.channels)
    assert header.seconds == pytest.approx(recording.seconds, abs=media.SLACK)
    apart = np.concatenate(list(pieces.pieces(encoded / name, channels="split")))
    assert apart.shape == (len(recording.waveform), recording.channels)


def test_blocks_are_the_whole_in_pieces(encoded):
    with (encoded / "a.webm").open("rb") as stream, media.opened(stream, "a.webm") as sound:
        blocks = list(sound.blocks)
        stream.seek(0)
        whole, _ = media.read(stream, "a.webm", 0.0, None)
    assert max(map(len, blocks)) <= 0.12 * sound.sample_rate
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("name", [*KINDS, *VIDEOS])
def test_half_a_file_is_never_taken_for_a_whole_one(name, encoded):
    content = (encoded / name).read_bytes()
    for share in (0.02, 0.3) if name in VIDEOS else (0.02, 0.5, 0.9):  # a picture may go on when all sound was there
        with pytest.raises(AudioError, match="^half: ") as caught:
            audio.read(content[: round(share * len(content))], name="half")
        assert caught.value.reason in ("truncated", "undecodable", "empty")
        assert "\n" not in str(caught.value)


def test_a_file_without_sound_or_with_damage_is_named(encoded):
    with pytest.raises(AudioError, match="silent film.mp4: holds a picture and no sound") as caught:
        audio.read(encoded / "silent film.mp4")
    assert caught.value.reason == "empty"
    with pytest.raises(AudioError, match="not audio that can be decoded") as caught:
        audio.read(b"\0\0\0\x20ftypisom" + bytes(1000), name="zeros")
    assert caught.value.reason == "undecodable"


def test_no_file_can_lead_to_another(encoded, tmp_path):
    """A playlist is not media, whatever it is called: FFmpeg would follow it."""
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{encoded / 'a.m4a'}\n")
    with pytest.raises(AudioError, match="not audio that can be decoded"):
        audio.read(tmp_path / "list.mp4")


@pytest.mark.parametrize(("name", "what"), [("a.m4a", "MP4 .m4a, mp4, mov."), ("a.webm", "WebM or Matroska")])
def test_without_pyav_one_line_names_the_extra(name, what, encoded, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for listen in (audio.read, lambda path: audio.seconds(path, name=str(path))):
        with pytest.raises(
            AudioError, match=rf"{name}: is {what}, which needs PyAV; .* pip install 'affetto\[media\]'$"
        ):
            listen(encoded / name)
    assert audio.read(CLIP).seconds > 1


def test_a_tone_written_by_pyav_itself_comes_back(tmp_path):
    """The one test of decoding where there is no ffmpeg."""
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32)
    path = tmp_path / "tone.webm"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for packet in (*track.encode(frame), *track.encode(None)):
            container.mux(packet)
    recording = audio.read(path)
    assert recording.seconds == pytest.approx(1.0, abs=0.03)
    assert (recording.sample_rate, recording.channels) == (48_000, 1)
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(2_000, 14_000) / 16_000)
    assert np.sqrt(np.mean((recording.waveform[2_000:14_000] - expected) ** 2)) < 0.02
