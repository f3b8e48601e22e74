import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from ctypes.util import find_library
from functools import partial
from hashlib import sha256
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from affetto import corpora, evaluation, experiment, training, verification
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.cells import making, workers
from affetto.dataset import Features
from affetto.errors import ConfigError, CorpusError, ProtocolError, TrainingError
from affetto.experiment import Experiment

CPU = torch.device("cpu")
SPEAKERS = ("ann", "ben", "cem", "dia")


@pytest.fixture
def settings(tiny_experiment):
    """Makes an experiment with a tiny probe on the synthetic emotions: eight cells, a speaker and seed each."""
    return partial(tiny_experiment, epochs=6, seeds=[0, 1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of features that all tests here share."""
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run(synthetic, cache, tmp_path):
    """Benchmarks experiments; returns the path of the first one's results."""

    def benchmark(*tried: Experiment, corpus=None, jobs=1, results="results", **arguments) -> Path:
        return evaluation.benchmark(
            tried,
            corpus or corpora.read("table", synthetic),
            results=tmp_path / results,
            cache=cache,
            device=CPU,
            precision="fp32",
            jobs=jobs,
            **arguments,
        )[0]

    return benchmark


def folder(results: Path) -> Path:
    return results.parent / "cells" / results.stem


def times(cells: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}


def predictions(cells: Path) -> dict[str, list]:
    return {path.name: json.loads(path.read_text())["predictions"] for path in sorted(cells.glob("*[0-9].json"))}


class InterruptedRunError(Exception):
    pass


def interrupt(what, done, total):
    if (what, done) == ("cells", 3):
        raise InterruptedRunError


# In one process


def test_a_cell_states_what_it_was_made_from(settings, run, synthetic):
    tried = settings(seeds=[5])
    cell = json.loads((folder(run(tried)) / "ben-5.json").read_text())
    corpus = corpora.read("table", synthetic)
    assert (cell["fold"], cell["seed"], cell["n"], cell["n_train"]) == ("ben", 5, 24, 48)
    assert cell["fingerprint"] == tried.fingerprint
    assert cell["manifest_sha256"] == corpus.manifest_sha256()
    assert [row["truth"] for row in cell["predictions"]] == corpus.table.emotion[corpus.table.speaker == "ben"].tolist()
    right = sum(row["truth"] == row["prediction"] for row in cell["predictions"])
    assert cell["test"]["wa"] == pytest.approx(right / 24)


def test_a_missing_cell_is_computed_and_the_others_are_left(settings, run):
    path = run(settings())
    before, csv = times(folder(path)), path.with_suffix(".csv").read_bytes()
    assert set(before) == {f"{speaker}-{seed}.json" for speaker in SPEAKERS for seed in (0, 1)}
    (folder(path) / "ben-1.json").unlink()
    path.unlink()
    run(settings())
    after = times(folder(path))
    assert {name for name in before if after[name] != before[name]} == {"ben-1.json"}
    assert path.with_suffix(".csv").read_bytes() == csv


def test_results_appear_only_when_every_fold_is_there(settings, run, tmp_path):
    with pytest.raises(InterruptedRunError):
        run(settings(), progress=interrupt)
    found = {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert found == {"ann-0.json", "ben-0.json", "cem-0.json"}


def test_more_seeds_are_added_to_those_that_are_there(settings, run):
    path = run(settings(seeds=[0]))
    before = times(folder(path))
    run(settings(seeds=[0, 1]))
    after = times(folder(path))
    assert (len(before), len(after)) == (4, 8)
    assert all(after[name] == before[name] for name in before)


def test_what_a_kill_leaves_behind_is_in_nobodys_way(settings, run, tmp_path):
    cells = tmp_path / "results" / "table-speaker4fold-v1" / "cells" / "tiny"
    cells.mkdir(parents=True)
    (cells / "ann-0.lock").touch()
    (cells / "ann-0.json.123.part").write_text('{"fold": "an')
    run(settings(seeds=[0]))
    assert set(times(cells)) == {f"{speaker}-0.json" for speaker in SPEAKERS}
    assert not list(cells.glob("*.lock"))


def test_a_training_that_was_killed_goes_on_where_its_state_was_kept(settings, run, tmp_path, monkeypatch):
    def epochs(results: str, tried: Experiment, last: int = 99) -> list[int]:
        told: list[int] = []

        def tell(what: str, done: int, total: int) -> None:
            if what == "epochs" and done:
                told.append(done)
                if len(told) == last:
                    raise InterruptedRunError

        with suppress(InterruptedRunError):
            run(tried, results=results, progress=tell)
        return told

    own = [1, 2, 3, 4, 5, 6]
    whole = folder(run(settings(seeds=[0]), results="whole"))
    assert epochs("slow", settings(seeds=[0]), last=4) == own[:4]
    assert epochs("slow", settings(seeds=[0])) == 4 * own, "nothing is kept of what takes no time"
    monkeypatch.setattr(making, "KEEP", 0.0)
    assert epochs("torn", settings(seeds=[0]), last=4) == own[:4]
    torn = tmp_path / "torn" / whole.parents[1].name / "cells" / "tiny"
    assert [path.name for path in torn.iterdir() if path.is_dir()] == ["ann-0.partial"]
    assert epochs("torn", settings(seeds=[0])) == [4, 5, 6, *own, *own, *own]
    assert predictions(torn) == predictions(whole)
    assert {path.suffix for path in torn.iterdir()} == {".json"}
    assert epochs("other", settings(seeds=[0]), last=4) == own[:4]
    assert epochs("other", settings(seeds=[0], task={"class_weights": "balanced"})) == 4 * own, (
        "another training's state is not taken"
    )


def test_progress_is_told_of_cells(settings, run):
    told = []
    run(settings(seeds=[0]), progress=lambda *news: told.append(news))
    assert [news for news in told if news[0] == "cells"] == [("cells", done, 4) for done in range(5)]


# What is refused


def test_cells_of_other_settings_are_refused(settings, run):
    path = run(settings(seeds=[0]))
    with pytest.raises(ConfigError, match=r"ann-0\.json: was made with other settings than tiny has now; give another"):
        run(settings(seeds=[0], training={"epochs": 7}))
    assert json.loads(path.read_text())["config"]["training"]["epochs"] == 6


def test_cells_from_another_copy_of_the_corpus_are_refused(settings, run, synthetic):
    run(settings(seeds=[0]))
    corpus = corpora.read("table", synthetic)
    table = corpus.table.copy()
    table.iloc[0, table.columns.get_loc("emotion")] = "sadness"
    with pytest.raises(
        ConfigError, match=r"protocol\.json: holds the results of another copy of table or of other folds; give"
    ):
        run(settings(seeds=[0]), corpus=corpora.Corpus(corpus.info, corpus.root, table))


@pytest.mark.parametrize(("text", "words"), [('{"fold": "be', "is damaged"), ("[]", "holds no object")])
def test_damaged_cells_are_named(text, words, settings, run):
    cell = folder(run(settings(seeds=[0]))) / "ben-0.json"
    cell.write_text(text)
    with pytest.raises(ConfigError, match=rf"ben-0\.json: {words}.*; delete it, and it is made anew"):
        run(settings(seeds=[0]))


@pytest.mark.parametrize(
    ("key", "words"),
    [("fold_sha256", "with other folds than tiny has now"), ("fingerprint", "with other settings than")],
)
def test_cells_that_state_something_else_or_nothing_are_refused(key, words, settings, run):
    cell = folder(run(settings(seeds=[0]))) / "ben-0.json"
    content = json.loads(cell.read_text())
    for changed in ({**content, key: "0" * 16}, {name: value for name, value in content.items() if name != key}):
        cell.write_text(json.dumps(changed))
        with pytest.raises(ConfigError, match=rf"ben-0\.json: was made {words}"):
            run(settings(seeds=[0]))


def test_two_rows_of_one_name_never_share_cells(settings, run):
    with pytest.raises(ConfigError, match=r"ann-0\.json: was made with other settings than tiny has now"):
        run(settings(seeds=[0]), settings(seeds=[0], training={"epochs": 7}))


def test_a_corpus_that_leaks_is_not_trained_on(settings, run, tmp_path):
    (tmp_path / "mine.csv").write_text("file,split\nann_anger_0.wav,train\nann_anger_0.wav,test\n")
    with pytest.raises(ProtocolError, match="fold 1: ann_anger_0.wav and 0 other clips are in train and in test"):
        run(settings(protocol=str(tmp_path / "mine.csv")))


@pytest.mark.parametrize("part", ["train", "choose"])
def test_a_number_of_a_training_that_touched_test_clips_is_not_written(part, settings, run, monkeypatch, tmp_path):
    honest = getattr(Bench, part)

    def touching(bench, *arguments, **keywords):
        bench.features.batch([0])
        return honest(bench, *arguments, **keywords)

    monkeypatch.setattr(Bench, part, touching)
    tried = settings(seeds=[0], choose={"grid": {"training.weight_decay": [0.0, 0.1]}})
    with pytest.raises(
        ProtocolError, match=r"fold ann: training touched 1 test clips, such as ann_anger_0\.wav; this is"
    ):
        run(tried)
    assert not list((tmp_path / "results").rglob("*.json"))


# Cells that learn the same


@pytest.fixture
def pairs(tmp_path):
    """A table of folds: two learn from ann and ben, and each tests whom the other chooses on; the third is alone."""
    rows = ["fold,file,split"]
    for train, dev, test in (("ann ben", "dia", "cem"), ("ann ben", "cem", "dia"), ("cem dia", "ben", "ann")):
        splits = {**dict.fromkeys(train.split(), "train"), dev: "dev", test: "test"}
        for speaker, split in splits.items():
            for emotion in ("anger", "happiness", "sadness"):
                rows += [f"{test},{speaker}_{emotion}_{version}.wav,{split}" for version in range(8)]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows) + "\n")
    return str(path)


@pytest.fixture
def trainings(monkeypatch):
    """How many dev sets each training had."""
    found: list[int] = []
    honest = training.fit

    def fit(model, task, data, train, devs, *arguments, **keywords):
        found.append(len(devs))
        return honest(model, task, data, train, devs, *arguments, **keywords)

    monkeypatch.setattr("affetto.bench.fit", fit)
    return found


def test_cells_that_learn_the_same_are_made_by_one_training(settings, run, pairs, trainings):
    tried = settings(protocol=pairs)
    path = run(tried)
    assert trainings == [2, 1, 2, 1]  # two seeds
    together = predictions(folder(path))
    assert set(together) == {f"{fold}-{seed}.json" for fold in ("cem", "dia", "ann") for seed in (0, 1)}
    for name in ("cem-0.json", "dia-0.json"):
        trainings.clear()
        before = json.loads((folder(path) / name).read_text())
        (folder(path) / name).unlink()
        run(tried)
        assert trainings == [1]
        after = json.loads((folder(path) / name).read_text())
        assert {**after, "seconds": 0} == {**before, "seconds": 0}
    assert predictions(folder(path)) == together


def test_cells_whose_settings_are_chosen_by_fold_are_made_one_by_one(settings, run, pairs, monkeypatch):
    made = []
    honest = making.run
    monkeypatch.setattr(making, "run", lambda bench, mine, kept: made.append(len(mine)) or honest(bench, mine, kept))
    run(settings(protocol=pairs, seeds=[0], choose={"grid": {"training.weight_decay": [0.0]}, "validation": "dev"}))
    assert made == [1, 1, 1]


def test_cells_of_two_rows_or_seeds_are_never_one_training(settings, run, pairs, trainings):
    run(settings(protocol=pairs, seeds=[0]), settings(name="other", protocol=pairs, seeds=[0]))
    assert trainings == [2, 1, 2, 1]


@pytest.mark.parametrize(("touched", "fold"), [("dia", "dia"), ("cem", "cem")])
def test_a_shared_training_that_touched_a_test_clip_of_one_fold_writes_neither(
    touched, fold, settings, run, pairs, monkeypatch, tmp_path, synthetic
):
    speakers = corpora.read("table", synthetic).table["speaker"].tolist()
    honest = Features.batch

    def touching(features, rows):
        if speakers[rows[0]] == "ann":  # training, and not the choice on dev
            honest(features, [speakers.index(touched)])
        return honest(features, rows)

    monkeypatch.setattr(Features, "batch", touching)
    with pytest.raises(ProtocolError, match=rf"fold {fold}: training touched 1 test clips, such as {touched}_anger_0"):
        run(settings(protocol=pairs, seeds=[0]))
    assert not list((tmp_path / "results").rglob("*.json"))


# Words


@pytest.fixture
def reading(settings, tiny_bert):
    """An experiment of one cell that learns from words alone."""
    training = {"epochs": 12, "batch_size": 16, "learning_rate": 0.01, "warmup": 0.1}
    model = {"name": "bert", "encoder": {**tiny_bert, "trainable": True}, "dropout": 0.0}
    return settings(model=model, protocol="random80", seeds=[0], training=training)


def test_what_was_said_is_learned_and_results_tell_of_it(reading, run, spoken):
    corpus = corpora.read("table", spoken)
    results = json.loads(run(reading, corpus=corpus).read_text())
    assert results["words"] == {"sha256": corpus.transcripts_sha256, "empty": 3}
    assert results["fold_mean"]["ua"] > 0.8


def test_cells_of_other_transcripts_are_not_taken_for_ones_own(reading, run, spoken):
    corpus = corpora.read("table", spoken)
    tried = reading.with_settings({"training.epochs": 1})
    path = run(tried, corpus=corpus)
    assert verification.verify(path, corpus).notes == ()
    other = corpora.Corpus(corpus.info, corpus.root, corpus.table.assign(transcript="hello"))
    with pytest.raises(ConfigError, match="was made with other transcripts than tiny has now; give another folder"):
        run(tried, corpus=other)
    assert run(tried, corpus=corpus) == path
    found = verification.verify(path, other)
    assert (found.faults, len(found.notes), "given, with --transcripts" in found.notes[0]) == ((), 1, True)


def test_cells_that_began_from_other_weights_are_not_taken_for_ones_own(reading, run, spoken, tmp_path):
    folder = tmp_path / "bert"
    shutil.copytree(reading.model.encoder.weights, folder)
    tried = reading.with_settings({"training.epochs": 1, "model.encoder.weights": str(folder)})
    corpus, weights = corpora.read("table", spoken), folder / "model.safetensors"
    path = run(tried, corpus=corpus)
    assert json.loads(path.read_text())["weights_sha256"] == {str(folder): sha256(weights.read_bytes()).hexdigest()}
    assert verification.verify(path).faults == ()
    tensors = load_file(weights)
    save_file({name: tensor + 0.1 for name, tensor in tensors.items()}, weights)
    with pytest.raises(ConfigError, match=f"began from other weights than lie in {folder} now; give their folder"):
        run(tried, corpus=corpus)
    cells = list(path.parent.glob(f"cells/{tried.name}/*.json"))
    stated = [cell.read_text() for cell in cells]
    for cell, text in zip(cells, stated, strict=True):
        cell.write_text(json.dumps({key: value for key, value in json.loads(text).items() if key != "weights_sha256"}))
    assert run(tried, corpus=corpus) == path, "cells from before the hashes stay"
    for cell, text in zip(cells, stated, strict=True):
        cell.write_text(text)
    shutil.rmtree(folder)
    assert run(tried, corpus=corpus) == path, "the weights need not be kept"


def test_who_hears_no_words_says_nothing_of_them(settings, run, spoken):
    results = json.loads(run(settings(seeds=[0]), corpus=corpora.read("table", spoken)).read_text())
    assert "words" not in results


# Averages


@pytest.fixture
def table(tiny_probe, tiny_bert, tmp_path):
    """Makes three rows: of the voice, of the words, and the average of both; settings may be changed."""

    def make(**changes) -> tuple[Experiment, ...]:
        content = {
            "corpus": "table",
            "protocol": "speaker-4fold",
            "seeds": [0, 1],
            "training": {"epochs": 2, "learning_rate": 0.05},
            "rows": {
                "voice": {"model": tiny_probe},
                "words": {"model": {"name": "bert", "encoder": tiny_bert}},
                "both": {"average": ["voice", "words"]},
            },
            **changes,
        }
        path = tmp_path / "table.yaml"
        path.write_text(yaml.safe_dump(content))
        return experiment.read(path)

    return make


def answers(path: Path) -> list[tuple[str, list[float]]]:
    """Every answer of a row's cells, in the order of their files; not those of second stages by themselves."""
    cells = predictions(folder(path)).values()
    return [(row["prediction"], row["probabilities"]) for cell in cells for row in cell]


def hear_anger_alone(cell: Path) -> None:
    """Change a cell's answers, as another training would."""
    content = json.loads(cell.read_text())
    for row in content["predictions"]:
        row.update(prediction="anger", probabilities=[1.0, 0.0, 0.0])
    cell.write_text(json.dumps(content))


def test_an_average_is_the_mean_of_its_rows_cells_and_trains_nothing(table, run, spoken, trainings):
    first = run(*table(), corpus=corpora.read("table", spoken))
    assert len(trainings) == 16
    voice, words, both = (answers(first.with_stem(name)) for name in ("voice", "words", "both"))
    assert len(both) == 192
    for (_, one), (_, other), (answer, mean) in zip(voice, words, both, strict=True):
        expected = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
        assert mean == pytest.approx(expected, abs=1.1e-5)
        assert answer == ("anger", "happiness", "sadness")[mean.index(max(mean))]
    results = json.loads(first.with_stem("both").read_text())
    assert results["words"]["empty"] == 3
    begun = [each["encoder"]["weights"] for each in results["config"]["model"]["of"]]
    assert set(results["weights_sha256"]) == set(begun)
    assert results["config"]["model"]["of"][1]["name"] == "bert"
    verified = verification.verify(first.with_stem("both"), corpora.read("table", spoken))
    assert (verified.faults, verified.numbers > 0) == ((), True)


def test_an_average_is_made_anew_when_one_of_its_rows_was(table, run, spoken):
    corpus = corpora.read("table", spoken)
    [first] = {path.parent for path in [run(*table(), corpus=corpus)]}
    cell = next((first / "cells" / "voice").glob("*-0.json"))
    hear_anger_alone(cell)
    both = first / "cells" / "both" / cell.name
    before = json.loads(both.read_text())["predictions"]
    assert verification.verify(first / "both.json", corpus).faults == (
        f"cells.{cell.stem}: is not the mean of what its rows answered; were they trained anew?",
    )
    run(*table(), corpus=corpus)
    after = json.loads(both.read_text())["predictions"]
    words = json.loads((first / "cells" / "words" / cell.name).read_text())["predictions"]
    assert before != after
    for row, word in zip(after, words, strict=True):
        assert row["probabilities"][0] == pytest.approx((1 + word["probabilities"][0]) / 2, abs=1.1e-5)
    assert verification.verify(first / "both.json", corpus).faults == ()


def test_an_average_follows_its_rows(table, run, spoken):
    before, after = table(), table(training={"epochs": 3, "learning_rate": 0.05})
    corpus = corpora.read("table", spoken)
    run(*before, corpus=corpus)
    assert len({each.fingerprint for each in (*before, *after)}) == 6
    with pytest.raises(ConfigError, match="was made with other settings than (voice|both) has now"):
        run(*after, corpus=corpus)


def test_an_average_alone_trains_its_rows_with_its_seeds_and_writes_no_results_of_them(table, run, spoken, trainings):
    corpus = corpora.read("table", spoken)
    both = table(seeds=[0, 1])[2].model_copy(update={"seeds": (1,)})
    path = run(both, corpus=corpus)
    assert len(trainings) == 8
    assert [file.name for file in sorted(path.parent.glob("*.json"))] == ["both.json", "protocol.json"]
    assert verification.verify(path, corpus).faults == ()
    assert predictions(folder(path)) == {
        name: rows
        for name, rows in predictions(folder(run(*table(), corpus=corpus, results="all").with_stem("both"))).items()
        if "-1" in name
    }


# Second stages


@pytest.fixture
def staged(tiny_probe, tmp_path):
    """Makes three rows: a first stage, a second, and the average of both; settings may be changed, or theirs."""

    def make(first=None, second=None, stage=None, **changes) -> tuple[Experiment, ...]:
        content = {
            "corpus": "table",
            "protocol": "speaker-4fold",
            "seeds": [0, 1],
            "training": {"epochs": 6, "batch_size": None, "optimizer": "adam", "learning_rate": 0.05},
            "rows": {
                "whole": {"model": tiny_probe, **(first or {})},
                "divided": {
                    "model": tiny_probe,
                    "training": {"epochs": 3},
                    "second_stage": {"first": "whole", "labels": ["sadness", "anger"], **(stage or {})},
                    **(second or {}),
                },
                "both": {"average": ["whole", "divided"]},
            },
            **changes,
        }
        path = tmp_path / "staged.yaml"
        path.write_text(yaml.safe_dump(content))
        return experiment.read(path)

    return make


def test_a_second_stage_divides_what_its_first_gives_to_its_classes_together(staged, run, synthetic, trainings):
    first = run(*staged())
    assert len(trainings) == 16, "the first is trained once"
    whole, divided, both = (answers(first.with_stem(name)) for name in ("whole", "divided", "both"))
    assert len(whole) == len(divided) == 192
    changed = 0
    for (_, before), (answer, after), (_, mean) in zip(whole, divided, both, strict=True):
        anger, happiness, sadness = after
        assert happiness == before[1]
        assert anger + sadness == pytest.approx(before[0] + before[2], abs=2.1e-5)
        assert answer == ("anger", "happiness", "sadness")[after.index(max(after))]
        assert mean == pytest.approx([(a + b) / 2 for a, b in zip(before, after, strict=True)], abs=1.1e-5)
        changed += abs(anger - before[0]) > 0.01
    assert changed > 20
    for name in ("divided", "both"):
        verified = verification.verify(first.with_stem(name), corpora.read("table", synthetic))
        assert (verified.faults, verified.numbers > 0) == ((), True)
    results = json.loads(first.with_stem("divided").read_text())
    seconds = json.loads(first.with_stem("whole").read_text())["seconds"]
    assert results["seconds"] >= seconds and {fold["n_train"] for fold in results["folds"]} == {48}


def test_a_second_stage_is_made_anew_when_its_first_was_and_is_not_trained_again(staged, run, synthetic, trainings):
    first = run(*staged(seeds=[0])).parent
    cell = next((first / "cells" / "whole").glob("*.json"))
    hear_anger_alone(cell)
    divided = first / "cells" / "divided" / cell.name
    fault = "is not what its first answered, divided as its own training says; was one trained anew?"
    corpus = corpora.read("table", synthetic)
    assert verification.verify(first / "divided.json", corpus).faults == (f"cells.{cell.stem}: {fault}",)
    trainings.clear()
    run(*staged(seeds=[0]))
    assert trainings == []
    share = json.loads(divided.with_suffix(".second.json").read_text())
    assert share["labels"] == ["sadness", "anger"]
    for row, own in zip(json.loads(divided.read_text())["predictions"], share["predictions"], strict=True):
        sadness, anger = own["probabilities"]
        assert row["probabilities"] == pytest.approx([anger, 0.0, sadness], abs=1.1e-5)
    assert verification.verify(first / "divided.json", corpus).faults == ()
    second = divided.with_suffix(".second.json")
    second.write_text(json.dumps({**share, "fold_sha256": "0" * 64, "seed": 3}))
    assert [fault.partition(":")[0] for fault in verification.verify(first / "divided.json", corpus).faults] == [
        f"cells.{cell.stem}.second.fold_sha256",
        f"cells.{cell.stem}.second.seed",
    ]
    second.unlink()
    faults = verification.verify(first / "divided.json", corpus).faults
    assert any(fault.startswith("cells") and second.name in fault for fault in faults)


@pytest.mark.parametrize("stage", ["whole", {"first": "whole"}, {"first": ["whole"]}, {"labels": ["anger"]}])
def test_damaged_settings_of_a_second_stage_are_told_of(staged, run, stage):
    path = run(*staged(seeds=[0])).with_stem("divided")
    results = json.loads(path.read_text())
    results["config"]["second_stage"] = stage
    path.write_text(json.dumps(results))
    faults = verification.verify(path).faults
    assert faults and not any(fault.startswith("cells") for fault in faults)


def test_a_second_stage_follows_its_first_and_brings_it_along(staged, run, trainings):
    before = staged(seeds=[0])
    after = staged(seeds=[0], first={"training": {"epochs": 5}})
    assert before[1].training == after[1].training
    assert len({each.fingerprint for each in (*before, *after)}) == 6
    first = run(*before).parent
    shutil.rmtree(first / "cells" / "whole")
    with pytest.raises(ConfigError, match=r"second\.json: was made with other settings than divided has now"):
        run(*after)
    trainings.clear()
    path = run(before[1], results="alone")
    assert len(trainings) == 8
    assert predictions(folder(path)) == predictions(first / "cells" / "divided")
    assert not path.with_stem("whole").exists()


def test_classes_of_a_second_stage_are_looked_at_before_anything_is_trained(staged, run, trainings):
    expected = "^divided: second_stage: no class of table is called"
    classes = "the classes are anger, happiness, sadness"
    with pytest.raises(CorpusError, match=f"{expected} 'boredom'; {classes}$"):
        run(*staged(stage={"labels": ["boredom", "anger"]}))
    with pytest.raises(CorpusError, match=rf"{expected} 'angr'; {classes}; did you mean 'anger'\?$"):
        run(*staged(stage={"labels": ["sadness", "angr"]}))
    assert trainings == []


def test_an_interrupted_second_stage_goes_on_where_it_was(staged, run, monkeypatch):
    whole, divided, _ = staged(seeds=[0])
    expected = predictions(folder(run(whole, divided, results="whole").with_stem("divided")))
    run(whole)
    monkeypatch.setattr(making, "KEEP", 0.0)

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("epochs", 2):
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        run(whole, divided, progress=stop)
    told = []
    path = run(whole, divided, progress=lambda what, done, total: told.append(done) if what == "epochs" else None)
    assert told == [2, 3, *(3 * [0, 1, 2, 3])]
    assert predictions(folder(path.with_stem("divided"))) == expected


@pytest.mark.slow
def test_processes_divide_as_one_does(staged, run):
    alone, together = run(*staged()), run(*staged(), jobs=2, results="together")
    for name in ("whole", "divided", "both"):
        assert predictions(folder(together.with_stem(name))) == predictions(folder(alone.with_stem(name)))


@pytest.mark.parametrize("hears", ["whole", "divided"])
def test_a_second_stage_hears_words_if_one_of_its_models_does(staged, run, spoken, tiny_bert, hears):
    bert = {"model": {"name": "bert", "encoder": tiny_bert}, "training": {"epochs": 1}}
    rows = staged(seeds=[0], **{{"whole": "first", "divided": "second"}[hears]: bert})
    corpus = corpora.read("table", spoken)
    first = run(*rows[:2], corpus=corpus)
    assert json.loads(first.with_stem("divided").read_text())["words"]["empty"] == 3
    assert ("words" in json.loads(first.with_stem("whole").read_text())) == (hears == "whole")
    assert verification.verify(first.with_stem("divided"), corpus).faults == ()


def test_a_second_stage_of_a_first_that_chooses_says_that_it_learned_from_dev(staged, run, synthetic):
    choose = {"grid": {"training.learning_rate": [0.05]}}
    whole, divided, _ = staged(seeds=[0], first={"choose": choose})
    results = json.loads(run(whole, divided).with_stem("divided").read_text())
    assert results["trained_on"] == "train+dev"
    assert {fold["n_train"] for fold in results["folds"]} == {72}
    assert verification.verify(run(whole, divided).with_stem("divided")).faults == ()


def test_a_fault_elsewhere_keeps_nothing_back_that_can_be_made_and_publishes_nothing_old(
    staged, settings, run, monkeypatch
):
    rows = staged(seeds=[0])
    first = run(*rows).parent

    def fail(*_):
        raise TrainingError("broken")

    monkeypatch.setattr(making, "_trained", fail)
    cell = next((first / "cells" / "whole").glob("*.json"))
    hear_anger_alone(cell)
    with pytest.raises(TrainingError, match="broken"):
        run(*rows, settings(seeds=[0]))
    for row in rows:
        assert verification.verify(first / f"{row.name}.json").faults == ()
    kept = (first / "divided.json").read_bytes()
    hear_anger_alone(next(path for path in (first / "cells" / "whole").glob("*.json") if path != cell))
    cell.unlink()
    with pytest.raises(TrainingError, match="broken"):
        run(*rows)
    assert (first / "divided.json").read_bytes() == kept


# In several processes


@pytest.mark.slow
def test_processes_give_the_predictions_of_one(settings, run):
    rows = [settings(), settings(name="other", training={"epochs": 3})]
    alone, together = run(*rows), run(*rows, jobs=2, results="together")
    for name in ("tiny", "other"):
        cells = predictions(folder(alone.with_stem(name)))
        assert len(cells) == 8
        assert predictions(folder(together.with_stem(name))) == cells
        csv = f"{name}.csv"
        assert together.with_name(csv).read_bytes() == alone.with_name(csv).read_bytes()
    assert not list(together.parents[1].rglob("cells/*/*.lock"))


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_one_line(settings, run, tmp_path):
    hopeless = settings(protocol="random80", choose={"grid": {"training.epochs": [1]}, "validation": "dev"})
    with pytest.raises(TrainingError, match="^random80: has no dev clips to choose on; say `validation: left_out`$"):
        run(hopeless, jobs=2)
    assert active_children() == []
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_killed_process_costs_its_own_cell_at_most(settings, run, tmp_path):
    """All are killed: what is finished stays, and the next run goes on. One is killed: the others do its cell."""
    tried = settings(training={"epochs": 200})
    cells = tmp_path / "results" / "table-speaker4fold-v1" / "cells" / "tiny"

    def run_and_kill(most: int) -> dict[str, int]:
        """Run, and kill so many workers when a cell was finished; the cells that were there then."""
        before, kept = len(times(cells)), {}

        def kill(what: str, done: int, total: int) -> None:
            if what == "cells" and before < done < total and not kept:
                for process in active_children()[:most]:
                    os.kill(process.pid, signal.SIGKILL)
                    process.join()
                kept.update(times(cells))

        try:
            run(tried, jobs=2, progress=kill)
        finally:
            assert kept, "nobody was killed"
            assert kept.items() <= times(cells).items()
        return kept

    with pytest.raises(TrainingError, match="every worker process was killed; finished cells are kept, run it again"):
        run_and_kill(2)
    left = times(cells)
    assert 1 <= len(left) < 8
    assert left.items() <= run_and_kill(1).items()
    assert len(times(cells)) == 8
    assert active_children() == []


def test_processes_have_jemalloc_where_it_is(monkeypatch):
    monkeypatch.setattr(workers, "find_library", lambda name: f"lib{name}.so.2")
    monkeypatch.setattr(sys, "platform", "linux")
    found = workers.environment()
    assert found["LD_PRELOAD"] == "libjemalloc.so.2" and found["OMP_NUM_THREADS"] == "1"
    monkeypatch.setattr(workers, "find_library", lambda name: None)
    assert workers.environment() == workers.ONE_CORE | workers.GLIBC
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(workers, "find_library", lambda name: f"lib{name}.dylib")
    assert "LD_PRELOAD" not in workers.environment()


@pytest.mark.skipif(sys.platform != "linux" or find_library("jemalloc") is None, reason="jemalloc is not here")
def test_jemalloc_takes_what_it_is_told():
    """It says on stderr what it does not understand."""
    code = "print('jemalloc' in open('/proc/self/maps').read())"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | workers.environment(), capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("True\n", "")


COMMAND = """
    import os, sys, time
    from pathlib import Path
    from affetto import cli, evaluation
    from affetto.cells import making

    made, ready = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
    honest = making.run

    def slow(bench, mine, partial):
        time.sleep(0.3)
        with made.open("a") as file:
            file.writelines(f"{os.getpid()} {cell.fold.name}-{cell.seed}\\n" for cell in mine)
        return honest(bench, mine, partial)

    making.run = slow
    (ready / str(os.getpid())).touch()
    while len(list(ready.iterdir())) < 2:
        time.sleep(0.05)
    cli.main()
"""


@pytest.mark.slow
def test_two_commands_at_once_share_the_work_and_do_no_cell_twice(settings, tmp_path, synthetic):
    settings()
    ready = tmp_path / "ready"
    ready.mkdir()
    program = [sys.executable, "-c", textwrap.dedent(COMMAND), tmp_path / "made", ready, "benchmark", "tiny.yaml"]
    options = ["--corpus", synthetic, "--cache", tmp_path / "cache", "--results", "results", "--jobs", "1"]
    commands = [
        subprocess.Popen(
            list(map(str, program + options)), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [command.communicate(timeout=200)[1] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    made = [line.split() for line in (tmp_path / "made").read_text().splitlines()]
    assert sorted(name for _, name in made) == [f"{speaker}-{seed}" for speaker in SPEAKERS for seed in (0, 1)]
    assert len({process for process, _ in made}) == 2
    path = tmp_path / "results" / "table-speaker4fold-v1" / "tiny.json"
    assert len(json.loads(path.read_text())["folds"]) == 8
    assert re.findall(r"\| tiny \|", (tmp_path / "results" / "CHANGES.md").read_text()) == ["| tiny |"]
