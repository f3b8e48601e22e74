"""A results file in order passes; one with anything changed by hand does not."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affetto import changes, corpora, scores, verification
from affetto.errors import ConfigError

RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = verification.find([RESULTS])


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_committed_number_follows_from_its_predictions(path):
    found = verification.verify(path)
    assert found.faults == ()
    assert found.numbers > 200
    assert path.with_suffix(".png").exists()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_committed_truth_speakers_and_protocol_are_those_of_the_corpus(path, request):
    names = json.loads(path.read_text())["corpus"].split("+")  # a joint one's, of corpora that are joined anew
    found = verification.verify(path, *(corpora.read(name, request.getfixturevalue(f"{name}_root")) for name in names))
    assert (found.faults, found.notes) == ((), ())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A results file to spoil."""
    source = RESULTS / "emodb-loso10-v1"
    folder = tmp_path / source.name
    folder.mkdir()
    for path in (source / "protocol.json", *source.glob("cnn.*")):
        shutil.copy(path, folder)
    shutil.copytree(source / "cells" / "cnn", folder / "cells" / "cnn")
    shutil.copy(RESULTS / changes.NAME, tmp_path)
    return folder / "cnn.json"


def spoil(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def spoil_table(path: Path, change) -> None:
    table = scores.read(path.with_suffix(".csv"))
    change(table).to_csv(path.with_suffix(".csv"), index=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["fold_mean"].update(ua=0.99), "scikit-learn: fold_mean.ua: the file says 0.99"),
        (lambda r: r["fold_mean"].update(ua=r["fold_mean"]["ua"] + 1e-6), "fold_mean.ua: the file says"),
        (lambda r: r["folds"][3]["test"].update(wa=1.0), "folds[3].test.wa: the file says 1.0"),
        (lambda r: r["folds"][3].update(best_epoch=99), "best_epoch: the file says 99"),
        (lambda r: r["pooled"].update(macro_f1=None), "pooled.macro_f1: the file says None"),
        (lambda r: r["intervals"]["fold_mean"].update(wa=[0.7, 0.71]), "intervals.fold_mean.wa[0]: the file says 0.7"),
        (lambda r: r["by_speaker"].pop("08"), "by_speaker.08"),
        (lambda r: r["confusion"][0].reverse(), "scikit-learn: confusion[0]"),
        (lambda r: r.update(seeds=[1]), "seeds: are not those of the predictions"),
        (lambda r: r.update(seeds=[0, 1]), "seeds: expected 1 entries: the file says [0, 1], its config says [0]"),
        (lambda r: r.update(model="other"), "model: is other, the file cnn.json"),
        (lambda r: r.update(protocol="emodb-loso10-v2"), "protocol: is emodb-loso10-v2, the folder emodb-loso10-v1"),
        (lambda r: r.update(folds_sha256="0"), "folds_sha256: the file says '0'"),
        (lambda r: r.update(fingerprint="0"), "fingerprint: is not listed in CHANGES.md"),
        (
            lambda r: r["config"]["training"].update(epochs=24),
            "fingerprint: the file says '9185475c7df4cd1d', its config",
        ),
        (lambda r: r["config"]["training"].update(epoch=24), "config: unknown setting 'training.epoch'"),
        (lambda r: r.pop("config"), "config: the settings are missing"),
        (lambda r: r.update(config="cnn"), "config: the settings are missing"),
        (lambda r: r.update(shipped=True), "shipped: the file says True, its config says False"),
        (lambda r: r.update(corpus="simulated_a"), "simulated: the file does not say so, but simulated_a is"),
        (lambda r: r.update(tuned_on=None), "tuned_on: expected 10 entries: the file says None, its config says ['03'"),
        (lambda r: r["config"].update(tuned_on=None), "tuned_on: the file says ['03', '08', "),
        (lambda r: r["config"]["task"].update(name="dimensions"), "task: the file says 'categories', its config says"),
        (lambda r: r.update(task="sentiment"), "task: no task is called 'sentiment'"),
        (lambda r: r["labels"].append("surprise"), "labels: expected 7 entries"),
        (lambda r: r.update(trained_on="train+dev"), "trained_on: the file says 'train+dev', its config says 'train'"),
        (lambda r: r.update(seconds=12.0), "seconds: the file says 12.0, its cells say 8865.0"),
        (lambda r: r.update(commit="0" * 40), "commit: the file says '0000000000"),
        (lambda r: r.update(machine="an abacus"), "machine: the file says 'an abacus', its cells say '2 cores"),
        (lambda r: r.update(folds=["03"]), "folds: are not each an object with fold, seed, n and test"),
    ],
)
def test_a_changed_number_is_found(copy, change, words):
    assert verification.verify(copy).faults == ()
    spoil(copy, change)
    assert any(words in fault for fault in verification.verify(copy).faults), verification.verify(copy).faults


