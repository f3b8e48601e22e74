"""An experiment: which model learns what from which corpus, under which protocol, as one YAML file."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator

from affetto import models, resources
from affetto.config import JSON, Settings, load, override, parse, with_value
from affetto.errors import ConfigError
from affetto.tasks import CategoriesSettings
from affetto.training import TrainingSettings


class ChooseSettings(Settings):
    """Settings that are chosen inside each fold, from its own train and dev speakers.

    Every combination of the grid is trained with each of those speakers left out once; the one with the best mean
    score is then trained on all of them. The test speaker has no part in it.
    """

    grid: dict[str, list[Any]]
    """Dotted setting -> values to try; among equals the first is taken."""
    by: Literal["ua", "wa", "macro_f1"] = "ua"

    @field_validator("grid")
    @classmethod
    def _only_training(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in grid.items():
            if key.partition(".")[0] not in ("training", "task"):
                raise ValueError(f"only settings of training and task can be chosen, not {key}")
            if not values:
                raise ValueError(f"{key} has no values to choose from")
        return grid


class FinalSettings(Settings):
    """How `affetto train` makes one checkpoint, for use rather than for a number."""

    exclude: tuple[str, ...] = ()
    """Files of the corpus that are kept out."""
    dev_speakers: tuple[str, ...] = ()
    """Speakers that epochs are chosen on; none: the last epoch is taken."""


class Experiment(Settings):
    """One row of a results table."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    """Row id: names the results files."""
    corpus: str
    protocol: str
    model: SerializeAsAny[models.ModelSettings]
    task: CategoriesSettings = CategoriesSettings()
    training: TrainingSettings = TrainingSettings()
    choose: ChooseSettings | None = None
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    shipped: bool = False
    """Whether this is the recipe of the model that ships."""
    final: FinalSettings = FinalSettings()

    @property
    def config(self) -> JSON:
        """The settings in full, as plain JSON."""
        return self.model_dump(mode="json")

    @property
    def fingerprint(self) -> str:
        """Of all settings that a trained cell's numbers depend on; 16 hexadecimal digits."""
        relevant = {
            key: value for key, value in self.config.items() if key not in ("name", "seeds", "shipped", "final")
        }
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]

    def with_settings(self, values: dict[str, Any]) -> "Experiment":
        """A copy with dotted settings changed and nothing left to choose.

        Raises:
            ConfigError: if a key does not exist or a value is wrong.
        """
        content = self.config
        for key, value in values.items():
            content = with_value(content, key, value)
        return _parse({**content, "choose": None}, source=self.name)


def names() -> tuple[str, ...]:
    """The experiments that ship, sorted."""
    return tuple(sorted(path.stem for path in resources.folder("experiments").glob("*.yaml")))


def read(source: str | Path, assignments: tuple[str, ...] = ()) -> Experiment:
    """The experiment in a YAML file, or the one of that name that ships, with `--set` assignments made.

    Raises:
        ConfigError: if the file is missing or a setting is unknown or wrong.
    """
    path = Path(source)
    if not path.exists() and path.suffix == "":
        if str(source) not in names():
            raise ConfigError(f"{source}: no such settings file, and none that ships: {', '.join(names())}")
        path = resources.folder("experiments") / f"{source}.yaml"
    experiment = _parse(override(load(path), assignments), source=str(source))
    if experiment.choose:
        for key, values in experiment.choose.grid.items():
            for value in values:
                experiment.with_settings({key: value})
    return experiment


def _parse(content: JSON, *, source: str) -> Experiment:
    model = content.get("model")
    if isinstance(model, str):
        model = {"name": model}
    if not isinstance(model, dict):
        raise ConfigError(f"{source}: the setting 'model' is required; the models are {', '.join(models.names())}")
    settings = models.parse_settings(model, source=f"{source}: model")
    return parse(Experiment, {**content, "model": settings}, source=source)
