"""Cells: the trainings that an experiment's numbers are made of, one a fold and seed.

Rows that average others (late fusion) have cells without a training, made from those of the others at the end.

A finished cell is a small file, `results/<protocol>/cells/<row>/<fold>-<seed>.json`. The files are the whole state of
the work: whoever runs the same experiment on the same folder, in other processes or on other machines, takes the cells
that nobody has taken yet. The state of a long training lies beside its cell, in `<fold>-<seed>.partial/`, until that is
finished: who takes the cell of somebody who was killed goes on from there. Cells that learn from the same rows, and
only choose the epoch on different ones, are taken together and made from one training.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path

import filelock
import pandas as pd
import torch
from torch import Tensor

from affetto import protocol, scores
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.dataset import Progress, no_progress
from affetto.device import Precision
from affetto.errors import AffettoError, ConfigError, ProtocolError, TrainingError
from affetto.experiment import Experiment, FurtherSettings
from affetto.files import json_bytes, write_whole
from affetto.protocol import Fold, Protocol, Transfer
from affetto.provenance import commit

ONE_CORE = {
    # Two threads that wait for each other on a busy machine are slower than one; processes share cores better.
    "OMP_NUM_THREADS": "1",
    # glibc would hand the large blocks of every step back to the system and ask for them anew: a third of a CNN's time.
    "MALLOC_MMAP_THRESHOLD_": str(2**32 - 1),
    "MALLOC_TRIM_THRESHOLD_": str(2**32 - 1),
}
"""Environment of worker processes; what the user has set already is kept."""
RETIREMENT = 300.0
"""Seconds after which a worker process takes no further cell and another takes its place: batches of ever other lengths
leave gaps in its memory that are never given back, a gigabyte or two an hour and worker."""
KEEP = 60.0
"""Seconds after which the state of a training is kept again: a killed worker loses no more than that and an epoch."""
POLL = 0.5
"""Seconds between looks at what other processes have finished."""


@dataclass(frozen=True)
class Cell:
    """One training and its test.

    Args:
        experiment: which model, how trained.
        protocol: on which folds.
        fold: of them.
        seed: of the training.
        path: of its file.
        further: the same training tested on other corpora; it is not finished without them.
    """

    experiment: Experiment
    protocol: Protocol
    fold: Fold
    seed: int
    path: Path
    further: tuple["Cell", ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether its file is there, and those of its further tests."""
        return self.path.exists() and all(each.is_finished for each in self.further)

    @property
    def words_sha256(self) -> str | None:
        """Hash of the transcripts that the model is tested on; None where it hears no words."""
        return self.protocol.corpus.transcripts_sha256 if self.experiment.model.hears_words else None

    @property
    def fold_sha256(self) -> str:
        """Hash of the fold, as the protocol's definition states it."""
        folds: list[JSON] = self.protocol.definition["folds"]
        return str(folds[self.protocol.folds.index(self.fold)]["sha256"])

    def learns_as(self, other: "Cell") -> bool:
        """Whether both trainings are one: same rows, settings and seed, with nothing chosen by fold but the epoch."""
        return (
            self.experiment is other.experiment
            and self.experiment.choose is None
            and self.protocol.id == other.protocol.id
            and (self.seed, self.fold.train) == (other.seed, other.fold.train)
        )

    def read(self) -> JSON:
        """What the file holds."""
        content: JSON = json.loads(self.path.read_text(encoding="utf-8"))
        return content

    def check(self) -> None:
        """See that the file holds this cell.

        Raises:
            ConfigError: if it was made with other settings, from another copy of the corpus, or with other folds or
            transcripts.
        """
        made = self.read()
        for key, now, what in (
            ("fingerprint", self.experiment.fingerprint, "with other settings than"),
            ("manifest_sha256", self.protocol.definition["manifest_sha256"], "from another copy of the corpus than"),
            ("fold_sha256", self.fold_sha256, "with other folds than"),
            ("words_sha256", self.words_sha256, "with other transcripts than"),
        ):
            if made.get(key) != now:
                raise ConfigError(
                    f"{self.path}: was made {what} {self.experiment.name} has now; "
                    "give the experiment another name, or delete the folder to start anew"
                )
        for each in self.further:
            if each.path.exists():
                each.check()


