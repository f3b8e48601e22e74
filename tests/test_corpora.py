import math
import re
import shutil
from pathlib import Path, PurePosixPath

import audformat
import numpy as np
import pandas as pd
import pytest
import soundfile

from affetto import audio, corpora, labels
from affetto.corpora import emodb, ravdess
from affetto.errors import AudioError, ConfigError, CorpusError

PRETRAINING = {"librispeech", "speech"}
UNLABELLED = {"emobank", *PRETRAINING}  # without categories
SILENT = {"emobank"}  # text alone
NAMELESS = {"emobank", "speech"}
WHOLES = {"iemocap-full": "iemocap", "msp_podcast-full": "msp_podcast"}  # of the corpus that is found in their folder
BY_NAME = {*WHOLES, *PRETRAINING}  # each is a folder that nobody would name so, or another corpus's as well

# What every corpus keeps to


@pytest.fixture(params=corpora.names())
def toy(request, toy_tree):
    """A toy corpus as (name, path that its reader takes)."""
    return request.param, toy_tree(request.param)


def test_a_corpus_states_its_source_licence_and_citation(toy):
    info = corpora.get(toy[0]).info
    assert info.name == toy[0]
    assert all((info.title, info.language, info.licence, info.source, info.citation, info.layout))
    assert set(info.categories) <= set(labels.CATEGORIES)


def test_a_corpus_is_a_table_on_audformats_index(toy):
    corpus = corpora.read(*toy)
    audformat.assert_index(corpus.table.index)
    assert audformat.is_segmented_index(corpus.table.index)
    assert corpus.table.index.is_unique
    assert {"emotion", "speaker"} <= set(corpus.table.columns)
    assert len(corpus) == len(corpus.table) > 0
    assert set(corpus.categories) <= set(labels.CATEGORIES)
    assert bool(corpus.categories) == (toy[0] not in UNLABELLED)
    assert bool(corpus.speakers) == (toy[0] not in NAMELESS)
    assert all(isinstance(speaker, str) for speaker in corpus.speakers)


def test_every_file_of_a_corpus_is_there_and_can_be_heard_unless_it_is_text_alone(toy):
    corpus = corpora.read(*toy)
    assert corpus.info.has_sound == (toy[0] not in SILENT)
    for row, (file, _, _) in enumerate(corpus.table.index):
        assert "\\" not in file
        if corpus.info.has_sound:
            assert audio.read(corpus.path(file)).seconds > 1
            continue
        for ask in (corpus.recording, corpus.seconds):
            with pytest.raises(AudioError, match=f"^{file}: {toy[0]} is text alone: there is nothing to hear"):
                ask(row)
        assert corpus.table["transcript"].iloc[row]


def test_a_corpus_read_twice_is_the_same(toy):
    first, second = corpora.read(*toy), corpora.read(toy[0], str(toy[1]))
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.manifest_sha256() == second.manifest_sha256()


def test_the_manifest_follows_labels_and_sound_but_not_row_order(toy):
    corpus = corpora.read(*toy)
    before = corpus.manifest_sha256()
    assert corpora.Corpus(corpus.info, corpus.root, corpus.table[::-1]).manifest_sha256() == before
    for column, value in (("emotion", "contempt"), ("speaker", "99")):
        table = corpus.table.copy()
        table.iloc[0, table.columns.get_loc(column)] = value
        assert corpora.Corpus(corpus.info, corpus.root, table).manifest_sha256() != before
    assert corpus.select(pd.Series(range(len(corpus))) > 0).manifest_sha256() != before
    if not corpus.info.has_sound:
        table = corpus.table.copy()
        table.iloc[0, table.columns.get_loc("transcript")] += "!"
        assert corpora.Corpus(corpus.info, corpus.root, table).manifest_sha256() != before
        return
    path = corpus.path(corpus.table.index[0][0])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert corpus.manifest_sha256() != before


def test_the_manifest_follows_ratings(toy_tree):
    corpus = corpora.read("iemocap", toy_tree("iemocap"))
    before = corpus.manifest_sha256()
    for name in ("valence", "dominance"):
        table = corpus.table.copy()
        table.iloc[3, table.columns.get_loc(name)] += 0.25
        assert corpora.Corpus(corpus.info, corpus.root, table).manifest_sha256() != before
    swapped = corpus.table.rename(columns={"valence": "arousal", "arousal": "valence"})
    assert corpora.Corpus(corpus.info, corpus.root, swapped).manifest_sha256() != before


