"""What a results file says of its own settings and of its protocol."""

import hashlib
from pathlib import Path

import pandas as pd

from affetto import changes, corpora, experiment, scores
from affetto.errors import ConfigError
from affetto.experiment import Experiment
from affetto.scores import JSON, Scoring
from affetto.verification.comparer import Comparer
from affetto.verification.folder import PROTOCOL, SHAPE, objects


def scoring_of(results: JSON, comparer: Comparer) -> Scoring | None:
    """How the answers are scored; nothing, and faults, for a file that cannot be read any further."""
    for key, kind in SHAPE.items():
        comparer.true(
            isinstance(results[key], kind), key, f"the file says {results[key]!r}, which is no {kind.__name__}"
        )
    if comparer.faults:
        return None
    folds = all(
        isinstance(fold, dict) and {"fold", "seed", "n", "test"} <= set(fold) and isinstance(fold["test"], dict)
        for fold in results["folds"]
    )
    comparer.true(folds, "folds", "are not each an object with fold, seed, n and test")
    comparer.true(all(isinstance(label, str) for label in results["labels"]), "labels", "are not all words")
    comparer.true(all(isinstance(seed, int) for seed in results["seeds"]), "seeds", "are not all whole numbers")
    try:
        return None if comparer.faults else scores.scoring(results["task"], results["labels"])
    except ConfigError as error:
        comparer.fault("task", str(error))
        return None


def check_names(path: Path, results: JSON, comparer: Comparer) -> None:
    """File and folder are called as the file says, and `CHANGES.md` lists it."""
    comparer.true(path.stem == results.get("model"), "model", f"is {results.get('model')}, the file {path.name}")
    comparer.true(
        path.parent.name == results["protocol"],
        "protocol",
        f"is {results['protocol']}, the folder {path.parent.name}",
    )
    known = results["protocol"], results.get("model"), results["fingerprint"]
    listed = [(line.protocol, line.row, line.settings) for line in changes.read(path.parents[1])]
    comparer.true(known in listed, "fingerprint", f"is not listed in {changes.NAME}")


def settings_of(results: JSON, comparer: Comparer) -> Experiment | None:
    """The experiment that the file says it is of; its fingerprint and what the file repeats of it must agree."""
    config = results.get("config")
    if not isinstance(config, dict):
        comparer.fault("config", "the settings are missing")
        return None
    for key in ("seeds", "shipped", "tuned_on"):
        comparer.same(results.get(key), config.get(key), key, "its config says")
    elsewhere = results.get("learned_from")
    learned = elsewhere.get("corpus") if isinstance(elsewhere, dict) else results.get("corpus")
    comparer.same(learned, config.get("corpus"), "learned_from.corpus" if elsewhere else "corpus", "its config says")
    for name in {str(results.get("corpus")), str(learned)} & set(corpora.names()):
        called = results.get("simulated") is True or not corpora.get(name).info.simulated
        comparer.true(called, "simulated", f"the file does not say so, but {name} is")
    comparer.same(results.get("model"), config.get("name"), "model", "its config says")
    task = config.get("task")
    comparer.same(results["task"], task.get("name") if isinstance(task, dict) else task, "task", "its config says")
    if isinstance(task, dict) and "names" in task:
        comparer.same(results["labels"], task["names"], "labels", "its config says")
    try:
        stated = experiment.from_config(config, source="config")
    except ConfigError as error:
        comparer.faults.append(str(error))
        return None
    comparer.same(results["fingerprint"], stated.fingerprint, "fingerprint", "its config says")
    transductive = stated.speaker_statistics or stated.protocol.endswith("-transductive")
    comparer.same(results.get("transductive"), transductive, "transductive", "its config says")
    return stated


def check_protocol(
    definition: JSON, stated: Experiment | None, results: JSON, table: pd.DataFrame | None, comparer: Comparer
) -> None:
    """What the file repeats of its protocol, and how many clips each fold trained on and tested."""
    if not definition:  # which is a fault already
        return
    for key, theirs in (
        ("protocol", "id"),
        ("corpus", "corpus"),
        ("manifest_sha256", "manifest_sha256"),
        ("folds_sha256", "folds_sha256"),
        ("transductive", "transductive"),
        ("learned_from", "learned_from"),
    ):
        comparer.same(results.get(key), definition.get(theirs), key, f"{PROTOCOL} says")
    if results["task"] == "categories":
        comparer.same(results["labels"], definition.get("classes"), "labels", f"{PROTOCOL} says")
    elif isinstance(rated := definition.get("dimensions"), dict):  # a table of one's own states none
        scales = {label: rated.get(label) for label in results["labels"]}
        comparer.same(results.get("scales"), scales, "scales", f"{PROTOCOL} says")
    folds = objects(definition.get("folds"))
    lines = "".join(f"{fold.get('fold')} {fold.get('sha256')}\n" for fold in folds)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    comparer.same(definition.get("folds_sha256"), digest, f"{PROTOCOL}.folds_sha256", "its folds say")
    planned = [(fold.get("fold"), fold.get("test")) for fold in folds]
    for seed in results["seeds"]:
        found = [(fold["fold"], fold["n"]) for fold in results["folds"] if fold["seed"] == seed]
        comparer.true(found == planned, "folds", f"of seed {seed} are not those of {PROTOCOL}")
    _trained_on(folds, stated, results, comparer)
    if table is not None:
        for fold in folds:
            heard = table.loc[table["fold"] == fold.get("fold"), "speaker"].dropna().unique()
            where = f"{PROTOCOL}.folds.{fold.get('fold')}.test_speakers"
            comparer.same(fold.get("test_speakers"), sorted(map(str, heard)), where)


def _trained_on(folds: list[JSON], stated: Experiment | None, results: JSON, comparer: Comparer) -> None:
    """What the models that were tested had been trained on, and on how many clips."""
    with_dev = results.get("trained_on") == "train+dev"
    if stated is not None:
        expected = "train+dev" if stated.refit and any(fold.get("dev") for fold in folds) else "train"
        comparer.same(results.get("trained_on"), expected, "trained_on", "its config says")
    sizes = {fold.get("fold"): (fold.get("train") or 0) + ((fold.get("dev") or 0) if with_dev else 0) for fold in folds}
    for number, fold in enumerate(results["folds"]):
        where = f"folds[{number}].n_train"
        comparer.same(fold.get("n_train"), sizes.get(fold["fold"]), where, f"{PROTOCOL} and trained_on say")
