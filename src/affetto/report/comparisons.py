"""Two rows compared: speaker by speaker, clip by clip, seed by seed; and what a leak is worth."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from affetto import metrics, scores, statistics
from affetto.errors import ProtocolError
from affetto.report.sections import LEAKS, Row, Section, compare_keys
from affetto.report.tables import listed
from affetto.scores import INDEX

SAME_SCENES = ("manifest_sha256", "labels", "transductive", "simulated")
"""What the four rules of a leakage bill must have in common; their folds differ by design."""


@dataclass(frozen=True)
class Pair:
    """Two rows under one protocol.

    Args:
        a, b: their names.
        score: which of the scores.
        speakers: the test over speakers, a minus b.
        ahead: speakers with whom a scores higher.
        clips: that on clips of one seed; None for dimensions, and where no seed is common.
        seed: the seed of those clips.
        seeds: the test over seeds; None where one of them has a single seed.
        smallest: difference that such speakers would likely show.
        same_training: whether both learned from the same splits.
    """

    a: str
    b: str
    score: str
    speakers: statistics.Comparison
    ahead: int
    clips: statistics.Discordance | None
    seed: int | None
    seeds: statistics.TTest | None
    smallest: float
    same_training: bool


@dataclass(frozen=True)
class Leak:
    """What a rule of the leakage bill gives, and what it gives more than the strict one.

    Args:
        name: of `LEAKS`.
        row: its results.
        by_speaker: mean of the score over speakers.
        worth: the test over speakers against the strict rule; None for that itself.
        smallest: difference that such speakers would likely show; NaN for the strict rule.
    """

    name: str
    row: Row
    by_speaker: float
    worth: statistics.Comparison | None
    smallest: float


@dataclass(frozen=True, eq=False)
class Best:
    """One seed of a row, the one that a paper would show.

    Args:
        name: of the row.
        words: which seed.
        scoring: of its answers.
        table: of its predictions.
    """

    name: str
    words: str
    scoring: scores.Scoring
    table: pd.DataFrame

    def score(self, name: str) -> float:
        """Mean of a score over folds."""
        return float(np.mean([self.scoring.of(part)[name] for _, part in self.table.groupby("fold")]))


@dataclass(frozen=True)
class Bill:
    """The four rules for one row.

    Args:
        corpus: its name.
        row: its name.
        leaks: from the strictest.
    """

    corpus: str
    row: str
    leaks: tuple[Leak, ...]

    @property
    def score(self) -> str:
        """Which of the scores."""
        return self.leaks[0].row.scoring.primary


def compare(a: Row, b: Row) -> Pair:
    """Everything that can be said about the difference of two rows under one protocol.

    Args:
        a: the first row.
        b: the second; differences are a minus b.

    Raises:
        ProtocolError: if they may not be compared, with both ids and what differs.
    """
    compare_keys(a, b)
    score = a.scoring.primary
    first, second = _paired(a, b, score)
    common = [seed for seed in a.results["seeds"] if seed in b.results["seeds"]]
    seed = (0 if 0 in common else common[0]) if common and a.results["task"] == "categories" else None
    by_seed = [list(row.by_seed(score).values()) for row in (a, b)]
    return Pair(
        a.name,
        b.name,
        score,
        statistics.paired_permutation(first, second),
        int((first > second).sum()),
        None if seed is None else statistics.mcnemar(*_answers(a, b, seed)),
        seed,
        statistics.t_test(*by_seed) if min(map(len, by_seed)) > 1 else None,
        statistics.smallest_difference(first - second),
        a.trained_on == b.trained_on,
    )


def pairs(section: Section) -> tuple[Pair, ...]:
    """All pairs of a section's rows, the higher score first."""
    found = []
    for pair in itertools.combinations(section.rows, 2):
        b, a = sorted(pair, key=lambda row: np.nan_to_num(row.score(row.scoring.primary), nan=-np.inf))
        found.append(compare(a, b))
    return tuple(found)


def bills(sections: tuple[Section, ...]) -> tuple[Bill, ...]:
    """The leakage bill of every corpus and row that was scored under all four rules."""
    return settled(sections)[0]


def settled(sections: tuple[Section, ...]) -> tuple[tuple[Bill, ...], tuple[str, ...]]:
    """The leakage bills, and what could not become one though all four rules are there.

    Returns:
        The bills, and why those that could not be made up could not.
    """
    rules: dict[str, dict[str, list[Section]]] = {}
    for section in sections:
        if section.leak:
            corpus, leak = section.leak
            rules.setdefault(corpus, {}).setdefault(leak, []).append(section)
    found: list[Bill] = []
    faults: list[str] = []
    for corpus, by_leak in rules.items():
        if set(by_leak) != set(LEAKS) or any(len(same) > 1 for same in by_leak.values()):
            continue
        for strict in by_leak["none"][0].rows:
            rows = {leak: row for leak in LEAKS if (row := by_leak[leak][0].row(strict.name))}
            if len(rows) < len(LEAKS):
                continue
            try:
                found.append(bill(corpus, rows))
            except ProtocolError as error:
                faults.append(str(error))
    return tuple(found), tuple(faults)


