"""Transcripts with errors, their rate counted by jiwer on plain lower-case words."""

import random
import string

import pytest

from affetto import corpora
from affetto.cli import main
from affetto.corpora import transcripts
from affetto.errors import ConfigError
from affetto.mishearing import SHARES, mishear

jiwer = pytest.importorskip("jiwer")


@pytest.fixture(scope="module")
def gold() -> list[str]:
    """Three hundred sentences of 3 to 14 of sixty words, the first of them the commonest."""
    drawn = random.Random(5)
    words = ["".join(drawn.choices(string.ascii_lowercase, k=5)) for _ in range(60)]
    weights = [1 / rank for rank in range(1, 61)]
    return [" ".join(drawn.choices(words, weights, k=drawn.randint(3, 14))) for _ in range(300)]


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_many_words_are_wrong_as_were_asked_for(gold, rate, seed):
    assert jiwer.wer(gold, mishear(gold, rate, seed=seed)) == pytest.approx(rate, abs=0.001)


def test_errors_are_of_the_kinds_that_are_stated(gold):
    found = jiwer.process_words(gold, mishear(gold, 0.1))
    errors = found.substitutions + found.deletions + found.insertions
    kinds = (found.substitutions, found.deletions, found.insertions)
    for count, share in zip(kinds, SHARES.values(), strict=True):
        assert count / errors == pytest.approx(share, abs=0.1)


def test_errors_are_drawn_from_the_transcripts_own_words_anew_by_seed(gold):
    heard = mishear(gold, 0.5)
    assert {word for text in heard for word in text.split()} <= {word for text in gold for word in text.split()}
    assert mishear(gold, 0.5) == heard
    assert mishear(gold, 0.5, seed=1) != heard
    assert mishear(gold, 0) == gold


def test_a_higher_rate_has_the_errors_of_a_lower_one(gold):
    little, much = mishear(gold, 0.1), mishear(gold, 0.4)
    changed = [n for n, (a, b) in enumerate(zip(gold, little, strict=True)) if a != b]
    assert changed
    assert all(much[n] != gold[n] for n in changed)


def test_what_is_not_known_or_silent_or_no_word_stays():
    gold = [None, "", "-- [LAUGHTER] yes and no", "but why, but why?"]
    assert mishear(gold, 0.5)[:2] == [None, ""]
    for seed in range(5):
        assert mishear(gold, 0.5, seed=seed)[2].startswith("-- [LAUGHTER]")


@pytest.mark.parametrize(
    ("texts", "rate", "words"),
    [
        (["one two"], 0.9, "a word error rate of 0.9 was asked for, expected 0 to 0.8"),
        (["one two"], -0.1, "of -0.1 was asked for, expected 0 to 0.8"),
        (["one", "One!"], 0.5, "fewer than two different words cannot be made wrong"),
    ],
)
def test_what_cannot_be_done_is_refused(texts, rate, words):
    with pytest.raises(ConfigError, match=words):
        mishear(texts, rate)


def test_the_command_writes_a_table_that_any_corpus_takes(spoken, tmp_path, capsys, monkeypatch):
    path = tmp_path / "words30.csv"
    command = ["corpora", "mishear", "table", str(spoken), "--rate", "0.3", "--to", str(path)]
    monkeypatch.setattr("sys.argv", ["affetto", *command])
    with pytest.raises(SystemExit, match="^0$"):
        main()
    assert "word error rate 30." in capsys.readouterr().out
    corpus = corpora.read("table", spoken)
    heard, notes = transcripts.join(corpus, transcripts.read(path))
    assert notes == []
    plain = [[text.lower().strip(".,!?") for text in each.transcripts] for each in (corpus, heard)]
    assert jiwer.wer(*plain) == pytest.approx(0.3, abs=0.03)
    with pytest.raises(SystemExit, match="^1$"):
        main()
    assert "is there already; give a new file" in capsys.readouterr().err
