"""Long recordings to timelines, and the command; a killed run is gone on with."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from affetto import cli, models
from affetto.checkpoint import Checkpoint
from affetto.errors import AudioError, ConfigError
from affetto.models.linear_probe import LinearProbe
from affetto.recognizer import Recognizer
from affetto.segments import Region, Timeline, TimelineSettings, Utterance, judging, timeline
from affetto.segments import journal as journals
from affetto.tasks import Categories
from affetto.vad import VoiceStream

SAMPLES = Path(__file__).parents[1] / "samples"
CLIPS = {path.stem: soundfile.read(path, dtype="float32")[0] for path in sorted(SAMPLES.glob("*.wav"))}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained(precision="fp32")


def joined(times: int = 1, seed: int = 0) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """The samples with pauses of a second of faint noise; where they are."""
    rng = np.random.default_rng(seed)
    parts, places, at = [], [], 0
    for name in [*CLIPS] * times:
        parts.append(3e-4 * rng.standard_normal(16_000).astype(np.float32))
        at += 16_000
        places.append((at / 16_000, (at + len(CLIPS[name])) / 16_000, name))
        parts.append(CLIPS[name])
        at += len(CLIPS[name])
    parts.append(3e-4 * rng.standard_normal(16_000).astype(np.float32))
    return np.concatenate(parts), places


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timeline") / "call.flac"
    soundfile.write(path, joined()[0], 16_000)
    return path


@pytest.fixture(scope="module")
def found(call, recognizer) -> Timeline:
    return timeline(call, recognizer)


def test_speech_is_found_where_it_is_and_heard_as_a_clip_is(found, recognizer):
    samples, places = joined()
    assert found.seconds == pytest.approx(len(samples) / 16_000)
    assert found.labels == recognizer.labels and found.model == recognizer.checkpoint.name
    for start, end, _ in places:
        own = [each for each in found.utterances if each.start < end and each.end > start]
        assert own[0].start == pytest.approx(start, abs=0.2) and own[-1].end == pytest.approx(end, abs=0.2)
    for each in found.utterances:
        alone = recognizer.predict((samples[round(each.start * 16_000) : round(each.end * 16_000)], 16_000))
        assert each.prediction is not None and each.reason is None
        assert (each.prediction.start, each.prediction.end) == (each.start, each.end)
        assert each.prediction.emotion == alone.emotion
        if each.seconds <= 5:
            assert each.prediction.probabilities == pytest.approx(alone.probabilities, abs=1e-4)


def test_overlapping_windows_are_averaged(tmp_path, recognizer):
    samples = np.concatenate([CLIPS["03a07Nc"], CLIPS["12b02Wd"], CLIPS["13b01Ab"]])
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    whole = Region(0.0, len(samples) / 16_000)
    asked = TimelineSettings(window=2.0, stride=1.0, given=(whole,), change=1e9)
    [one] = timeline(path, recognizer, asked).utterances
    starts = [*np.arange(0, len(samples) - 32_000, 16_000), len(samples) - 32_000]
    heard = [recognizer.predict((samples[start : start + 32_000], 16_000)).probabilities for start in starts]
    at = np.arange(len(samples))
    inside = np.array([(start <= at) & (at < start + 32_000) for start in starts])
    shares = (inside / inside.sum(axis=0)).mean(axis=1)
    for label in recognizer.labels:
        expected = sum(share * answer[label] for share, answer in zip(shares, heard, strict=True))
        assert one.prediction.probabilities[label] == pytest.approx(expected, abs=1e-4)


def test_batches_and_pieces_change_nothing(call, found, recognizer, monkeypatch):
    monkeypatch.setattr(judging, "BATCH_SECONDS", 3.0)
    again = timeline(call, recognizer)
    assert_same(again, found)


def assert_same(one: Timeline, other: Timeline) -> None:
    assert len(one.utterances) == len(other.utterances)
    for a, b in zip(one.rows(), other.rows(), strict=True):
        assert a == {
            name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value for name, value in b.items()
        }


def test_a_stereo_call_is_heard_apart(tmp_path, recognizer):
    left, right = CLIPS["03a07Nc"], CLIPS["13b01Ab"]
    samples = np.zeros((16_000 + len(left) + len(right), 2), np.float32)
    samples[8_000 : 8_000 + len(left), 0] = left
    samples[8_000 + len(left) : 8_000 + len(left) + len(right), 1] = right
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, 16_000)
    apart = timeline(path, recognizer, TimelineSettings(channels="split"))
    assert [each.channel for each in apart.utterances] == [0, 1]
    assert apart.voices == ("channel 0", "channel 1")
    assert {each.channel for each in timeline(path, recognizer).utterances} == {None}


def test_given_speech_is_what_is_judged_and_keeps_its_speakers(call, recognizer):
    given = (Region(1.0, 2.5, "ben"), Region(0.5, 2.0, "anna"), Region(200.0, 201.0, "ben"))
    heard = timeline(call, recognizer, TimelineSettings(given=given))
    assert [(each.start, each.end, each.speaker) for each in heard.utterances] == [
        (0.5, 2.0, "anna"),
        (1.0, 2.5, "ben"),
        (200.0, 201.0, "ben"),
    ]
    assert heard.utterances[2].reason == "no_sound" and heard.utterances[2].prediction is None
    with pytest.raises(ConfigError, match="given for channel 1"):
        timeline(call, recognizer, TimelineSettings(given=(Region(0.0, 1.0, channel=1),)))


def test_a_region_has_one_answer_however_long_it_is(tmp_path, recognizer):
    samples, _ = joined(times=2)
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, 16_000)
    seconds = len(samples) / 16_000
    assert seconds > 35
    given = (Region(0.0, seconds, "anna"),)
    [one] = timeline(path, recognizer, TimelineSettings(window=None, given=given)).utterances
    assert (one.start, one.end) == (0.0, pytest.approx(seconds))
    halves = [recognizer.predict((half, 16_000)) for half in np.array_split(samples, 2)]
    for label in recognizer.labels:
        mean = np.mean([half.probabilities[label] for half in halves])
        assert one.prediction.probabilities[label] == pytest.approx(mean, abs=1e-3)


def test_words_are_those_of_each_utterance(call, found, recognizer, monkeypatch):
    class Counter:
        name = "counts"

        def transcribe(self, waveform: np.ndarray) -> str:
            return f"{len(waveform)} samples"

    monkeypatch.setattr(recognizer, "asr", Counter())
    heard = timeline(call, recognizer, TimelineSettings(words=True))
    assert [each.words for each in heard.utterances] == [
        f"{round(each.end * 16_000) - round(each.start * 16_000)} samples" for each in found.utterances
    ]


def test_no_speech_is_no_utterance_and_silence_is_told_of(tmp_path, recognizer):
    path = tmp_path / "x.wav"
    soundfile.write(path, 0.01 * np.random.default_rng(0).standard_normal(80_000), 16_000)
    assert timeline(path, recognizer).utterances == ()
    soundfile.write(path, np.zeros(80_000), 16_000)
    with pytest.raises(AudioError, match="is silent"):
        timeline(path, recognizer)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_file_that_stops_is_heard_so_far(ending, tmp_path, recognizer, found):
    path = tmp_path / f"x.{ending}"
    samples, _ = joined()
    soundfile.write(path, samples, 16_000)
    path.write_bytes(path.read_bytes()[: round(0.6 * path.stat().st_size)])
    heard = timeline(path, recognizer)
    assert heard.damage is not None and heard.seconds == pytest.approx(len(samples) / 16_000, abs=0.01)
    assert heard.utterances[-1] == Utterance(heard.utterances[-1].start, heard.seconds, reason="truncated")
    before = [each for each in found.utterances if each.end < heard.utterances[-1].start - 1]
    assert len(before) >= 2
    for a, b in zip(heard.utterances, before, strict=False):
        assert (a.start, a.end) == (b.start, b.end)
        assert a.prediction.probabilities == pytest.approx(b.prediction.probabilities, abs=1e-3)


KILLED = """
import os, signal, sys
from pathlib import Path
from affetto.recognizer import Recognizer
from affetto.segments import judging, timeline
from affetto.segments import journal as journals
from affetto import pieces
judging.BATCH_SECONDS, judging.AHEAD, journals.EVERY, pieces.PIECE_SECONDS = 4.0, 0, 3.0, 1.0
def told(done, total):
    if done > 0.7 * total:
        os.kill(os.getpid(), signal.SIGKILL)
