"""Whom a model serves less well: every score by sex, age and speaker, and how far apart the groups are.

Equalised odds (Hardt, Price and Srebro, "Equality of Opportunity in Supervised Learning", 2016) asks that whoever means
an emotion is heard, and whoever does not mean it is not said to, equally often in every group: per class, equal recall
and equal false alarms. The gap is the difference between the group with the highest and that with the lowest rate; of
several classes, each is asked about against all others, and the largest gap counts.

The largest of many differences is never 0, so it is set beside what chance alone gives: the same speakers dealt to
groups of the same sizes at random. Intervals draw speakers within their groups (`statistics.speaker_bootstrap` says how
wide they are made).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from affetto import corpora, metrics, statistics, tables
from affetto.errors import ConfigError
from affetto.metrics import Undefined
from affetto.scores import CategoryScores, Scoring
from affetto.statistics import Interval

Array = npt.NDArray[np.float64]

BY = ("sex", "age", "speaker")
"""What clips can be grouped by."""
RECALL, ALARMS = "recall", "false alarms"
"""The two rates of a class: of the clips that mean it, and of the clips that do not, the share that is heard as it."""
LEVEL = 0.95
DRAWS = 4_999
"""Of speakers, and of ways of dealing them to groups; with the observed one 5,000."""


@dataclass(frozen=True)
class Group:
    """The clips of one group.

    Args:
        name: `female`, `20 to 29`, a speaker's.
        clips: how many, of one seed.
        speakers: how many.
        scores: every score, over all its clips, mean over seeds.
        intervals: of `scores`.
    """

    name: str
    clips: int
    speakers: int
    scores: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(repr=False)


@dataclass(frozen=True)
class Gap:
    """How far the groups are apart in one number.

    Args:
        what: the score, or `recall anger`, `false alarms anger`.
        highest: the group that has most of it.
        lowest: the group that has least.
        difference: between the two.
        interval: of the difference between these two groups.
        by_chance: mean difference when the same speakers are dealt to groups at random; NaN where each is a group.
        p_value: how often that gives a difference at least as large; NaN likewise.
    """

    what: str
    highest: str
    lowest: str
    difference: float
    interval: Interval
    by_chance: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """All groups of one kind.

    Args:
        by: of `BY`, or the column that was grouped by.
        groups: in order of name; two or more.
        gaps: of every score, and of both rates of every class, by what.
        odds: the equalised-odds difference: the largest of the classes' gaps, with what the largest is by chance; None
            for ratings.
        left_out: clips whose group is not known.
    """

    by: str
    groups: tuple[Group, ...]
    gaps: Mapping[str, Gap]
    odds: Gap | None
    left_out: int

    @property
    def of_classes(self) -> tuple[Gap, ...]:
        """The gaps of the classes' rates."""
        return tuple(gap for gap in self.gaps.values() if gap.what.startswith((f"{RECALL} ", f"{ALARMS} ")))


def compare(table: pd.DataFrame, scoring: Scoring, group: Sequence[str | None], *, by: str) -> Comparison | None:
    """The scores of each group and the gaps between them.

    Args:
        table: of predictions (`scores`), of one seed or of several.
        scoring: of its task.
        group: of each row; None where it is not known.
        by: what the groups are.

    Returns:
        The comparison; None if fewer than two groups are known.

    Raises:
        ValueError: if the groups are not one a row.
    """
    if len(group) != len(table):
        raise ValueError(f"{len(group)} groups for {len(table)} clips; expected one each")
    # A speaker who was recorded at two ages is one in each group.
    given = table.assign(group=pd.Series(list(group), index=table.index, dtype=object))
    known = given[given["group"].notna()]
    names = tuple(sorted(set(known["group"])))
    if len(names) < 2:
        return None
    rates = _compute(known, scoring, names)
    gaps, odds = _gaps(known, scoring, names, rates)
    return Comparison(
        by, _groups(known, scoring, names, rates), gaps, odds, int((len(given) - len(known)) / given["seed"].nunique())
    )