@dataclass(frozen=True)
class Work:
    """Everything that a process needs to know to take part.

    Args:
        experiments: rows of a table.
        corpus: what they learn from.
        further: other corpora that their models are tested on, by name; those that are not here are not tested.
        results: folder under which cells lie.
        cache: of features.
        device, precision: where and in which numbers.
        origin: commit and machine, as cells state them; found once, whatever happens to the working copy meanwhile.
    """

    experiments: tuple[Experiment, ...]
    corpus: Corpus
    results: Path
    cache: FeatureCache
    device: torch.device
    precision: Precision
    origin: JSON
    further: Mapping[str, Corpus] = field(default_factory=dict)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All of them, those of one experiment together.

        Raises:
            ProtocolError: if the corpus does not allow a protocol.
        """
        asked = {(each.protocol, each.speaker_statistics) for each in self.experiments}
        # One object a protocol: its definition reads every file of the corpus.
        dealt = {key: protocol.create(key[0], self.corpus, transductive=key[1]).checked() for key in asked}
        transfers: dict[str, Transfer] = {}
        return tuple(
            cell
            for experiment in self.experiments
            for cell in self._cells(experiment, dealt[experiment.protocol, experiment.speaker_statistics], transfers)
        )

    @property
    def trained(self) -> list[Cell]:
        """Those that take a training."""
        return [cell for cell in self.cells if cell.experiment.average is None]

    def tested_on(self, experiment: Experiment) -> list[FurtherSettings]:
        """The further tests of an experiment whose corpora are here."""
        return [each for each in experiment.further if each.corpus in self.further]

    def _cells(self, experiment: Experiment, dealt: Protocol, transfers: dict[str, Transfer]) -> Iterator[Cell]:
        found = [protocol.transfer(dealt, self.further[to.corpus], to.clips) for to in self.tested_on(experiment)]
        other = [transfers.setdefault(each.id, each) for each in found]
        for seed in experiment.seeds:
            for place, fold in enumerate(dealt.folds):
                further = (self._cell(experiment, each, each.folds[place], seed) for each in other)
                yield replace(self._cell(experiment, dealt, fold, seed), further=tuple(further))

    def _cell(self, experiment: Experiment, dealt: Protocol, fold: Fold, seed: int) -> Cell:
        folder = self.results / dealt.id / "cells" / experiment.name
        return Cell(experiment, dealt, fold, seed, folder / f"{fold.name}-{seed}.json")

    def bench(self, experiment: Experiment, progress: Progress = no_progress) -> Bench:
        """What the trainings of an experiment share."""
        return Bench.prepare(
            experiment,
            self.corpus,
            cache=self.cache,
            device=self.device,
            precision=self.precision,
            progress=progress,
            further=[self.further[each.corpus] for each in self.tested_on(experiment)],
        )


def finish(work: Work, *, jobs: int, progress: Progress = no_progress) -> None:
    """Train and test every cell that is not there yet.

    Args:
        work: what is to be done.
        jobs: processes that do it at once.
        progress: told of finished cells.

    Raises:
        ConfigError: if a cell that is there is another experiment's.
        AffettoError: whatever went wrong in a cell; those that are finished stay.
    """
    _check_protocols(work)
    _check(work)
    missing = _missing(work)
    if jobs > 1 and len(missing) > 1:
        for experiment in {cell.experiment.name: cell.experiment for cell in missing}.values():
            work.bench(experiment, progress)  # features are computed here once, so that the workers find them
        _employ(work, min(jobs, len(missing)), progress)
    _labour(work, progress, wait=True)
    _average(work)
    _check(work)  # those of others, too


def _check_protocols(work: Work) -> None:
    """See that no folder of results is another corpus's: tables of one's own all have the same ids."""
    tested = [own for cell in work.cells for own in (cell, *cell.further)]
    for dealt in {cell.protocol.id: cell.protocol for cell in tested}.values():
        if isinstance(dealt, Transfer):
            dealt.checked()
        path = work.results / dealt.id / "protocol.json"
        if not path.exists():
            continue
        stored = json.loads(path.read_text(encoding="utf-8"))
        if any(stored[key] != dealt.definition[key] for key in ("manifest_sha256", "folds_sha256")):
            raise ConfigError(
                f"{path}: holds the results of another copy of {dealt.corpus.name} or of other folds; "
                "give another folder with --results"
            )


def _check(work: Work) -> None:
    for cell in work.cells:
        if cell.path.exists():
            cell.check()


def _missing(work: Work) -> list[Cell]:
    return [cell for cell in work.trained if not cell.is_finished]


def _labour(work: Work, progress: Progress, *, wait: bool, until: float = math.inf) -> bool:
    """Take one cell after the other until none is left; wait for those that others are at, or leave them to them.

    Returns:
        Whether there was nothing more to take; False if the time (`time.monotonic`) was over before.
    """
    bench: Bench | None = None
    while missing := _missing(work):
        if time.monotonic() > until:
            return False
        progress("cells", len(work.trained) - len(missing), len(work.trained))
        if (parent := parent_process()) is not None and not parent.is_alive():
            return True
        for first, *others in _alike(missing):
            with ExitStack() as claims:
                if claims.enter_context(_claim(first)):
                    mine = [first, *(cell for cell in others if claims.enter_context(_claim(cell)))]
                    if bench is None or bench.experiment is not first.experiment:
                        bench = work.bench(first.experiment, progress)
                    with _partial(work, mine) as partial:
                        for path, content in run(bench, mine, partial):
                            if not path.exists():  # a test was there before further ones were asked for
                                path.parent.mkdir(parents=True, exist_ok=True)
                                write_whole(path, json_bytes({**content, **work.origin}))
                    break
        else:
            if not wait:
                return True
            time.sleep(POLL)
    progress("cells", len(work.trained), len(work.trained))
    return True


@contextmanager
def _partial(work: Work, cells: Sequence[Cell]) -> Iterator[Path]:
    """A folder for the state of the one training of some cells, which goes with the block.

    It stays where the work is broken off; what it then holds is thrown away if another training comes. Its file
    `origin.json` says which training it is, and is as old as the time that was spent on it, breaks left out.
    """
    origin = json_bytes(
        {
            "fingerprint": cells[0].experiment.fingerprint,
            "manifest_sha256": cells[0].protocol.definition["manifest_sha256"],
            "folds_sha256": [cell.fold_sha256 for cell in cells],
            **_words(cells[0]),
            **work.origin,
        }
    )
    folder = cells[0].path.with_suffix(".partial")
    file, state = folder / "origin.json", folder / "state.pt"
    spent = 0.0
    if file.exists() and file.read_bytes() == origin:
        spent = max(state.stat().st_mtime - file.stat().st_mtime, 0.0) if state.exists() else 0.0
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_whole(file, origin)
    begun = time.time() - spent
    os.utime(file, (begun, begun))
    try:
        yield folder
    except AffettoError:  # which it would end with again
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _alike(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that one training makes, together; whoever claims the first of them may claim the others."""
    groups: list[list[Cell]] = []
    for cell in cells:
        group = next((group for group in groups if group[0].learns_as(cell)), None)
        if group is None:
            groups.append([cell])
        else:
            group.append(cell)
    return groups


