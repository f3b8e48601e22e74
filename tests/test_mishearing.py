"""Transcripts with errors, their rate counted by jiwer on plain lower-case words."""

import random
import string
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from affetto import Recognizer, corpora, models
from affetto.checkpoint import Checkpoint, save
from affetto.cli import main
from affetto.corpora import transcripts
from affetto.errors import ConfigError
from affetto.mishearing import SHARES, mishear, sweep
from affetto.tasks import Categories, Dimensions, DimensionsSettings

jiwer = pytest.importorskip("jiwer")

VALENCE = Dimensions(("valence",), ((1.0, 7.0),), DimensionsSettings(names=("valence",)))


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


@pytest.fixture
def rated(spoken):
    """Twelve clips with words, rated at random."""
    corpus = corpora.read("table", spoken).select(pd.Series([n % 8 == 0 for n in range(96)]))
    ratings = np.random.default_rng(0).uniform(1, 7, size=(len(corpus), 1))
    return corpora.Corpus(corpus.info, corpus.root, corpus.table.assign(valence=ratings))


def reader(tiny_bert, task) -> Checkpoint:
    settings = models.parse_settings({"name": "bert", "encoder": tiny_bert}, source="test")
    torch.manual_seed(0)
    model = models.get("bert").create(settings, len(task.labels))
    model.load_pretrained()
    return Checkpoint(model.eval(), settings, task, {"name": "reader"})


def test_a_sweep_reads_the_same_clips_with_ever_more_errors(rated, tiny_bert):
    listener = Recognizer(reader(tiny_bert, VALENCE), device="cpu")
    found = sweep(listener, rated, [0.0, 0.3, 0.6])
    assert list(found.n) == [12] * 3
    gold = [text.lower().strip(".,!?") for text in rated.transcripts]
    for row in found.itertuples():
        heard = mishear(rated.transcripts, row.rate)
        assert jiwer.wer(gold, [text.lower().strip(".,!?") for text in heard]) == pytest.approx(row.wer)
        answers = [listener.predict(None, words=text).dimensions["valence"] for text in heard]
        covariance = np.cov(answers, rated.table.valence, bias=True)
        ccc = 2 * covariance[0, 1] / (covariance.trace() + (np.mean(answers) - rated.table.valence.mean()) ** 2)
        assert row.ccc_valence == pytest.approx(ccc, abs=1e-5)
    assert found.ccc_valence.nunique() == 3


def test_a_sweep_answers_on_the_corpuss_scale(rated, tiny_bert):
    """Ratings halved with their scale are as well rated as before."""
    info = replace(rated.info, dimensions={"valence": (0.5, 3.5)})
    halved = corpora.Corpus(info, rated.root, rated.table.assign(valence=rated.table.valence / 2))
    listener = Recognizer(reader(tiny_bert, VALENCE), device="cpu")
    once, again = (sweep(listener, each, [0.0]) for each in (rated, halved))
    assert again.ccc_valence[0] == pytest.approx(once.ccc_valence[0], abs=1e-6)
    assert again.mse_valence[0] == pytest.approx(once.mse_valence[0] / 4, rel=1e-6)


def test_a_sweep_ends_without_words_where_a_model_can_do_without(rated, tiny_bert):
    settings = {
        "name": "conditioned_cnn14",
        "encoder": {"width": 4},
        "words": tiny_bert,
        "modality_dropout": {"words": 0.5},
    }
    parsed = models.parse_settings(settings, source="test")
    torch.manual_seed(0)
    model = models.get("conditioned_cnn14").create(parsed, 1).eval()
    model.load_pretrained()
    both = Recognizer(Checkpoint(model, parsed, VALENCE, {"name": "both"}), device="cpu")
    told: list[tuple[str, int, int]] = []
    found = sweep(both, rated, [0.0, 0.5], progress=lambda *done: told.append(done))
    assert (len(found), found.rate.isna().tolist(), found.wer.isna().tolist()) == (
        3,
        [False, False, True],
        [False, False, True],
    )
    alone = [
        both.predict(rated.path(file)).dimensions["valence"] for file in rated.table.index.get_level_values("file")
    ]
    truth = rated.table["valence"].to_numpy()
    assert found.pearson_valence[2] == pytest.approx(np.corrcoef(truth, alone)[0, 1], abs=1e-3)
    assert told == [("clips", done, 3 * len(rated)) for done in range(3 * len(rated))]


def test_a_sweep_takes_words_and_ratings(rated, tiny_bert):
    with pytest.raises(ConfigError, match="reader: expected a model that hears words and gives ratings"):
        sweep(Recognizer(reader(tiny_bert, Categories(("anger", "joy"))), device="cpu"), rated, [0.0])


def test_the_sweeps_command_writes_scores_and_a_figure(rated, tiny_bert, tmp_path, monkeypatch, capsys):
    save(reader(tiny_bert, VALENCE), tmp_path / "reader")
    table = rated.table.reset_index()
    table["file"] = [str(rated.path(file)) for file in table["file"]]
    table[["file", "transcript", "valence", "speaker"]].to_csv(tmp_path / "rated.csv", index=False)
    command = ["affetto", "misheard", str(tmp_path / "reader"), "--corpus", str(tmp_path / "rated.csv")]
    command += ["--rate", "0", "--rate", "0.5", "--out", str(tmp_path / "misheard.csv")]
    monkeypatch.setattr("sys.argv", [*command[:-1], str(tmp_path / "misheard.png")])
    with pytest.raises(SystemExit, match="^1$"):
        main()
    assert "is the name of a figure" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="^0$"):
        main()
    assert "valence, CCC" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "misheard.csv")
    assert list(found.rate) == [0.0, 0.5]
    assert found.wer[0] == 0
    assert (tmp_path / "misheard.png").read_bytes()[:4] == b"\x89PNG"
