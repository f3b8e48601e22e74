"""All cells of a table of experiments."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from affetto import protocol
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.cells.cell import Cell
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.device import Precision
from affetto.errors import ConfigError, CorpusError, not_called
from affetto.experiment import Experiment, FurtherSettings
from affetto.progress import Progress, no_progress
from affetto.protocol import Fold, Protocol, Transfer

Place = tuple[str, str, str, str, int]
"""Row, settings, protocol, fold and seed."""


@dataclass(frozen=True)
class Work:
    """Everything that a process needs to know to take part.

    Args:
        experiments: rows of a table; those that they are made of need not be among them.
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
        """All of them, those of one experiment together, and of each once; last, those of rows that rows are made of.

        Raises:
            ProtocolError: if the corpus does not allow a protocol.
        """
        parts = [part.model_copy(update={"seeds": each.seeds}) for each in self.experiments for part in each.parts]
        asked = {(each.protocol, each.speaker_statistics) for each in self.experiments}
        # One object a protocol: its definition reads every file of the corpus.
        dealt = {key: protocol.create(key[0], self.corpus, transductive=key[1]).checked() for key in asked}
        transfers: dict[str, Transfer] = {}
        made = (
            cell
            for experiment in (*self.experiments, *parts)
            for cell in self._cells(experiment, dealt[experiment.protocol, experiment.speaker_statistics], transfers)
        )
        once: dict[Place, Cell] = {}
        return tuple(cell for cell in made if once.setdefault(_place(cell), cell) is cell)

    @cached_property
    def _places(self) -> dict[Place, Cell]:
        return {_place(each): each for cell in self.cells for each in (cell, *cell.further)}

    @property
    def trained(self) -> list[Cell]:
        """Those that take a training."""
        return [cell for cell in self.cells if cell.experiment.average is None]

    @property
    def missing(self) -> list[Cell]:
        """Those of them that nobody has finished."""
        return [cell for cell in self.trained if not cell.is_finished]

    def parts(self, cell: Cell) -> list[Cell]:
        """The cells that one is made of: those of the rows that it averages, or of its first; mostly none."""
        stage = cell.experiment.second_stage
        rows = cell.experiment.average or (() if stage is None else (stage.first,))
        return [self._places[_place(replace(cell, experiment=row))] for row in rows]

    def is_whole(self, cell: Cell) -> bool:
        """Whether a cell's file is there, and all that it is made of."""
        return cell.path.exists() and cell.trained.exists() and all(map(self.is_whole, self.parts(cell)))

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

    def check_protocols(self) -> None:
        """See that no folder of results is another corpus's: tables of one's own all have the same ids.

        Raises:
            ConfigError: if one is.
        """
        tested = [own for cell in self.cells for own in (cell, *cell.further)]
        for dealt in {cell.protocol.id: cell.protocol for cell in tested}.values():
            if isinstance(dealt, Transfer):
                dealt.checked()
            path = self.results / dealt.id / "protocol.json"
            if not path.exists():
                continue
            stored = json.loads(path.read_text(encoding="utf-8"))
            if any(stored[key] != dealt.definition[key] for key in ("manifest_sha256", "folds_sha256")):
                raise ConfigError(
                    f"{path}: holds the results of another copy of {dealt.corpus.name} or of other folds; "
                    "give another folder with --results"
                )

    def check_stages(self) -> None:
        """See that second stages divide classes that are there.

        Raises:
            CorpusError: if one does not.
        """
        for cell in self.cells:
            stage, classes = cell.experiment.second_stage, cell.task.labels
            for label in () if stage is None else stage.labels:
                if label not in classes:
                    problem = not_called(label, classes, f"class of {self.corpus.name}", kinds="classes")
                    raise CorpusError(f"{cell.experiment.name}: second_stage: {problem}")

    def check(self) -> None:
        """See that every file that is there holds its cell.

        Raises:
            ConfigError: if one does not.
        """
        for cell in self.cells:
            cell.check()


def _place(cell: Cell) -> Place:
    """Where a cell's answers belong; those of one row to the same clips, with the same seed, are the same."""
    return cell.experiment.name, cell.experiment.fingerprint, cell.protocol.id, cell.fold.name, cell.seed
