"""From a table of experiments to numbers: every cell finished, then one results file a row.

When all of a row's cells are there (`cells`), the predictions of all go into `<row>.csv`, every score computed from
them into `<row>.json` and what was taken for what into `<row>.png`, beside `protocol.json`, which says under which
protocol; and `CHANGES.md`, one level up, remembers that this configuration was scored.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from affetto import changes, report, resources, scores
from affetto.cache import FeatureCache
from affetto.cells import Cell, Work, cores, finish
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.device import Precision
from affetto.errors import AffettoError
from affetto.experiment import Experiment, from_config, names, read
from affetto.files import json_bytes, write_whole
from affetto.progress import Progress, no_progress
from affetto.provenance import commit, machine, together
from affetto.scores import Scoring


def asked() -> tuple[report.Asked, ...]:
    """Every row that the experiments that ship ask for."""
    return tuple(
        report.Asked(name, row.corpus, row.protocol, row.name, row.fingerprint, row.seeds)
        for name in names()
        for row in read(resources.folder("experiments") / f"{name}.yaml")
    )


def benchmark(
    experiments: Sequence[Experiment],
    corpus: Corpus,
    *,
    results: Path,
    cache: FeatureCache,
    device: torch.device,
    precision: Precision = "auto",
    jobs: int | None = None,
    progress: Progress = no_progress,
    further: Sequence[Corpus] = (),
) -> list[Path]:
    """Train and test every row, fold and seed that is not there yet; the paths of the results files, a row each.

    Where a row is to be tested on further corpora that are given, their results files follow, a row and corpus each.

    Args:
        experiments: the rows, with their protocols. Cells of rows that they are made of are trained as well, and have
            no results files here.
        corpus: what they learn from.
        results: folder of results.
        cache: of features.
        device: where to compute.
        precision: in which numbers.
        jobs: cells at once, each in a process of one core; None: as many as there are cores, or one on other devices.
        progress: told of finished cells.
        further: other corpora that rows ask to be tested on.

    Raises:
        ConfigError: if the cells that are there were made with other settings or from another copy of the corpus.
        ProtocolError: if the corpus does not allow a protocol.
        AudioError: if a clip cannot be heard.
    """
    origin = {"commit": commit(), "machine": machine(device, precision)}
    others = {other.name: other for other in further}
    work = Work(tuple(experiments), corpus, results, cache, device, precision, origin, others)
    own = [[cell for cell in work.cells if cell.experiment is experiment] for experiment in work.experiments]
    rows = [*own, *(list(row) for cells in own for row in zip(*(cell.further for cell in cells), strict=True))]
    try:
        finish(work, jobs=jobs or (cores() if device.type == "cpu" else 1), progress=progress)
    except AffettoError:  # one row's fault does not keep the others' numbers back
        for row in rows:
            if _is_done(row, work):
                _write_results(row, work)
        raise
    return [_write_results(row, work) for row in rows]


def _is_done(row: Sequence[Cell], work: Work) -> bool:
    """Whether all cells of a row are there, and its own."""
    try:
        for cell in row:
            cell.check()
        return all(map(work.is_whole, row))
    except AffettoError:
        return False


def _write_results(cells: Sequence[Cell], work: Work) -> Path:
    """The results file of one row, and what lies beside it."""
    experiment, protocol = cells[0].experiment, cells[0].protocol
    corpus, learned_from = protocol.corpus, protocol.definition.get("learned_from")
    finished = [cell.read() for cell in cells]
    task = cells[0].task
    scoring = scores.scoring(experiment.task.name, task.labels)
    table = predictions_table(finished, scoring, corpus)
    definition = protocol.definition
    folder = work.results / protocol.id
    path = folder / f"{experiment.name}.json"
    results: JSON = {
        "protocol": protocol.id,
        "corpus": corpus.name,
        **({"learned_from": learned_from} if learned_from else {}),
        "manifest_sha256": definition["manifest_sha256"],
        "folds_sha256": definition["folds_sha256"],
        "model": experiment.name,
        "task": experiment.task.name,
        "labels": list(task.labels),
        **({"scales": {name: list(scale) for name, scale in task.scales.items()}} if task.scales else {}),
        **({} if cells[0].words_sha256 is None else _words(corpus, cells[0].words_sha256)),
        **({"weights_sha256": finished[0]["weights_sha256"]} if "weights_sha256" in finished[0] else {}),
        "transductive": protocol.transductive,
        "simulated": corpus.info.simulated or work.corpus.info.simulated,
        "shipped": experiment.shipped,
        "trained_on": "train+dev" if experiment.refit and any(fold.dev for fold in protocol.folds) else "train",
        "tuned_on": None if experiment.tuned_on is None else list(experiment.tuned_on),
        "fingerprint": experiment.fingerprint,
        "seeds": list(experiment.seeds),
        "config": _config(path, experiment),
        **{key: together(cell[key] for cell in finished) for key in work.origin},
        "seconds": round(sum(cell["seconds"] for cell in finished), 1),
        **scores.summarise(table, experiment.task.name, task.labels),
    }
    for fold, cell in zip(results["folds"], finished, strict=True):
        assert (fold["fold"], fold["seed"]) == (cell["fold"], cell["seed"])
        fold.update({key: cell[key] for key in ("n_train", "dev", "chosen", "best_epoch", "epochs")})
    write_whole(folder / "protocol.json", json_bytes(definition))
    write_whole(folder / f"{experiment.name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    write_whole(path, json_bytes(scores.plain(results)))
    score = f"{report.called(scoring.primary)} {results['fold_mean'][scoring.primary]:.3f}"
    title = f"{experiment.name} on {protocol.id}: {score}"
    report.error_figure(table, scoring, title=title, path=path.with_suffix(".png"))
    changes.remember(work.results, results)
    return path


def _config(path: Path, experiment: Experiment) -> JSON:
    """The settings in full; as they stand in the results file that is there, where they are the same.

    It may be older than a setting that has its default here: then it need not change.
    """
    try:
        there: JSON = json.loads(path.read_bytes())["config"]
        same = from_config(there, source=str(path)) == experiment
    except (OSError, ValueError, TypeError, KeyError, AttributeError, AffettoError):  # none, or damaged, or unknown
        return experiment.config
    return there if same else experiment.config


def _words(corpus: Corpus, sha256: str) -> JSON:
    """What a results file says of the transcripts that its model read."""
    return {"words": {"sha256": sha256, "empty": sum(not text for text in corpus.transcripts)}}


def predictions_table(finished: Sequence[JSON], scoring: Scoring, corpus: Corpus) -> pd.DataFrame:
    """What cells predicted, as `scores` describes it."""
    speakers = dict(zip(corpus.table.index, corpus.table["speaker"], strict=True))
    spoken = {
        (file, start.total_seconds(), None if pd.isna(end) else end.total_seconds()): speaker
        for (file, start, end), speaker in speakers.items()
    }
    return pd.DataFrame(
        {
            "file": row["file"],
            "start": row["start"],
            "end": row["end"],
            "fold": cell["fold"],
            "seed": cell["seed"],
            **scoring.flat(row),
            "speaker": spoken[row["file"], row["start"], row["end"]],
        }
        for cell in finished
        for row in cell["predictions"]
    )