@contextmanager
def _claim(cell: Cell) -> Iterator[bool]:
    """Whether a cell is ours to make; the claim ends with the block, or with the process."""
    cell.path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(cell.path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        yield False
        return
    try:
        # Somebody may have finished it, and let go, between the look and the claim.
        yield not cell.is_finished
    finally:
        if cell.is_finished:
            # Nobody takes a finished cell, so nobody needs to be kept from it. Of an unfinished one the file must stay:
            # who waits for it and who comes later would each lock a file of their own.
            with suppress(OSError):  # Windows keeps files that are open
                cell.path.with_suffix(".lock").unlink()
        lock.release()


def _employ(work: Work, jobs: int, progress: Progress) -> None:
    """Let processes do the work; it ends when they have nothing left to take."""
    workers = [_Worker(work) for _ in range(jobs)]
    killed, before = 0, len(_missing(work))
    try:
        while workers:
            time.sleep(POLL)
            missing = len(_missing(work))
            killed, before = 0 if missing < before else killed, missing  # what counts is killed and nothing done
            progress("cells", len(work.trained) - missing, len(work.trained))
            for worker in [each for each in workers if not each.process.is_alive()]:
                workers.remove(worker)
                killed += worker.killed
                if killed >= jobs:
                    raise TrainingError("every worker process was killed; finished cells are kept, run it again")
                if worker.retired() or worker.killed:
                    workers.append(_Worker(work))
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()


class _Worker:
    """A process that takes cells, and what came of it.

    Args:
        work: what is to be done.
    """

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_live, args=(work, theirs), daemon=True)
        added = {key: value for key, value in ONE_CORE.items() if key not in os.environ}
        os.environ.update(added)
        try:
            self.process.start()
        finally:
            for key in added:
                del os.environ[key]
        theirs.close()

    @property
    def killed(self) -> bool:
        """Whether it was ended by a signal; its cell is lost, and others take it."""
        return (self.process.exitcode or 0) < 0

    def retired(self) -> bool:
        """Whether it left before the work was done.

        Raises:
            TrainingError: what went wrong in it.
        """
        try:
            fault: str | None = self.connection.recv() if self.connection.poll() else None
        except EOFError:  # killed, or ended by an error that is not ours and stands on stderr
            fault = None
        if fault:
            raise TrainingError(fault)
        if (self.process.exitcode or 0) > 0:
            raise TrainingError(
                f"a worker process ended with exit code {self.process.exitcode}; finished cells are kept, run it again"
            )
        return fault == ""


