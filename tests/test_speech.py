"""Corpora without labels: LibriSpeech and folders of recordings."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from affetto import audio, corpora
from affetto.errors import CorpusError

# LibriSpeech


def test_librispeech_reads_speakers_chapters_and_transcripts(toy_tree):
    corpus = corpora.read("librispeech", toy_tree("librispeech"))
    assert list(corpus.table.columns) == ["emotion", "speaker", "sex", "chapter", "subset", "transcript"]
    rows = corpus.table.reset_index().drop(columns=["start", "end", "emotion"]).to_numpy().tolist()
    assert len(rows) == 8
    assert rows[:2] == [
        [
            "dev-clean/1272/128104/1272-128104-0000.flac",
            *("1272", "male", "128104", "dev-clean", "CHAPTER 128104"),
        ],
        ["dev-clean/1272/128104/1272-128104-0001.flac", "1272", "male", "128104", "dev-clean", "AND SO ON"],
    ]
    assert rows[-1] == [
        "train-clean-360/14/208/14-208-0001.flac",
        *("14", "female", "208", "train-clean-360", "AND SO ON"),
    ]
    assert corpus.table["emotion"].isna().all()


def test_librispeech_is_the_same_from_any_of_its_folders(toy_tree, monkeypatch):
    root = toy_tree("librispeech")
    whole = corpora.read("librispeech", root)
    around = corpora.read("librispeech", root.parent)
    pd.testing.assert_frame_equal(around.table, whole.table)
    subset = corpora.read("librispeech", root / "dev-clean")
    pd.testing.assert_frame_equal(subset.table, whole.table[whole.table["subset"] == "dev-clean"])
    assert subset.root == around.root == whole.root == root
    monkeypatch.chdir(root / "dev-clean")
    pd.testing.assert_frame_equal(corpora.read("librispeech", ".").table, subset.table)


def test_librispeech_does_without_speakers_and_transcripts(toy_tree):
    root = toy_tree("librispeech")
    (root / "SPEAKERS.TXT").unlink()
    for path in root.rglob("*.trans.txt"):
        path.unlink()
    table = corpora.read("librispeech", root).table
    assert table[["sex", "transcript"]].isna().all(axis=None)
    assert set(table["speaker"]) == {"14", "1272"}


@pytest.mark.parametrize("name", ["holiday.flac", "14-209-0000.flac", "15-208-0000.flac", "14-208-1.flac"])
def test_librispeech_refuses_files_that_are_not_its_own(name, toy_tree):
    root = toy_tree("librispeech")
    (root / "train-clean-360" / "14" / "208" / name).touch()
    with pytest.raises(CorpusError, match=f"{name} is not a file of LibriSpeech; expected e.g. train-clean-360/14/208"):
        corpora.read("librispeech", root)


@pytest.mark.parametrize("line", ["14", "14 | X | train-clean-360 | 25.03 | Ann Reader"])
def test_librispeech_names_the_line_of_a_damaged_list_of_speakers(line, toy_tree):
    root = toy_tree("librispeech")
    (root / "SPEAKERS.TXT").write_text(f"; remark\n\n{line}\n")
    with pytest.raises(CorpusError, match="SPEAKERS.TXT, line 3 is '14.*; expected e.g. '14 | F"):
        corpora.read("librispeech", root)


# Any folder


def test_a_folder_of_recordings_is_read_to_its_depths_and_sorted(toy_tree):
    corpus = corpora.read("speech", toy_tree("speech"))
    assert corpus.table.reset_index().astype(object).where(lambda cell: cell.notna(), None).to_numpy().tolist() == [
        [file, pd.Timedelta(0), None, None, None]
        for file in ("a.wav", "talks/2024/b.flac", "talks/c.WAV", "talks/d.ogg")
    ]


def test_a_folder_of_recordings_takes_all_types_that_can_be_heard_and_decodes_none(tmp_path):
    for extension in audio.EXTENSIONS:
        (tmp_path / f"a{extension}").write_text("not decoded")
    assert len(corpora.read("speech", tmp_path)) == len(audio.EXTENSIONS) == 11


def test_a_copy_in_a_folder_of_recordings_is_found(tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    shutil.copy(tmp_path / "a.wav", tmp_path / "b.wav")
    assert [finding.detail for finding in corpora.check(corpora.read("speech", tmp_path))] == [
        "the same sound as a.wav"
    ]


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CorpusError, match=f"speech: no audio files under {tmp_path}; expected e.g. monday.wav"):
        corpora.read("speech", tmp_path)


@pytest.mark.parametrize("name", ["emodb", "ravdess", "iemocap", "librispeech"])
def test_a_folder_of_a_corpus_may_be_read_as_speech_when_that_is_asked_for(name, toy_tree):
    root = toy_tree(name)
    asked = corpora.find(root, "speech")
    assert asked.name == "speech"
    assert len(asked) >= len(corpora.read(name, root))
    assert asked.categories == asked.speakers == ()