timeline(sys.argv[1], Recognizer.from_pretrained(precision="fp32"), journal=Path(sys.argv[2]), progress=told)
"""


def test_a_run_that_was_killed_is_gone_on_with(call, found, recognizer, tmp_path, monkeypatch):
    done = subprocess.run([sys.executable, "-c", KILLED, str(call), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    [left] = tmp_path.glob("*.jsonl")
    with left.open("a") as stream:
        stream.write('{"judged": [0, {"first"')  # a line that the kill cut short
    judged, frames = [], []
    hear, step = Recognizer.predict_all, VoiceStream._hear
    monkeypatch.setattr(
        Recognizer, "predict_all", lambda self, sounds, **k: (judged.extend(sounds), hear(self, sounds))[1]
    )
    monkeypatch.setattr(VoiceStream, "_hear", lambda self, rows: (frames.append(len(rows)), step(self, rows))[1])
    again = timeline(call, recognizer, journal=tmp_path)
    assert_same(again, found)
    assert 0 < len(judged) <= len(found.utterances) / 2
    resumed = sum(frames)
    timeline(call, recognizer)
    assert resumed < 0.5 * (sum(frames) - resumed)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def beside(tiny_probe) -> Recognizer:
    """A recogniser that takes baselines, with random weights."""
    settings = models.parse_settings({**tiny_probe, "baseline": True}, source="test")
    torch.manual_seed(0)
    model = models.get(settings.name).create(settings, 3)
    torch.nn.init.normal_(model.classifier.weight)
    return Recognizer(
        Checkpoint(model.eval(), settings, Categories(("anger", "fear", "joy")), {"name": "beside"}), precision="fp32"
    )


def test_each_voice_is_judged_beside_what_was_heard_of_it_before(call, beside):
    given = tuple(Region(2.0 * i, 2.0 * i + 1.5, ("anna", "ben")[i % 2]) for i in range(8))
    heard = timeline(call, beside, TimelineSettings(given=given, baseline="running"))
    samples, _ = joined()
    voices = {"anna": beside.running(), "ben": beside.running()}
    for each in heard.utterances:
        stretch = samples[round(each.start * 16_000) : round(each.end * 16_000)]
        [expected] = voices[each.speaker].hear([(stretch, 16_000)])
        assert each.prediction.probabilities == pytest.approx(expected.probabilities, abs=2e-3)
    alone = timeline(call, beside, TimelineSettings(given=given))
    assert alone.utterances[-1].prediction.probabilities != heard.utterances[-1].prediction.probabilities


def test_a_voice_is_judged_beside_recordings_of_it(call, beside, tmp_path):
    for speaker, name in {"anna": "03a07Nc", "ben": "12b02Wd"}.items():
        (tmp_path / speaker).mkdir()
        soundfile.write(tmp_path / speaker / "x.wav", CLIPS[name], 16_000, subtype="FLOAT")
    given = (Region(1.0, 3.0, "anna"), Region(4.0, 6.0, "ben"), Region(7.0, 9.0, "carl"))
    heard = timeline(call, beside, TimelineSettings(given=given, baseline=tmp_path))
    samples = joined()[0]
    baselines = [beside.baseline([(CLIPS[name], 16_000)]) for name in ("03a07Nc", "12b02Wd")]
    for each, baseline in zip(heard.utterances, [*baselines, None], strict=True):
        stretch = samples[round(each.start * 16_000) : round(each.end * 16_000)]
        expected = beside.predict((stretch, 16_000), baseline=baseline)
        assert each.prediction.probabilities == pytest.approx(expected.probabilities, abs=2e-3)
    with pytest.raises(ConfigError, match="expected none, running, or a folder"):
        timeline(call, beside, TimelineSettings(baseline=tmp_path / "nowhere"))


def test_a_model_that_takes_no_baseline_says_so(call, recognizer, monkeypatch):
    monkeypatch.setattr(LinearProbe, "takes_baseline", False)
    monkeypatch.delitem(vars(recognizer), "heard_by", raising=False)  # cached
    with pytest.raises(ConfigError, match="takes no speaker's baseline"):
        timeline(call, recognizer, TimelineSettings(baseline="running"))


def test_a_running_baseline_is_gone_on_with(call, beside, tmp_path, monkeypatch):
    class KilledError(BaseException):
        pass

    def told(done: float, total: float | None) -> None:
        if done > 0.7 * total:
            raise KilledError

    for module, name, value in ((judging, "BATCH_SECONDS", 4.0), (judging, "AHEAD", 0), (journals, "EVERY", 3.0)):
        monkeypatch.setattr(module, name, value)
    asked = TimelineSettings(baseline="running")
    whole = timeline(call, beside, asked)
    with pytest.raises(KilledError):
        timeline(call, beside, asked, journal=tmp_path, progress=told)
    [left] = tmp_path.glob("*.jsonl")
    assert '"gained": [""' in left.read_text()
    assert_same(timeline(call, beside, asked, journal=tmp_path), whole)


def test_another_file_or_question_begins_anew(call, recognizer, tmp_path):
    asked = journals.key(call, recognizer, "a")
    assert asked == journals.key(call, recognizer, "a") != journals.key(call, recognizer, "b")
    other = tmp_path / "x.flac"
    other.write_bytes(call.read_bytes())
    assert journals.key(other, recognizer, "a") != asked


def test_two_at_once_do_not_share_a_journal(tmp_path):
    with journals.Journal(tmp_path, "x") as first, journals.Journal(tmp_path, "x") as second:
        first._write({"voice": [0, 5, "", ["", "", ""]]})
        second._write({"broken": 1})
        second.finish()
        assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "wrong", [{"window": 31.0}, {"window": 0.01}, {"stride": 6.0}, {"window": None, "stride": 1.0}, {"change": -1.0}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        TimelineSettings(**wrong)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["affetto", "timeline", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


@pytest.fixture
def loaded(recognizer, monkeypatch, tmp_path):
    """The command with a recogniser that is loaded already, and a cache of its own."""
    monkeypatch.setenv("AFFETTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Recognizer, "from_pretrained", lambda *_, **__: recognizer)


def test_the_command_shows_writes_and_goes_on(loaded, monkeypatch, capsys, call, found, tmp_path):
    assert run(monkeypatch, call) == 0
    shown = capsys.readouterr().out
    assert f"{found.utterances[0].prediction.emotion} " in shown and "0:01.0" in shown
    assert run(monkeypatch, call, "--out", tmp_path / "x.csv") == 0
    table = pd.read_csv(tmp_path / "x.csv")
    assert tuple(table.columns) == found.columns
    assert table["start"].to_numpy() == pytest.approx([each.start for each in found.utterances], abs=1e-6)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"nothing")
    assert run(monkeypatch, broken, call, "--out", tmp_path / "all", "--format", "vtt") == 1
    assert "broken.wav: not audio" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["call.vtt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.docx"], "the ending names no format"),
        (["--format", "parquet"], "give --out"),
        (["--channels", "left"], "expected mix or split"),
        (["--window", "99"], "expected 0.1 to 30 s"),
        (["--regions", "nowhere.csv"], "is not a file"),
        (["x.wav", "--format", "vtt"], "about one recording"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(loaded, monkeypatch, capsys, call, arguments, message):
    assert run(monkeypatch, call, *arguments) == 1
    assert message in capsys.readouterr().err
