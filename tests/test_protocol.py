from pathlib import Path

import audformat
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from affetto import corpora, protocol
from affetto.corpora import Corpus, CorpusInfo
from affetto.errors import ProtocolError

INFO = CorpusInfo("toy", "Toy", "deu", "CC0-1.0", "nowhere", "nobody", ())
PAIRS = [("03", "08"), ("09", "10"), ("11", "12"), ("13", "14"), ("15", "16")]  # readings, section 4, row 29


def corpus_of(speakers: list[str | None]) -> Corpus:
    """A corpus of one utterance an entry."""
    index = audformat.segmented_index([f"{i}.wav" for i in range(len(speakers))])
    table = pd.DataFrame({"emotion": "anger", "speaker": pd.Series(speakers, index=index, dtype="object")}, index=index)
    return Corpus(INFO, Path("."), table)


speakers = st.lists(st.sampled_from([f"{number:02d}" for number in range(20)]), min_size=3, max_size=60)


@settings(deadline=None)
@given(speakers, st.integers(3, 12))
def test_no_speaker_is_in_two_splits_and_each_is_tested_once(spoken, k):
    corpus = corpus_of(spoken)
    assume(len(corpus.speakers) >= k)
    dealt = protocol.create(f"speaker-{k}fold", corpus)
    assert len(dealt.folds) == k
    for fold in dealt.folds:
        splits = [set(fold.train), set(fold.dev), set(fold.test)]
        assert all(splits)
        assert sum(map(len, splits)) == len(set.union(*splits))
        assert set.union(*splits) == set(corpus.speakers)
        assert fold.seen == tuple(sorted(splits[0] | splits[1]))
    for role in ("dev", "test"):
        assert sorted(s for fold in dealt.folds for s in getattr(fold, role)) == list(corpus.speakers)
    sizes = [len(fold.test) for fold in dealt.folds]
    assert max(sizes) - min(sizes) <= 1
    assert len({fold.name for fold in dealt.folds}) == k


@settings(deadline=None)
@given(speakers, st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_the_table(spoken, random):
    assume(len(set(spoken)) >= 3)
    shuffled = random.sample(spoken, len(spoken))
    assert protocol.speaker_kfold(corpus_of(spoken), 3) == protocol.speaker_kfold(corpus_of(shuffled), 3)


def test_speakers_are_dealt_in_turn_and_the_next_group_is_dev():
    dealt = protocol.create("speaker-3fold", corpus_of(list("abcde")))
    assert dealt.id == "toy-speaker3fold-v1"
    assert [(fold.name, fold.train, fold.dev, fold.test) for fold in dealt.folds] == [
        ("01", ("c",), ("b", "e"), ("a", "d")),
        ("02", ("a", "d"), ("c",), ("b", "e")),
        ("03", ("b", "e"), ("a", "d"), ("c",)),
    ]
    assert [fold.name for fold in protocol.create("speaker-3fold", corpus_of(list("abc"))).folds] == ["a", "b", "c"]


def test_emodb_leaves_each_speaker_out_once_and_develops_on_the_partner(toy_tree):
    dealt = protocol.create("emodb-loso10", corpora.read("emodb", toy_tree("emodb")))
    assert dealt.id == "emodb-loso10-v1"
    assert [fold.name for fold in dealt.folds] == [speaker for pair in PAIRS for speaker in pair]
    for fold in dealt.folds:
        assert fold.test == (fold.name,)
        assert tuple(sorted(fold.dev + fold.test)) in PAIRS
        assert len(fold.train) == 8
        assert not set(fold.train) & {*fold.dev, *fold.test}


def test_a_fold_with_a_speaker_in_two_splits_cannot_be_made():
    with pytest.raises(ProtocolError, match="fold 1 has a speaker in two splits"):
        protocol.Fold("1", ("a", "b"), ("c",), ("b",))


@pytest.mark.parametrize(
    ("name", "spoken", "words"),
    [
        ("loso", list("abc"), "no protocol is called 'loso'; the protocols are emodb-loso10 and speaker-<k>fold"),
        ("speaker-xfold", list("abc"), "no protocol is called 'speaker-xfold'"),
        ("emodb-loso10", ["03", "08"], "expected the speakers 03, 08, .*, 16, got 03, 08$"),
        ("emodb-loso10", [None], "expected the speakers 03, .* got none$"),
        ("speaker-3fold", ["a", "b", None, None], "toy: 2 of 4 rows have no speaker, which folds by speaker need"),
        ("speaker-5fold", list("abcd"), "speaker-5fold: 4 speakers can be dealt to 3..4 folds"),
        ("speaker-2fold", list("abcd"), "train, dev and test each need one"),
    ],
)
def test_what_cannot_be_dealt_is_refused(name, spoken, words):
    with pytest.raises(ProtocolError, match=words):
        protocol.create(name, corpus_of(spoken))
