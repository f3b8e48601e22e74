import csv

import pandas as pd
import pytest

from affetto import corpora, protocol
from affetto.errors import CorpusError


def test_emobank_reads_sentences_ratings_and_splits(toy_tree):
    root = toy_tree("emobank")
    corpus = corpora.read("emobank", root)
    assert list(corpus.table.columns) == [
        "emotion",
        "speaker",
        "split",
        "valence",
        "arousal",
        "dominance",
        "transcript",
    ]
    with (root / "emobank.csv").open(newline="") as file:
        on_disk = {row["id"]: row for row in csv.DictReader(file)}
    assert corpus.table.index.get_level_values("file").tolist() == sorted(on_disk)
    for (name, _, _), row in corpus.table.iterrows():
        there = on_disk[name]
        assert [row["split"], row["transcript"]] == [there["split"], there["text"]]
        assert [row["valence"], row["arousal"], row["dominance"]] == [float(there[letter]) for letter in "VAD"]
        assert row["transcript"].endswith('he said, "and no more."')
    assert corpus.dimensions == {"valence": (1, 5), "arousal": (1, 5), "dominance": (1, 5)}
    pd.testing.assert_frame_equal(corpora.read("emobank", root / "emobank.csv").table, corpus.table)


def test_emobank_is_checked_without_sound(toy_tree):
    corpus = corpora.read("emobank", toy_tree("emobank"))
    assert corpora.check(corpus) == []
    table = corpus.table.copy()
    column = table.columns.get_loc("transcript")
    table.iloc[2, column] = table.iloc[0, column]
    table.iloc[3, column] = " "
    table.iloc[4, table.columns.get_loc("arousal")] = 5.2
    names = table.index.get_level_values("file")
    found = corpora.check(corpora.Corpus(corpus.info, corpus.root, table))
    assert [(finding.file, finding.problem, finding.detail) for finding in found] == [
        (names[2], "duplicate", f"the same text as {names[0]}"),
        (names[3], "empty", "there is no text"),
        (names[4], "scale", "arousal is 5.2, on a scale from 1 to 5"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("doc1_8_20", "doc0_9_20", "emobank.csv, row 3 repeats the id doc0_9_20"),
        ("1.70", "good", "emobank.csv, row 3: could not convert string to float: 'good'; expected ratings such as 3.2"),
        ("id,split", "name,split", "emobank.csv has no column id; found name, split, V, A, D, text"),
    ],
)
def test_emobank_names_the_row_of_a_damaged_file(old, new, words, toy_tree):
    path = toy_tree("emobank") / "emobank.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(CorpusError, match=words):
        corpora.read("emobank", path)


def test_real_emobank_has_the_published_sizes_and_spread(emobank_root):
    corpus = corpora.read("emobank", emobank_root)
    assert len(corpus) == 10_062
    (fold,) = protocol.create("emobank-official", corpus).checked().folds
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (8_062, 1_000, 1_000)
    theirs = pd.read_csv(emobank_root / "emobank.csv", index_col="id", keep_default_na=False)
    theirs = theirs.loc[corpus.table.index.get_level_values("file")]
    for name, letter in {"valence": "V", "arousal": "A", "dominance": "D"}.items():
        assert corpus.table[name].tolist() == theirs[letter].tolist()
    assert {finding.problem for finding in corpora.check(corpus)} == {"duplicate"}
