import shutil
from pathlib import Path

import pandas as pd
import pytest

from affetto import corpora, protocol
from affetto.errors import CorpusError

MEANING = {  # readings of the letters
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
}


def labels_of(root: Path) -> Path:
    return root / "Labels" / "labels_consensus.csv"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_msp_podcast_reads_labels_ratings_speakers_splits_and_transcripts(toy_tree):
    root = toy_tree("msp_podcast")
    corpus = corpora.read("msp_podcast-full", root)
    assert list(corpus.table.columns) == [
        "emotion",
        "speaker",
        "sex",
        "split",
        "podcast",
        "code",
        "valence",
        "arousal",
        "dominance",
        "transcript",
    ]
    assert len(corpus) == 50
    on_disk = pd.read_csv(labels_of(root), index_col="FileName")
    for (file, _, _), row in corpus.table.iterrows():
        folder, name = file.split("/")
        there = on_disk.loc[name]
        assert (folder, row["code"], row["split"]) == ("Audios", there["EmoClass"], there["Split_Set"])
        assert row["podcast"] == name.split("_")[1]
        # On disk activation, which is arousal, comes first; in the toy the three ranges do not meet.
        assert row["valence"] < 3 <= row["arousal"] <= 5 < row["dominance"] == 6.5
        assert [row["arousal"], row["valence"], row["dominance"]] == there.iloc[1:4].tolist()
        known = there["SpkrID"] != "Unknown"
        stated = {"speaker": there["SpkrID"], "sex": there["Gender"].lower()} if known else {}
        if name != "MSP-PODCAST_0000_0003.wav":
            stated["transcript"] = f"I am {name[:-4]}."
        assert row[["speaker", "sex", "transcript"]].dropna().to_dict() == stated
    assert corpus.speakers == ("30", "31", "32", "33", "34")


def test_msp_podcast_is_four_classes_and_the_whole_has_every_letter(toy_tree):
    root = toy_tree("msp_podcast")
    whole, four = corpora.read("msp_podcast-full", root), corpora.read("msp_podcast", root)
    assert whole.table["emotion"].isna().equals(whole.table["code"] == "X")
    named = whole.table[whole.table["code"] != "X"]
    assert named["emotion"].tolist() == named["code"].map(MEANING).tolist()
    assert set(named["code"]) == set(MEANING)
    pd.testing.assert_frame_equal(four.table, whole.table[whole.table["code"].isin(list("AHNS"))])
    assert four.categories == ("anger", "happiness", "neutral", "sadness")
    assert whole.dimensions == four.dimensions == {"valence": (1, 7), "arousal": (1, 7), "dominance": (1, 7)}


def test_msp_podcast_has_its_official_partition_in_the_words_of_every_release(toy_tree):
    corpus = corpora.read("msp_podcast", toy_tree("msp_podcast"))
    dealt = protocol.create("msp_podcast-official", corpus).checked()
    (fold,) = dealt.folds
    words = [set(corpus.table["split"].iloc[list(rows)]) for rows in (fold.train, fold.dev, fold.test)]
    assert words == [{"Train"}, {"Validation", "Development"}, {"Test1"}]
    assert (dealt.id, fold.name) == ("msp_podcast-official-v1", "test1")
    (other,) = protocol.create("msp_podcast-official-test2", corpus).folds
    assert set(corpus.table["split"].iloc[list(other.test)]) == {"Test2"}
    assert (other.train, other.dev) == (fold.train, fold.dev)


def test_msp_podcast_of_an_old_release_is_the_same(toy_tree):
    root = toy_tree("msp_podcast")
    table = corpora.read("msp_podcast-full", root).table
    labels_of(root).rename(root / "Labels" / "labels_concensus.csv")
    (root / "Audios").rename(root / "Audio")
    (root / "Partitions.txt").rename(root / "Partition.txt")
    shutil.rmtree(root / "Transcripts")
    old = corpora.read("msp_podcast-full", root)
    assert old.path(old.table.index[0][0]).is_file()
    assert old.table["transcript"].isna().all()
    expected = table.drop(columns="transcript").rename(lambda file: file.replace("Audios", "Audio"), level="file")
    pd.testing.assert_frame_equal(old.table.drop(columns="transcript"), expected)