def bill(corpus: str, rows: dict[str, Row]) -> Bill:
    """What each leak is worth to one row.

    Args:
        corpus: its name.
        rows: the row's results under each of `LEAKS`.

    Raises:
        ProtocolError: if they were made from other recordings or with other classes, or did not test the same clips.
    """
    strict = rows["none"]
    for row in rows.values():
        differ = [name for name in SAME_SCENES if row.results[name] != strict.results[name]]
        differ += [] if _clips(row) == _clips(strict) else ["tested clips"]
        if differ:
            raise ProtocolError(
                f"'{row.name}' under {row.protocol} and under {strict.protocol} make no leakage bill, they differ in "
                f"{', '.join(differ)}"
            )
    score = strict.scoring.primary
    leaks = []
    for name, row in rows.items():
        first, second = _paired(row, strict, score)
        own = row.by_speaker(score)
        leaks.append(
            Leak(
                name,
                row,
                float(own.mean(skipna=False)) if len(own) else math.nan,
                None if row is strict else statistics.paired_permutation(first, second),
                math.nan if row is strict else statistics.smallest_difference(first - second),
            )
        )
    return Bill(corpus, strict.name, tuple(leaks))


def without_tuned(row: Row, section: Section) -> tuple[tuple[str, ...], dict[str, float]]:
    """The score without the folds whose speakers were looked at while settings were written.

    Returns:
        Those folds, and the means of each score over the others, then over seeds; empty if none is left.
    """
    looked = set(row.results["tuned_on"] or ())
    speakers = {fold["fold"]: set(fold["test_speakers"]) for fold in section.definition.get("folds", [])}
    names = tuple(dict.fromkeys(fold["fold"] for fold in row.results["folds"]))
    out = tuple(name for name in names if speakers.get(name, {name}) & looked)
    left = [fold for fold in row.results["folds"] if fold["fold"] not in out]
    if not left:
        return out, {}
    frame = pd.DataFrame([{"seed": fold["seed"], **fold["test"]} for fold in left]).astype(float)
    by_seed = [part.drop(columns="seed").mean(skipna=False) for _, part in frame.groupby("seed")]
    means = pd.DataFrame(by_seed).mean(skipna=False)
    return out, {str(name): float(value) for name, value in means.items()}


def best(row: Row) -> Best | None:
    """The seed of a row that is best on dev, or its only one; None if nothing says which of several."""
    seeds = list(row.results["seeds"])
    seed = row.best_seed if row.best_seed is not None else seeds[0] if len(seeds) == 1 else None
    return None if seed is None else Best(row.name, f"seed {seed}", row.scoring, row.table[row.table["seed"] == seed])


def averaged(name: str, parts: Sequence[Best]) -> Best:
    """The mean of what the best seeds of several rows answer: their late fusion.

    Args:
        name: of the fusion.
        parts: of one protocol.

    Raises:
        ProtocolError: if they did not test the same clips.
    """
    index = [column for column in INDEX if column != "seed"]
    whole = [part.table.assign(end=part.table["end"].astype(float).fillna(-1.0)) for part in parts]
    tables = [table.sort_values(index).reset_index(drop=True) for table in whole]
    if not all(table[index].equals(tables[0][index]) for table in tables):
        raise ProtocolError(f"{listed(part.name for part in parts)} did not test the same clips")
    labels = list(parts[0].scoring.labels)
    mean = np.mean([table[labels].to_numpy(float) for table in tables], axis=0)
    words = f"of {listed(dict.fromkeys(part.words for part in parts))}"
    table = tables[0].assign(**dict(zip(labels, mean.T, strict=True)))
    if "prediction" in table:
        table["prediction"] = [labels[place] for place in mean.argmax(axis=1)]
    return Best(name, words, parts[0].scoring, table)


def residual_slope(found: Best, label: str) -> tuple[float, tuple[float, float]]:
    """Slope of the residuals of one seed on a dimension over the truth, with its interval over speakers.

    Returns:
        The slope, and the ends of its 95 % interval; NaN where a clip has no speaker or there are too few.
    """
    place = found.scoring.labels.index(label)

    def slope(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return metrics.residual_slope(sums[..., place, :6])

    value = float(slope(found.scoring.sums(found.table)))
    if found.table["speaker"].isna().any():
        return value, (math.nan, math.nan)
    sums = scores.clustered(found.table, found.scoring)
    interval = statistics.speaker_bootstrap(sums, slope, draws=scores.DRAWS).pooled
    return value, (interval.low, interval.high)


def _paired(a: Row, b: Row, score: str) -> tuple[Any, Any]:
    """Scores of the same speakers in the same order."""
    both = pd.concat([a.by_speaker(score), b.by_speaker(score)], axis=1, join="outer")
    return both[0].to_numpy(float), both[1].to_numpy(float)


def _answers(a: Row, b: Row, seed: int) -> list[Any]:
    """Whether each clip of a seed is answered rightly, by both."""
    index = [name for name in INDEX if name != "seed"]
    sides = []
    for row in (a, b):
        own = row.table[row.table["seed"] == seed]
        keys = own[index].assign(end=own["end"].fillna(-1.0))
        sides.append(pd.Series((own["truth"] == own["prediction"]).to_numpy(bool), pd.MultiIndex.from_frame(keys)))
    first, second = sides[0].sort_index(), sides[1].sort_index()
    if not first.index.equals(second.index):
        raise ProtocolError(f"'{a.name}' and '{b.name}' under {a.protocol} did not test the same clips")
    return [first.to_numpy(bool), second.to_numpy(bool)]


def _clips(row: Row) -> set[Any]:
    return set(zip(row.table["file"], row.table["start"], row.table["end"].fillna(-1.0), strict=True))
