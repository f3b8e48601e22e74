"""A cell: a row's answers to one fold's test clips, after one training or made of other cells', and their file."""

import json
from dataclasses import dataclass
from pathlib import Path

from affetto.config import JSON
from affetto.errors import ConfigError
from affetto.experiment import Experiment
from affetto.protocol import Fold, Protocol
from affetto.tasks import Categories, Recognition


@dataclass(frozen=True)
class Cell:
    """A row's answers to one fold's test clips, after a training with one seed.

    An average's are made of other cells' answers, a second stage's of its first's and of those of its own training.

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
    def trained(self) -> Path:
        """The file of what its training gave: its own, or of a second stage the one beside it (`making`)."""
        return self.path if self.experiment.second_stage is None else self.path.with_suffix(".second.json")

    @property
    def is_finished(self) -> bool:
        """Whether its training is: the file of it is there, and those of its further tests."""
        return self.trained.exists() and all(each.is_finished for each in self.further)

    @property
    def words_sha256(self) -> str | None:
        """Hash of the transcripts that it is tested on; None where neither it nor what it is made of hears words."""
        heard = any(each.model.hears_words for each in (self.experiment, *self.experiment.parts))
        return self.protocol.corpus.transcripts_sha256 if heard else None

    @property
    def inputs(self) -> JSON:
        """What its file says of transcripts and of weights from folders; nothing of those that the model has not."""
        known = {"words_sha256": self.words_sha256, "weights_sha256": self.experiment.weights_sha256}
        return {key: value for key, value in known.items() if value}

    @property
    def fold_sha256(self) -> str:
        """Hash of the fold, as the protocol's definition states it."""
        folds: list[JSON] = self.protocol.definition["folds"]
        return str(folds[self.protocol.folds.index(self.fold)]["sha256"])

    @property
    def task(self) -> Recognition:
        """What is asked."""
        return self.experiment.task.of(self.protocol.corpus.categories, self.protocol.corpus.dimensions)

    @property
    def categories(self) -> Categories:
        """The task, where it can only be categories: a second stage has no other."""
        assert isinstance(self.task, Categories)
        return self.task

    def learns_as(self, other: "Cell") -> bool:
        """Whether both trainings are one: same rows, settings and seed, with nothing chosen by fold but the epoch."""
        return (
            self.experiment is other.experiment
            and self.experiment.choose is None
            and self.protocol.id == other.protocol.id
            and (self.seed, self.fold.train) == (other.seed, other.fold.train)
        )

    def read(self) -> JSON:
        """What the file holds.

        Raises:
            ConfigError: if it is damaged.
        """
        return _read(self.path)

    def read_trained(self) -> JSON:
        """What the file of its training holds."""
        return _read(self.trained)

    def check(self) -> None:
        """See that its file and that of its training, if they are there, hold this cell.

        Raises:
            ConfigError: if one is damaged, or was made with other settings, from another copy of the corpus, with
            other folds or transcripts, or from other weights.
        """
        for path in dict.fromkeys((self.trained, self.path)):
            if path.exists():
                self._check(path)
        for each in self.further:
            each.check()

    def _check(self, path: Path) -> None:
        made = _read(path)
        for key, now, what in (
            ("fingerprint", self.experiment.fingerprint, "with other settings than"),
            ("manifest_sha256", self.protocol.definition["manifest_sha256"], "from another copy of the corpus than"),
            ("fold_sha256", self.fold_sha256, "with other folds than"),
            ("words_sha256", self.words_sha256, "with other transcripts than"),
        ):
            if made.get(key) != now:
                raise ConfigError(
                    f"{path}: was made {what} {self.experiment.name} has now; "
                    "give another folder with --results, or delete this one to start anew"
                )
        begun = made.get("weights_sha256") or {}
        for source, digest in self.experiment.weights_sha256.items():
            if begun.get(source, digest) != digest:
                raise ConfigError(
                    f"{path}: began from other weights than lie in {source} now; "
                    "give their folder another name, or delete the cells to start anew"
                )


def _read(path: Path) -> JSON:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: is damaged ({error}); delete it, and it is made anew") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no object; delete it, and it is made anew")
    return content
