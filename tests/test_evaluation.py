import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from affetto import changes, corpora, evaluation, experiment, protocol, runs, verification
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.errors import ConfigError, CorpusError, ProtocolError, TrainingError
from affetto.files import json_bytes

CPU = torch.device("cpu")
SCORES = {"wa", "ua", "macro_f1", "weighted_f1"}
FIELDS = {
    "protocol": str,
    "corpus": str,
    "manifest_sha256": str,
    "folds_sha256": str,
    "model": str,
    "task": str,
    "labels": list,
    "transductive": bool,
    "simulated": bool,
    "shipped": bool,
    "trained_on": str,
    "tuned_on": list | None,
    "fingerprint": str,
    "seeds": list,
    "config": dict,
    "commit": str | None,
    "machine": str,
    "seconds": float,
    "folds": list,
    "fold_mean": dict,
    "fold_mean_by_seed": dict,
    "deviation": dict,
    "pooled": dict,
    "by_speaker": dict,
    "intervals": dict,
    "confusion": list,
    "undefined": dict,
}


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path, dtype={"fold": str, "truth": str, "prediction": str, "speaker": str}, keep_default_na=False
    )


def check_numbers(path: Path) -> None:
    """Every number of a results file; `test_verification` shows that nothing else passes."""
    assert verification.verify(path).faults == ()


@pytest.fixture
def settings(tiny_experiment):
    """Makes an experiment with a tiny probe on the synthetic emotions."""
    return partial(tiny_experiment, epochs=6, seeds=[0, 1])