def flip(table: pd.DataFrame) -> pd.DataFrame:
    """One answer is another."""
    other = next(label for label in ("anger", "fear") if label != table.loc[7, "prediction"])
    return table.assign(prediction=table["prediction"].where(table.index != 7, other))


def drop(table: pd.DataFrame) -> pd.DataFrame:
    """One clip is left out."""
    return table.drop(index=5)


def repeat(table: pd.DataFrame) -> pd.DataFrame:
    """One clip is there instead of another."""
    return table.loc[[6 if number == 5 else number for number in table.index]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, "1 are not the class with the highest probability"),
        (drop, "folds: of seed 0 are not those of protocol.json"),
        (repeat, "1 clips are tested twice in a fold and seed"),
        (lambda t: t.assign(anger=t["anger"] + 0.01), "the probabilities of 535 rows do not add up to 1"),
        (lambda t: t.assign(speaker=np.roll(t["speaker"], 30)), "by_speaker"),
    ],
)
def test_changed_predictions_are_found(copy, change, words):
    spoil_table(copy, change)
    results = json.loads(copy.read_text())
    if change in (drop, repeat):  # even if the number of clips is adapted
        table = scores.read(copy.with_suffix(".csv"))
        for fold in results["folds"]:
            fold["n"] = int((table["fold"] == fold["fold"]).sum())
        copy.write_text(json.dumps(results))
    assert any(words in fault for fault in verification.verify(copy).faults), verification.verify(copy).faults


def test_a_false_truth_is_found_with_the_corpus(copy, emodb_root):
    """Truth, prediction, cell and every score may agree with each other: the corpus knows better."""
    corpus = corpora.read("emodb", emodb_root)
    liar = corpora.Corpus(corpus.info, corpus.root, corpus.table.copy())
    liar.table.iloc[0, liar.table.columns.get_loc("emotion")] = "anger"
    found = verification.verify(copy, liar).faults
    assert any("wav/03a01Fa.wav,0.000000, is anger, the file says happiness" in fault for fault in found)
    assert any(fault.startswith("manifest_sha256") for fault in found)


def test_numbers_of_training_clips_that_are_not_the_protocols_are_found(copy):
    """Results and cell may agree with each other."""
    spoil(copy, lambda r: r["folds"][0].update(n_train=486))
    spoil(copy.parent / "cells" / "cnn" / "03-0.json", lambda c: c.update(n_train=486))
    (fault,) = verification.verify(copy).faults
    assert fault == "folds[0].n_train: the file says 486, protocol.json and trained_on say 428"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["predictions"][0].update(prediction="disgust"), "its predictions are not those of the table"),
        (lambda c: c["predictions"][0].update(end=1.0), "its predictions are not those of the table"),
        (lambda c: c["predictions"][0]["probabilities"].reverse(), "cells.03-0.anger[0]: the file says"),
        (lambda c: c.update(predictions=[]), "its predictions are not those of the table"),
        (lambda c: c.update(manifest_sha256="0"), ".manifest_sha256: the file says '0'"),
        (lambda c: c.update(fold_sha256="0"), ".fold_sha256: the file says '0'"),
        (lambda c: c.update(words_sha256="0"), ".words_sha256: the file says '0'"),
        (lambda c: c.update(weights_sha256={"bert": "0"}), ".weights_sha256: the file says {'bert': '0'}"),
        (lambda c: c.update(fold="08"), ".fold: the file says '03', the cell says '08'"),
        (lambda c: c.pop("seconds"), "seconds: not every cell has its own"),
    ],
)
def test_a_cell_that_does_not_fit_is_found(copy, change, words):
    spoil(copy.parent / "cells" / "cnn" / "03-0.json", change)
    assert any(words in fault for fault in verification.verify(copy).faults), verification.verify(copy).faults


