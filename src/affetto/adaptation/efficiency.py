"""How much one's own clips have brought, and how much more would bring.

The curve is UAR over the number of clips that were learned from, on clips that were held out. Beyond its end a straight
line over the logarithm of that number is drawn: so many points a doubling. That overstates what is left to gain once
the curve bends towards its ceiling; it is an extrapolation, and its interval knows of the clips at hand alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affetto import metrics
from affetto.adaptation.head import Array, Classes, Head, Recipe, adapt
from affetto.adaptation.validation import FOLDS, Clips, by_group, choose, divisions

SMALLEST = 10
"""Clips at the curve's beginning; each further point has twice as many."""
DRAWS = 4
"""Random choices of so many clips, in each fold."""
REPLICATES = 1000
"""Draws of groups for the intervals of the extrapolation."""
LEVEL = 0.9
"""Of these intervals."""


@dataclass(frozen=True)
class Point:
    """A point of the curve.

    Args:
        clips: learned from.
        ua: on clips held out, over all folds and draws.
    """

    clips: int
    ua: float


@dataclass(frozen=True)
class Forecast:
    """What more clips would bring, in UAR.

    Args:
        clips: how many there would be.
        ua: expected; at most 1.
        low, high: ends of its interval.
    """

    clips: int
    ua: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A label-efficiency curve.

    Args:
        points: from none (the model as it was) on.
        doubling: points of UAR, in 0..1, that twice as many clips bring, by a line through the points but the first.
        doubling_interval: its ends.
        forecasts: for twice and four times the clips at hand; none if the curve has fewer than three points to draw on.
    """

    points: tuple[Point, ...]
    doubling: float
    doubling_interval: tuple[float, float]
    forecasts: tuple[Forecast, ...]


def curve(old: Head, clips: Clips, known: Sequence[Recipe], *, seed: int) -> Curve:
    """The curve of one's own clips.

    Args:
        old: the layer that was there.
        clips: one's own.
        known: recipes to choose from, at each point anew.
        seed: of which clips are learned from.
    """
    rng = np.random.default_rng(seed)
    parts = divisions(clips, FOLDS, rng)
    most = min((len(inside) for inside, _ in parts), default=0)
    sizes = [0, *(SMALLEST * 2**step for step in range(20) if SMALLEST * 2**step < 0.8 * most), most]
    counts = np.array([_counts(old, clips, known, parts, size, rng, seed=seed) for size in sizes])  # (P, G, K, K)
    found = metrics.from_counts(counts.sum(axis=1))["ua"]
    points = tuple(Point(size, float(ua)) for size, ua in zip(sizes, found, strict=True))
    if len(sizes) < 4:
        return Curve(points, np.nan, (np.nan, np.nan), ())
    logs = np.log2(sizes[1:])
    drawn = rng.integers(counts.shape[1], size=(REPLICATES, counts.shape[1]))
    replicates = np.array([metrics.from_counts(counts[1:, each].sum(axis=1))["ua"] for each in drawn])  # (R, P)
    slopes, ends = _lines(logs, replicates)
    (slope,), (end,) = _lines(logs, found[None, 1:])
    edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.nanquantile(slopes, edges)
    forecasts = []
    for doublings in (1, 2):
        ahead = doublings + np.log2(len(clips) / most)
        reach = np.nanquantile((ends + slopes * ahead).clip(0, 1), edges)
        expected = float(np.clip(end + slope * ahead, 0, 1))
        forecasts.append(Forecast(len(clips) * 2**doublings, expected, float(reach[0]), float(reach[1])))
    return Curve(points, float(slope), (float(low), float(high)), tuple(forecasts))


def _lines(logs: Array, scores: Array) -> tuple[Array, Array]:
    """Slope and value at the last point of the least-squares line through each row of scores (R, P)."""
    centred = logs - logs.mean()
    slopes = scores @ centred / (centred**2).sum()
    return slopes, scores.mean(axis=1) + slopes * centred[-1]


def _counts(
    old: Head,
    clips: Clips,
    known: Sequence[Recipe],
    parts: Sequence[tuple[Classes, Classes]],
    size: int,
    rng: np.random.Generator,
    *,
    seed: int,
) -> Array:
    """Confusion counts of each group, (G, K, K), of heads that learned from `size` clips, summed over draws."""
    total = np.zeros((len(np.unique(clips.groups)), len(old.bias), len(old.bias)))
    for _ in range(DRAWS if size else 1):
        answers = np.zeros(len(clips), np.int64)
        for inside, outside in parts:
            learned = clips.take(draw(inside, clips.classes, size, rng))
            head = old
            if size:
                recipe = choose(old, learned, known, seed=seed)
                head = adapt(old, learned.features, learned.classes, recipe)
            answers[outside] = head.log_probabilities(clips.features[outside]).argmax(axis=1)
        total += by_group(clips, answers, len(old.bias))
    return total


def draw(rows: Classes, classes: Classes, size: int, rng: np.random.Generator) -> Classes:
    """`size` of the rows, of all classes as far as they go: dealt one a class in turn."""
    order = rng.permutation(rows)
    turn = np.zeros(len(order))
    for label in np.unique(classes[order]):
        own = classes[order] == label
        turn[own] = np.arange(own.sum())
    chosen: Classes = np.sort(order[np.argsort(turn, kind="stable")[:size]])
    return chosen
