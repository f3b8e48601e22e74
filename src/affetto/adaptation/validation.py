"""How well an adapted head does on clips that it has not seen: nested cross-validation.

Clips are held out in groups: speakers, where at least `FEWEST_SPEAKERS` are known, else audio files, so that no two
stretches of one file are on both sides. Inside, the recipe is chosen by the same rule among the clips that are left;
what is held out decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from affetto import metrics, statistics
from affetto.adaptation.head import AS_IS, Array, Classes, Head, Recipe, adapt, loss
from affetto.statistics import Interval

FOLDS = 5
"""Parts that are held out in turn, at most."""
INNER_FOLDS = 3
"""The same, when a recipe is chosen."""
FEWEST_SPEAKERS = 3
"""Below, speakers do not make groups: one held out would leave one to learn from."""

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Clips:
    """What is known of one's own clips.

    Args:
        features: what the last layer hears of them, (n, D).
        classes: the right answers, (n,).
        groups: speaker or file of each, (n,).
        by_speaker: whether groups are speakers.
    """

    features: Array
    classes: Classes
    groups: Names
    by_speaker: bool

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, rows: Classes) -> "Clips":
        """Some of them."""
        return Clips(self.features[rows], self.classes[rows], self.groups[rows], self.by_speaker)


@dataclass(frozen=True)
class Validated:
    """What cross-validation has found.

    Args:
        before: UAR of the model as it was, on all clips.
        after: UAR of adapted heads on clips that they have not seen, over all folds.
        before_interval, after_interval: of these, by drawing groups.
        gain_interval: of the difference.
        groups: how many there are.
        by_speaker: whether these are speakers.
        chosen: the recipe of each fold.
    """

    before: float
    after: float
    before_interval: Interval
    after_interval: Interval
    gain_interval: Interval
    groups: int
    by_speaker: bool
    chosen: tuple[Recipe, ...]


def validate(old: Head, clips: Clips, known: Sequence[Recipe], *, seed: int) -> Validated:
    """Nested cross-validation of the adaptation.

    Args:
        old: the layer that was there.
        clips: one's own.
        known: recipes to choose from.
        seed: of how the groups are dealt.
    """
    answers = np.zeros(len(clips), np.int64)
    picked = []
    for inside, outside in divisions(clips, FOLDS, np.random.default_rng(seed)):
        learned = clips.take(inside)
        recipe = choose(old, learned, known, seed=seed)
        head = adapt(old, learned.features, learned.classes, recipe)
        answers[outside] = head.log_probabilities(clips.features[outside]).argmax(axis=1)
        picked.append(recipe)
    before = old.log_probabilities(clips.features).argmax(axis=1)
    n_labels = len(old.bias)
    counts = [by_group(clips, each, n_labels) for each in (before, answers)]
    scores = [float(metrics.from_counts(each.sum(axis=0))["ua"]) for each in counts]
    return Validated(
        before=scores[0],
        after=scores[1],
        before_interval=_interval(counts[0][:, None]),
        after_interval=_interval(counts[1][:, None]),
        gain_interval=_interval(np.stack([counts[1], counts[0]], axis=1)),
        groups=len(counts[0]),
        by_speaker=clips.by_speaker,
        chosen=tuple(picked),
    )


def choose(old: Head, clips: Clips, known: Sequence[Recipe], *, seed: int) -> Recipe:
    """The recipe with the lowest loss on clips that are held out in turn; the model as it was if there are too few."""
    parts = divisions(clips, INNER_FOLDS, np.random.default_rng(seed))
    if len(parts) < 2:
        return AS_IS
    means = []
    for recipe in known:
        losses = []
        for inside, outside in parts:
            learned, held = clips.take(inside), clips.take(outside)
            losses.append(loss(adapt(old, learned.features, learned.classes, recipe), held.features, held.classes))
        means.append(float(np.mean(losses)))
    return known[int(np.argmin(means))]


def divisions(clips: Clips, folds: int, rng: np.random.Generator) -> list[tuple[Classes, Classes]]:
    """Rows to learn from and rows held out: groups, in random order but those of one class together, dealt in turn.

    Returns:
        At most `folds` pairs; fewer if there are fewer groups, none if there is one.
    """
    names, first = np.unique(clips.groups, return_index=True)
    if len(names) < 2:
        return []
    order = rng.permutation(len(names))
    if not clips.by_speaker:  # a file has one class, mostly; a speaker has all
        order = order[np.argsort(clips.classes[first[order]], kind="stable")]
    part = np.empty(len(names), np.int64)
    part[order] = np.arange(len(names)) % min(folds, len(names))
    of_clip = part[np.searchsorted(names, clips.groups)]
    return [(np.flatnonzero(of_clip != each), np.flatnonzero(of_clip == each)) for each in range(part.max() + 1)]


def by_group(clips: Clips, answers: Classes, n_labels: int) -> Array:
    """Confusion counts of each group, (G, K, K), rows truth."""
    names = np.unique(clips.groups)
    counts = np.zeros((len(names), n_labels, n_labels))
    np.add.at(counts, (np.searchsorted(names, clips.groups), clips.classes, answers), 1)
    return counts


def _interval(counts: Array) -> Interval:
    """Of a UAR, or of the first of two less the second, from confusions (G, 1 or 2, K, K), drawing groups."""

    def score(sums: Array) -> Array:
        ua: Array = metrics.from_counts(sums)["ua"]
        return ua[..., 0] if ua.shape[-1] == 1 else ua[..., 0] - ua[..., 1]

    return statistics.speaker_bootstrap(counts[None, None], score, draws=2000).pooled
