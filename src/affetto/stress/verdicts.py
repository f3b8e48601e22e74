"""Verdicts: how far a model's answers stay what they were, and how many of them stay right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from affetto import metrics
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.corpora.distorted import Distorted
from affetto.distortions import named
from affetto.errors import AudioError, CorpusError
from affetto.progress import Progress
from affetto.recognizer import Prediction
from affetto.stress.listeners import Listener
from affetto.stress.trials import Trial

Answers = list[Prediction | None]
"""Of each clip; None where it could not be heard any more."""

UNHEARD = "unheard"
"""Stands for the category of a clip that could not be heard any more: never the right one."""
SPARED = 1
"""Clips that may change their answer whatever the thresholds say: of a few clips, one is more than any threshold."""


@dataclass(frozen=True)
class Verdict:
    """What a trial did to a model.

    Args:
        trial: which.
        agreement: share of clips that are answered as the clean ones are; of ratings, the mean CCC with those of the
            clean clips.
        changed: clips that are answered otherwise, or cannot be heard any more.
        unheard: of these, those that cannot be heard any more.
        score: UAR, or mean CCC, on the labelled clips; NaN where there is none.
        drop: how much less that is than on the clean clips.
    """

    trial: Trial
    agreement: float
    changed: int
    unheard: int
    score: float
    drop: float

    @property
    def passed(self) -> bool:
        """Whether the model bears it: both thresholds are kept, or no more than `SPARED` clips changed."""
        lost = not math.isnan(self.drop) and self.drop > self.trial.drop + 1e-9
        return self.changed <= SPARED or (self.agreement >= self.trial.agreement - 1e-9 and not lost)

    @property
    def plain(self) -> JSON:
        """As JSON."""
        trial = self.trial
        return {
            "distortion": trial.distortion,
            "strength": trial.strength,
            "unit": named(trial.distortion).unit,
            "agreement": round(self.agreement, 4),
            "least_agreement": trial.agreement,
            "changed": self.changed,
            "unheard": self.unheard,
            "score": _plain(self.score),
            "drop": _plain(self.drop),
            "largest_drop": trial.drop,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class Stressed:
    """What all trials did to a model.

    Args:
        model: its name, or its address.
        corpus: what the clips are from.
        clips: how many there are.
        labelled: how many of them have a label that the model knows.
        score: on the clean ones among these; NaN where there are none.
        kind: of the score: `ua`, or `ccc` for ratings.
        verdicts: one a trial.
        left_out: clips that could not be heard from the beginning, with the reason.
    """

    model: str
    corpus: str
    clips: int
    labelled: int
    score: float
    kind: str
    verdicts: tuple[Verdict, ...]
    left_out: tuple[AudioError, ...] = ()

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Trials that the model did not bear."""
        return tuple(each for each in self.verdicts if not each.passed)

    @property
    def plain(self) -> JSON:
        """As JSON."""
        return {
            "model": self.model,
            "corpus": self.corpus,
            "clips": self.clips,
            "labelled": self.labelled,
            "kind": self.kind,
            "score": _plain(self.score),
            "passed": not self.failed,
            "trials": [each.plain for each in self.verdicts],
            "left_out": [str(fault) for fault in self.left_out],
        }


def judge(listener: Listener, corpus: Corpus, trials: Sequence[Trial], *, progress: Progress) -> Stressed:
    """Put a model to trials.

    Args:
        listener: who is asked.
        corpus: clips, with labels or without.
        trials: what they suffer, one after the other.
        progress: told of each trial.

    Raises:
        CorpusError: if none of the clips can be heard.
    """
    progress("trials", 0, len(trials) + 1)
    outcomes = list(listener.hear(corpus))
    faults = tuple(each for each in outcomes if isinstance(each, AudioError))
    clean: Answers = [each for each in outcomes if isinstance(each, Prediction)]
    if not clean:
        raise CorpusError(f"{corpus.name}: none of its {len(corpus)} utterances can be heard ({faults[0]})")
    corpus = corpus.select(pd.Series([isinstance(each, Prediction) for each in outcomes]))
    score, labelled, kind = _score(corpus, clean, clean)
    verdicts = []
    for number, trial in enumerate(trials, start=1):
        progress("trials", number, len(trials) + 1)
        heard = listener.hear(Distorted.of(corpus, named(trial.distortion), trial.strength))
        worse = [None if isinstance(each, AudioError) else each for each in heard]
        agreement, changed = _agreement(clean, worse)
        after, _, _ = _score(corpus, clean, worse)
        verdicts.append(Verdict(trial, agreement, changed, worse.count(None), after, score - after))
    return Stressed(
        listener.name, corpus.info.title, len(clean), labelled, score, kind, tuple(verdicts), left_out=faults
    )


def _agreement(clean: Answers, worse: Answers) -> tuple[float, int]:
    """How alike two lists of answers are, in 0..1, and how many clips differ."""
    if _gives_categories(clean):
        changed = sum(a != b for a, b in zip(_emotions(clean), _emotions(worse), strict=True))
        return 1 - changed / len(clean), changed
    names = list(_known(clean).dimensions)
    before, after = (_ratings(each, clean, names) for each in (clean, worse))
    changed = int((np.abs(before - after) > 1e-6).any(axis=1).sum())
    alike = 1.0 if not changed else metrics.rating_scores(before, after, names)["ccc"]
    return float(np.nan_to_num(alike, nan=0.0)), changed


def _score(corpus: Corpus, clean: Answers, answers: Answers) -> tuple[float, int, str]:
    """UAR or mean CCC of the clips with a label that the model knows; how many these are; which of the two it is."""
    if _gives_categories(clean):
        labels = _known(clean).probabilities
        pairs = zip(corpus.table["emotion"], _emotions(answers), strict=True)
        known = [(truth, answer) for truth, answer in pairs if truth in labels]
        return metrics.uar([truth for truth, _ in known], [answer for _, answer in known]), len(known), "ua"
    names = list(_known(clean).dimensions)
    if not set(names) <= set(corpus.table.columns):
        return metrics.Undefined("no ratings"), 0, "ccc"
    truth = corpus.table[names].to_numpy(dtype=float)
    rated = ~np.isnan(truth).any(axis=1)
    found = metrics.rating_scores(truth[rated], _ratings(answers, clean, names)[rated], names)["ccc"]
    return found, int(rated.sum()), "ccc"


def _known(answers: Answers) -> Prediction:
    return next(each for each in answers if each is not None)


def _gives_categories(answers: Answers) -> bool:
    return bool(_known(answers).probabilities)


def _emotions(answers: Answers) -> list[str]:
    return [UNHEARD if each is None else each.emotion for each in answers]


def _ratings(answers: Answers, clean: Answers, names: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Ratings (n, D); what could not be heard is given the mean of the clean answers."""
    known = np.array([[each.dimensions[name] for name in names] for each in clean if each is not None])
    middle = known.mean(axis=0)
    return np.array([middle if each is None else [each.dimensions[name] for name in names] for each in answers])


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
