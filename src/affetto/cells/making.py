"""From cells to what their files hold: training, choice of an epoch, test; and what is made of others' answers.

A second stage's training leaves what it answers about its classes in `<cell>.second.json`; its cell is made of that and
of its first's, an average's of its rows', when these are there, and anew when one of them is another.
"""

import time
from collections.abc import Iterable, Sequence
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
from affetto.errors import ProtocolError
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
    stage = bench.experiment.second_stage
    contents = _trained(bench, cells, partial) if stage is None else _divided(bench, stage.labels, cells, partial)
    seconds = round((time.time() - started) / len(cells), 1)
    return [(path, {**content, "seconds": seconds}) for path, content in contents]


def _trained(bench: Bench, cells: Sequence[Cell], partial: Path) -> list[tuple[Path, JSON]]:
    """What the one training of some cells gives, and the tests of it."""
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
    for cell, (model, history) in zip(cells, trained, strict=True):
        _check_unheard(cell, choosing | history.heard, bench.corpus)
        tallies = bench.test(model, cell.fold.test)
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
    return contents


def _divided(bench: Bench, labels: Sequence[str], cells: Sequence[Cell], partial: Path) -> list[tuple[Path, JSON]]:
    """What a second stage answers to all test clips of each cell, of whichever class, about its own classes."""
    narrow = bench.narrowed(labels)
    train = narrow.of_classes(cells[0].fold.train)
    devs = [narrow.of_classes(cell.fold.dev) for cell in cells]
    contents = []
    trained = narrow.train(
        bench.experiment,
        train,
        *devs,
        seed=cells[0].seed,
        folder=partial,
        every=KEEP,
        curves=False,
        progress=bench.progress,
    )
    for cell, (model, history) in zip(cells, trained, strict=True):
        _check_unheard(cell, history.heard, bench.corpus)
        answers = narrow.task.answer(narrow.test(model, cell.fold.test))
        content = {
            **_about(cell),
            "labels": list(labels),
            "n_train": len(train),
            "best_epoch": history.best.epoch,
            "epochs": len(history.epochs),
            "dev": scores.plain(history.best.dev) or None,
            "predictions": [
                {**_index(bench.corpus, row), **answer} for row, answer in zip(cell.fold.test, answers, strict=True)
            ],
        }
        contents.append((cell.trained, content))
    return contents


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
        **_about(cell),
        **about,
        "test": scores.plain(scoring.of(pd.DataFrame(map(scoring.flat, records)))),
        "predictions": records,
    }


def _about(cell: Cell) -> JSON:
    """Which cell it is, and of what."""
    return {
        "fingerprint": cell.experiment.fingerprint,
        "manifest_sha256": cell.protocol.definition["manifest_sha256"],
        "fold_sha256": cell.fold_sha256,
        **cell.inputs,
        "fold": cell.fold.name,
        "seed": cell.seed,
        "n": len(cell.fold.test),
    }


def combine(work: Work) -> None:
    """Make the cells of second stages and of averages whose parts are all there.

    A cell is written where it is not there, or another than its parts make now.
    """
    for cell in work.cells:
        if cell.experiment.second_stage is not None and cell.is_finished and _are_there(work.parts(cell)):
            _keep(cell, _divide(cell, work))
    for own in work.cells:  # may average second stages
        for cell in (own, *own.further):
            if cell.experiment.average is not None and _are_there(work.parts(cell)):
                _keep(cell, _fuse(cell, work))


def _are_there(cells: Iterable[Cell]) -> bool:
    return all(cell.path.exists() for cell in cells)


def _keep(cell: Cell, made: JSON) -> None:
    content = json_bytes(made)
    if not cell.path.exists() or cell.path.read_bytes() != content:
        cell.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cell.path, content)


def _fuse(cell: Cell, work: Work) -> JSON:
    """What the cell of an average holds: the mean of what others answered to the same clips."""
    averaged = [each.read() for each in work.parts(cell)]
    return _made(cell, work, averaged, torch.stack([_tallies(cell, each) for each in averaged]).mean(dim=0))


def _divide(cell: Cell, work: Work) -> JSON:
    """What the cell of a second stage holds: its first's answers, divided among its classes as it says."""
    ((first, second),) = ((each.read(), cell.read_trained()) for each in work.parts(cell))
    share = torch.tensor([record["probabilities"] for record in second["predictions"]])
    tallies = cell.categories.divide(_tallies(cell, first), share, second["labels"])
    return _made(cell, work, [first, second], tallies)


def _tallies(cell: Cell, content: JSON) -> Tensor:
    """What a file says that a cell's clips were answered, (n, labels)."""
    labels = cell.task.labels
    scoring = scores.scoring(cell.experiment.task.name, labels)
    return torch.tensor([[flat[label] for label in labels] for flat in map(scoring.flat, content["predictions"])])


def _made(cell: Cell, work: Work, parts: Sequence[JSON], tallies: Tensor) -> JSON:
    """What the file of a cell holds whose answers come from others'.

    Args:
        cell: the one that is made.
        work: that it belongs to.
        parts: what the files hold that it is made of; the first one's predictions know the truth.
        tallies: what it answers.
    """
    task = cell.task
    scoring = scores.scoring(cell.experiment.task.name, task.labels)
    answered = zip(parts[0]["predictions"], task.answer(tallies), strict=True)
    records = [{**record, **answer} for record, answer in answered]
    begun = {source: digest for each in parts for source, digest in each.get("weights_sha256", {}).items()}
    return {
        **parts[0],
        "fingerprint": cell.experiment.fingerprint,
        **cell.inputs,
        **({"weights_sha256": begun} if begun else {}),
        "n_train": max(each["n_train"] for each in parts),
        **dict.fromkeys(("chosen", "best_epoch", "epochs", "dev")),
        "test": scores.plain(scoring.of(pd.DataFrame(map(scoring.flat, records)))),
        "predictions": records,
        "seconds": round(sum(each["seconds"] for each in parts), 1),
        **{key: together(each[key] for each in parts) for key in work.origin},
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
