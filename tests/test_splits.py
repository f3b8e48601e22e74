import pytest

from affetto import splits
from affetto.errors import CorpusError, ProtocolError
from affetto.splits import Line


def table(folder, text):
    path = folder / "splits.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_keeps_what_it_says(tmp_path):
    rows = ["1,wav\\a.wav,Training,,,03", "2,b.wav,VALIDATION,0.5,0 days 00:00:02,", ",c.wav,test2,,,"]
    path = table(tmp_path, "\n".join(["fold,file,split,start,end,speaker", *rows]))
    assert splits.read(path) == [
        Line("1", "train", "wav/a.wav", 0.0, None, {"speaker": "03"}),
        Line("2", "dev", "b.wav", 0.5, 2.0, {"speaker": ""}),
        Line("1", "test2", "c.wav", 0.0, None, {"speaker": ""}),
    ]


def test_file_and_split_are_enough(tmp_path):
    assert splits.read(table(tmp_path, "split;file\ntest;a.wav\n")) == [Line("1", "test", "a.wav", 0.0, None, {})]


@pytest.mark.parametrize(
    ("meant", "words"),
    [
        ("train", ["train", "Train", "training", " TRAIN "]),
        ("dev", ["dev", "devel", "Development", "val", "valid", "validation"]),
        ("test", ["test", "testing", "eval", "Evaluation"]),
        ("test1", ["test1", "Test1"]),
        ("test12", ["test12"]),
    ],
)
def test_a_split_may_be_spelt_in_many_ways(meant, words):
    assert {splits.canonical(word, "row 2") for word in words} == {meant}


@pytest.mark.parametrize("word", ["", "tests", "train1", "test-1", "dev2", "all"])
def test_what_is_no_split_is_refused(word):
    with pytest.raises(ProtocolError, match=f"^row 2: '{word}' is not a split; expected train, dev or test$"):
        splits.canonical(word, "row 2")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("file,fold\na.wav,1\n", CorpusError, "has no column 'split'; found file, fold; expected splits.csv with"),
        ("name,split\na.wav,train\n", CorpusError, "has no column 'file'"),
        ("file,split\n", CorpusError, "has a header but no rows"),
        ("file,split\n,train\n", CorpusError, "row 2: file is empty"),
        ("file,split\na.wav,train\nb.wav,\n", ProtocolError, "row 3: '' is not a split"),
        ("file,split,start\na.wav,train,soon\n", CorpusError, "row 2: 'soon' is not a time"),
        ("", CorpusError, "is empty; expected e.g. splits.csv with the columns file, split"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_row(text, error, words, tmp_path):
    with pytest.raises(error, match=words) as caught:
        splits.read(table(tmp_path, text))
    assert str(tmp_path / "splits.csv") in str(caught.value)
    assert "\n" not in str(caught.value)