def of_speakers(corpus: str) -> dict[str, dict[str, str]]:
    """What is known of a corpus's speakers without having it: sex and age by speaker.

    Args:
        corpus: its name, or that of a joint one (`corpora.joint`), whose speakers are called after their corpus.

    Example:
        >>> of_speakers("emodb")["03"], of_speakers("emodb+ravdess")["ravdess-02"]
        ({'sex': 'male', 'age': '30 to 39'}, {'sex': 'female'})
    """
    found: dict[str, dict[str, str]] = {}
    for name in set(corpus.split("+")) & set(corpora.names()):
        for speaker, (sex, age) in corpora.get(name).info.speakers.items():
            about = {"sex": sex, **({} if age is None else {"age": decade(age)})}
            found |= {speaker: about, f"{name}-{speaker}": about}
    return found


def read(path: Path) -> dict[str, dict[str, str]]:
    """The same from a table with the columns speaker and sex, age or both.

    Args:
        path: of the CSV; ages are numbers.

    Raises:
        CorpusError: if it cannot be read.
        ConfigError: if a column is missing or an age is no number.
    """
    columns, rows = tables.read(path, "a table with the columns speaker and sex, age or both")
    if "speaker" not in columns or not {"sex", "age"} & set(columns):
        raise ConfigError(f"{path}: expected the columns speaker and sex, age or both; found {', '.join(columns)}")
    found: dict[str, dict[str, str]] = {}
    for number, row in rows:
        about = {by: row[by] for by in ("sex", "age") if row.get(by)}
        if "age" in about:
            try:
                about["age"] = decade(float(about["age"]))
            except ValueError as error:
                raise ConfigError(f"{path}, row {number}: age is '{about['age']}'; expected a number") from error
        found[row["speaker"]] = about
    return found


def decade(age: float) -> str:
    """The ten years that an age lies in.

    Example:
        >>> decade(26)
        '20 to 29'
    """
    first = int(age) // 10 * 10
    return f"{first} to {first + 9}"


def known(table: pd.DataFrame, by: str, about: Mapping[str, Mapping[str, str]]) -> list[str | None]:
    """The group of each row of a table of predictions.

    Args:
        table: with the column `speaker`.
        by: of `BY`.
        about: what is known of the speakers, as `of_speakers` gives it.

    Raises:
        ConfigError: if nothing can be grouped by that.
    """
    if by not in BY:
        raise ConfigError(f"--by {by}: expected one of {', '.join(BY)}")
    speakers = [None if pd.isna(speaker) else str(speaker) for speaker in table["speaker"]]
    if by == "speaker":
        return speakers
    return [None if speaker is None else about.get(speaker, {}).get(by) for speaker in speakers]


def _groups(known: pd.DataFrame, scoring: Scoring, names: tuple[str, ...], rates: "_Rates") -> tuple[Group, ...]:
    """The scores of each group, with intervals."""
    groups = []
    for place, name in enumerate(names):
        part = known[known["group"] == name]
        seeds = pd.DataFrame([scoring.of(own) for _, own in part.groupby("seed")])
        reason = _unfit(part, rates.sizes[place : place + 1])
        intervals = {
            score: _interval(rates.drawn[:, place, column], int(rates.sizes[place]), reason)
            for column, score in enumerate(scoring.names)
        }
        means = {str(score): float(value) for score, value in seeds.mean(skipna=False).items()}
        speakers = int(part["speaker"].nunique())
        groups.append(Group(name, round(len(part) / len(seeds)), speakers, means, intervals))
    return tuple(groups)