def _live(work: Work, connection: Connection) -> None:
    """A worker's life: it works, and says what went wrong, or nothing ("") if it retires before the work is done."""
    torch.set_num_threads(1)
    # The code that this process has just loaded: the working copy may have changed since the command began.
    work = replace(work, origin={**work.origin, "commit": commit()})
    try:
        if not _labour(work, no_progress, wait=False, until=time.monotonic() + RETIREMENT):
            connection.send("")
    except AffettoError as error:
        connection.send(str(error))
    except KeyboardInterrupt:
        pass


def run(bench: Bench, cells: Sequence[Cell], partial: Path) -> list[tuple[Path, JSON]]:
    """Trainings and tests of cells that learn the same: what each file holds, those of further tests included.

    Args:
        bench: of their experiment.
        cells: one or more.
        partial: where the training's state is kept, and from where it goes on (`_partial`).

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
        **_words(cell),
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


def _average(work: Work) -> None:
    """Make the cells of rows that average others from the cells of these."""
    for cell in (each for own in work.cells if own.experiment.average for each in (own, *own.further)):
        if not cell.path.exists():
            cell.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(cell.path, json_bytes(_fuse(cell, work)))


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
    return {
        **averaged[0],
        "fingerprint": cell.experiment.fingerprint,
        **_words(cell),
        "n_train": max(each["n_train"] for each in averaged),
        **dict.fromkeys(("chosen", "best_epoch", "epochs", "dev")),
        "test": scores.plain(scoring.of(pd.DataFrame(map(scoring.flat, records)))),
        "predictions": records,
        "seconds": round(sum(each["seconds"] for each in averaged), 1),
        **{key: "; ".join(sorted({each[key] for each in averaged if each[key]})) or None for key in work.origin},
    }


def _words(cell: Cell) -> JSON:
    """What a cell's file says of the transcripts that its model read."""
    return {} if cell.words_sha256 is None else {"words_sha256": cell.words_sha256}


def _check_unheard(cell: Cell, heard: frozenset[int], corpus: Corpus) -> None:
    """See that what a cell's training and choice listened to holds none of its test clips."""
    if leaked := heard & set(cell.fold.test):
        file = corpus.table.index[min(leaked)][0]
        raise ProtocolError(
            f"{cell.protocol.id}, fold {cell.fold.name}: training touched {len(leaked)} test clips, such as {file}; "
            "this is a fault of the model or of the training, and no number is written"
        )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _index(corpus: Corpus, row: int) -> JSON:
    file, start, end = corpus.table.index[row]
    return {"file": file, "start": start.total_seconds(), "end": None if pd.isna(end) else end.total_seconds()}
