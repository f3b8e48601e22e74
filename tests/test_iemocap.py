from pathlib import Path

import pandas as pd
import pytest

from affetto import corpora
from affetto.corpora import iemocap
from affetto.errors import CorpusError

MEANING = {  # readings of the codes: those of the field's four classes, then the rest
    "ang": "anger",
    "hap": "happiness",
    "exc": "excitement",
    "neu": "neutral",
    "sad": "sadness",
    "fru": "frustration",
    "sur": "surprise",
    "fea": "fear",
    "dis": "disgust",
    "oth": "other",
}


def labels_of(root: Path, dialogue: str) -> Path:
    return root / f"Session{dialogue[4]}" / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"


def test_iemocap_reads_labels_ratings_speakers_and_transcripts(toy_tree):
    corpus = corpora.read("iemocap-full", toy_tree("iemocap"))
    assert list(corpus.table.columns) == [
        "emotion",
        "speaker",
        "sex",
        "session",
        "dialogue",
        "kind",
        "code",
        "valence",
        "arousal",
        "dominance",
        "transcript",
    ]
    on_disk = {path.relative_to(corpus.root).as_posix() for path in corpus.root.rglob("*.wav")}
    assert set(corpus.table.index.get_level_values("file")) == on_disk
    assert len(corpus) == 130
    for (file, _, _), row in corpus.table.iterrows():
        folder, _, _, dialogue, clip = file.removesuffix(".wav").split("/")
        assert clip.startswith(f"{dialogue}_")
        assert row["dialogue"] == dialogue
        assert row["session"] == f"Ses0{folder[-1]}" == dialogue[:5]
        assert row["speaker"] == dialogue[:5] + clip[-4]
        assert row["sex"] == {"F": "female", "M": "male"}[clip[-4]]
        assert row["kind"] == ("improvised" if "impro" in clip else "scripted")
        assert row["transcript"] == f"I am {clip} -- [LAUGHTER]"
        assert row["valence"] < 3 <= row["arousal"] < 4 < row["dominance"] == 4.5
        line = next(line for line in labels_of(corpus.root, dialogue).read_text().splitlines() if clip in line)
        assert line.split("\t")[2:] == [
            row["code"],
            f"[{row['valence']:.4f}, {row['arousal']:.4f}, {row['dominance']:.4f}]",
        ]


def test_iemocap_is_four_classes_and_the_whole_has_every_code(toy_tree):
    root = toy_tree("iemocap")
    whole, four = corpora.read("iemocap-full", root), corpora.read("iemocap", root)
    assert set(whole.table["code"]) == {*MEANING, "xxx"}
    assert whole.table["emotion"].isna().equals(whole.table["code"] == "xxx")
    named = whole.table[whole.table["code"] != "xxx"]
    assert named["emotion"].tolist() == named["code"].map(MEANING).tolist()
    expected = whole.table[whole.table["code"].isin(["ang", "hap", "exc", "neu", "sad"])]
    pd.testing.assert_frame_equal(four.table.drop(columns="emotion"), expected.drop(columns="emotion"))
    assert four.table["emotion"].tolist() == expected["emotion"].replace("excitement", "happiness").tolist()
    assert four.categories == ("anger", "happiness", "neutral", "sadness")


def test_iemocap_states_the_published_counts():
    counts = corpora.get("iemocap").info.categories
    assert sum(counts.values()) == 5531
    shares = {emotion: round(100 * count / 5531, 2) for emotion, count in counts.items()}
    assert shares == {
        "neutral": 30.88,
        "happiness": 29.58,
        "sadness": 19.60,
        "anger": 19.94,
    }  # the first paper, table 3
    whole = corpora.get("iemocap-full").info.categories
    assert sum(whole.values()) + 2507 == 10_039
    assert whole["happiness"] + whole["excitement"] == counts["happiness"]


def test_iemocap_without_transcripts_has_none_and_one_session_is_enough(toy_tree):
    root = toy_tree("iemocap")
    for path in root.glob("Session*/dialog/transcriptions/*"):
        path.unlink()
    for path in root.glob("Session[1-4]/dialog/EmoEvaluation/Ses*.txt"):
        path.unlink()
    corpus = corpora.read("iemocap", root)
    assert corpus.table["transcript"].isna().all()
    assert corpus.speakers == ("Ses05F", "Ses05M")


def test_iemocap_takes_the_folder_around_the_release(toy_tree, tmp_path):
    root = toy_tree("iemocap")
    table = corpora.read("iemocap", root).table
    (tmp_path / "data").mkdir()
    root.rename(tmp_path / "data" / "IEMOCAP_full_release")
    corpus = corpora.read("iemocap", tmp_path / "data")
    pd.testing.assert_frame_equal(corpus.table, table)
    assert corpus.path(table.index[0][0]).is_file()


@pytest.mark.parametrize(
    ("name", "speaker", "dialogue"),
    [
        ("Ses01F_impro01_M003", "Ses01M", "Ses01F_impro01"),
        ("Ses03M_impro05a_F021.wav", "Ses03F", "Ses03M_impro05a"),
        ("Ses05M_script01_1b_F012", "Ses05F", "Ses05M_script01_1b"),
        ("Ses02F_script03_2_F000", "Ses02F", "Ses02F_script03_2"),
    ],
)
def test_iemocap_hears_the_speaker_of_the_last_part_of_a_name(name, speaker, dialogue):
    stated = iemocap.parse(name)
    assert (stated.speaker, stated.dialogue) == (speaker, dialogue)


@pytest.mark.parametrize(
    "name", ["holiday", "Ses06F_impro01_F000", "Ses01X_impro01_F000", "Ses01F_impro01_FXX0", "Ses01F_impro01_F0001"]
)
def test_iemocap_refuses_names_that_are_not_its_own(name):
    with pytest.raises(CorpusError, match=f"iemocap: {name} is not a name of IEMOCAP; expected e.g. Ses01F_impro01_M"):
        iemocap.parse(name)


@pytest.mark.parametrize(
    "line",
    [
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tcalm\t[2.5000, 2.5000, 2.5000]",
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000]",
        "[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]",
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu",
    ],
)
def test_iemocap_names_the_line_of_a_damaged_file_of_labels(line, toy_tree):
    root = toy_tree("iemocap")
    path = labels_of(root, "Ses01F_impro01")
    path.write_text(f"% header\n\n{line}\n")
    with pytest.raises(CorpusError, match="Ses01F_impro01.txt, line 3 is .*; expected e.g. .* ang, dis, exc"):
        corpora.read("iemocap", root)


def test_iemocap_reads_past_bytes_of_another_encoding_and_line_ends_of_windows(toy_tree):
    root = toy_tree("iemocap")
    table = corpora.read("iemocap-full", root).table
    path = labels_of(root, "Ses02F_script01_1")
    path.write_bytes(path.read_bytes().replace(b"curious", b"blas\xe9").replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(corpora.read("iemocap-full", root).table, table)


def test_a_label_of_iemocap_without_its_file_is_found_by_the_check(toy_tree):
    corpus = corpora.read("iemocap", toy_tree("iemocap"))
    lost = corpus.table.index[3][0]
    corpus.path(lost).unlink()
    assert (lost, "missing") in {(finding.file, finding.problem) for finding in corpora.check(corpus)}
