"""A cell: one training and its test, and the file that it becomes."""

import json
from dataclasses import dataclass
from pathlib import Path

from affetto.config import JSON
from affetto.errors import ConfigError
from affetto.experiment import Experiment
from affetto.protocol import Fold, Protocol


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
    def inputs(self) -> JSON:
        """What its file says of transcripts and of weights from folders; nothing of those that the model has not."""
        known = {"words_sha256": self.words_sha256, "weights_sha256": self.experiment.weights_sha256}
        return {key: value for key, value in known.items() if value}

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
            ConfigError: if it was made with other settings, from another copy of the corpus, with other folds or
            transcripts, or from other weights.
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
        begun = made.get("weights_sha256") or {}
        for source, digest in self.experiment.weights_sha256.items():
            if begun.get(source, digest) != digest:
                raise ConfigError(
                    f"{self.path}: began from other weights than lie in {source} now; "
                    "give their folder another name, or delete the cells to start anew"
                )
        for each in self.further:
            if each.path.exists():
                each.check()