@pytest.mark.parametrize("partitions", ["Partitions.txt", "Partition.txt"])
def test_msp_podcast_takes_from_the_lists_what_the_table_does_not_say(partitions, toy_tree):
    root = toy_tree("msp_podcast")
    table = corpora.read("msp_podcast-full", root).table
    (root / "Partitions.txt").rename(root / partitions)
    bare = pd.read_csv(labels_of(root)).drop(columns=["SpkrID", "Gender", "Split_Set"])
    bare.to_csv(labels_of(root), index=False)
    listed = corpora.read("msp_podcast-full", root).table
    pd.testing.assert_frame_equal(listed.drop(columns="sex"), table.drop(columns="sex"))
    # The list of speakers tells the sex of two of them.
    known = table["sex"].where(table["speaker"].isin(["30", "31"]))
    pd.testing.assert_series_equal(listed["sex"], known)
    (root / partitions).unlink()
    assert corpora.read("msp_podcast-full", root).table["split"].isna().all()


def test_msp_podcast_leaves_out_turns_whose_labels_are_kept_and_reports_files_that_are_missing(toy_tree):
    root = toy_tree("msp_podcast")
    path = labels_of(root)
    lost = "MSP-PODCAST_0001_0004.wav"
    path.write_text(path.read_text() + "MSP-PODCAST_0999_0001.wav,,,,,,,Test3\n")
    (root / "Audios" / lost).unlink()
    corpus = corpora.read("msp_podcast-full", root)
    assert len(corpus) == 50
    assert {(finding.file, finding.problem) for finding in corpora.check(corpus)} == {(f"Audios/{lost}", "missing")}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("MSP-PODCAST_0000_0001.wav,A", "MSP-PODCAST_0000_0001.wav,Q", "row 3 is 'MSP-PODCAST_0000_0001.wav', 'Q'"),
        ("MSP-PODCAST_0000_0001.wav,A", "holiday.wav,A", "row 3 is 'holiday.wav', 'A'; expected e.g. 'MSP"),
        (",3.04,", ",high,", "row 3, EmoAct is 'high'; expected a number such as 3.6"),
        (",3.04,", ",nan,", "row 3, EmoAct is 'nan'; expected a number such as 3.6"),
        ("PODCAST_0000_0001", "PODCAST_0000_0000", "row 3 is 'MSP-PODCAST_0000_0000.wav' again; row 2 is already"),
        ("EmoDom", "EmoDim", "has no column EmoDom; found FileName, EmoClass, EmoAct, EmoVal, EmoDim, "),
    ],
)
def test_msp_podcast_names_the_row_of_a_damaged_table(old, new, words, toy_tree):
    root = toy_tree("msp_podcast")
    change(labels_of(root), old, new)
    with pytest.raises(CorpusError, match=f"labels_consensus.csv,? {words}"):
        corpora.read("msp_podcast", root)


def test_msp_podcast_reads_a_table_saved_on_windows(toy_tree):
    root = toy_tree("msp_podcast")
    table = corpora.read("msp_podcast", root).table
    for path in (labels_of(root), root / "Partitions.txt", root / "Speaker_ids.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(corpora.read("msp_podcast", root).table, table)


def test_msp_podcast_of_other_classes_alone_is_refused(toy_tree):
    root = toy_tree("msp_podcast")
    kept = [line for line in labels_of(root).read_text().splitlines() if line.split(",")[1] in ("EmoClass", "X")]
    labels_of(root).write_text("\n".join(kept) + "\n")
    with pytest.raises(CorpusError, match="msp_podcast: no labels of its classes in labels_consensus.csv under"):
        corpora.read("msp_podcast", root)
    assert len(corpora.read("msp_podcast-full", root)) == 5
