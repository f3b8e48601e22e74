"""Every format of timelines, read back by somebody else."""

import io
import json
from dataclasses import replace

import audformat
import pandas as pd
import pympi
import pytest
import srt
import webvtt
from praatio import textgrid
from pyannote.database.util import load_rttm

from affetto.errors import ConfigError
from affetto.recognizer import Prediction
from affetto.segments import Timeline, Utterance, formats

# audformat's own, under pandas 3.
THEIRS = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


def told(start: float, end: float, anger: float) -> Prediction:
    return Prediction("calls/a call.wav", start, end, {"anger": anger, "joy": 1 - anger})


CALL = Timeline(
    "calls/a call.wav",
    3725.5,
    (
        Utterance(0.5, 2.25, 0, "anna", told(0.5, 2.25, 0.9), 'she said "no" & <left>'),
        Utterance(1.0, 3.0, 1, "ben", told(1.0, 3.0, 0.25), ""),
        Utterance(3.0, 3.5, 1, "ben", None, None, "silent"),
        Utterance(3661.125, 3662.75, 0, "anna", told(3661.125, 3662.75, 0.6), "bye"),
    ),
    "tiny",
    ("anger", "joy"),
)
RATED = Timeline(
    "talk.flac",
    10.0,
    (Utterance(1.0, 2.0, prediction=Prediction("talk.flac", 1.0, 2.0, dimensions={"valence": 2.5})),),
    "rates",
    ("valence",),
    "dimensions",
)
EMPTY = Timeline("quiet.wav", 4.0, (), "tiny", ("anger", "joy"))


def text(timeline: Timeline, kind: str) -> str:
    return formats.render([timeline], kind).decode()


def test_csv_is_read_by_pandas():
    table = pd.read_csv(io.BytesIO(formats.render([CALL, EMPTY], "csv")), keep_default_na=False)
    assert tuple(table.columns) == CALL.columns
    assert table.iloc[0].to_dict() == {
        "file": "calls/a call.wav",
        "start": 0.5,
        "end": 2.25,
        "channel": 0,
        "speaker": "anna",
        "emotion": "anger",
        "confidence": "0.900000",
        "anger": "0.900000",
        "joy": "0.100000",
        "words": 'she said "no" & <left>',
        "reason": "",
        "flags": "",
    }
    assert list(table.emotion) == ["anger", "joy", "", "anger"]
    assert list(table.reason) == ["", "", "silent", ""]


def test_json_lines_are_read_by_json():
    rows = [json.loads(line) for line in text(CALL, "jsonl").splitlines()]
    assert rows[1]["probabilities"] == {"anger": 0.25, "joy": 0.75}
    assert rows[1]["words"] == "" and rows[0]["channel"] == 0
    assert rows[2]["probabilities"] is None and rows[2]["reason"] == "silent"
    assert json.loads(text(RATED, "jsonl"))["dimensions"] == {"valence": 2.5}


def test_parquet_is_read_by_pandas():
    table = pd.read_parquet(io.BytesIO(formats.render([CALL], "parquet")))
    assert tuple(table.columns) == CALL.columns
    assert table["start"].tolist() == [0.5, 1.0, 3.0, 3661.125]
    assert table["confidence"].tolist()[:2] == [0.9, 0.75] and table["confidence"].isna().tolist()[2]
    assert table["channel"].tolist() == [0, 1, 1, 0]
    assert len(pd.read_parquet(io.BytesIO(formats.render([EMPTY], "parquet")))) == 0


@THEIRS
@pytest.mark.parametrize("timelines", [[CALL, EMPTY], [RATED], [EMPTY]])
def test_audformat_is_loaded_by_audformat(timelines, tmp_path):
    formats.write(timelines, "audformat", tmp_path / "db")
    database = audformat.Database.load(str(tmp_path / "db"))
    table = database["timeline"].get()
    assert list(table.columns) == list(timelines[0].columns[3:])
    assert database["recordings"]["seconds"].get().tolist() == [timeline.seconds for timeline in timelines]
    rows = [row for timeline in timelines for row in timeline.rows()]
    assert [start.total_seconds() for start in table.index.get_level_values("start")] == [row["start"] for row in rows]
    for name in table.columns:
        expected = [None if row[name] == "" else row[name] for row in rows]  # all that CSV can tell
        assert [None if pd.isna(value) else value for value in table[name]] == expected


@THEIRS
def test_two_voices_at_the_same_time_are_two_segments_to_audformat(tmp_path):
    both = tuple(Utterance(1.0, 2.0, channel, prediction=told(1.0, 2.0, 0.5)) for channel in (0, 1))
    formats.write([Timeline("x.wav", 3.0, both, "tiny", ("anger", "joy"))], "audformat", tmp_path / "db")
    table = audformat.Database.load(str(tmp_path / "db"))["timeline"].get()
    assert list(table["channel"]) == [0, 1]


def test_captions_are_read_by_webvtt_py():
    cues = list(webvtt.from_string(text(CALL, "vtt")))
    assert [cue.voice for cue in cues] == ["anna", "ben", "ben", "anna"]
    assert (cues[0].start, cues[0].end) == ("00:00:00.500", "00:00:02.250")
    assert (cues[3].start, cues[3].end) == ("01:01:01.125", "01:01:02.750")
    assert cues[0].raw_text == '<v anna>anger 90 %\nshe said "no" &amp; &lt;left&gt;'
    assert cues[2].text == "not judged: silent"
    assert list(webvtt.from_string(text(RATED, "vtt")))[0].text == "valence 2.50"