def _gaps(
    known: pd.DataFrame, scoring: Scoring, names: tuple[str, ...], rates: "_Rates"
) -> tuple[dict[str, Gap], Gap | None]:
    """The gap of every measure, and the largest of the classes'."""
    highest, lowest = (_ends(rates.observed, end) for end in (np.nanargmax, np.nanargmin))
    column = np.arange(len(rates.measures))
    differences = rates.observed[highest, column] - rates.observed[lowest, column]
    drawn = rates.drawn[:, highest, column] - rates.drawn[:, lowest, column]
    reason, smallest = _unfit(known, rates.sizes), int(rates.sizes.min())
    gaps = {
        what: Gap(
            what,
            names[highest[m]],
            names[lowest[m]],
            float(differences[m]),
            _interval(drawn[:, m], smallest, reason),
            *_against(differences[m], rates.chance[:, m]),
        )
        for m, what in enumerate(rates.measures)
    }
    classes = [
        m for m, what in enumerate(rates.measures) if what not in scoring.names and not math.isnan(differences[m])
    ]
    if not classes:
        return gaps, None
    largest = gaps[rates.measures[max(classes, key=lambda m: differences[m])]]
    by_chance, p_value = _against(largest.difference, _highest(rates.chance[:, classes]))
    return gaps, replace(largest, by_chance=by_chance, p_value=p_value)


@dataclass(frozen=True)
class _Rates:
    """Everything that groups are compared in.

    Args:
        measures: names of the M numbers.
        sizes: speakers of each of the G groups.
        observed: (G, M).
        drawn: the same of speakers drawn within their groups, (B, G, M).
        chance: gaps when the speakers are dealt to groups at random, (B, M); NaN where each speaker is a group.
    """

    measures: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    observed: Array
    drawn: Array
    chance: Array


def _compute(known: pd.DataFrame, scoring: Scoring, names: tuple[str, ...]) -> _Rates:
    measures, of = _measures(scoring)
    sums, place = _units(known, scoring, names)  # (R, U, *statistic), (U,)
    sizes = np.bincount(place, minlength=len(names))
    observed = _rates(sums, np.eye(len(names))[place][None], of)[0]
    if sizes.max() == 1:
        nothing = np.full((1, len(names), len(measures)), math.nan)
        return _Rates(measures, sizes, observed, nothing, nothing[:, 0])
    chance = _spread(_rates(sums, _dealt(place, len(sizes)), of))
    return _Rates(measures, sizes, observed, _rates(sums, _drawn(place, sizes), of), chance)


def _measures(scoring: Scoring) -> tuple[tuple[str, ...], Callable[[Array], Array]]:
    """Names of all that groups are compared in, and how they are computed from sums (..., *statistic), (..., M)."""
    scored = [scoring.from_sums(name) for name in scoring.names]
    if not isinstance(scoring, CategoryScores):
        return scoring.names, lambda sums: np.stack([score(sums) for score in scored], axis=-1)
    rates = tuple(f"{rate} {label}" for rate in (RECALL, ALARMS) for label in scoring.labels)

    def of(counts: Array) -> Array:
        found = metrics.from_counts(counts)
        whole = np.stack([found[name] for name in scoring.names], axis=-1)
        return np.concatenate([whole, *class_rates(counts)], axis=-1)

    return (*scoring.names, *rates), of


def class_rates(counts: npt.ArrayLike) -> tuple[Array, Array]:
    """Recall and false alarms of each class against all others, (..., K) each.

    Args:
        counts: clips by true (row) and predicted (column) class, (..., K, K).

    Returns:
        Both in 0..1; NaN where no clip means the class, or all do.

    Example:
        >>> recall, alarms = class_rates([[8, 2], [1, 9]])
        >>> recall.tolist(), alarms.tolist()
        ([0.8, 0.9], [0.1, 0.2])
    """
    counts = np.asarray(counts, dtype=np.float64)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    meant, heard = counts.sum(axis=-1), counts.sum(axis=-2)
    others = meant.sum(axis=-1, keepdims=True) - meant
    with np.errstate(invalid="ignore"):
        return right / meant, (heard - right) / others


