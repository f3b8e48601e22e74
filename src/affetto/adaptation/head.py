"""A linear layer fitted on a few clips, near the one that was there.

The fit is multinomial logistic regression with a Gaussian prior around the old weights ("biased regularisation":
Chelba and Acero, Adaptation of Maximum Entropy Capitalizer, EMNLP 2004):

    mean over clips of c(y) * cross-entropy(W x + b, y)  +  strength / 2 * (|W - W0|^2 + |b - b0|^2)

with c(y) the inverse frequency of the clip's class. A large strength gives the old layer back, so that with few clips
little can be lost. The loss is convex: there is one answer, and nothing is drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import log_softmax

Array = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

PRIOR_CLIPS = 5.0
"""Clips that the training's mean 0 and deviation 1 count for when features are recentred."""


@dataclass(frozen=True)
class Head:
    """A linear layer.

    Args:
        weight: (K, D).
        bias: (K,).
    """

    weight: Array
    bias: Array

    def log_probabilities(self, features: Array) -> Array:
        """Log-probabilities (n, K) of features (n, D)."""
        found: Array = log_softmax(features @ self.weight.T + self.bias, axis=1)
        return found

    def after(self, mean: Array, deviation: Array) -> "Head":
        """The layer that does to x what this one does to (x - mean) / deviation."""
        weight = self.weight / deviation
        return Head(weight, self.bias - weight @ mean)


@dataclass(frozen=True)
class Recipe:
    """How a head is refitted.

    Args:
        strength: of the pull towards the old layer; None: it is not refitted.
        recentre: whether features are first brought to mean 0 and deviation 1 of the own clips, as they had in
            training; only for models that standardise what their last layer hears.
    """

    strength: float | None
    recentre: bool = False

    @property
    def words(self) -> str:
        """For people."""
        fitted = (
            "weights as they were" if self.strength is None else f"weights refitted with strength {self.strength:g}"
        )
        return f"{fitted}, features {'recentred on the own clips' if self.recentre else 'as they are'}"


AS_IS = Recipe(None)
"""The model as it was."""
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Among which the pull is chosen: a factor of three apart, from nearly free to nearly none."""


def recipes(*, standardised: bool) -> tuple[Recipe, ...]:
    """Those among which one is chosen; the first is to leave all as it is."""
    ways = (False, True) if standardised else (False,)
    return tuple(Recipe(strength, way) for way in ways for strength in (None, *STRENGTHS))


def adapt(old: Head, features: Array, classes: Classes, recipe: Recipe) -> Head:
    """A head for one's own clips.

    Args:
        old: the layer that was there.
        features: what it heard of the clips, (n, D).
        classes: the right answers, (n,), 0..K - 1.
        recipe: how.

    Returns:
        The new layer, for features as they come.
    """
    if not recipe.recentre:
        return old if recipe.strength is None else fit(old, features, classes, recipe.strength)
    mean, deviation = centre(features)
    if recipe.strength is None:
        return old.after(mean, deviation)
    return fit(old, (features - mean) / deviation, classes, recipe.strength).after(mean, deviation)


def centre(features: Array) -> tuple[Array, Array]:
    """Mean and deviation of features (n, D), each (D,), drawn towards 0 and 1 as `PRIOR_CLIPS` more clips would."""
    n = len(features)
    mean = features.sum(axis=0) / (n + PRIOR_CLIPS)
    squares = ((features - mean) ** 2).sum(axis=0) + PRIOR_CLIPS * (1 + mean**2)
    return mean, np.sqrt(squares / (n + PRIOR_CLIPS))


def weights(classes: Classes) -> Array:
    """What each clip counts, (n,), mean 1: classes that occur count alike."""
    _, place, counts = np.unique(classes, return_inverse=True, return_counts=True)
    found: Array = len(classes) / (len(counts) * counts[place])
    return found


def loss(head: Head, features: Array, classes: Classes) -> float:
    """Mean cross-entropy with classes counting alike, in nats."""
    chosen = head.log_probabilities(features)[np.arange(len(classes)), classes]
    return float(-(weights(classes) * chosen).mean())


def fit(old: Head, features: Array, classes: Classes, strength: float) -> Head:
    """The layer that minimises the loss above."""
    # The change of W lies in the span of the clips, which are fewer than the features: D dimensions become at most n.
    basis = np.linalg.qr(features.T)[0] if len(features) < features.shape[1] else np.eye(features.shape[1])
    short = features @ basis  # (n, r)
    clips, size = len(features), len(old.bias)
    counts = weights(classes) / clips
    target = np.eye(size)[classes]
    start = features @ old.weight.T + old.bias

    def objective(flat: Array) -> tuple[float, Array]:
        change = flat.reshape(size, -1)  # the last column is the bias's
        log_p = log_softmax(start + short @ change[:, :-1].T + change[:, -1], axis=1)
        residual = counts[:, None] * (np.exp(log_p) - target)  # (n, K)
        gradient = np.column_stack([residual.T @ short, residual.sum(axis=0)]) + strength * change
        value = -(counts * (log_p * target).sum(axis=1)).sum() + strength / 2 * (change**2).sum()
        return float(value), gradient.ravel()

    zero = np.zeros(size * (short.shape[1] + 1))
    found = optimize.minimize(objective, zero, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    change = found.x.reshape(size, -1)
    return Head(old.weight + change[:, :-1] @ basis.T, old.bias + change[:, -1])