def test_probabilities_of_the_table_that_no_training_gave_are_found(copy):
    """Scores do not depend on them, as long as the highest is the same."""
    labels = json.loads(copy.read_text())["labels"]

    def sharpen(table):
        other = table[labels].copy()
        other.loc[0] = [float(label == table.loc[0, "prediction"]) for label in labels]
        return table.assign(**other)

    spoil_table(copy, sharpen)
    faults = verification.verify(copy).faults
    assert faults and all(fault.startswith("cells.03-0.") for fault in faults)


def test_trainings_that_are_missing_are_found(copy):
    (copy.parent / "cells" / "cnn" / "08-0.json").unlink()
    assert verification.verify(copy).faults == ("cells: 08-0.json is missing",)
    (copy.parent / "cells" / "cnn" / "08-0.json").write_text("[")
    assert any("08-0.json: cannot be read as JSON" in fault for fault in verification.verify(copy).faults)
    shutil.rmtree(copy.parent / "cells")
    assert verification.verify(copy).faults == ("cells: there is no cells/cnn: its trainings are not there",)


def test_predictions_that_are_missing_are_a_fault_of_a_file_that_is_found(copy):
    copy.with_suffix(".csv").unlink()
    assert verification.find([copy.parents[1]]) == [copy]
    assert verification.verify(copy).faults == ("predictions: cnn.csv is missing: no number can be computed",)
    copy.with_suffix(".csv").write_text("file,start\n")
    assert any("has no column end" in fault for fault in verification.verify(copy).faults)
    (copy.parent / "protocol.json").unlink()
    assert verification.find([copy.parents[1]]) == [copy]
    assert "protocol: protocol.json is missing" in verification.verify(copy).faults


def test_a_table_with_holes_or_words_for_numbers_is_found(copy):
    table = scores.read(copy.with_suffix(".csv"))
    for change, words in (
        ({"fold": table["fold"].where(table.index != 3)}, "predictions: have empty cells: fold"),
        ({"fear": "much"}, "predictions: hold words where numbers belong: fear"),
    ):
        table.assign(**change).to_csv(copy.with_suffix(".csv"), index=False)
        assert words in verification.verify(copy).faults