@pytest.mark.parametrize(
    ("flags", "reliable", "said"),
    [
        ((), None, "anger 60 %"),
        ((), True, "anger 60 %"),
        ((), False, "anger 60 % (unsure)"),
        (("noisy", "too_short"), False, "anger 60 % (noisy, too short)"),
    ],
)
def test_captions_say_why_not_to_trust_them(flags, reliable, said):
    heard = replace(told(1.0, 2.0, 0.6), flags=flags, reliable=reliable)
    cues = webvtt.from_string(text(replace(CALL, utterances=(Utterance(1.0, 2.0, prediction=heard),)), "vtt"))
    assert [cue.text for cue in cues] == [said]


def test_captions_are_read_by_srt():
    cues = list(srt.parse(text(CALL, "srt")))
    assert [cue.index for cue in cues] == [1, 2, 3, 4]
    assert [cue.start.total_seconds() for cue in cues] == [0.5, 1.0, 3.0, 3661.125]
    assert [cue.end.total_seconds() for cue in cues] == [2.25, 3.0, 3.5, 3662.75]
    assert cues[0].content == 'anna: anger 90 %\nshe said "no" & <left>'
    assert srt.compose(cues).strip() == text(CALL, "srt").strip()


def test_a_textgrid_is_read_by_praatio(tmp_path):
    path = tmp_path / "x.TextGrid"
    formats.write([CALL], "textgrid", path)
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert grid.maxTimestamp == 3725.5
    assert grid.tierNames == tuple(
        f"{who}: {what}" for who in ("anna", "ben") for what in ("emotion", "confidence", "words")
    )
    emotions = [tuple(entry) for entry in grid.getTier("anna: emotion").entries]
    assert emotions == [(0.5, 2.25, "anger"), (3661.125, 3662.75, "anger")]
    assert [entry.label for entry in grid.getTier("ben: emotion").entries] == ["joy", "not judged: silent"]
    assert grid.getTier("anna: words").entries[0].label == 'she said "no" & <left>'
    formats.write([EMPTY], "textgrid", path)
    assert textgrid.openTextgrid(str(path), includeEmptyIntervals=True).getTier("emotion").maxTimestamp == 4.0


def test_a_later_utterance_of_a_voice_begins_where_the_earlier_one_ends(tmp_path):
    both = tuple(Utterance(start, start + 2.0, None, "anna", told(start, start + 2.0, 0.9)) for start in (0.0, 1.5))
    path = tmp_path / "x.TextGrid"
    formats.write([Timeline("x.wav", 4.0, both, "tiny", ("anger", "joy"))], "textgrid", path)
    entries = textgrid.openTextgrid(str(path), includeEmptyIntervals=False).getTier("anna: emotion").entries
    assert [(entry.start, entry.end) for entry in entries] == [(0.0, 2.0), (2.0, 3.5)]


def test_tiers_are_read_by_pympi(tmp_path):
    path = tmp_path / "x.eaf"
    formats.write([CALL], "eaf", path)
    file = pympi.Eaf(str(path))
    assert sorted(file.get_tier_names())[:2] == ["anna: confidence", "anna: emotion"]
    emotions = sorted(file.get_annotation_data_for_tier("anna: emotion"))
    assert [tuple(entry[:3]) for entry in emotions] == [(500, 2250, "anger"), (3661125, 3662750, "anger")]
    [said, _] = sorted(file.get_annotation_data_for_tier("anna: words"))
    assert said[2] == 'she said "no" & <left>'
    assert file.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "./a call.wav"


def test_turns_are_read_by_pyannote(tmp_path):
    path = tmp_path / "x.rttm"
    formats.write([CALL, RATED, EMPTY], "rttm", path)
    turns = load_rttm(path)
    assert set(turns) == {"a_call", "talk"}
    found = [(segment.start, segment.end, name) for segment, _, name in turns["a_call"].itertracks(yield_label=True)]
    assert found == [(0.5, 2.25, "anna:anger"), (1.0, 3.0, "ben:joy"), (3661.125, 3662.75, "anna:anger")]


@pytest.mark.parametrize("kind", formats.OF_ONE)
def test_one_file_is_not_about_two_recordings(kind):
    with pytest.raises(ConfigError, match=f"a file of {kind} is about one recording, and here are 2"):
        formats.render([CALL, EMPTY], kind)


@pytest.mark.parametrize("kind", [kind for kind in formats.WRITERS if kind != "parquet"])
def test_a_name_that_is_no_text_is_written(kind):
    odd = Timeline("x\udcff.wav", 1.0, (Utterance(0.0, 1.0, prediction=told(0.0, 1.0, 1.0)),), "tiny", ("anger", "joy"))
    assert formats.render([odd], kind)


def test_silences_are_where_nobody_is_heard():
    assert CALL.silences() == ((0.0, 0.5), (3.5, 3661.125), (3662.75, 3725.5))
    assert EMPTY.silences() == ((0.0, 4.0),)
    assert CALL.voices == ("anna", "ben") and EMPTY.voices == ()
