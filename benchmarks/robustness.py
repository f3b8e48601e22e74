"""What distortions cost a recipe on speakers that it has never heard; writes its row of robustness.json.

    python benchmarks/robustness.py EMODB [EXPERIMENT [ROW]]        # emodb_whisper3; half an hour of one core

Every fold's model is trained on clean clips (or as the experiment says), and is then tested on the clips of its unseen
speaker: as they are, and after each of the trials that `affetto stress` makes by default. One seed, the experiment's
first. What the experiment leaves open each fold chooses among its own train and dev speakers, or takes from `results/`,
where the same fold of the same settings has chosen before.

The file is written after each trial; the same command goes on where it was interrupted.

A drop is the UAR of the clean clips less that of the distorted ones, mean over folds, in points; its 95 % interval
draws speakers. `agreement` is the share of clips that are answered as the clean ones are, right or wrong.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from affetto import corpora, experiment, metrics, statistics
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.cli.console import progress_bars
from affetto.corpora.distorted import Distorted
from affetto.distortions import named
from affetto.experiment import Experiment
from affetto.models.base import SpeechModel
from affetto.protocol import Fold, Protocol, create
from affetto.provenance import commit, machine
from affetto.stress.trials import DEFAULT

OUT = Path(__file__).with_suffix(".json")
RESULTS = Path(__file__).parents[1] / "results"


def chosen_before(settings: Experiment, protocol_id: str) -> dict[str, dict]:
    """What each fold has chosen with the experiment's first seed; empty if it was not run with these settings."""
    path = RESULTS / protocol_id / f"{settings.name}.json"
    made = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if made.get("fingerprint") != settings.fingerprint:
        return {}
    return {fold["fold"]: fold["chosen"] for fold in made["folds"] if fold["seed"] == settings.seeds[0]}


def trained(bench: Bench, dealt: Protocol, seed: int) -> Iterator[tuple[Fold, SpeechModel]]:
    """The model of each fold."""
    before = chosen_before(bench.experiment, dealt.id)
    for fold in dealt.folds:
        asked, train, dev = bench.experiment, list(fold.train), list(fold.dev)
        if asked.choose:
            refit = asked.refit
            values = before.get(fold.name) or bench.choose(train, dev, seed=seed)
            asked = asked.with_settings(values)
            train, dev = (list(fold.seen), []) if refit else (train, dev)
        [(model, _)] = bench.train(asked, train, dev, seed=seed)
        yield fold, model


def confusions(answers: np.ndarray, truth: np.ndarray, speakers: np.ndarray, n_labels: int) -> np.ndarray:
    """Counts by speaker, who is a fold, (1, S, S, K, K)."""
    names = sorted(set(speakers))
    sums = np.zeros((1, len(names), len(names), n_labels, n_labels))
    for place, name in enumerate(names):
        own = speakers == name
        np.add.at(sums[0, place, place], (truth[own], answers[own]), 1)
    return sums


def cost(clean: np.ndarray, answers: np.ndarray, truth: np.ndarray, speakers: np.ndarray, n_labels: int) -> dict:
    """What a distortion costs, with its interval over speakers."""
    both = [confusions(each, truth, speakers, n_labels) for each in (clean, answers)]

    def drop(sums: np.ndarray) -> np.ndarray:
        before, after = (metrics.from_counts(sums[..., half, :, :])["ua"] for half in (0, 1))
        return before - after

    interval = statistics.speaker_bootstrap(np.stack(both, axis=-3), drop).fold_mean
    by_fold = [metrics.from_counts(sums[0].sum(axis=1))["ua"] for sums in both]
    return {
        "ua": round(float(np.mean(by_fold[1])), 4),
        "drop": round(100 * float(np.mean(by_fold[0] - by_fold[1])), 2),
        "interval": [round(100 * interval.low, 2), round(100 * interval.high, 2)],
        "agreement": round(float((clean == answers).mean()), 4),
    }


def measure(settings: Experiment, root: Path, known: dict) -> Iterator[dict]:
    """The row of an experiment, with ever more trials.

    Args:
        settings: the experiment.
        root: of its corpus.
        known: the row as far as it was measured before; empty if it was not.
    """
    corpus = corpora.read(settings.corpus, root)
    device, cache = torch.device("cpu"), FeatureCache()
    with progress_bars() as progress:
        bench = Bench.prepare(settings, corpus, cache=cache, device=device, progress=progress)
        dealt = create(settings.protocol, corpus, transductive=settings.speaker_statistics)
        models = {}
        for fold, model in trained(bench, dealt, settings.seeds[0]):
            models[fold] = {name: value.clone() for name, value in model.state_dict().items()}

        def answers(on: Bench) -> np.ndarray:
            found = np.zeros(len(corpus), int)
            for fold, weights in models.items():
                model.load_state_dict(weights)
                found[list(fold.test)] = on.test(model, fold.test).argmax(dim=1).numpy()
            return found

        clean, truth = answers(bench), bench.features.targets[: len(corpus)].numpy()
        speakers, n_labels = corpus.table["speaker"].to_numpy(), len(bench.task.labels)
        row = {
            "fingerprint": settings.fingerprint,
            "protocol": dealt.id,
            "seed": settings.seeds[0],
            "clean_ua": cost(clean, clean, truth, speakers, n_labels)["ua"],
            "trials": dict(known.get("trials", {})) if known.get("fingerprint") == settings.fingerprint else {},
            "commit": commit(),
            "machine": machine(device, "auto"),
        }
        for number, trial in enumerate(DEFAULT):
            progress("trials", number, len(DEFAULT))
            if trial.title not in row["trials"]:
                worse = Distorted.of(corpus, named(trial.distortion), trial.strength)
                alone = settings.model_copy(update={"views": ()})
                on = Bench.prepare(alone, worse, cache=cache, device=device, progress=progress)
                row["trials"][trial.title] = cost(clean, answers(on), truth, speakers, n_labels)
                yield row


def table(row: dict) -> str:
    """A row's trials, as `docs/robustness.md` shows them."""
    lines = ["| trial | UAR | drop | agreement |", "| --- | ---: | ---: | ---: |"]
    for title, found in row["trials"].items():
        low, high = found["interval"]
        drop = f"{found['drop']:.1f} [{low:.1f}, {high:.1f}]"
        lines.append(f"| {title} | {100 * found['ua']:.1f} | {drop} | {100 * found['agreement']:.1f} % |")
    return "\n".join(lines)


def main(root: Path, source: str = "emodb_whisper3", row: str | None = None) -> None:
    """Measure a row, and write it beside those that are there."""
    settings = experiment.read_one(source, row=row)
    rows = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for measured in measure(settings, root, rows.get(settings.name, {})):
        rows[settings.name] = measured
        OUT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows[settings.name]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