def _units(known: pd.DataFrame, scoring: Scoring, names: tuple[str, ...]) -> tuple[Array, npt.NDArray[np.int64]]:
    """Sums by seed and by speaker within a group, (R, U, *statistic), and the group of each of these, (U,)."""
    table = known.assign(speaker=known["speaker"].fillna(""))
    units = list(dict.fromkeys(zip(table["group"], table["speaker"], strict=True)))
    seeds = list(dict.fromkeys(table["seed"]))
    sums = np.zeros((len(seeds), len(units), *scoring.sums(table[:0]).shape))
    for (seed, group, speaker), part in table.groupby(["seed", "group", "speaker"], sort=False):
        sums[seeds.index(seed), units.index((group, speaker))] = scoring.sums(part)
    return sums, np.array([names.index(group) for group, _ in units])


def _rates(sums: Array, weights: Array, of: Callable[[Array], Array]) -> Array:
    """Measures of weighted groups, mean over seeds, (B, G, M), from sums (R, U, *statistic) and weights (B, U, G)."""
    return np.asarray(np.mean([of(np.tensordot(weights.swapaxes(1, 2), each, 1)) for each in sums], axis=0))


def _drawn(place: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Array:
    """How often each speaker is drawn into the own group, (B, U, G)."""
    random = np.random.Generator(np.random.PCG64(0))
    weights = np.zeros((DRAWS, len(place), len(sizes)))
    for group, size in enumerate(sizes):
        weights[:, place == group, group] = random.multinomial(size, np.full(size, 1 / size), size=DRAWS)
    return weights


def _dealt(place: npt.NDArray[np.int64], groups: int) -> Array:
    """Who is in which group when groups of the same sizes are dealt at random, (B, U, G)."""
    random = np.random.Generator(np.random.PCG64(0))
    return np.asarray(np.eye(groups)[random.permuted(np.tile(place, (DRAWS, 1)), axis=1)])


def _spread(rates: Array) -> Array:
    """Highest less lowest of the groups, (B, M); groups without the rate are not among them."""
    return _highest(rates.swapaxes(1, 2)) + _highest(-rates.swapaxes(1, 2))


def _highest(values: Array) -> Array:
    """Along the last axis; NaN where there is none."""
    highest = np.where(np.isnan(values), -np.inf, values).max(axis=-1)
    return np.asarray(np.where(np.isinf(highest), np.nan, highest))


def _ends(observed: Array, end: Callable[[Array], np.int64]) -> npt.NDArray[np.int64]:
    """The group with the highest or lowest of each measure, (M,); the first where none has it."""
    return np.array([0 if np.isnan(rates).all() else end(rates) for rates in observed.T])


def _unfit(known: pd.DataFrame, sizes: npt.NDArray[np.int64]) -> str | None:
    """Why no speakers can be drawn."""
    if known["speaker"].isna().any():
        return "clips without a speaker"
    if sizes.min() < statistics.FEWEST_SPEAKERS:
        return f"a group of fewer than {statistics.FEWEST_SPEAKERS} speakers"
    return None


def _interval(drawn: Array, speakers: int, reason: str | None) -> Interval:
    missing = np.isnan(drawn).mean()
    if reason is None and missing > statistics.UNDEFINED_DRAWS:
        reason = f"undefined in {100 * missing:.0f} % of the draws"
    if reason is not None:
        return _none(speakers, reason)
    tail = statistics.expanded_tail(LEVEL, speakers)  # as wide as the smaller group asks for
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(float(low), float(high), LEVEL, speakers)


def _none(speakers: int, reason: str) -> Interval:
    undefined = Undefined(reason)
    return Interval(undefined, undefined, LEVEL, speakers, reason)


def _against(difference: float, chance: Array) -> tuple[float, float]:
    """Mean of what chance gives, and how often it gives as much."""
    known = chance[~np.isnan(chance)]
    if not len(known) or math.isnan(difference):
        return math.nan, math.nan
    reached = int((known >= difference - statistics.ROUNDING).sum())
    return float(known.mean()), (reached + 1) / (len(known) + 1)
