"""From a model and a protocol to numbers: every fold trained and tested, one results file when all are there.

A finished cell (one fold, one seed) is a small file under `results/<protocol>/cells/<row>/`; a run that is interrupted
goes on with the cells that are missing. When none is, the predictions of all go into `<row>.csv`, every score computed
from them into `<row>.json`, and the confusion matrix into `<row>.png`.
"""

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from affetto import __version__, metrics, report
from affetto.bench import Bench
from affetto.cache import FeatureCache, write_whole
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.dataset import Progress, no_progress
from affetto.device import Precision, use_bf16
from affetto.errors import ConfigError
from affetto.experiment import Experiment
from affetto.protocol import Fold, Protocol
from affetto.protocol import create as create_protocol


def benchmark(
    experiment: Experiment,
    corpus: Corpus,
    *,
    results: Path,
    cache: FeatureCache,
    device: torch.device,
    precision: Precision = "auto",
    progress: Progress = no_progress,
) -> Path:
    """Train and test every fold and seed that is not there yet; the path of the results file.

    Raises:
        ConfigError: if the cells that are there were made with other settings or from another copy of the corpus.
        ProtocolError: if the corpus does not allow the protocol.
        AudioError: if a clip cannot be heard.
    """
    protocol = create_protocol(experiment.protocol, corpus)
    bench = Bench.prepare(experiment, corpus, cache=cache, device=device, precision=precision, progress=progress)
    folder = results / protocol.id
    cells = folder / "cells" / experiment.name
    cells.mkdir(parents=True, exist_ok=True)
    manifest = corpus.manifest_sha256()
    version = commit()  # of the code that runs, whatever happens to the working copy meanwhile
    plan = [(fold, seed) for seed in experiment.seeds for fold in protocol.folds]
    for done, (fold, seed) in enumerate(plan):
        progress("cells", done, len(plan))
        path = cells / f"{fold.name}-{seed}.json"
        if path.exists():
            _check_cell(path, experiment, manifest)
            continue
        cell = {**_cell(bench, fold, seed), "manifest_sha256": manifest, "commit": version}
        write_whole(path, _dump(cell))
    progress("cells", len(plan), len(plan))
    finished = [json.loads((cells / f"{fold.name}-{seed}.json").read_text()) for fold, seed in plan]
    return _write_results(bench, protocol, finished, folder)


def _cell(bench: Bench, fold: Fold, seed: int) -> JSON:
    """One training and its test."""
    started = time.perf_counter()
    experiment, chosen = bench.experiment, None
    train, dev = bench.features.rows(fold.train), bench.features.rows(fold.dev)
    if experiment.choose:
        chosen = bench.choose(fold.seen, seed=seed)
        experiment = experiment.with_settings(chosen)
        train, dev = bench.features.rows(fold.seen), []
    model, history = bench.train(experiment, train, dev, seed=seed, progress=bench.progress)
    rows = bench.features.rows(fold.test)
    answers, probabilities = bench.test(model, rows)
    truth = bench.truth(rows)
    return {
        "fingerprint": bench.experiment.fingerprint,
        "fold": fold.name,
        "seed": seed,
        "n": len(rows),
        "n_train": len(train),
        "chosen": chosen,
        "best_epoch": history.best.epoch,
        "epochs": len(history.epochs),
        "dev": history.best.dev or None,
        "test": metrics.scores(truth, answers),
        "seconds": round(time.perf_counter() - started, 1),
        "predictions": [
            {
                **_index(bench.corpus, row),
                "truth": t,
                "prediction": p,
                "probabilities": [round(x, 5) for x in q.tolist()],
            }
            for row, t, p, q in zip(rows, truth, answers, probabilities, strict=True)
        ],
    }


def _check_cell(path: Path, experiment: Experiment, manifest: str) -> None:
    cell = json.loads(path.read_text(encoding="utf-8"))
    for made, now, what in (
        (cell["fingerprint"], experiment.fingerprint, "with other settings than"),
        (cell["manifest_sha256"], manifest, "from another copy of the corpus than the one that"),
    ):
        if made != now:
            raise ConfigError(
                f"{path}: was made {what} {experiment.name} has now; "
                "give the experiment another name, or delete the folder to start anew"
            )


