"""The sounds that a model can know: a Gaussian around speech in the space of its frozen encoder.

A clip is one vector, the mean of its states. Its distance from known speech is Mahalanobis' (Lee et al., 2018,
arXiv:1807.03888, with one class), made for few clips in many dimensions: the first `RANK` principal directions have
their own variance, the others share one (probabilistic PCA; Tipping and Bishop, 1999, JRSS B 61(3), section 3.2).

Nobody knows how far speech of corpora to come will be; what is known is how far each corpus is, seen from the others.
The threshold is the distance within which 99 of 100 clips of that corpus lie that is farthest when it is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from affetto.errors import ConfigError

Array = npt.NDArray[np.float64]
JSON = dict[str, Any]

RANK = 64
"""Directions with a variance of their own."""
INSIDE = 0.99
"""Share of a left-out corpus that is to count as known."""


@dataclass(frozen=True)
class Domain:
    """Known speech, D features a clip.

    Args:
        mean, scale: of the features, (D,) each; clips are standardised with them.
        directions: orthonormal, (R, D).
        variances: of the standardised clips along these, (R,).
        residual: variance in every other direction.
        threshold: distance from which a clip is out of domain.
        fitted_on: corpora with their clips, for people.
    """

    mean: Array
    scale: Array
    directions: Array
    variances: Array
    residual: float
    threshold: float
    fitted_on: JSON

    def distances(self, features: npt.ArrayLike) -> Array:
        """Root mean squared deviations from known speech, (n,), of features (n, D); about 1 for known clips."""
        standard = (np.asarray(features, np.float64) - self.mean) / self.scale
        along = standard @ self.directions.T  # (n, R)
        across = (standard**2).sum(axis=1) - (along**2).sum(axis=1)
        squares = (along**2 / self.variances).sum(axis=1) + across / self.residual
        return np.asarray(np.sqrt(squares / len(self.mean)))

    @property
    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """What a checkpoint keeps as tensors."""
        names = ("mean", "scale", "directions", "variances")
        return {name: np.ascontiguousarray(getattr(self, name), dtype=np.float32) for name in names}

    @property
    def config(self) -> JSON:
        """What a checkpoint keeps as text."""
        return {"residual": self.residual, "threshold": self.threshold, "fitted_on": self.fitted_on}

    @classmethod
    def of(cls, config: JSON, arrays: Mapping[str, npt.NDArray[np.float32]]) -> Self:
        """A domain from what a checkpoint keeps.

        Raises:
            KeyError, TypeError, ValueError: if something is missing, or the sizes do not fit.
        """
        wide: dict[str, Any] = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
        found = cls(**wide, **config)
        width, rank = len(found.mean), len(found.variances)
        if found.scale.shape != (width,) or found.directions.shape != (rank, width) or not found.residual > 0:
            raise ValueError("domain: its arrays do not fit one another")
        return found


def fit(corpora: Mapping[str, npt.NDArray[np.floating[Any]]]) -> Domain:
    """The domain of some corpora.

    Args:
        corpora: features of clips by corpus, (n, D) each.

    Raises:
        ConfigError: if there are fewer than two corpora, or fewer than `RANK` + 2 clips without one of them.
    """
    if len(corpora) < 2:
        raise ConfigError("domain: expected two corpora of speech or more, to see each from the others")
    distances = {}
    for name, features in corpora.items():
        others = np.concatenate([each for other, each in corpora.items() if other != name])
        distances[name] = float(np.quantile(_gaussian(others).distances(features), INSIDE))
    threshold = max(distances.values())
    fitted_on = {
        name: {"clips": len(features), "distance_left_out": round(distances[name], 4)}
        for name, features in corpora.items()
    }
    return replace(
        _gaussian(np.concatenate(list(corpora.values()))), threshold=round(threshold, 4), fitted_on=fitted_on
    )


def _gaussian(features: npt.NDArray[np.floating[Any]]) -> Domain:
    """Mean, scale and principal directions of features (n, D); every clip is known."""
    clips, width = features.shape
    if clips < RANK + 2 or width <= RANK:
        raise ConfigError(f"domain: expected more than {RANK + 1} clips of more than {RANK} features, got {clips}")
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (features - mean) / scale
    _, singular, directions = np.linalg.svd(standard, full_matrices=False)
    variances = singular**2 / (clips - 1)
    residual = float(variances[RANK:].sum() / (width - RANK))
    return Domain(mean, scale, directions[:RANK], variances[:RANK], residual, np.inf, {})
