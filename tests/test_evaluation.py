import json
import platform
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import torch

from affetto import corpora, evaluation
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.errors import ConfigError, ProtocolError, TrainingError

CPU = torch.device("cpu")
RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = sorted(path for path in RESULTS.glob("*/*.json") if path.with_suffix(".csv").exists())
FIELDS = {
    "protocol": str,
    "corpus": str,
    "manifest_sha256": str,
    "model": str,
    "task": str,
    "labels": list,
    "transductive": bool,
    "simulated": bool,
    "shipped": bool,
    "seeds": list,
    "config": dict,
    "commit": str | None,
    "machine": str,
    "seconds": float,
    "folds": list,
    "fold_mean": dict,
    "pooled": dict,
    "confusion": list,
}


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"fold": str, "truth": str, "prediction": str}, keep_default_na=False)


def witness(part: pd.DataFrame) -> dict[str, float]:
    """WA, UA and macro F1 over the classes of the truth, by scikit-learn."""
    arguments = {"y_true": part.truth, "y_pred": part.prediction}
    present = {"labels": sorted(set(part.truth)), "average": "macro", "zero_division": 0}
    return {
        "wa": sklearn.metrics.accuracy_score(**arguments),
        "ua": sklearn.metrics.recall_score(**arguments, **present),
        "macro_f1": sklearn.metrics.f1_score(**arguments, **present),
    }


def mean(scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def check_numbers(path: Path) -> None:
    """Every number of a results file against its predictions."""
    results, table = json.loads(path.read_text(encoding="utf-8")), read_csv(path.with_suffix(".csv"))
    labels = results["labels"]
    assert list(table.columns) == ["file", "start", "end", "fold", "seed", "truth", "prediction", *labels]
    probabilities = table[labels].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    chosen = probabilities[np.arange(len(table)), [labels.index(label) for label in table.prediction]]
    assert (chosen == probabilities.max(axis=1)).all()
    cells = list(table.groupby(["seed", "fold"], sort=False))
    assert [(fold["seed"], fold["fold"]) for fold in results["folds"]] == [key for key, _ in cells]
    by_seed: dict[int, list[dict[str, float]]] = {}
    for fold, ((seed, _), part) in zip(results["folds"], cells, strict=True):
        assert fold["n"] == len(part)
        assert fold["test"] == pytest.approx(witness(part))
        by_seed.setdefault(seed, []).append(witness(part))
    assert list(by_seed) == results["seeds"]
    assert results["fold_mean_by_seed"] == {str(seed): pytest.approx(mean(part)) for seed, part in by_seed.items()}
    assert results["fold_mean"] == pytest.approx(mean([mean(part) for part in by_seed.values()]))
    pooled = mean([witness(part) for _, part in table.groupby("seed")])
    assert results["pooled"] == pytest.approx(pooled)
    counts = sklearn.metrics.confusion_matrix(table.truth, table.prediction, labels=labels)
    assert results["confusion"] == counts.tolist()
    for _, part in table.groupby("seed"):
        assert not part.duplicated(["file", "start", "end"]).any(), "a clip is tested twice"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_committed_number_follows_from_its_predictions(path):
    check_numbers(path)
    results = json.loads(path.read_text(encoding="utf-8"))
    assert set(results) >= set(FIELDS)
    assert path.stem == results["model"]
    assert path.parent.name == results["protocol"]
    assert path.with_suffix(".png").exists()


@pytest.mark.parametrize(
    "path", [path for path in COMMITTED if path.parent.name == "emodb-loso10-v1"], ids=lambda path: path.stem
)
def test_committed_truth_and_folds_are_those_of_emodb(path, emodb_root):
    corpus = corpora.read("emodb", emodb_root)
    results, table = json.loads(path.read_text(encoding="utf-8")), read_csv(path.with_suffix(".csv"))
    assert results["manifest_sha256"] == corpus.manifest_sha256()
    known = {file: row for (file, _, _), row in zip(corpus.table.index, corpus.table.itertuples(), strict=True)}
    for _, part in table.groupby("seed"):
        assert set(part.file) == set(known)
    assert all(known[row.file].emotion == row.truth for row in table.itertuples())
    assert all(known[row.file].speaker == row.fold for row in table.itertuples())


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
    """Benchmarks an experiment; returns the path of its results."""

    def benchmark(tried, corpus=None, **arguments):
        return evaluation.benchmark(
            tried,
            corpus or corpora.read("table", synthetic),
            results=tmp_path / "results",
            cache=cache,
            device=CPU,
            precision="fp32",
            **arguments,
        )

    return benchmark


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("cells/*/*.json")}


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
    assert all(set(fold["dev"]) == {"wa", "ua", "macro_f1"} and fold["chosen"] is None for fold in results["folds"])
    assert results["fold_mean"]["ua"] > 0.6
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    check_numbers(path)


def test_a_result_names_no_machine(settings, run):
    results = json.loads(run(settings(seeds=[0])).read_text())
    assert platform.node() not in results["machine"]


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


