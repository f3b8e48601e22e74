"""Learned on one corpus, heard on the next: a matrix of protocols across corpora (`protocol.across`), and its runs.

Every corpus is learned from in turn, alone and, where there are three or more, as all but the tested one; and every one
is tested. All cells ask about the same classes, those that every corpus has, or fewer. Each is run as it is and with
the speaker's own baseline: features standardised with each speaker's unlabelled clips of these classes
(`Experiment.speaker_statistics`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from affetto import evaluation
from affetto.cache import FeatureCache
from affetto.corpora.base import Corpus
from affetto.corpora.joint import join, shared
from affetto.device import Precision
from affetto.errors import ConfigError
from affetto.experiment import Experiment, FinalSettings
from affetto.progress import Progress, no_progress
from affetto.protocol import tested
from affetto.protocol.across import ON


@dataclass(frozen=True)
class Entry:
    """One place of the matrix.

    Args:
        trained: corpora that are learned from.
        tested: the corpus that is tested.
        clips: which of it: `all`, or a protocol of it, whose test clips are taken.
    """

    trained: tuple[str, ...]
    tested: str
    clips: str = "all"

    @property
    def corpora(self) -> tuple[str, ...]:
        """All that it needs."""
        return tuple(sorted({*self.trained, self.tested}))

    @property
    def protocol(self) -> str:
        """What `protocol.create` calls it, on the joint corpus."""
        return f"{'+'.join(self.trained)}{ON}{self.tested}-{self.clips}"


def plan(given: Sequence[Corpus], trains: Sequence[str] = (), tests: Mapping[str, str] | None = None) -> list[Entry]:
    """The places of the matrix, row by row.

    A corpus that is learned from is tested as well where a protocol of its own says how to keep the two apart.

    Args:
        given: corpora.
        trains: names of those that are learned from; none: each, and with three or more also all but the tested one.
        tests: which clips (`Entry.clips`) of which corpora are tested; none: all of each.

    Raises:
        ConfigError: if one is named that is not given, or nothing is left to do.
        ProtocolError: if a corpus does not allow a protocol.
    """
    known = {corpus.name: corpus for corpus in given}
    asked = tests or dict.fromkeys(known, "all")
    if strange := sorted({*trains, *asked} - set(known)):
        raise ConfigError(f"{strange[0]}: is not among the corpora that are given: {', '.join(known) or 'none'}")
    alone = [(name,) for name in trains or known]
    entries = [
        Entry(trained, name, clips if name in trained else _plain(known[name], clips))
        for trained in alone
        for name, clips in asked.items()
        if name not in trained or clips != "all"
    ]
    if len(known) > 2 and not trains:
        others = {name: tuple(sorted(set(known) - {name})) for name in asked}
        entries += [Entry(others[name], name, _plain(known[name], clips)) for name, clips in asked.items()]
    if not entries:
        raise ConfigError("nothing to do: learn from one corpus and test another, or one with a protocol of its own")
    return entries


def run(
    experiments: Sequence[Experiment],
    given: Sequence[Corpus],
    entries: Sequence[Entry],
    *,
    results: Path,
    cache: FeatureCache,
    device: torch.device,
    classes: Sequence[str] | None = None,
    precision: Precision = "auto",
    jobs: int | None = None,
    progress: Progress = no_progress,
) -> list[Path]:
    """Train and test every place of the matrix that is not there yet; the paths of the results files.

    Args:
        experiments: rows; their corpus and protocol give way to those of the matrix.
        given: corpora.
        entries: as `plan` gives them.
        results: folder of results.
        cache: of features.
        device: where to compute.
        classes: which of those that all of the corpora have; None: every one.
        precision: in which numbers.
        jobs: trainings at once.
        progress: told of finished ones.

    Raises:
        CorpusError: if the corpora do not share two classes.
        ConfigError, ProtocolError, AudioError: as `evaluation.benchmark` does.
    """
    known, asked = {corpus.name: corpus for corpus in given}, shared(given, classes)
    paths: list[Path] = []
    for names in dict.fromkeys(entry.corpora for entry in entries):
        corpus = join([known[name] for name in names], asked)
        here = [entry for entry in entries if entry.corpora == names]
        paths += evaluation.benchmark(
            [row for entry in here for each in experiments for row in _rows(each, entry, corpus.name)],
            corpus,
            results=results,
            cache=cache,
            device=device,
            precision=precision,
            jobs=jobs,
            progress=progress,
        )
    return paths


def _plain(corpus: Corpus, clips: str) -> str:
    """`all`, where a protocol's test clips are all clips."""
    return "all" if len(tested(corpus, clips)) == len(corpus) else clips


def _rows(experiment: Experiment, entry: Entry, corpus: str) -> list[Experiment]:
    """An experiment in one place of the matrix: as it is, and with each speaker's own baseline."""
    own = (True,) if experiment.speaker_statistics else (False, True)
    return [moved(experiment, entry.protocol, corpus, baseline) for baseline in own]


def moved(experiment: Experiment, protocol: str, corpus: str, baseline: bool) -> Experiment:
    """An experiment in one place of a matrix.

    Args:
        experiment: as it is written.
        protocol: of the place (`Entry.protocol`).
        corpus: the joint one's name.
        baseline: whether each clip is heard beside its speaker's others.
    """
    tuned, stage = experiment.tuned_on, experiment.second_stage
    return experiment.model_copy(
        update={
            "corpus": corpus,
            "protocol": protocol,
            "speaker_statistics": baseline,
            "further": (),
            "shipped": False,
            "final": FinalSettings(),
            "tuned_on": None if tuned is None else tuple(f"{experiment.corpus}-{speaker}" for speaker in tuned),
            "average": experiment.average
            and tuple(moved(each, protocol, corpus, baseline) for each in experiment.average),
            "second_stage": stage
            and stage.model_copy(update={"first": moved(stage.first, protocol, corpus, baseline)}),
        }
    )