def test_a_file_can_be_named_from_inside_its_folder(copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    assert verification.find([Path(".")]) == [Path("cnn.json")]
    found = verification.verify(Path("cnn.json"))
    assert (found.path, found.faults) == (Path("cnn.json"), ())


def test_a_protocol_that_the_corpus_does_not_give_is_found(copy, emodb_root):
    corpus = corpora.read("emodb", emodb_root)
    spoil(copy.parent / "protocol.json", lambda d: d.update(rule="speakers are never shared", utterances=10))
    assert verification.verify(copy).faults == ()
    faults = verification.verify(copy, corpus).faults
    assert any(fault.startswith("protocol.json.rule: the file says 'speakers are never shared'") for fault in faults)
    assert "protocol.json.utterances: the file says 10, the corpus says 535" in faults


def test_hashes_and_speakers_of_a_protocol_that_contradict_each_other_are_found(copy):
    spoil(copy.parent / "protocol.json", lambda d: d["folds"][0].update(sha256="0", test_speakers=["16"]))
    faults = verification.verify(copy).faults
    assert any(fault.startswith("protocol.json.folds_sha256") for fault in faults)
    assert any(fault.startswith("protocol.json.folds.03.test_speakers[0]: the file says '16'") for fault in faults)


def test_another_corpus_is_not_compared_and_the_verification_says_so(copy, toy_tree):
    found = verification.verify(copy, corpora.read("ravdess", toy_tree("ravdess")))
    assert found.faults == ()
    assert found.notes == ("the results are emodb's: ravdess was not compared with them",)
    assert verification.verify(copy).notes == ()


def test_a_corpus_that_does_not_allow_the_protocol_is_a_fault(copy, toy_tree):
    corpus = corpora.read("emodb", toy_tree("emodb"))
    few = corpus.select(corpus.table["speaker"] != "16")
    assert any("expected the speakers 03, 08" in fault for fault in verification.verify(copy, few).faults)
    corpus.path(corpus.table.index[0][0]).unlink()
    assert any("is missing; `affetto corpora check`" in fault for fault in verification.verify(copy, corpus).faults)


def test_what_is_no_results_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no results files"):
        verification.find([tmp_path])
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="is not a results file, it has no 'protocol'"):
        verification.verify(path)
    path.write_text("[")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        verification.verify(path)


def dimensions(folder: Path) -> Path:
    """A results file of ratings, as it would be written, with one dimension that is undefined in a fold."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "file": [f"{i}.wav" for i in range(60)],
            "start": 0.0,
            "end": np.nan,
            "fold": [str(i // 20) for i in range(60)],
            "seed": 0,
            "valence_truth": rng.uniform(1, 5, 60),
            "valence": rng.uniform(1, 5, 60),
            "arousal_truth": [3.0] * 20 + rng.uniform(1, 5, 40).tolist(),
            "arousal": [3.0] * 20 + rng.uniform(1, 5, 40).tolist(),
            "speaker": [f"s{i // 10}" for i in range(60)],
        }
    )
    results = {
        "protocol": "toy-v1",
        "corpus": "toy",
        "manifest_sha256": "m",
        "folds_sha256": "f",
        "transductive": False,
        "model": "rated",
        "task": "dimensions",
        "labels": ["valence", "arousal"],
        "fingerprint": "0123",
        "seeds": [0],
        "commit": None,
        **scores.summarise(table, "dimensions", ["valence", "arousal"]),
    }
    folder = folder / "toy-v1"
    folder.mkdir()
    table.to_csv(folder / "rated.csv", index=False)
    definition = {"id": "toy-v1", "corpus": "toy", "manifest_sha256": "m", "folds_sha256": "f", "transductive": False}
    definition["folds"] = [
        {"fold": str(i), "test": 20, "test_speakers": [f"s{2 * i}", f"s{2 * i + 1}"], "sha256": "0"} for i in range(3)
    ]
    definition["folds_sha256"] = results["folds_sha256"] = hashlib.sha256(b"0 0\n1 0\n2 0\n").hexdigest()
    (folder / "protocol.json").write_text(json.dumps(definition))
    (folder / "rated.json").write_text(json.dumps(scores.plain(results)))
    changes.remember(folder.parent, results)
    return folder / "rated.json"


def numeric(faults: tuple[str, ...]) -> list[str]:
    """Faults but those of settings and trainings, which this file has none of."""
    origin = ("config", "cells", "trained_on", "shipped", "tuned_on", "seeds", "task", "model")
    return [fault for fault in faults if not fault.startswith(origin) and ".n_train" not in fault]


def test_ratings_are_verified_too(tmp_path):
    path = dimensions(tmp_path)
    results = json.loads(path.read_text())
    assert results["folds"][0]["test"]["ccc_arousal"] is None
    assert "constant" in results["undefined"]["folds.0-0.ccc_arousal"]
    assert numeric(verification.verify(path).faults) == []
    spoil(path, lambda r: r["folds"][0]["test"].update(ccc_arousal=1.0))
    assert any("ccc_arousal: the file says 1.0" in fault for fault in verification.verify(path).faults)