CHOOSE = {"grid": {"training.learning_rate": [0.0, 0.05]}, "by": "ua"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of features that all tests here share."""
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run(synthetic, cache, tmp_path):
    """Benchmarks an experiment in this process; returns the path of its results."""

    def benchmark(tried, corpus=None, **arguments):
        (path,) = evaluation.benchmark(
            [tried],
            corpus or corpora.read("table", synthetic),
            results=tmp_path / "results",
            cache=cache,
            device=CPU,
            precision="fp32",
            jobs=1,
            **arguments,
        )
        return path

    return benchmark


def test_a_benchmark_leaves_results_predictions_and_a_picture(settings, run, tmp_path):
    tried = settings()
    path = run(tried)
    assert path == tmp_path / "results" / "table-speaker4fold-v1" / "tiny.json"
    results = json.loads(path.read_text())
    for field, kind in FIELDS.items():
        assert isinstance(results[field], kind), field
    assert results["protocol"] == "table-speaker4fold-v1"
    assert results["model"] == "tiny"
    assert results["labels"] == ["anger", "happiness", "sadness"]
    assert results["config"] == tried.config
    assert [fold["fold"] for fold in results["folds"]] == 2 * ["ann", "ben", "cem", "dia"]
    assert [fold["seed"] for fold in results["folds"]] == 4 * [0] + 4 * [1]
    assert all(set(fold["dev"]) == SCORES and fold["chosen"] is None for fold in results["folds"])
    assert results["fold_mean"]["ua"] > 0.6
    assert (results["trained_on"], results["transductive"], results["fingerprint"]) == (
        "train",
        False,
        tried.fingerprint,
    )
    assert {name: list(found) for name, found in results["by_speaker"].items()} == {
        name: ["n", *results["pooled"]] for name in ("ann", "ben", "cem", "dia")
    }
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    check_numbers(path)


def test_beside_the_results_lie_their_protocol_and_the_list_of_all_that_was_scored(settings, run, synthetic):
    tried = settings(seeds=[0], tuned_on=["ann"])
    path = run(tried)
    results = json.loads(path.read_text())
    dealt = protocol.create(tried.protocol, corpora.read("table", synthetic))
    assert json.loads((path.parent / "protocol.json").read_text()) == dealt.definition
    assert results["folds_sha256"] == dealt.definition["folds_sha256"]
    assert results["tuned_on"] == ["ann"]
    assert changes.read(path.parents[1]) == [changes.line_of(results)]
    run(tried)
    assert changes.tries(path.parents[1], dealt.id) == 1


def test_a_table_of_experiments_is_a_results_file_a_row_and_protocol(settings, synthetic, cache, tmp_path):
    rows = [
        settings(name=name, protocol=dealt, seeds=[0], training={"epochs": epochs})
        for dealt in ("speaker-3fold", "random80")
        for name, epochs in (("short", 1), ("long", 4))
    ]
    corpus = corpora.read("table", synthetic)
    paths = evaluation.benchmark(rows, corpus, results=tmp_path, cache=cache, device=CPU, precision="fp32", jobs=1)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "table-speaker3fold-v1/short.json",
        "table-speaker3fold-v1/long.json",
        "table-random80-v1/short.json",
        "table-random80-v1/long.json",
    ]
    results = [json.loads(path.read_text()) for path in paths]
    assert [row["epochs"] for row in (each["config"]["training"] for each in results)] == [1, 4, 1, 4]
    assert [fold["fold"] for fold in results[2]["folds"]] == list("12345")
    assert all(fold["dev"] is None for fold in results[2]["folds"])
    check_numbers(paths[1])


def test_statistics_of_test_speakers_make_it_another_protocol(settings, run):
    path = run(settings(seeds=[0], speaker_statistics=True))
    results = json.loads(path.read_text())
    assert results["protocol"] == path.parent.name == "table-speaker4fold-transductive-v1"
    assert results["transductive"] is True
    check_numbers(path)


def test_clips_without_a_speaker_are_scored_without_intervals(settings, run, synthetic):
    corpus = corpora.read("table", synthetic)
    nameless = corpora.Corpus(corpus.info, corpus.root, corpus.table.assign(speaker=None))
    path = run(settings(seeds=[0], protocol="random80"), nameless)
    results = json.loads(path.read_text())
    assert results["intervals"]["reason"] == f"{sum(map(sum, results['confusion']))} clips have no speaker"
    assert results["by_speaker"] == {}
    assert set(read_csv(path.with_suffix(".csv")).speaker) == {""}


def test_truth_is_the_corpuss_and_each_clip_is_tested_once_a_seed(settings, run, synthetic):
    table = read_csv(run(settings()).with_suffix(".csv"))
    labels = pd.read_csv(synthetic).set_index("file")
    for _, part in table.groupby("seed"):
        assert sorted(part.file) == sorted(labels.index)
        assert (labels.loc[part.file, "emotion"].to_numpy() == part.truth.to_numpy()).all()
        assert (labels.loc[part.file, "speaker"].to_numpy() == part.fold.to_numpy()).all()


def test_the_same_benchmark_gives_the_same_predictions(settings, run, tmp_path):
    path = run(settings())
    first = path.with_suffix(".csv").read_bytes()
    path.parent.rename(tmp_path / "before")
    assert run(settings()).with_suffix(".csv").read_bytes() == first


def test_results_that_are_older_than_a_setting_stay_as_they_are(settings, run):
    path = run(settings())
    results = json.loads(path.read_text())
    del results["config"]["model"]["pooling"]  # at its default
    path.write_bytes(json_bytes(results))
    before = path.read_bytes()
    assert run(settings()).read_bytes() == before
    results["config"]["shipped"] = True  # of no number, but not what was asked for
    path.write_bytes(json_bytes(results))
    assert json.loads(run(settings()).read_text())["config"] == settings().config


@pytest.mark.parametrize("damaged", ["[", "[]", '{"config": "cnn"}', '{"config": {"modal": "cnn"}}', "{}"])
def test_damaged_results_are_written_anew(damaged, settings, run):
    path = run(settings())
    before = path.read_bytes()
    path.write_text(damaged)
    assert run(settings()).read_bytes() == before


def test_a_corpus_without_enough_speakers_is_refused(settings, run):
    with pytest.raises(ProtocolError, match=r"speaker-9fold: 4 speakers can be dealt to 3\.\.4 folds"):
        run(settings(protocol="speaker-9fold"))


def test_the_emodb_protocol_names_its_folds_by_speaker(settings, run, toy_tree):
    tried = settings(corpus="emodb", protocol="emodb-loso10", seeds=[0])
    path = run(tried, corpora.read("emodb", toy_tree("emodb")))
    results = json.loads(path.read_text())
    assert results["protocol"] == path.parent.name == "emodb-loso10-v1"
    assert [fold["fold"] for fold in results["folds"]] == ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"]
    assert [fold["n"] for fold in results["folds"]] == [7, 6] + 8 * [7]
    assert (results["corpus"], len(results["labels"])) == ("emodb", 7)
    check_numbers(path)  # speaker 08 has no disgust, which must not count


# Choosing settings inside a fold


def test_each_fold_states_what_it_chose(settings, run):
    path = run(settings(choose=CHOOSE, seeds=[0]))
    results = json.loads(path.read_text())
    for fold in results["folds"]:
        assert set(fold["chosen"]) == set(CHOOSE["grid"])
        assert fold["chosen"]["training.learning_rate"] == 0.05  # with 0.0 nothing would be learned
        assert fold["dev"] is None
        assert fold["n_train"] == 72
    assert results["trained_on"] == "train+dev"
    assert results["config"]["choose"]["grid"] == CHOOSE["grid"]
    check_numbers(path)


def test_a_choice_on_dev_is_tested_as_it_was_trained(settings, run):
    path = run(settings(epochs=30, choose={**CHOOSE, "validation": "dev"}, seeds=[0]))
    results = json.loads(path.read_text())
    assert results["trained_on"] == "train"
    for fold in results["folds"]:
        assert fold["chosen"] == {"training.learning_rate": 0.05}
        assert fold["n_train"] == 48
        assert set(fold["dev"]) == SCORES
    check_numbers(path)


def test_without_dev_there_is_nothing_to_choose_on(settings, run):
    with pytest.raises(ProtocolError, match="random80: has no dev clips to choose on; say `validation: left_out`"):
        run(settings(protocol="random80", choose={**CHOOSE, "validation": "dev"}))


@pytest.fixture
def bench(settings, synthetic, cache):
    return Bench.prepare(
        settings(choose=CHOOSE),
        corpora.read("table", synthetic),
        cache=cache,
        device=CPU,
        precision="fp32",
    )


def rows_of(bench: Bench, *speakers: str) -> list[int]:
    return [row for row, name in enumerate(bench.corpus.table.speaker) if name in speakers]


def test_the_choice_never_looks_at_the_test_speaker(bench, monkeypatch):
    train, dev, test = rows_of(bench, "ann", "ben"), rows_of(bench, "cem"), rows_of(bench, "dia")
    chosen = bench.choose(train, dev, seed=0)
    bench.features.heard.clear()
    get = bench.features.get

    def poisoned(row, stream):
        return get(row, stream) * (torch.nan if row in test else 1)

    targets = bench.features.targets.clone()
    targets[test] = 0
    monkeypatch.setattr(bench.features, "get", poisoned)
    monkeypatch.setattr(bench.features, "targets", targets)
    assert bench.choose(train, dev, seed=0) == chosen
    assert bench.features.heard == {*train, *dev}
    with pytest.raises(TrainingError, match="the loss of epoch 1 is nan"):
        bench.choose(train, [*dev, *test], seed=0)
    assert bench.features.heard & set(test), "the watch is blind"


@pytest.mark.parametrize("validation", ["left_out", "dev"])
def test_a_benchmark_lets_the_choice_see_all_speakers_but_the_folds(validation, settings, run, monkeypatch):
    seen: list[tuple[set[str], set[str]]] = []

    def spy(bench, train, dev, *, seed):
        seen.append(tuple(set(bench.corpus.table.speaker.iloc[rows]) for rows in (train, dev)))
        return {"training.learning_rate": 0.05}

    monkeypatch.setattr(Bench, "choose", spy)
    run(settings(choose={**CHOOSE, "validation": validation}, seeds=[0]))
    order = ["ann", "ben", "cem", "dia"]
    assert seen == [(set(order) - {order[i], order[(i + 1) % 4]}, {order[(i + 1) % 4]}) for i in range(4)]


def test_false_labels_of_the_test_speaker_change_nothing_but_the_scores(settings, run, synthetic, tmp_path):
    """Not what was chosen, not what was learned: the probabilities of the speaker's own clips stay as they are."""
    corpus = corpora.read("table", synthetic)
    honest = run(settings(choose=CHOOSE, seeds=[0]), corpus)
    honest.parent.rename(tmp_path / "honest")
    table = corpus.table.copy()
    liar = table.speaker == "dia"
    table.loc[liar, "emotion"] = table.loc[liar, "emotion"].map(
        {"anger": "sadness", "sadness": "happiness", "happiness": "anger"}
    )
    run(settings(choose=CHOOSE, seeds=[0]), corpora.Corpus(corpus.info, corpus.root, table))
    before, after = (
        json.loads((folder / "cells" / "tiny" / "dia-0.json").read_text())
        for folder in (tmp_path / "honest", honest.parent)
    )
    assert before["chosen"] == after["chosen"]
    assert [row["probabilities"] for row in before["predictions"]] == [r["probabilities"] for r in after["predictions"]]
    assert before["test"] != after["test"]


def test_the_first_of_equals_is_chosen(settings, synthetic, cache):
    idle = {"grid": {"training.learning_rate": [0.0], "training.weight_decay": [0.3, 0.1, 0.2]}, "by": "wa"}
    tied = Bench.prepare(
        settings(choose=idle),
        corpora.read("table", synthetic),
        cache=cache,
        device=CPU,
        precision="fp32",
    )
    assert tied.choose(rows_of(tied, "ann", "ben", "cem"), [], seed=0)["training.weight_decay"] == 0.3


# A second stage


def test_the_second_stage_learns_from_its_own_classes_alone(settings, synthetic, cache):
    corpus = corpora.read("table", synthetic)
    tried = settings()
    narrow = Bench.prepare(tried, corpus, cache=cache, device=CPU, precision="fp32").narrowed(["sadness", "anger"])
    rows = narrow.of_classes(range(len(corpus)))
    assert set(corpus.table["emotion"].iloc[rows]) == {"anger", "sadness"}
    truth = [narrow.task.labels[place] for place in narrow.features.targets[rows].tolist()]
    assert truth == corpus.table["emotion"].iloc[rows].tolist()
    ((model, history),) = narrow.train(tried, rows[::2], rows[1::2], seed=0)
    assert history.heard == set(rows)
    assert narrow.test(model, rows).shape == (len(rows), 2)
    assert narrow.task.labels == ("sadness", "anger")


def test_no_checkpoint_is_made_of_two_stages(settings, synthetic, cache, tmp_path):
    first = settings(name="first")
    tried = settings(second_stage={"first": first.config, "labels": ["sadness", "anger"]})
    average = settings(name="both", average=[first.config, tried.config])
    for each in (tried, average):
        with pytest.raises(ConfigError, match="^tiny: second_stage is for benchmarks; a checkpoint cannot hold one"):
            runs.train(each, corpora.read("table", synthetic), tmp_path / "run", cache=cache, device=CPU)
    assert not (tmp_path / "run").exists()


# The choice of settings


def test_settings_can_be_chosen_by_the_lowest_loss(settings, synthetic, cache):
    """A model that learns nothing has the loss of chance; one that learns has less."""
    tried = settings(seeds=[0], choose={**CHOOSE, "by": "loss"})
    corpus = corpora.read("table", synthetic)
    bench = Bench.prepare(tried, corpus, cache=cache, device=CPU, precision="fp32")
    assert bench.choose(list(range(len(corpus))), [], seed=0) == {"training.learning_rate": 0.05}


ASKED = {"name": "dimensions", "scale": [1, 5]}
RATING_SCORES = ("ccc", "pearson", "mse", "mae")


@pytest.mark.parametrize("names", [["valence", "arousal", "dominance"], ["arousal"]])
def test_ratings_are_learned_and_every_number_of_them_is_verified(settings, run, rated, names):
    corpus = corpora.read("table", rated)
    path = run(settings(epochs=20, task={**ASKED, "names": names}), corpus)
    results = json.loads(path.read_text())
    for field, kind in FIELDS.items():
        if field != "confusion":
            assert isinstance(results[field], kind), field
    assert "confusion" not in results
    assert (results["task"], results["labels"]) == ("dimensions", names)
    assert results["scales"] == dict.fromkeys(names, [1, 5])
    of_fold = {"ccc", *(f"{score}_{name}" for score in RATING_SCORES for name in names)}
    assert all(set(fold["test"]) == set(fold["dev"]) == of_fold for fold in results["folds"])
    assert results["fold_mean"]["ccc_arousal"] > 0.3  # who guesses has 0
    low, high = results["intervals"]["fold_mean"]["ccc_arousal"]
    assert low <= results["fold_mean"]["ccc_arousal"] <= high
    table = read_csv(path.with_suffix(".csv"))
    pairs = [column for name in names for column in (f"{name}_truth", name)]
    assert list(table.columns) == ["file", "start", "end", "fold", "seed", *pairs, "speaker"]
    truth = corpus.table.reset_index().set_index("file")
    for name in names:
        assert table[f"{name}_truth"].tolist() == truth.loc[table["file"], name].tolist()
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert verification.verify(path, corpus).faults == ()


def test_another_rating_than_the_corpuss_is_found(settings, run, rated):
    corpus = corpora.read("table", rated)
    path = run(settings(seeds=[0], task={**ASKED, "names": ["arousal"]}), corpus)
    corpus.table.iloc[0, corpus.table.columns.get_loc("arousal")] += 0.5
    faults = verification.verify(path, corpus).faults
    assert any("its arousal is" in fault for fault in faults)


def test_settings_of_ratings_are_chosen_by_ccc(settings, run, rated):
    grid = {"training.learning_rate": [0.0, 0.05]}
    corpus, task = corpora.read("table", rated), {**ASKED, "names": ["arousal"]}
    path = run(settings(seeds=[0], task=task, choose={"grid": grid, "by": "ccc"}), corpus)
    results = json.loads(path.read_text())
    assert {fold["chosen"]["training.learning_rate"] for fold in results["folds"]} == {0.05}
    check_numbers(path)
    with pytest.raises(ConfigError, match="choose.by: dimensions have no 'ua'; expected one of ccc, ccc_arousal, loss"):
        settings(task=task, choose={"grid": grid, "by": "ua"})
    with pytest.raises(ConfigError, match="second_stage divides categories; the task is dimensions"):
        settings(task=task, second_stage={"first": settings(task=task).config, "labels": ["anger", "sadness"]})


def test_simulated_corpora_are_called_so(settings, run, rated):
    corpus = corpora.read("table", rated)
    scales = dict.fromkeys(("valence", "arousal", "dominance"), (1.0, 5.0))
    info = replace(corpus.info, dimensions=scales, simulated=True)
    corpus = corpora.Corpus(info, corpus.root, corpus.table)
    path = run(settings(seeds=[0], task={"name": "dimensions"}), corpus)
    assert json.loads(path.read_text())["simulated"]
    definition = json.loads((path.parent / "protocol.json").read_text())
    assert definition["dimensions"] == {name: list(ends) for name, ends in scales.items()}
    assert definition["metrics"] == list(RATING_SCORES)
    assert verification.verify(path, corpus).faults == ()
    spoiled = json.loads(path.read_text())
    spoiled["scales"]["arousal"] = [1, 7]
    path.write_text(json.dumps(spoiled))
    assert any(fault.startswith("scales.arousal[1]") for fault in verification.verify(path).faults)


@pytest.fixture
def elsewhere(rated_elsewhere):
    """Another corpus of ratings, on a scale from 0 to 100: three speakers who are in no other."""
    read = corpora.read("table", rated_elsewhere)
    scales = dict.fromkeys(("valence", "arousal", "dominance"), (0.0, 100.0))
    return corpora.Corpus(replace(read.info, name="elsewhere", dimensions=scales), read.root, read.table)


def scaled(rated: Path) -> corpora.Corpus:
    """The ratings of the synthetic emotions as a corpus that states its scale."""
    read = corpora.read("table", rated)
    scales = dict.fromkeys(("valence", "arousal", "dominance"), (1.0, 5.0))
    return corpora.Corpus(replace(read.info, dimensions=scales), read.root, read.table)


def test_an_average_of_ratings_is_tested_wherever_its_rows_are(
    tiny_probe, tiny_bert, cache, rated, elsewhere, tmp_path
):
    content = {
        "corpus": "table",
        "protocol": "speaker-4fold",
        "task": "dimensions",
        "training": {"epochs": 1, "learning_rate": 0.05},
        "further": [{"corpus": "elsewhere"}],
        "rows": {
            "both": {"average": ["voice", "words"]},
            "voice": {"model": tiny_probe},
            "words": {"model": {"name": "bert", "encoder": tiny_bert}},
        },
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(content))
    rows = experiment.read(tmp_path / "table.yaml")
    homes = [
        corpora.Corpus(each.info, each.root, each.table.assign(transcript=each.table["speaker"]))
        for each in (scaled(rated), elsewhere)
    ]
    arguments = {"cache": cache, "device": CPU, "precision": "fp32", "jobs": 1, "further": homes[1:]}
    paths = evaluation.benchmark(rows, homes[0], results=tmp_path / "results", **arguments)
    assert [path.stem for path in paths] == ["both", "voice", "words"] * 2
    for both, voice, words in (paths[:3], paths[3:]):
        tables = [pd.read_csv(path.with_suffix(".csv")) for path in (both, voice, words)]
        for name in ("valence", "arousal", "dominance"):
            mean, one, other = (table[name] for table in tables)
            np.testing.assert_allclose(mean, (one + other) / 2, atol=1.1e-5)
            assert (tables[0][f"{name}_truth"] == tables[1][f"{name}_truth"]).all()
        assert verification.verify(both).faults == ()
    hashes = [json.loads(path.read_text())["words"]["sha256"] for path in (paths[0], paths[3])]
    assert hashes == [each.transcripts_sha256 for each in homes]


def test_models_are_tested_on_another_corpus_as_well(settings, cache, rated, elsewhere, tmp_path):
    further = [{"corpus": "elsewhere"}, {"corpus": "elsewhere", "clips": "speaker-3fold"}, {"corpus": "nowhere"}]
    tried = settings(epochs=20, task="dimensions", further=further)
    corpus = scaled(rated)
    arguments = {"cache": cache, "device": CPU, "precision": "fp32", "jobs": 1}
    at_home, *away = evaluation.benchmark(
        [tried], corpus, results=tmp_path / "results", further=[elsewhere], **arguments
    )
    names = ["table-speaker4fold-v1-on-elsewhere-all", "table-speaker4fold-v1-on-elsewhere-speaker3fold-v1"]
    assert [path.parent.name for path in away] == names
    results = json.loads(away[0].read_text())
    home = json.loads(at_home.read_text())
    assert (results["corpus"], results["learned_from"]["corpus"]) == ("elsewhere", "table")
    assert results["learned_from"]["protocol"] == home["protocol"]
    assert results["scales"]["arousal"] == [0, 100]
    assert [(fold["fold"], fold["n"], fold["dev"]) for fold in results["folds"]] == [
        (fold["fold"], 27, fold["dev"]) for fold in home["folds"]
    ]
    assert results["fold_mean"]["pearson_arousal"] > 0.3
    table = read_csv(away[0].with_suffix(".csv"))
    assert table["arousal"].mean() > 10  # answers are on the tested corpus's scale
    for path in (at_home, *away):
        assert verification.verify(path).faults == ()
    assert verification.verify(at_home, corpus).faults == ()
    assert verification.verify(away[0], elsewhere).faults == ()
    assert verification.verify(away[1], elsewhere).faults == ()
    assert "was not compared" in verification.verify(away[0], corpus).notes[0]
    # Without the other corpus the numbers at home are the same.
    (alone,) = evaluation.benchmark([tried], corpus, results=tmp_path / "alone", **arguments)
    assert json.loads(alone.read_text())["fold_mean"] == home["fold_mean"]
    # What is missing of a further test is made, and what is there stays.
    (away[0].parent / "cells" / "tiny" / "ann-0.json").unlink()
    before = (at_home.parent / "cells" / "tiny" / "ann-0.json").read_bytes()
    kept = away[0].read_bytes()
    evaluation.benchmark([tried], corpus, results=tmp_path / "results", further=[elsewhere], **arguments)
    assert (at_home.parent / "cells" / "tiny" / "ann-0.json").read_bytes() == before
    assert json.loads(away[0].read_text())["fold_mean"] == json.loads(kept)["fold_mean"]


def test_a_test_elsewhere_that_was_tampered_with_is_found(settings, cache, rated, elsewhere, tmp_path):
    tried = settings(seeds=[0], task="dimensions", further=[{"corpus": "elsewhere"}])
    arguments = {"cache": cache, "device": CPU, "precision": "fp32", "jobs": 1, "results": tmp_path / "results"}
    _, path = evaluation.benchmark([tried], scaled(rated), further=[elsewhere], **arguments)
    other = corpora.Corpus(elsewhere.info, elsewhere.root, elsewhere.table.iloc[1:])
    faults = verification.verify(path, other).faults
    assert any("tests other clips than planned" in fault for fault in faults)
    assert any(fault.startswith("protocol.json.manifest_sha256") for fault in faults)
    results = json.loads(path.read_text())
    results["learned_from"]["corpus"] = "emodb"
    path.write_text(json.dumps(results))
    assert any(
        fault.startswith("learned_from.corpus: the file says 'emodb'") for fault in verification.verify(path).faults
    )


def test_clips_that_were_learned_from_are_no_test_elsewhere(settings, cache, rated, tmp_path):
    corpus = scaled(rated)
    tried = settings(seeds=[0], task="dimensions", further=[{"corpus": "copy"}])
    copy = corpora.Corpus(replace(corpus.info, name="copy"), corpus.root, corpus.table)
    arguments = {"cache": cache, "device": CPU, "precision": "fp32", "jobs": 1, "results": tmp_path / "results"}
    with pytest.raises(ProtocolError, match="and 95 other files are in table, too"):
        evaluation.benchmark([tried], corpus, further=[copy], **arguments)


def test_other_classes_are_no_test_elsewhere(settings, cache, synthetic, tmp_path):
    corpus = corpora.read("table", synthetic)
    few = corpus.select(corpus.table["emotion"] != "anger")
    other = corpora.Corpus(replace(few.info, name="few"), few.root, few.table)
    tried = settings(seeds=[0], further=[{"corpus": "few"}])
    with pytest.raises(CorpusError, match="few: has the classes happiness, sadness; models of table know anger"):
        Bench.prepare(tried, corpus, cache=cache, device=CPU, precision="fp32", further=[other])
