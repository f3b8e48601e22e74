"""A stream says the same however it is cut, and at its end what is said of the file."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto.audio import SAMPLE_RATE
from affetto.errors import AudioError, ConfigError
from affetto.recognizer import Prediction, Recognizer
from affetto.segments import TimelineSettings, timeline
from affetto.segments.regions import Finder, RegionSettings
from affetto.stream import EmotionStream, StreamSettings
from affetto.vad import FRAME, SpeechDetector

SETTINGS = StreamSettings(update=0.25, window=0.5, regions=RegionSettings(longest=1.5))


class LoudDetector:
    """Takes what is loud for speech; as fast as a test needs it."""

    def stream(self):
        return LoudStream()

    def probabilities(self, waveform):
        stream = self.stream()
        return np.concatenate([stream.feed(waveform), stream.flush()])


class LoudStream:
    def __init__(self):
        self.waiting = np.zeros(0, np.float32)

    def feed(self, samples):
        waiting = np.concatenate([self.waiting, samples])
        whole = len(waiting) // FRAME * FRAME
        self.waiting = waiting[whole:]
        return np.tanh(20 * np.abs(waiting[:whole]).reshape(-1, FRAME).mean(axis=1)).astype(np.float32)

    def flush(self):
        return self.feed(np.zeros(-len(self.waiting) % FRAME, np.float32))


class SumRecognizer:
    """Gives answers that tell any sample from another, and any history of a speaker from another."""

    asr = None
    checkpoint = SimpleNamespace(model=SimpleNamespace(takes_baseline=True))

    def running(self):
        return SumSpeaker(self)

    def predict_all(self, sources, *, baselines=None, speech=None, flagged=True):
        for (samples, rate), baseline in zip(sources, baselines or [0.0], strict=True):
            assert rate == SAMPLE_RATE
            if np.abs(samples).max() < 0.06:
                yield AudioError("", "silent", "is silent")
                continue
            share = float((baseline + np.abs(samples * np.arange(1, len(samples) + 1)).sum()) % 1)
            yield Prediction("", 0.0, len(samples) / rate, {"anger": share, "neutral": 1 - share})


class SumSpeaker:
    def __init__(self, recognizer):
        self.recognizer, self.baseline, self.seconds = recognizer, None, 0.0

    @property
    def enough(self):
        return self.seconds > 2

    @property
    def counts(self):
        return self.baseline

    def hear(self, sources, *, speech):
        [outcome] = self.recognizer.predict_all(sources, baselines=[self.baseline or 0.0])
        if isinstance(outcome, AudioError):
            raise outcome
        self.baseline = (self.baseline or 0.0) + outcome.confidence
        self.seconds += outcome.end
        return [outcome]


def speech(rate: int, seconds: float = 6.0) -> np.ndarray:
    """Bursts of noise and pauses, some too short and one too long, as 16-bit integers."""
    rng = np.random.default_rng(3)
    time = np.arange(round(seconds * rate)) / rate
    loud = ((time > 0.3) & (time < 1)) | ((time > 1.5) & (time < 3.3)) | ((time > 4) & (time < 4.1)) | (time > 5.3)
    return np.round(32_767 * 0.2 * loud * rng.uniform(-1, 1, len(time))).astype(np.int16)


def heard(samples: np.ndarray, rate: int, cuts: list[int]) -> list:
    stream = EmotionStream(SumRecognizer(), rate, SETTINGS, detector=LoudDetector())
    return [*(event for chunk in np.split(samples, cuts) for event in stream.feed(chunk)), *stream.finish()]


@settings(deadline=None, max_examples=40)
@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    sizes=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=400),
)
def test_a_stream_says_the_same_however_it_is_cut(rate, sizes):
    samples = speech(rate)
    cuts = [at for at in np.cumsum([max(1, round(size * rate)) for size in sizes]).tolist() if at < len(samples)]
    assert heard(samples, rate, cuts) == heard(samples, rate, [])


def test_the_events_of_an_utterance_come_in_order():
    events = heard(speech(16_000), 16_000, [])
    by_utterance = {n: [event for event in events if event.utterance == n] for n in {e.utterance for e in events}}
    assert len(by_utterance) == 4  # the second burst is cut in two, the click is left out
    for own in by_utterance.values():
        kinds = [event.type for event in own]
        assert kinds[0] == "utterance.start" and kinds[-2:] == ["measurement.result", "utterance.end"]
        assert set(kinds[1:-2]) <= {"measurement.update"}
        assert [event.heard for event in own] == sorted(event.heard for event in own)
        start, end = own[-1].start, own[-1].end
        assert own[0].start == own[-2].start == start
        for update in own[1:-2]:
            assert update.start == start and update.end == update.heard <= end + 0.5 and update.provisional


def test_updates_come_as_often_as_they_should():
    updates = [event for event in heard(speech(16_000), 16_000, []) if event.type == "measurement.update"]
    gaps = [b.end - a.end for a, b in itertools.pairwise(updates) if a.utterance == b.utterance]
    assert len(gaps) >= 5 and gaps == pytest.approx([0.256] * len(gaps))
    told = [b.interval for a, b in itertools.pairwise(updates) if a.utterance == b.utterance]
    assert told == pytest.approx(gaps)


def test_a_stream_that_is_stretched_says_so_and_says_the_same_at_the_end():
    stream = EmotionStream(SumRecognizer(), 16_000, SETTINGS, detector=LoudDetector())
    stream.stretch = 4
    events = [*stream.feed(speech(16_000)), *stream.finish()]
    plain = heard(speech(16_000), 16_000, [])
    results = [event for event in events if event.type == "measurement.result"]
    assert results == [event for event in plain if event.type == "measurement.result"]
    updates = [event for event in events if event.type == "measurement.update"]
    assert 0 < len(updates) < sum(event.type == "measurement.update" for event in plain)
    assert all(update.interval >= 1.0 for update in updates)


def test_what_cannot_be_judged_has_a_reason():
    quiet = (speech(16_000) / 5).astype(np.int16)
    stream = EmotionStream(
        SumRecognizer(), 16_000, StreamSettings(regions=RegionSettings(on=0.1, off=0.05)), detector=LoudDetector()
    )
    events = [*stream.feed(quiet), *stream.finish()]
    results = [event for event in events if event.type == "measurement.result"]
    assert results and all(result.reason == "silent" and result.emotion is None for result in results)
    assert not any(event.type == "measurement.update" for event in events)


def test_the_speaker_gets_known():
    events = heard(speech(16_000), 16_000, [])
    known = [event.baseline for event in events if event.type == "measurement.result"]
    assert [one.seconds for one in known] == sorted(one.seconds for one in known) and known[0].seconds > 0
    assert not known[0].enough and known[-1].enough
    first = next(event for event in events if event.type == "measurement.update")
    assert first.baseline.seconds == 0


def test_what_is_kept_does_not_grow():
    stream = EmotionStream(SumRecognizer(), 16_000, SETTINGS, detector=LoudDetector())
    for _ in range(20):
        stream.feed(speech(16_000))
        assert len(stream._kept) < 3 * SAMPLE_RATE
        assert len(stream._likely) * FRAME < 3 * SAMPLE_RATE


def test_utterances_are_judged_with_what_the_detector_heard_of_them(monkeypatch):
    stream, given = EmotionStream(SumRecognizer(), 16_000, SETTINGS, detector=LoudDetector()), []
    hear = stream._speaker.hear
    monkeypatch.setattr(stream._speaker, "hear", lambda waveform, known: given.append(known) or hear(waveform, known))
    sound = np.tile(speech(16_000), 3)
    events = [*stream.feed(sound), *stream.finish()]
    likely = LoudDetector().probabilities(sound.astype(np.float32) / 32_768)
    results = [event for event in events if event.type == "measurement.result"]
    assert len(given) == len(results) > 5
    for result, known in zip(results, given, strict=True):
        middles = np.arange(round(result.start * SAMPLE_RATE), round(result.end * SAMPLE_RATE), FRAME) + FRAME // 2
        np.testing.assert_array_equal(known, likely[np.minimum(middles // FRAME, len(likely) - 1)])


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="expected a sample rate of 4000 to 192000 Hz, got 100"):
        EmotionStream(SumRecognizer(), 100, detector=LoudDetector())
    with pytest.raises(ConfigError, match="update every 0.2 s or less often, got 0.01"):
        StreamSettings(update=0.01)
    with pytest.raises(ConfigError, match="window of 0.1 to 10.0 s, got 60"):
        StreamSettings(window=60)


@pytest.mark.slow
def test_a_stream_ends_with_what_is_said_of_the_file(emodb_root, tmp_path):
    """A shipped model on real clips with pauses, at 44.1 kHz, in odd chunks."""
    rng = np.random.default_rng(0)
    clips = [soundfile.read(emodb_root / "wav" / f"{name}.wav")[0] for name in ("03a01Fa", "03a01Nc", "03a01Wa")]
    pause = np.zeros(12_800)
    sound = np.concatenate([pause, *(part for clip in clips for part in (clip, pause))])
    sound = soxr.resample(sound + 1e-4 * rng.standard_normal(len(sound)), 16_000, 44_100)
    path = tmp_path / "talk.wav"
    soundfile.write(path, sound, 44_100, subtype="PCM_16")
    samples, _ = soundfile.read(path, dtype="int16")

    recognizer = Recognizer.from_pretrained(precision="fp32")
    found = []
    for cuts in (rng.integers(1, len(samples), 70), np.arange(44, len(samples), 44 * 20)):
        stream = EmotionStream(recognizer, 44_100)
        chunks = np.split(samples, np.sort(cuts))
        found.append([*(event for chunk in chunks for event in stream.feed(chunk)), *stream.finish()])
    assert found[0] == found[1]

    waveform = soxr.resample(samples.astype(np.float32) / 32_768, 44_100, 16_000)
    finder = Finder(RegionSettings(longest=10.0))
    parts = [*finder.feed(SpeechDetector().probabilities(waveform)), *finder.flush(len(waveform))]
    cuts = [(waveform[part.first : part.last], SAMPLE_RATE) for part in parts]
    takes_baseline = recognizer.checkpoint.model.takes_baseline
    told = recognizer.running().hear(cuts) if takes_baseline else [recognizer.predict(cut) for cut in cuts]
    results = [event for event in found[0] if event.type == "measurement.result"]
    assert len(results) == len(parts) >= 3
    for part, result, prediction in zip(parts, results, told, strict=True):
        assert (result.start, result.end) == (part.first / SAMPLE_RATE, part.last / SAMPLE_RATE)
        assert result.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)

    kind = "running" if takes_baseline else "none"
    asked = TimelineSettings(window=None, regions=RegionSettings(longest=10.0), baseline=kind)
    whole = timeline(path, recognizer, asked)
    assert [(one.start, one.end) for one in whole.utterances] == [(result.start, result.end) for result in results]
    for utterance, result in zip(whole.judged, results, strict=True):
        assert result.probabilities == pytest.approx(utterance.prediction.probabilities, abs=1e-5)
