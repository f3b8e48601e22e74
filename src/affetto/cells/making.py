"""From cells to what their files hold: training, choice of an epoch, test; and the mean of what others answered."""

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from affetto import scores
from affetto.bench import Bench
from affetto.cells.cell import Cell
from affetto.cells.work import Work
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.errors import ConfigError, ProtocolError
from affetto.experiment import Experiment
from affetto.files import json_bytes, write_whole
from affetto.provenance import together

KEEP = 60.0
"""Seconds after which the state of a training is kept again: a killed worker loses no more than that and an epoch."""


def run(bench: Bench, cells: Sequence[Cell], partial: Path) -> list[tuple[Path, JSON]]:
    """Trainings and tests of cells that learn the same: what each file holds, those of further tests included.

    Args:
        bench: of their experiment.
        cells: one or more.
        partial: where the training's state is kept, and from where it goes on (`taking`, which makes it).

    Raises:
        ProtocolError: if training or choice touched the sound of a test clip. (Statistics of a speaker's clips, which a
            transductive protocol allows, are taken before.)
    """
    started = (partial / "origin.json").stat().st_mtime
    experiment, chosen, seed = bench.experiment, None, cells[0].seed
    train, devs = list(cells[0].fold.train), [list(cell.fold.dev) for cell in cells]
    bench.features.heard = set()
    if experiment.choose:
        assert len(cells) == 1, "what is chosen by fold cannot be shared"
        chosen = bench.choose(train, devs[0], seed=seed)
        refit, experiment = experiment.refit, experiment.with_settings(chosen)
        train, devs = (list(cells[0].fold.seen), [[]]) if refit else (train, devs)
    choosing = frozenset(bench.features.heard)
    contents = []
    trained = bench.train(
        experiment, train, *devs, seed=seed, folder=partial, every=KEEP, curves=False, progress=bench.progress
    )
    for cell, (model, history), second in zip(cells, trained, _second_stage(bench, cells), strict=True):
        _check_unheard(cell, choosing | history.heard, bench.corpus)
        tallies = bench.test(model, cell.fold.test)
        if second is not None:
            tallies = bench.categories.divide(tallies, *second)
        about = {
            "n_train": len(train),
            "chosen": chosen,
            "best_epoch": history.best.epoch,
            "epochs": len(history.epochs),
            "dev": scores.plain(history.best.dev) or None,
        }
        contents.append((cell.path, _tested(cell, bench, tallies, about)))
        for other, elsewhere in zip(cell.further, bench.further, strict=True):
            tallies = elsewhere.test(model, other.fold.test)
            contents.append((other.path, _tested(other, elsewhere, tallies, about)))
    seconds = round((time.time() - started) / len(cells), 1)
    return [(path, {**content, "seconds": seconds}) for path, content in contents]


def _tested(cell: Cell, bench: Bench, tallies: Tensor, about: JSON) -> JSON:
    """What a cell's file holds: whose training and test it is, what is known about the training, and what was answered.

    Args:
        cell: of the training or of a further test.
        bench: of the tested corpus.
        tallies: of the test clips.
        about: the training.
    """
    rows = list(cell.fold.test)
    given = zip(rows, bench.task.truth(bench.corpus.table.iloc[rows]), bench.task.answer(tallies), strict=True)
    records = [{**_index(bench.corpus, row), **truth, **answer} for row, truth, answer in given]
    scoring = scores.scoring(bench.experiment.task.name, bench.task.labels)
    return {
        "fingerprint": bench.experiment.fingerprint,
        "manifest_sha256": cell.protocol.definition["manifest_sha256"],
        "fold_sha256": cell.fold_sha256,
        **cell.inputs,
        "fold": cell.fold.name,
        "seed": cell.seed,
        "n": len(rows),
        **about,
        "test": scores.plain(scoring.of(pd.DataFrame(map(scoring.flat, records)))),
        "predictions": records,
    }


