"""What all trainings of an experiment share: corpus, classes, cached features; and how its open settings are chosen."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affetto import models
from affetto.cache import FeatureCache
from affetto.corpora.base import Corpus
from affetto.corpora.distorted import Distorted
from affetto.dataset import Features, Views
from affetto.device import Precision
from affetto.distortions import named
from affetto.errors import CorpusError, ProtocolError, TrainingError
from affetto.experiment import Experiment
from affetto.models.base import SpeechModel
from affetto.progress import Progress, no_progress
from affetto.tasks import Categories, Recognition
from affetto.training import History, check_augmentation, fit, predict

Division = tuple[Sequence[int], Sequence[int]]
"""Rows to learn from and rows to be scored on."""

CHOICE_GROUPS = 10
"""Groups of speakers that are left out in turn when settings are chosen, at most."""


@dataclass(frozen=True)
class Bench:
    """An experiment with everything that its trainings share.

    Args:
        experiment: what is trained.
        corpus: on what.
        task: what is asked.
        features: of the whole corpus, cached; with its distorted copies, if the experiment has views.
        device, precision: where and in which numbers.
        progress: told of what goes on.
        further: benches of the other corpora that its models are tested on, in the experiment's order.
    """

    experiment: Experiment
    corpus: Corpus
    task: Recognition
    features: Features | Views
    device: torch.device
    precision: Precision
    progress: Progress
    further: tuple["Bench", ...] = ()

    @staticmethod
    def prepare(
        experiment: Experiment,
        corpus: Corpus,
        *,
        cache: FeatureCache,
        device: torch.device,
        precision: Precision = "auto",
        progress: Progress = no_progress,
        further: Sequence[Corpus] = (),
    ) -> "Bench":
        """Compute or find the features that the experiment's model listens to.

        Args:
            experiment: what is trained.
            corpus: on what.
            cache: of features.
            device: where to compute.
            precision: in which numbers.
            progress: told of what goes on.
            further: other corpora to test on.

        Raises:
            AudioError: if a clip cannot be heard.
            CheckpointError: if the encoder's weights are not to be had.
            CorpusError: if a corpus lacks what the task asks for.
        """
        task = experiment.task.of(corpus.categories, corpus.dimensions)
        model = create_model(experiment, len(task.labels), seed=0)
        sounds = [corpus, *(Distorted.of(corpus, named(view.distortion), view.strength) for view in experiment.views)]
        views = [
            Features(
                sound,
                model,
                task,
                cache=cache,
                device=device,
                precision=precision,
                speaker_statistics=experiment.speaker_statistics,
                progress=progress,
            )
            for sound in sounds
        ]
        features = Views(views) if len(views) > 1 else views[0]
        alone = Bench(experiment, corpus, task, features, device, precision, progress)
        return replace(alone, further=tuple(alone._on(other, cache) for other in further))

    def _on(self, corpus: Corpus, cache: FeatureCache) -> "Bench":
        """The same on another corpus.

        Raises:
            CorpusError: if it has other classes.
        """
        other = Bench.prepare(
            self.experiment.model_copy(update={"views": ()}),
            corpus,
            cache=cache,
            device=self.device,
            precision=self.precision,
            progress=self.progress,
        )
        if other.task.labels != self.task.labels:
            raise CorpusError(
                f"{corpus.name}: has the classes {', '.join(other.task.labels)}; models of {self.corpus.name} know "
                f"{', '.join(self.task.labels)}"
            )
        return other

    def train(
        self,
        experiment: Experiment,
        train: Sequence[int],
        *devs: Sequence[int],
        seed: int,
        folder: Path | None = None,
        every: float = 0.0,
        curves: bool = True,
        progress: Progress = no_progress,
    ) -> Iterator[tuple[SpeechModel, History]]:
        """A model of the experiment trained on some rows, with its history, for each set of dev rows.

        It is trained when this returns. It is the same model object each time, with other weights. `folder`, `every`
        and `curves` are those of `training.fit`.
        """
        model = create_model(experiment, len(self.task.labels), seed=seed)
        histories = fit(
            model,
            self.task,
            self.features,
            self.features.copies(train),
            devs,
            experiment.training,
            seed=seed,
            device=self.device,
            precision=self.precision,
            folder=folder,
            every=every,
            curves=curves,
            progress=progress,
        )
        return self._at_their_best(model, histories)

    @staticmethod
    def _at_their_best(model: SpeechModel, histories: Sequence[History]) -> Iterator[tuple[SpeechModel, History]]:
        for history in histories:
            model.load_state_dict(history.weights, strict=False)
            yield model, history

    def test(self, model: SpeechModel, rows: Sequence[int]) -> torch.Tensor:
        """The task's tallies of some rows, (len(rows), labels): probabilities, or ratings."""
        return predict(model, self.task, self.features, rows, device=self.device, precision=self.precision)

    @property
    def categories(self) -> Categories:
        """The task, where it can only be categories: a second stage has no other."""
        assert isinstance(self.task, Categories)
        return self.task

    def narrowed(self, labels: Sequence[str]) -> "Bench":
        """The same features, asked about some of the classes alone; only rows of these may be trained on or judged.

        Raises:
            CorpusError: if a label is none of the classes.
        """
        places = self.categories.places(labels).tolist()
        features = copy.copy(self.features)
        features.targets = torch.full_like(self.features.targets, -1)
        for new, old in enumerate(places):
            features.targets[self.features.targets == old] = new
        task = Categories(tuple(labels), self.categories.settings)
        return replace(self, task=task, features=features)

    def of_classes(self, rows: Sequence[int]) -> list[int]:
        """Those of the rows whose emotion is one of the classes."""
        return [row for row in rows if self.features.targets[row] >= 0]

    def choose(self, train: Sequence[int], dev: Sequence[int], *, seed: int) -> dict[str, Any]:
        """The best combination of the experiment's grid.

        By default each speaker of train and dev is left out once (more than ten in ten groups); with `validation: dev`
        every combination learns from train and is scored on dev.

        Args:
            train: rows that may be looked at.
            dev: further ones.
            seed: of the trainings.

        Returns:
            Dotted setting -> value; the first among equals.

        Raises:
            ProtocolError: if the rows have fewer than two speakers, or there is no dev to choose on.
            TrainingError: if no combination has a score.
        """
        choose = self.experiment.choose
        assert choose is not None
        divisions = (
            self._on_dev(train, dev) if choose.validation == "dev" else self._leaving_out(sorted({*train, *dev}))
        )
        combinations = [
            dict(zip(choose.grid, values, strict=True)) for values in itertools.product(*choose.grid.values())
        ]
        if len(combinations) == 1:
            return combinations[0]
        means = []
        for number, values in enumerate(combinations, start=1):
            candidate = self.experiment.with_settings(values)
            scores: list[float] = []
            for inside, outside in divisions:
                # On dev the epoch is chosen, too: the winner here is the very model that is then tested.
                dev = outside if choose.validation == "dev" else []
                [(model, _)] = self.train(candidate, inside, dev, seed=seed)
                loss, judged = self.task.judge(self.test(model, outside), self.features.targets[list(outside)])
                scores.append(-loss if choose.by == "loss" else judged[choose.by])
            means.append(float(np.mean(scores)))
            self.progress("choosing", number, len(combinations))
        if np.isnan(means).all():
            raise TrainingError(f"{self.experiment.name}: no combination of {', '.join(choose.grid)} has a score")
        return combinations[int(np.nanargmax(means))]

    def _on_dev(self, train: Sequence[int], dev: Sequence[int]) -> list[Division]:
        if not dev:
            raise ProtocolError(
                f"{self.experiment.protocol}: has no dev clips to choose on; say `validation: left_out`"
            )
        return [(train, dev)]

    def _leaving_out(self, rows: Sequence[int]) -> list[Division]:
        """Rows without and of each speaker, or of each of ten groups of speakers."""
        spoken = self.corpus.table["speaker"].iloc[list(rows)]
        speakers = sorted(spoken.dropna().unique())
        if len(speakers) < 2:
            raise ProtocolError(
                f"{self.corpus.name}: choosing settings takes two speakers or more, got {len(speakers)}; name them in "
                "the column 'speaker', or choose nothing (--set choose=null)"
            )
        groups = [speakers[i::CHOICE_GROUPS] for i in range(min(CHOICE_GROUPS, len(speakers)))]
        outside = [[row for row, name in zip(rows, spoken, strict=True) if name in group] for group in groups]
        return [(sorted(set(rows) - set(part)), part) for part in outside]


def create_model(experiment: Experiment, n_labels: int, *, seed: int) -> SpeechModel:
    """A new model of an experiment: random weights from `seed`, its encoder's from where its settings say.

    Raises:
        ConfigError: if its training has settings that would do nothing to it.
    """
    torch.manual_seed(seed)
    model = models.get(experiment.model.name).create(experiment.model, n_labels)
    check_augmentation(model, experiment.training)
    model.load_pretrained()
    return model