def _write_results(bench: Bench, protocol: Protocol, cells: Sequence[JSON], folder: Path) -> Path:
    experiment, labels = bench.experiment, bench.task.labels
    table = predictions_table(cells, labels)
    path = folder / f"{experiment.name}.json"
    results: JSON = {
        "protocol": protocol.id,
        "corpus": bench.corpus.name,
        "manifest_sha256": cells[0]["manifest_sha256"],
        "model": experiment.name,
        "task": experiment.task.name,
        "labels": list(labels),
        "transductive": False,
        "simulated": False,
        "shipped": experiment.shipped,
        "seeds": list(experiment.seeds),
        "config": experiment.config,
        "commit": ", ".join(sorted({cell["commit"] for cell in cells if cell["commit"]})) or None,
        "machine": machine(bench.device, bench.precision),
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
        **summarise(table, labels),
    }
    for fold, cell in zip(results["folds"], cells, strict=True):
        assert (fold["fold"], fold["seed"]) == (cell["fold"], cell["seed"])
        fold.update({key: cell[key] for key in ("n_train", "dev", "chosen", "best_epoch", "epochs")})
    write_whole(folder / f"{experiment.name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    write_whole(path, _dump(results))
    report.confusion_figure(
        np.array(results["confusion"]),
        labels,
        title=f"{experiment.name} on {protocol.id}: UA {results['fold_mean']['ua']:.3f}",
        path=path.with_suffix(".png"),
    )
    return path


def predictions_table(cells: Sequence[JSON], labels: Sequence[str]) -> pd.DataFrame:
    """One row a tested clip: `file,start,end,fold,seed,truth,prediction` and one probability a class."""
    return pd.DataFrame(
        {
            "file": row["file"],
            "start": row["start"],
            "end": row["end"],
            "fold": cell["fold"],
            "seed": cell["seed"],
            "truth": row["truth"],
            "prediction": row["prediction"],
            **dict(zip(labels, row["probabilities"], strict=True)),
        }
        for cell in cells
        for row in cell["predictions"]
    )


def summarise(table: pd.DataFrame, labels: Sequence[str]) -> JSON:
    """Every score of a predictions table: by fold, the mean over folds and seeds, pooled, and the confusion.

    Args:
        table: as `predictions_table` gives it.
        labels: the classes.

    Returns:
        `folds`, `fold_mean` (mean over seeds of the mean over folds), `fold_mean_by_seed`, `pooled` (mean over seeds
        of the scores over all clips), and `confusion` (counts over all seeds; rows are the truth).
    """
    folds: list[JSON] = []
    for (seed, fold), part in table.groupby(["seed", "fold"], sort=False):
        test = metrics.scores(list(part.truth), list(part.prediction))
        folds.append({"fold": fold, "seed": seed, "n": len(part), "test": test})
    frame = pd.DataFrame([{"seed": fold["seed"], **fold["test"]} for fold in folds])
    by_seed = pd.DataFrame({seed: part.mean(skipna=False) for seed, part in frame.groupby("seed")}).T.drop(
        columns="seed"
    )
    pooled = pd.DataFrame(
        metrics.scores(list(part.truth), list(part.prediction)) for _, part in table.groupby("seed", sort=False)
    )
    return {
        "folds": folds,
        "fold_mean": _floats(by_seed.mean(skipna=False)),
        "fold_mean_by_seed": {str(seed): _floats(row) for seed, row in by_seed.iterrows()},
        "pooled": _floats(pooled.mean(skipna=False)),
        "confusion": metrics.confusion(list(table.truth), list(table.prediction), labels).tolist(),
    }


def commit() -> str | None:
    """The commit of the working copy that this package runs from, "+" when it has changes; None outside one."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout

    try:
        # Fails in a repository that merely surrounds an installation.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "--", ".").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def machine(device: torch.device, precision: Precision) -> str:
    """The machine in words: cores, architecture, system, versions, precision; no names."""
    numbers = "bf16" if use_bf16(device, precision) else "fp32"
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}, {device.type} {numbers}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, affetto {__version__}"
    )


def _index(corpus: Corpus, row: int) -> JSON:
    file, start, end = corpus.table.index[row]
    return {"file": file, "start": start.total_seconds(), "end": None if pd.isna(end) else end.total_seconds()}


def _floats(series: "pd.Series[float]") -> dict[str, float]:
    return {str(name): float(value) for name, value in series.items()}


def _dump(content: JSON) -> bytes:
    """JSON that can be read in a diff: a line a value, but innermost lists and objects on one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    innermost = re.compile(r"[\[{][^\[\]{}]*[\]}]")
    return (innermost.sub(lambda match: re.sub(r"\n\s*", " ", match[0]), text) + "\n").encode()