def _second_stage(bench: Bench, cells: Sequence[Cell]) -> list[tuple[Tensor, tuple[str, ...]] | None]:
    """What a second model, asked about some classes alone, makes of each cell's test clips, and these classes.

    None if there is no second stage.
    """
    stage = bench.experiment.second_stage
    if stage is None:
        return [None] * len(cells)
    narrow = bench.narrowed(stage.labels)
    train = narrow.of_classes(cells[0].fold.train)
    devs = [narrow.of_classes(cell.fold.dev) for cell in cells]
    trained = narrow.train(bench.experiment, train, *devs, seed=cells[0].seed, progress=bench.progress)
    answers: list[tuple[Tensor, tuple[str, ...]] | None] = []
    for cell, (model, history) in zip(cells, trained, strict=True):
        _check_unheard(cell, history.heard, bench.corpus)
        answers.append((narrow.test(model, cell.fold.test), stage.labels))
    return answers


def average(work: Work) -> None:
    """Make the cells of rows that average others from the cells of these, anew where these are others than before."""
    for cell in (each for own in work.cells if own.experiment.average for each in (own, *own.further)):
        content = json_bytes(_fuse(cell, work))
        if not cell.path.exists() or cell.path.read_bytes() != content:
            cell.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(cell.path, content)


def _of(experiment: Experiment, cell: Cell, work: Work) -> Cell:
    """The cell of another row with the same fold, seed and test clips.

    Raises:
        ConfigError: if that row is not part of the work.
    """
    for other in (each for own in work.cells for each in (own, *own.further)):
        same = (other.protocol.id, other.fold.name, other.seed) == (cell.protocol.id, cell.fold.name, cell.seed)
        if same and other.experiment == experiment:
            return other
    raise ConfigError(f"{cell.experiment.name}: averages {experiment.name}, which is not among the rows to run")


def _fuse(cell: Cell, work: Work) -> JSON:
    """What the cell of an average holds: the mean of what others answered to the same clips."""
    assert cell.experiment.average is not None
    averaged = [_of(each, cell, work).read() for each in cell.experiment.average]
    task = cell.experiment.task.of(cell.protocol.corpus.categories, cell.protocol.corpus.dimensions)
    scoring = scores.scoring(cell.experiment.task.name, task.labels)
    heard = [[scoring.flat(record) for record in each["predictions"]] for each in averaged]
    tallies = torch.tensor([[[flat[label] for label in task.labels] for flat in each] for each in heard]).mean(dim=0)
    answered = zip(averaged[0]["predictions"], task.answer(tallies), strict=True)
    records = [{**record, **answer} for record, answer in answered]
    begun = {source: digest for each in averaged for source, digest in each.get("weights_sha256", {}).items()}
    return {
        **averaged[0],
        "fingerprint": cell.experiment.fingerprint,
        **cell.inputs,
        **({"weights_sha256": begun} if begun else {}),
        "n_train": max(each["n_train"] for each in averaged),
        **dict.fromkeys(("chosen", "best_epoch", "epochs", "dev")),
        "test": scores.plain(scoring.of(pd.DataFrame(map(scoring.flat, records)))),
        "predictions": records,
        "seconds": round(sum(each["seconds"] for each in averaged), 1),
        **{key: together(each[key] for each in averaged) for key in work.origin},
    }


def _check_unheard(cell: Cell, heard: frozenset[int], corpus: Corpus) -> None:
    """See that what a cell's training and choice listened to holds none of its test clips."""
    if leaked := heard & set(cell.fold.test):
        file = corpus.table.index[min(leaked)][0]
        raise ProtocolError(
            f"{cell.protocol.id}, fold {cell.fold.name}: training touched {len(leaked)} test clips, such as {file}; "
            "this is a fault of the model or of the training, and no number is written"
        )


def _index(corpus: Corpus, row: int) -> JSON:
    file, start, end = corpus.table.index[row]
    return {"file": file, "start": start.total_seconds(), "end": None if pd.isna(end) else end.total_seconds()}
