from pathlib import Path

import pandas as pd
import pytest

from affetto import corpora
from affetto.corpora import transcripts
from affetto.errors import CorpusError


@pytest.fixture
def corpus(toy_tree) -> corpora.Corpus:
    """Three utterances: calls/monday.wav from 0 to 0.6 s and on to 1.2 s, calls/tuesday.wav."""
    return corpora.read("table", toy_tree("table"))


@pytest.fixture
def write(tmp_path):
    def put(*lines: str) -> Path:
        path = tmp_path / "words.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return put


def join(corpus, path) -> tuple[corpora.Corpus, list[str]]:
    return transcripts.join(corpus, transcripts.read(path))


def test_a_table_gives_each_utterance_its_words(corpus, write):
    path = write(
        "file,start,end,transcript",
        "calls/tuesday.wav,,,see you",
        "calls\\monday.wav,0.6,0 days 00:00:01.2,",
        "calls/monday.wav,0.0004,0.6,hello there",
    )
    spoken, notes = join(corpus, path)
    assert spoken.transcripts == ("hello there", "", "see you")
    assert notes == []
    assert list(spoken.table.emotion) == list(corpus.table.emotion)
    assert corpus.transcripts == (None, None, None)  # it is another corpus


def test_whole_files_are_found_by_name_alone_whatever_their_times(corpus, write):
    for lines in (
        ("file;transcript", "calls/tuesday.wav;see you"),
        ("file,start,end,transcript", "calls/tuesday.wav,0,1.71,see you"),
    ):
        spoken, notes = join(corpus, write(*lines))
        assert spoken.transcripts == (None, None, "see you")
        assert len(notes) == 1
        assert notes[0].endswith("words.csv: lacks 2 of 3 utterances, such as calls/monday.wav")


def test_what_is_missing_on_either_side_is_told_in_a_line_each(corpus, write):
    path = write(
        "file,start,end,transcript",
        "calls/monday.wav,0,0.6,hello",
        "calls/tuesday.wav,0,0,see you",
        "calls/friday.wav,,,who",
        "calls/friday.wav,1,2,else",
    )
    _, notes = join(corpus, path)
    assert notes == [
        f"{path}: lacks 1 of 3 utterances, such as calls/monday.wav from 0.6 s",
        f"{path}: lines of no utterance here: 2, such as of calls/friday.wav",
    ]


def test_a_table_replaces_a_corpuss_own_words_wholly(spoken, write):
    corpus = corpora.read("table", spoken)
    joined, _ = join(corpus, write("file,transcript", "ann_anger_0.wav,new"))
    assert joined.transcripts == ("new", *(None,) * 95)
    assert joined.transcripts_sha256 != corpus.transcripts_sha256


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,words", "a.wav,hello"], "has no column 'transcript'; found file, words; expected words.csv with"),
        (["file,transcript", ",hello"], "row 2: file is empty; fill it in or remove the row"),
        (["file,transcript", "a.wav,x", "b.wav,y", "a.wav,z"], "row 4 repeats row 2: a.wav from 0 s; keep one"),
        (["file,start,transcript", "a.wav,one,x"], "row 2: 'one' is not a time"),
        (["file,transcript", "x.wav,hello"], "none of the utterances of table; its first is of x.wav, theirs of calls"),
        (["file,transcript"], "none of the utterances of table; its first is of nothing"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(lines, words, corpus, write):
    with pytest.raises(CorpusError, match=words):
        join(corpus, write(*lines))


def test_words_come_from_the_column_transcript_or_else_text(toy_tree):
    iemocap = corpora.read("iemocap", toy_tree("iemocap"))
    assert iemocap.transcripts[0] == "I am Ses01F_impro01_F000 -- [LAUGHTER]"
    emodb = corpora.read("emodb", toy_tree("emodb"))
    assert set(emodb.transcripts) == set(emodb.table.text)
    named = corpora.Corpus(emodb.info, emodb.root, emodb.table.assign(transcript=pd.NA))
    assert set(named.transcripts) == {None}


def test_the_hash_of_transcripts_knows_words_and_places_and_no_order(spoken):
    corpus = corpora.read("table", spoken)
    known = corpus.transcripts_sha256
    turned = corpora.Corpus(corpus.info, corpus.root, corpus.table[::-1])
    assert turned.transcripts_sha256 == known
    swapped = corpus.table.assign(transcript=list(corpus.table.transcript[::-1]))
    assert corpora.Corpus(corpus.info, corpus.root, swapped).transcripts_sha256 != known


def test_a_recording_is_found_by_its_path_from_anywhere(write, tmp_path, monkeypatch):
    table = transcripts.read(write("file,transcript", "takes/one.wav,first", "/far/two.wav,second"))
    monkeypatch.chdir(tmp_path.parent)
    assert table.find("takes/one.wav") == "first"
    assert table.find(f"{tmp_path.name}/takes/one.wav") == "first"
    assert table.find(str(tmp_path / "takes" / "one.wav")) == "first"
    assert table.find("/far/two.wav") == "second"
    assert table.find("one.wav") is None


# Tables that grow


def test_a_table_grows_and_is_read_back(tmp_path, corpus):
    path = tmp_path / "words.csv"
    table = transcripts.Growing(path, "nobody")
    assert table.lacks("calls/tuesday.wav")
    table.add('She said "no",\nand left', "calls/tuesday.wav")
    table.add("", "calls/monday.wav", 0.6, 1.2)
    assert not table.lacks("calls/tuesday.wav")
    assert not table.lacks("calls/monday.wav", 0.6, 1.2)
    assert table.lacks("calls/monday.wav", 0.0, 0.6)
    spoken, _ = join(corpus, path)
    assert spoken.transcripts == (None, "", 'She said "no",\nand left')


def test_a_table_goes_on_where_it_was_cut_off(tmp_path):
    path = tmp_path / "words.csv"
    table = transcripts.Growing(path, "nobody")
    table.add("first", "a.wav")
    table.add("second", "b.wav")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        again = transcripts.Growing(path, "nobody")
        for file, text in (("a.wav", "first"), ("b.wav", "second")):
            if again.lacks(file):
                again.add(text, file)
        assert path.read_bytes() == whole, cut


def test_tables_of_others_are_not_gone_on_with(tmp_path, write):
    path = tmp_path / "words.csv"
    transcripts.Growing(path, "ann").add("hello", "a.wav")
    with pytest.raises(CorpusError, match=r"words\.csv: was made by ann, not by ben; give another file"):
        transcripts.Growing(path, "ben")
    with pytest.raises(CorpusError, match=r"has the columns file, transcript; expected file, start, end, transcript, "):
        transcripts.Growing(write("file,transcript", "a.wav,x"), "ann")
    cut = tmp_path / "labels.csv"
    cut.write_text("file,emotion\na.wav,anger\nb.wav,fear", encoding="utf-8")
    with pytest.raises(CorpusError, match="has the columns file, emotion; expected"):
        transcripts.Growing(cut, "ann")
    assert cut.read_text(encoding="utf-8").endswith("b.wav,fear")  # nobody has cut it
    with pytest.raises(CorpusError, match="cannot be written"):
        transcripts.Growing(tmp_path / "nowhere" / "words.csv", "ann")