def test_a_table_without_the_ratings_that_its_corpus_promises_is_refused(toy_tree):
    corpus = corpora.read("iemocap", toy_tree("iemocap"))
    assert corpus.dimensions == {"valence": (1, 5), "arousal": (1, 5), "dominance": (1, 5)}
    with pytest.raises(CorpusError, match="iemocap: the table has no column arousal"):
        corpora.Corpus(corpus.info, corpus.root, corpus.table.drop(columns="arousal"))


def test_ratings_outside_their_scale_are_found(toy_tree):
    corpus = corpora.read("iemocap", toy_tree("iemocap"))
    corpus.table.iloc[2, corpus.table.columns.get_loc("arousal")] = 5.5
    corpus.table.iloc[3, corpus.table.columns.get_loc("valence")] = math.nan
    (found,) = (finding for finding in corpora.check(corpus) if finding.problem == "scale")
    assert (found.file, found.detail) == (corpus.table.index[2][0], "arousal is 5.5, on a scale from 1 to 5")


def test_a_table_of_ratings_needs_no_emotions(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file;arousal;valence\na.wav;3,5;1\nb.wav;;2\n")
    table = corpora.read("table", path).table
    assert table["arousal"].tolist() == [3.5, pytest.approx(math.nan, nan_ok=True)]
    assert table["valence"].dtype == "float64"
    assert table["emotion"].isna().all()
    path.write_text("file,valence\na.wav,high\n")
    with pytest.raises(CorpusError, match="row 2, valence is 'high'; expected a number such as 3.5, or nothing"):
        corpora.read("table", path)


def test_a_manifest_names_the_file_that_is_missing(toy):
    corpus = corpora.read(*toy)
    if not corpus.info.has_sound:
        return
    path = corpus.path(corpus.table.index[0][0])
    path.unlink()
    with pytest.raises(CorpusError, match=f"{path.name} is missing"):
        corpus.manifest_sha256()


def test_select_keeps_the_rows_that_are_true(toy):
    corpus = corpora.read(*toy)
    kept = corpus.select(pd.Series(range(len(corpus))) > 0)
    pd.testing.assert_frame_equal(kept.table, corpus.table[1:])
    for emotion in corpus.categories:
        assert corpus.select(corpus.table["emotion"] == emotion).categories == (emotion,)


def test_a_check_of_a_toy_finds_nothing_but_its_size(toy):
    corpus = corpora.read(*toy)
    assert {(finding.file, finding.problem) for finding in corpora.check(corpus)} == (
        {("", "count")} if corpus.info.categories else set()
    )


def test_a_corpus_is_found_where_nobody_says_which_unless_it_has_to_be_named(toy):
    name, path = toy
    assert corpora.get(name).by_name == (name in BY_NAME)
    assert corpora.find(path, name).name == name
    if name not in BY_NAME:
        assert corpora.find(path).name == name
    elif name in WHOLES:
        assert corpora.find(path).name == WHOLES[name]
    else:
        with pytest.raises(CorpusError, match="is no corpus that is known") as caught:
            corpora.find(path)
        assert not any(f"{hidden}: no" in str(caught.value) for hidden in BY_NAME)


def test_another_folder_is_refused_with_the_layout_expected(toy, tmp_path):
    info = corpora.get(toy[0]).info
    (tmp_path / "other").mkdir()
    for root in (tmp_path / "other", tmp_path / "nowhere"):
        with pytest.raises(CorpusError, match=f"^{info.name}: .*{root.name}.*; expected e.g. {info.layout[0]}"):
            corpora.read(toy[0], root)


def test_the_page_of_corpora_lists_every_one_with_its_licence_and_scale():
    page = (Path(__file__).parents[1] / "docs" / "corpora.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row.split(" | ") for row in page.splitlines() if row.startswith("| `")}
    assert tuple(sorted(rows)) == corpora.names()
    for name, (_, what, licence, categories, ratings, *_) in rows.items():
        info = corpora.get(name).info
        assert info.licence.startswith(licence) or licence in ("its own", "yours")
        assert ("**simulated**" in what) == info.simulated
        if info.categories:
            assert categories == str(len(info.categories))
        if name != "table":
            assert ratings == ("{:g} to {:g}".format(*info.dimensions["valence"]) if info.dimensions else "–")


def test_an_unknown_corpus_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no corpus is called 'emobd'; the corpora are .*; did you mean 'emodb'?"):
        corpora.get("emobd")


# EMO-DB


def test_emodb_reads_labels_from_names_and_ratings_from_the_list(toy_tree):
    corpus = corpora.read("emodb", toy_tree("emodb"))
    assert len(corpus) == 69
    assert list(corpus.table.columns) == [
        "emotion",
        "speaker",
        "sex",
        "age",
        "sentence",
        "text",
        "version",
        "recognised",
        "naturalness",
    ]
    assert corpus.table["recognised"].between(0.8048, 1).all()
    assert corpus.table["naturalness"].between(0.5, 1).all()
    assert set(corpus.table["version"]) == {"f"}


def test_emodb_without_ratings_has_none(toy_tree):
    root = toy_tree("emodb")
    (root / "erkennung.txt").unlink()
    corpus = corpora.read("emodb", root)
    assert len(corpus) == 69
    assert corpus.table[["recognised", "naturalness"]].isna().all(axis=None)


def test_emodb_takes_the_folder_of_wav_files_itself(toy_tree, monkeypatch):
    root = toy_tree("emodb")
    whole = corpora.read("emodb", root)
    inner = corpora.read("emodb", root / "wav")
    pd.testing.assert_frame_equal(inner.table, whole.table)
    assert inner.root == root
    monkeypatch.chdir(root / "wav")
    pd.testing.assert_frame_equal(corpora.read("emodb", ".").table, whole.table)


@pytest.mark.parametrize(
    "name", ["holiday.wav", "04a01Fa.wav", "03a03Fa.wav", "03a01Xa.wav", "03a01F.wav", "03A01fa.wav"]
)
def test_emodb_refuses_names_that_are_not_its_own(name, toy_tree):
    root = toy_tree("emodb")
    (root / "wav" / name).touch()
    with pytest.raises(CorpusError, match=f"{name} is not a name of EMO-DB; expected e.g. 03a01Fa.wav"):
        corpora.read("emodb", root)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nr.\tSatz\n", "begins with"),
        ("", "begins with ''"),
        ("Nr.\tSatz\terkannt\tnatuerlich\n\n1\tx.wav\t?\t1\n", "line 3"),
    ],
)
def test_emodb_names_the_line_of_a_damaged_list(text, words, toy_tree):
    root = toy_tree("emodb")
    (root / "erkennung.txt").write_text(text, encoding="latin-1")
    with pytest.raises(CorpusError, match=words):
        corpora.read("emodb", root)


def test_emodb_drops_what_was_left_out_even_without_ratings(toy_tree):
    root = toy_tree("emodb")
    (root / "erkennung.txt").unlink()
    some = next((root / "wav").iterdir())
    for name in emodb.LEFT_OUT:
        shutil.copy(some, root / "wav" / f"{name}.wav")
    shutil.copy(some, root / "wav" / "._03a01Fa.wav")  # left by macOS
    assert len(corpora.read("emodb", root)) == 69


def test_real_emodb_has_the_published_counts(emodb_root):
    corpus = corpora.read("emodb", emodb_root)
    assert len(corpus) == 535
    assert corpus.table["emotion"].value_counts().to_dict() == corpus.info.categories
    by_speaker = pd.crosstab(corpus.table["speaker"], corpus.table["emotion"])[list(emodb.LETTERS.values())]
    assert by_speaker.to_dict("split") == {
        "index": list(corpus.info.speakers),
        "columns": ["anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"],
        "data": [  # W, L, E, A, F, N, T
            [14, 5, 1, 4, 7, 11, 7],
            [12, 10, 0, 6, 11, 10, 9],
            [13, 4, 8, 1, 4, 9, 4],
            [10, 8, 1, 8, 4, 4, 3],
            [11, 8, 2, 10, 8, 9, 7],
            [12, 5, 2, 6, 2, 4, 4],
            [12, 10, 8, 7, 10, 9, 5],
            [16, 8, 8, 12, 8, 7, 10],
            [13, 9, 5, 8, 6, 11, 4],
            [14, 14, 11, 7, 11, 5, 9],
        ],
    }
    assert corpus.table["version"].value_counts().to_dict() == {"a": 170, "b": 150, "c": 135, "d": 73, "e": 5, "f": 2}
    assert corpus.table["sentence"].value_counts()["a05"] == 62
    assert corpus.table.groupby("sex")["speaker"].nunique().to_dict() == {"female": 5, "male": 5}


def test_real_emodb_has_the_known_ratings(emodb_root):
    table = corpora.read("emodb", emodb_root).table
    assert table.loc["wav/03a01Fa.wav", ["recognised", "naturalness"]].to_numpy().tolist() == [[0.9, 0.75]]
    assert table["recognised"].min() == 0.8
    assert table["naturalness"].min() == 0.45
    assert (table["naturalness"] < 0.6).sum() == 42
    lines = (emodb_root / "erkennung.txt").read_text(encoding="latin-1").splitlines()[1:]
    listed = {line.split()[1].removesuffix(".wav") for line in lines}
    released = {Path(file).stem for file in table.index.get_level_values("file")}
    assert listed - released == emodb.LEFT_OUT


def test_real_emodb_has_the_known_durations_and_no_faults(emodb_root):
    corpus = corpora.read("emodb", emodb_root)
    seconds = [soundfile.info(corpus.path(file)).duration for file, _, _ in corpus.table.index]
    assert np.mean(seconds) == pytest.approx(2.780, abs=5e-4)
    assert (min(seconds), max(seconds)) == pytest.approx((1.2255, 8.978), abs=5e-4)
    assert corpora.check(corpus) == []


# RAVDESS


def test_ravdess_reads_labels_from_names_and_leaves_out_song_and_video(toy_tree):
    corpus = corpora.read("ravdess", toy_tree("ravdess"))
    assert list(corpus.table.columns) == ["emotion", "speaker", "sex", "sentence", "text", "intensity", "repetition"]
    assert corpus.table["emotion"].value_counts().to_dict() == dict.fromkeys(corpus.info.categories, 24)
    assert corpus.speakers == tuple(f"{actor:02d}" for actor in range(1, 25))
    for (file, _, _), row in corpus.table.iterrows():
        folder, name = file.split("/")
        modality, channel, emotion, intensity, sentence, repetition, actor = name.removesuffix(".wav").split("-")
        assert (modality, channel, folder) == ("03", "01", f"Actor_{actor}")
        assert row.to_dict() == {
            "emotion": ravdess.EMOTIONS[emotion],
            "speaker": actor,
            "sex": "male" if actor[-1] in "13579" else "female",
            "sentence": sentence,
            "text": {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}[sentence],
            "intensity": {"01": "normal", "02": "strong"}[intensity],
            "repetition": repetition,
        }


def test_ravdess_may_lie_in_the_folder_of_its_archive_or_there_as_well_or_flat(toy_tree, tmp_path):
    root = toy_tree("ravdess")
    table = corpora.read("ravdess", root).table
    for archive in ("Audio_Speech_Actors_01-24", "audio_speech_actors_01-24"):  # Zenodo's, Kaggle's
        whole = tmp_path / archive[:1] / "data"
        inner = shutil.copytree(root, whole / archive)
        corpus = corpora.read("ravdess", whole)
        pd.testing.assert_frame_equal(corpus.table, table)
        assert corpus.root == inner
    shutil.copytree(root, whole, dirs_exist_ok=True)
    twice = corpora.read("ravdess", whole)
    pd.testing.assert_frame_equal(twice.table, table)
    assert twice.root == whole
    lost, *others = table.index.get_level_values("file")
    (whole / lost).unlink()
    files = corpora.read("ravdess", whole).table.index.get_level_values("file")
    assert list(files) == [*others, f"{archive}/{lost}"]
    (tmp_path / "flat").mkdir()
    for path in root.glob("*/*"):
        path.rename(tmp_path / "flat" / path.name)
    flat = corpora.read("ravdess", tmp_path / "flat")
    assert sorted(flat.table.index.get_level_values("file")) == sorted(Path(file).name for file in (lost, *others))
    assert flat.speakers == twice.speakers


def test_ravdess_is_heard_from_stereo_at_48_khz_and_from_flac_and_one_of_both_is_taken(tmp_path):
    (tmp_path / "Actor_05").mkdir()
    names = ("03-01-05-01-01-01-05", "03-01-05-01-01-02-05")
    for name in names:
        soundfile.write(tmp_path / "Actor_05" / f"{name}.flac", noise(seconds=2), 16_000)
    original = 0.1 * np.random.default_rng(0).standard_normal((144_000, 2))
    soundfile.write(tmp_path / "Actor_05" / f"{names[0]}.wav", original, 48_000)
    corpus = corpora.read("ravdess", tmp_path)
    assert list(corpus.table.index.get_level_values("file")) == [
        f"Actor_05/{names[0]}.wav",
        f"Actor_05/{names[1]}.flac",
    ]
    heard = [corpus.recording(row) for row in range(2)]
    assert [(clip.sample_rate, clip.channels, clip.seconds) for clip in heard] == [(48_000, 2, 3), (16_000, 1, 2)]


@pytest.mark.parametrize(
    "name",
    [
        "holiday.wav",
        "04-01-05-01-02-01-01.wav",
        "03-03-05-01-02-01-01.wav",
        "03-01-09-01-02-01-01.wav",
        "03-01-01-02-02-01-01.wav",  # strong neutral
        "03-01-05-01-03-01-01.wav",
        "03-01-05-01-02-03-01.flac",
        "03-01-05-01-02-01-00.wav",
        "03-01-05-01-02-01-25.wav",
        "03-01-05-01-02-01-1.wav",
        "03-01-05-01-02-01-01 (1).wav",
    ],
)
def test_ravdess_refuses_names_that_are_not_its_own(name, tmp_path):
    (tmp_path / "Actor_01").mkdir()
    (tmp_path / "Actor_01" / name).touch()
    words = f"ravdess: {name} is not a name of RAVDESS; expected e.g. 03-01-05-01-02-01-12.wav"
    with pytest.raises(CorpusError, match=re.escape(words)):
        corpora.read("ravdess", tmp_path)


def test_ravdess_of_song_alone_is_refused(toy_tree):
    root = toy_tree("ravdess")
    for path in root.glob("*/03-01-*"):
        path.unlink()
    with pytest.raises(CorpusError, match="ravdess: no wav or flac files of speech under"):
        corpora.read("ravdess", root)


def test_real_ravdess_has_the_published_counts(ravdess_root):
    corpus = corpora.read("ravdess", ravdess_root)
    table = corpus.table
    assert len(corpus) == 1440
    assert table["emotion"].value_counts().to_dict() == corpus.info.categories
    by_speaker = pd.crosstab(table["speaker"], table["emotion"])
    assert (by_speaker == [4 if emotion == "neutral" else 8 for emotion in by_speaker]).all(axis=None)
    assert table.groupby("sex")["speaker"].unique().map(list).to_dict() == {
        "female": [f"{actor:02d}" for actor in range(2, 25, 2)],
        "male": [f"{actor:02d}" for actor in range(1, 24, 2)],
    }
    assert table["sentence"].value_counts().to_dict() == {"01": 720, "02": 720}
    assert table.groupby("sentence")["text"].unique().map(list).to_dict() == {
        "01": ["Kids are talking by the door"],
        "02": ["Dogs are sitting by the door"],
    }
    assert table["repetition"].value_counts().to_dict() == {"01": 720, "02": 720}
    assert table["intensity"].value_counts().to_dict() == {"normal": 768, "strong": 672}
    assert set(table["emotion"][table["intensity"] == "strong"]) == set(corpus.categories) - {"neutral"}


def test_real_ravdess_has_the_known_durations_and_one_recording_under_two_names(ravdess_root):
    corpus = corpora.read("ravdess", ravdess_root)
    seconds = [soundfile.info(corpus.path(file)).duration for file, _, _ in corpus.table.index]
    assert sum(seconds) / 60 == pytest.approx(88.8, abs=0.05)
    assert (min(seconds), max(seconds)) == pytest.approx((2.936, 5.272), abs=5e-4)
    found = [(PurePosixPath(finding.file).stem, finding.problem) for finding in corpora.check(corpus)]
    assert found == [("03-01-03-01-02-02-07", "duplicate")]  # so in the official release as well


# Tables


def write(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_table_keeps_what_it_says(toy_tree):
    corpus = corpora.read("table", toy_tree("table"))
    assert corpus.table.reset_index().astype(object).where(lambda cell: cell.notna(), None).to_numpy().tolist() == [
        ["calls/monday.wav", pd.Timedelta(0), pd.Timedelta(0.6, "s"), "anger", "03", "loud"],
        ["calls/monday.wav", pd.Timedelta(0.6, "s"), pd.Timedelta(1.2, "s"), "neutral", "3", ""],
        ["calls/tuesday.wav", pd.Timedelta(0), None, "happiness", None, "01"],
    ]
    assert corpus.speakers == ("03", "3")
    assert corpus.path("calls/monday.wav").is_file()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("file,start,end,emotion\na.wav,0.5,1.5,Happy\n", "utf-8"),
        ("file,start,end,emotion\r\na.wav,0.5,1.5,Happy\r\n\r\n", "utf-8-sig"),
        ("file;start;end;emotion\na.wav;0,5;1,5;Happy\n;;;\n", "utf-8-sig"),
        ("file\tstart\tend\temotion\na.wav\t0.5\t1.5\tHappy", "utf-8"),
        (' end , emotion,"file",start\n0 days 00:00:01.5,happy,"a.wav",0 days 00:00:00.500000', "utf-8"),
    ],
)
def test_a_table_may_be_written_in_many_ways(text, encoding, tmp_path):
    corpus = corpora.read("table", write(tmp_path, text, encoding=encoding))
    assert corpus.table.index.tolist() == [("a.wav", pd.Timedelta(0.5, "s"), pd.Timedelta(1.5, "s"))]
    assert corpus.categories == ("happiness",)
    assert corpus.speakers == ()


def test_a_table_may_name_files_by_absolute_and_by_windows_paths(toy_tree, tmp_path):
    calls = toy_tree("table").parent / "calls"
    path = write(tmp_path, f"file,emotion\n{calls / 'monday.wav'},anger\ncalls\\tuesday.wav,fear\n")
    corpus = corpora.read("table", path)
    assert all(corpus.path(file).is_file() for file, _, _ in corpus.table.index)
    assert corpora.check(corpus) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; expected e.g. labels.csv with the columns file, emotion"),
        ("\n \n", "is empty"),
        ("file,emotion\n", "has a header but no rows"),
        ("file,label\na.wav,anger\n", "has no column 'emotion'; found file, label"),
        ("name,emotion\na.wav,anger\n", "has no column 'file'; found name, emotion"),
        ("file,emotion,emotion\na.wav,anger,fear\n", "names a column twice"),
        ("file,emotion\na.wav,anger\nb.wav,\n", "row 3: emotion is empty"),
        ("file,emotion\n,anger\n", "row 2: file is empty"),
        ("file,emotion\na.wav,anger\na.wav,fear\n", "row 3 repeats row 2: a.wav"),
        ("file,start,end,emotion\na.wav,1,1,anger\n", "row 2: ends at 1 s, not after its start at 1 s"),
        ("file,start,end,emotion\na.wav,2,0 days 00:00:01,anger\n", "row 2: ends at 1 s, not after its start at 2 s"),
        ("file,start,emotion\na.wav,soon,anger\n", "row 2: 'soon' is not a time; expected seconds such as 1.5"),
        ("file,start,emotion\na.wav,-1,anger\n", "row 2: '-1' is not a time; expected seconds from 0 on"),
        ("file,end,emotion\na.wav,nan,anger\n", "row 2: 'nan' is not a time"),
        ("file,emotion\na.wav,anger,loud\n", "row 2: has 3 cells; expected 2, for file, emotion"),
        ('file,emotion\n"a.wav,anger\n', "row 2: not CSV"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_row(text, words, tmp_path):
    with pytest.raises(CorpusError, match=words) as caught:
        corpora.read("table", write(tmp_path, text))
    assert str(caught.value).startswith(f"table: {tmp_path / 'labels.csv'}")


def test_a_table_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="is not UTF-8 text; save it as 'CSV UTF-8'"):
        corpora.read("table", write(tmp_path, "file,emotion\nmärz.wav,anger\n", encoding="latin-1"))


# Checks


def findings(corpus: corpora.Corpus) -> list[tuple[str, str]]:
    return [(finding.file, finding.problem) for finding in corpora.check(corpus)]


def noise(seconds: float = 1.0, *, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds))


def table_of(folder: Path, samples: dict[str, np.ndarray], *, speaker: str = "anna") -> corpora.Corpus:
    for name, waveform in samples.items():
        soundfile.write(folder / name, waveform, 16_000)
    return corpora.read(
        "table", write(folder, "file,emotion,speaker\n" + "".join(f"{n},anger,{speaker}\n" for n in samples))
    )


def test_a_toy_emodb_has_no_fault_but_its_size(toy_tree):
    found = corpora.check(corpora.read("emodb", toy_tree("emodb")))
    assert {(finding.file, finding.problem) for finding in found} == {("", "count")}
    assert found[0].detail == "anger: 10 utterances, 127 published"
    assert len(found) == 7


def test_files_that_cannot_be_heard_are_found(tmp_path):
    corpus = table_of(
        tmp_path,
        {
            "fine.wav": noise(),
            "missing.wav": noise(seed=1),
            "undecodable.wav": noise(seed=2),
            "truncated.wav": noise(seed=3),
            "empty.wav": noise(seed=4),
            "too_short.wav": noise(0.01),
            "silent.wav": np.zeros(16_000),
        },
    )
    (tmp_path / "missing.wav").unlink()
    (tmp_path / "undecodable.wav").write_text("this is a letter")
    (tmp_path / "truncated.wav").write_bytes((tmp_path / "truncated.wav").read_bytes()[:9_000])
    (tmp_path / "empty.wav").write_bytes(b"")
    files = ["missing.wav", "undecodable.wav", "truncated.wav", "empty.wav", "too_short.wav", "silent.wav"]
    assert findings(corpus) == [(file, Path(file).stem) for file in files]


def test_clipped_speech_is_found_and_speech_that_touches_full_scale_is_not(tmp_path):
    loud = noise(seed=1)
    corpus = table_of(
        tmp_path,
        {
            "normalised.wav": loud / np.abs(loud).max(),
            "clipped.wav": np.clip(40 * np.sin(np.arange(16_000) / 20) * loud, -1, 1),
            "click.wav": np.where(np.arange(16_000) == 8_000, 1, loud),
        },
    )
    found = corpora.check(corpus)
    assert [(finding.file, finding.problem) for finding in found] == [("clipped.wav", "clipped")]
    assert "% of the samples lie in flat tops" in found[0].detail


def test_the_same_sound_twice_is_found_in_any_lossless_container(tmp_path):
    first, second = ((2**15 * noise(seed=seed)).astype(np.int16) for seed in (0, 1))
    corpus = table_of(tmp_path, {"a.wav": first, "b.wav": second, "c.flac": first})
    assert corpora.check(corpus) == [
        corpora.Finding("c.flac", 0.0, None, "duplicate", "the same sound as a.wav (anger)"),
    ]


def test_segments_are_checked_one_by_one(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.concatenate([noise(), np.zeros(16_000), noise()]), 16_000)
    rows = ["0,1", "1,2", "2,3", "2.5,3.01", "2.5,4", "3.5,4", "0.5,0.51"]
    path = write(tmp_path, "file,start,end,emotion\n" + "".join(f"a.wav,{row},fear\n" for row in rows))
    found = corpora.check(corpora.read("table", path))
    assert [(finding.start, finding.end, finding.problem) for finding in found] == [
        (1.0, 2.0, "silent"),
        (2.0, 3.0, "duplicate"),
        (2.5, 4.0, "outside"),
        (3.5, 4.0, "outside"),
        (0.5, 0.51, "too_short"),
    ]


def test_a_label_that_contradicts_the_name_of_a_known_corpus_is_found(tmp_path):
    samples = {"03a01Wa.wav": noise(), "03a01Fa.flac": noise(seed=1), "mine.wav": noise(seed=2)}
    corpus = table_of(tmp_path, samples, speaker="3")
    assert [(finding.file, finding.problem, finding.detail) for finding in corpora.check(corpus)] == [
        ("03a01Fa.flac", "contradiction", "the emotion is 'anger', but the name is emodb's for 'happiness'")
    ]
    corpus = table_of(tmp_path, {"03a01Wa.wav": noise()}, speaker="08")
    assert [finding.detail for finding in corpora.check(corpus)] == [
        "the speaker is '08', but the name is emodb's for '03'"
    ]
    corpus = table_of(tmp_path, {"03-01-08-01-02-01-12.wav": noise()}, speaker="7")
    assert [finding.detail for finding in corpora.check(corpus)] == [
        "the emotion is 'anger', but the name is ravdess's for 'surprise'",
        "the speaker is '7', but the name is ravdess's for '12'",
    ]
    assert corpora.check(table_of(tmp_path, {"03a01Wa.wav": noise()}, speaker="")) == []
