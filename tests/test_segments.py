"""The parts of timelines: regions, windows, what joins them, and how wrong they are."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment
from pyannote.metrics.identification import IdentificationErrorRate

from affetto.errors import AudioError, ConfigError
from affetto.recognizer import Prediction
from affetto.segments import Region, RegionSettings
from affetto.segments import given as given_regions
from affetto.segments.diarization import Turn, error_rate
from affetto.segments.regions import Finder, Given
from affetto.segments.windows import moments, potts, utterances, windows
from affetto.vad import FRAME

PROBABILITIES = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.55, 0.7, 1.0]), min_size=1, max_size=40).flatmap(
    lambda levels: st.lists(st.integers(1, 30), min_size=len(levels), max_size=len(levels)).map(
        lambda counts: np.repeat(np.array(levels, np.float32), counts)
    )
)


def found(probabilities: np.ndarray, settings: RegionSettings, pieces: int = 1) -> list[tuple[int, int]]:
    finder = Finder(settings)
    parts = [part for piece in np.array_split(probabilities, pieces) for part in finder.feed(piece)]
    return [(part.first, part.last) for part in [*parts, *finder.flush(len(probabilities) * FRAME)]]


@settings(max_examples=60, deadline=None)
@given(PROBABILITIES, st.sampled_from([(0.5, 0.35), (0.5, 0.5), (0.7, 0.2)]), st.sampled_from([0.2, 0.3, 0.4]))
@example(np.array([0.55, 0, *[0.4] * 7, 0.55], np.float32), (0.5, 0.35), 0.2)  # neither speech nor silence ends nothing
def test_regions_are_those_of_silero(probabilities, levels, silence):
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    quiet = np.append(probabilities, np.zeros(40, np.float32))  # at a file's end the two differ: it may end in silence
    theirs = get_speech_timestamps_from_probs(
        quiet.tolist(),
        sampling_rate=16_000,
        threshold=levels[0],
        neg_threshold=levels[1],
        min_silence_duration_ms=round(1000 * silence),
        speech_pad_ms=100,
        audio_length_samples=len(quiet) * FRAME,
    )
    ours = found(quiet, RegionSettings(on=levels[0], off=levels[1], silence=silence, pad=0.1, longest=1e6))
    assert ours == [(stamp["start"], stamp["end"]) for stamp in theirs]


@settings(max_examples=40, deadline=None)
@given(PROBABILITIES, st.integers(1, 9))
def test_regions_in_pieces_are_those_of_the_whole_and_short_enough(probabilities, pieces):
    asked = RegionSettings(longest=3.0)
    ours = found(probabilities, asked, pieces)
    assert ours == found(probabilities, asked)
    assert all(last - first <= (3.0 + 2 * asked.pad) * 16_000 + FRAME for first, last in ours)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ours))


def test_what_is_too_long_is_cut_where_speech_was_least_likely():
    likely = np.full(150, 0.9, np.float32)
    likely[70] = 0.6
    assert found(likely, RegionSettings(longest=3.2)) == [(0, 70 * FRAME), (70 * FRAME, 150 * FRAME)]


def test_nothing_that_may_still_be_needed_is_let_go():
    finder = Finder(RegionSettings())
    rng = np.random.default_rng(0)
    for _ in range(300):
        needed = finder.needed
        parts = finder.feed(np.repeat(rng.uniform(0, 1, 3), 6).astype(np.float32))
        assert all(part.first >= needed for part in parts)


@pytest.mark.parametrize("wrong", [{"on": 0.2, "off": 0.4}, {"pad": 0.3}, {"speech": 40.0}, {"on": 1.5}])
def test_settings_that_make_no_regions_are_refused(wrong):
    with pytest.raises(ConfigError, match="speech regions: expected"):
        RegionSettings(**wrong)


def test_given_regions_end_when_they_are_heard_and_keep_their_speakers():
    parts = Given([Region(3.0, 70.0, "ben"), Region(0.0, 4.0, "anna"), Region(90.0, 91.0, "anna")])
    first = parts.feed(np.zeros(5 * 16_000, np.float32))
    assert [(part.first, part.last, part.speaker) for part in first] == [(0, 64_000, "anna")]
    assert parts.needed == 48_000
    rest = parts.feed(np.zeros(70 * 16_000, np.float32))
    assert [part.speaker for part in rest] == ["ben"] * 3
    assert len({part.region for part in rest}) == 1
    assert [rest[0].first, rest[-1].last] == [48_000, 70 * 16_000]
    assert [(part.first, part.speaker) for part in parts.flush()] == [(90 * 16_000, "anna")]


def test_a_table_gives_regions_of_its_files(tmp_path):
    path = tmp_path / "regions.csv"
    path.write_text("file;start;end;speaker\ncall.wav;0,5;4,25;anna\nother.wav;1;2;ben\ncall.wav;5;6;\n")
    assert given_regions.read(path, "/somewhere/call.wav") == (Region(0.5, 4.25, "anna"), Region(5.0, 6.0))
    with pytest.raises(ConfigError, match=r"has no speech of third.wav; found call.wav, other.wav"):
        given_regions.read(path, "third.wav")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("start\n1\n", "has no column 'end'"),
        ("start,end\n2,1\n", "row 2: expected a start from 0 s on and an end after it"),
        ("start,end\n1,\n", "row 2: expected a start"),
        ("start,end\n1,x\n", "'x' is not a time"),
        ("start,end,channel\n1,2,left\n", "'left' is not a channel"),
    ],
)
def test_a_wrong_table_is_told_of(lines, message, tmp_path):
    path = tmp_path / "regions.csv"
    path.write_text(lines)
    with pytest.raises(ConfigError, match=message):
        given_regions.read(path, "x.wav")


def test_rttm_of_pyannote_is_read(tmp_path):
    turns = Annotation(uri="call")
    turns[Segment(0.5, 4.25)] = "anna"
    turns[Segment(4.0, 6.0)] = "ben"
    path = tmp_path / "x.rttm"
    with path.open("w") as stream:
        turns.write_rttm(stream)
    assert given_regions.read(path, "call.flac") == (Region(0.5, 4.25, "anna"), Region(4.0, 6.0, "ben"))
    path.write_text("SPEAKER call 2 0.5 1.5 <NA> <NA> ben <NA> <NA>\n")
    assert given_regions.read(path, "call.flac") == (Region(0.5, 2.0, "ben", 1),)
    path.write_text("SPEAKER call 1 0.5\n")
    with pytest.raises(ConfigError, match="line 1: has 4 fields"):
        given_regions.read(path, "call.flac")


@given(st.integers(0, 9), st.integers(1, 90), st.integers(1, 30), st.integers(1, 30))
def test_windows_cover_a_stretch_and_are_whole(first, seconds, length, stride):
    stride = min(length, stride)
    spans = windows(first, first + seconds, length=length, stride=stride)
    assert spans[0][0] == first and spans[-1][1] == first + seconds
    assert {last - begin for begin, last in spans} == {min(length, seconds)}
    assert all(0 < after[0] - before[0] <= stride for before, after in itertools.pairwise(spans))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.floats(0, 3), st.integers(0, 10_000))
def test_the_path_is_the_best_of_all(steps, labels, change, seed):
    gains = np.random.default_rng(seed).uniform(0, 1, (steps, labels))

    def gain(path: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return sum(gains[at, label] for at, label in enumerate(path)) - change * changes

    best = max(gain(path) for path in itertools.product(range(labels), repeat=steps))
    assert gain(tuple(potts(gains, change))) == pytest.approx(best)


def told(**probabilities: float) -> Prediction:
    return Prediction("", 0.0, 1.0, probabilities)


def test_overlapping_windows_become_utterances_with_one_answer():
    spans = [(0, 4), (2, 6), (4, 8), (6, 10)]
    heard = [told(joy=0.9, rage=0.1), told(joy=0.7, rage=0.3), told(joy=0.1, rage=0.9), told(joy=0.0, rage=1.0)]
    found = list(utterances(moments(spans, heard), change=1.0))
    assert [(first, last) for first, last, _ in found] == [(0, 4), (4, 10)]
    calm, angry = (outcome for _, _, outcome in found)
    # Two seconds of the first window alone, two of the mean of the first two.
    assert calm.probabilities == pytest.approx({"joy": 0.85, "rage": 0.15})
    assert (angry.emotion, angry.confidence) == ("rage", pytest.approx((0.6 + 0.95 + 1.0) / 3))
    assert len(list(utterances(moments(spans, heard), change=10.0))) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.floats(0, 4), st.integers(0, 10_000))
def test_an_utterances_emotion_is_not_the_next_ones(steps, change, seed):
    rng = np.random.default_rng(seed)
    heard = [told(**dict(zip("abc", rng.dirichlet(np.ones(3)), strict=True))) for _ in range(steps)]
    spans = [(2 * i, 2 * i + 4) for i in range(steps)]
    found = list(utterances(moments(spans, heard), change=change))
    assert [found[0][0], found[-1][1]] == [0, 2 * steps + 2]
    emotions = [outcome.emotion for _, _, outcome in found]
    assert all(a != b for a, b in itertools.pairwise(emotions))
    assert all(sum(outcome.probabilities.values()) == pytest.approx(1) for _, _, outcome in found)


def test_what_no_window_could_judge_is_said():
    silent = AudioError("", "silent", "is silent")
    found = list(utterances(moments([(0, 4), (4, 8), (6, 10)], [told(a=1.0), silent, told(a=1.0)]), change=1.0))
    assert [(first, last) for first, last, _ in found] == [(0, 4), (4, 6), (6, 10)]
    assert found[1][2] is silent


def test_ratings_are_averaged_and_not_joined():
    heard = [Prediction("", 0.0, 1.0, dimensions={"valence": value}) for value in (1.0, 3.0)]
    found = list(utterances(moments([(0, 4), (2, 6)], heard), change=1.0))
    assert [outcome.dimensions["valence"] for _, _, outcome in found] == [1.0, 2.0, 3.0]
    [(first, last, whole)] = utterances(moments([(0, 4), (2, 6)], heard), change=np.inf)
    assert (first, last, whole.dimensions["valence"]) == (0, 6, pytest.approx(2.0))


def annotation(turns: list[Turn]) -> Annotation:
    made = Annotation(uri="x")
    for turn in turns:
        if turn.emotion != "neutral":
            made[Segment(turn.start, turn.end)] = turn.emotion
    return made


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_error_rate_is_that_of_pyannote(seed):
    rng = np.random.default_rng(seed)

    def turns() -> list[Turn]:
        edges = np.sort(rng.choice(np.arange(100), 8, replace=False)).tolist()
        emotions = rng.choice(["anger", "fear", "neutral"], 4).tolist()
        return [Turn(*edges[2 * i : 2 * i + 2], emotions[i]) for i in range(4)]

    truth, heard = turns(), turns()
    ours = error_rate(truth, heard, 100.0, resting="neutral")
    theirs = IdentificationErrorRate()(annotation(truth), annotation(heard), uem=Segment(0, 100), detailed=True)
    assert ours["false_alarm"] == pytest.approx(theirs["false alarm"])
    assert ours["missed"] == pytest.approx(theirs["missed detection"])
    assert ours["confused"] == pytest.approx(theirs["confusion"])


def test_an_rttm_that_is_not_there_is_told_of():
    with pytest.raises(ConfigError, match="cannot be read as RTTM"):
        given_regions.read(Path("nowhere.rttm"), "x.wav")