def test_a_missing_cell_is_computed_and_the_others_are_left(settings, run):
    path = run(settings())
    before, csv = times(path.parent), path.with_suffix(".csv").read_bytes()
    assert set(before) == {f"{speaker}-{seed}.json" for speaker in ("ann", "ben", "cem", "dia") for seed in (0, 1)}
    (path.parent / "cells" / "tiny" / "ben-1.json").unlink()
    path.unlink()
    run(settings())
    after = times(path.parent)
    assert {name for name in before if after[name] != before[name]} == {"ben-1.json"}
    assert path.with_suffix(".csv").read_bytes() == csv


def test_results_appear_only_when_every_fold_is_there(settings, run, tmp_path):
    class InterruptedRunError(Exception):
        pass

    def interrupt(what, done, total):
        if (what, done) == ("cells", 3):
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        run(settings(), progress=interrupt)
    found = {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert found == {"ann-0.json", "ben-0.json", "cem-0.json"}


def test_more_seeds_are_added_to_those_that_are_there(settings, run):
    path = run(settings(seeds=[0]))
    before = times(path.parent)
    run(settings(seeds=[0, 1]))
    after = times(path.parent)
    assert len(before) == 4
    assert len(after) == 8
    assert all(after[name] == before[name] for name in before)
    check_numbers(path)


def test_cells_of_other_settings_are_refused(settings, run):
    path = run(settings(seeds=[0]))
    other = settings(seeds=[0], training={"epochs": 7})
    with pytest.raises(ConfigError, match=r"ann-0\.json: was made with other settings than tiny has now; give the"):
        run(other)
    assert json.loads(path.read_text())["config"]["training"]["epochs"] == 6


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
    assert results["config"]["choose"]["grid"] == CHOOSE["grid"]
    check_numbers(path)


@pytest.fixture
def bench(settings, synthetic, cache):
    return Bench.prepare(
        settings(choose=CHOOSE),
        corpora.read("table", synthetic),
        cache=cache,
        device=CPU,
        precision="fp32",
    )


def test_the_choice_never_looks_at_the_test_speaker(bench, monkeypatch):
    inside, test = ["ann", "ben", "cem"], set(bench.features.rows(["dia"]))
    chosen = bench.choose(inside, seed=0)
    looked: list[int] = []
    get = bench.features.get

    def poisoned(row, stream):
        looked.append(row)
        return get(row, stream) * (torch.nan if row in test else 1)

    targets = bench.features.targets.clone()
    targets[sorted(test)] = 0
    monkeypatch.setattr(bench.features, "get", poisoned)
    monkeypatch.setattr(bench.features, "targets", targets)
    assert bench.choose(inside, seed=0) == chosen
    assert set(looked) == set(bench.features.rows(inside))
    with pytest.raises(TrainingError, match="the loss of epoch 1 is nan"):
        bench.choose([*inside, "dia"], seed=0)
    assert set(looked) & test, "the watch is blind"


def test_a_benchmark_lets_the_choice_see_all_speakers_but_the_folds(settings, run, monkeypatch):
    seen: list[set[str]] = []

    def spy(bench, speakers, *, seed):
        seen.append(set(speakers))
        return {"training.learning_rate": 0.05}

    monkeypatch.setattr(Bench, "choose", spy)
    run(settings(choose=CHOOSE, seeds=[0]))
    everybody = {"ann", "ben", "cem", "dia"}
    assert seen == [everybody - {tested} for tested in ("ann", "ben", "cem", "dia")]


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
    assert tied.choose(["ann", "ben", "cem"], seed=0)["training.weight_decay"] == 0.3


# The pieces


def test_a_summary_of_two_seeds_is_the_mean_of_each():
    table = pd.DataFrame(
        [
            ("a", "03", 0, "anger", "anger"),
            ("b", "03", 0, "fear", "anger"),
            ("c", "08", 0, "fear", "fear"),
            ("a", "03", 1, "anger", "fear"),
            ("b", "03", 1, "fear", "fear"),
            ("c", "08", 1, "fear", "anger"),
        ],
        columns=["file", "fold", "seed", "truth", "prediction"],
    )
    summary = evaluation.summarise(table, ["anger", "fear", "neutral"])
    assert [fold["test"]["ua"] for fold in summary["folds"]] == [0.5, 1.0, 0.5, 0.0]
    assert summary["fold_mean"]["ua"] == 0.5
    assert summary["fold_mean_by_seed"]["0"]["ua"] == 0.75
    assert summary["pooled"]["ua"] == pytest.approx((0.75 + 0.25) / 2)
    assert summary["confusion"] == [[1, 1, 0], [2, 2, 0], [0, 0, 0]]


def test_the_machine_is_described_in_words_with_the_precision():
    words = evaluation.machine(CPU, "bf16")
    assert "cores" in words
    assert "cpu bf16" in words
    assert f"torch {torch.__version__}" in words
    assert "cpu fp32" in evaluation.machine(CPU, "fp32")


def test_outside_a_working_copy_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(evaluation, "__file__", str(tmp_path / "affetto" / "evaluation.py"))
    (tmp_path / "affetto").mkdir()
    assert evaluation.commit() is None
    monkeypatch.setenv("PATH", "")
    assert evaluation.commit() is None
