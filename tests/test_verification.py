"""A results file in order passes; one with anything changed by hand does not."""

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
def test_committed_truth_speakers_and_folds_are_those_of_emodb(path, emodb_root):
    assert verification.verify(path, corpora.read("emodb", emodb_root)).faults == ()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A results file to spoil."""
    source = RESULTS / "emodb-loso10-v1"
    folder = tmp_path / source.name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("whisper3*"))
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
        (lambda r: r.update(model="other"), "model: is other, the file cnn.json"),
        (lambda r: r.update(protocol="emodb-loso10-v2"), "protocol: is emodb-loso10-v2, the folder emodb-loso10-v1"),
        (lambda r: r.update(folds_sha256="0"), "folds_sha256: the file says '0'"),
        (lambda r: r.update(fingerprint="0"), "fingerprint: is not listed in CHANGES.md"),
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


def test_cells_that_do_not_fit_are_found(copy):
    cell = copy.parent / "cells" / "cnn" / "03-0.json"
    spoil(cell, lambda c: c["predictions"][0].update(prediction="disgust"))
    (copy.parent / "cells" / "cnn" / "08-0.json").unlink()
    found = verification.verify(copy).faults
    assert any("cells.03-0: its predictions are not those of the table" in fault for fault in found)
    assert any("08-0.json is missing" in fault for fault in found)


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
    (folder / "rated.json").write_text(json.dumps(scores.plain(results)))
    definition = {"id": "toy-v1", "corpus": "toy", "manifest_sha256": "m", "folds_sha256": "f", "transductive": False}
    definition["folds"] = [{"fold": str(i), "test": 20} for i in range(3)]
    (folder / "protocol.json").write_text(json.dumps(definition))
    changes.remember(folder.parent, results)
    return folder / "rated.json"


def test_ratings_are_verified_too(tmp_path):
    path = dimensions(tmp_path)
    results = json.loads(path.read_text())
    assert results["folds"][0]["test"]["ccc_arousal"] is None
    assert "constant" in results["undefined"]["folds.0-0.ccc_arousal"]
    assert verification.verify(path).faults == ()
    spoil(path, lambda r: r["folds"][0]["test"].update(ccc_arousal=1.0))
    assert any("ccc_arousal: the file says 1.0" in fault for fault in verification.verify(path).faults)
