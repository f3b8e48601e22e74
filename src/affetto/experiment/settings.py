"""The settings of one row, and what of them its numbers depend on."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from affetto import models, pretrained, tasks
from affetto.config import JSON, Settings, parse, with_value
from affetto.distortions import DISTORTIONS
from affetto.errors import ConfigError
from affetto.files import is_safe_name
from affetto.models.late_fusion import LateFusionSettings
from affetto.tasks import CategoriesSettings, TaskSettings
from affetto.training import TrainingSettings


class ChooseSettings(Settings):
    """Settings that are chosen inside each fold, from its own train and dev clips; those of test have no part in it."""

    grid: dict[str, list[Any]]
    """Dotted setting -> values to try; among equals the first is taken."""
    by: Literal["ua", "wa", "macro_f1", "ccc", "loss"] = "ua"
    """What the mean is taken of; the lowest "loss" (of the left-out clips, cross-entropy where the task is categories),
    the highest of the others. Dimensions have "ccc" and "loss" alone."""
    validation: Literal["left_out", "dev"] = "left_out"
    """"left_out": every combination is trained with each speaker of train and dev left out once, and the one with the
    best mean score on them is then trained on all of these. "dev": every combination is trained on train and scored on
    dev, as a paper's protocol has it, and the best of these models is the one that is tested."""

    @field_validator("grid")
    @classmethod
    def _only_training(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in grid.items():
            if key.partition(".")[0] not in ("training", "task"):
                raise ValueError(f"only settings of training and task can be chosen, not {key}")
            if not values:
                raise ValueError(f"{key} has no values to choose from")
        return grid


class SecondStageSettings(Settings):
    """What a row's model is a second stage of, to tell a few easily confused classes apart (first paper, section 5).

    The model learns from the clips of these classes alone. What another row gives to them together stays; this one
    divides it among them.
    """

    first: "Experiment"
    """A row of the same file, by id."""
    labels: tuple[str, ...] = Field(min_length=2)

    @field_validator("labels")
    @classmethod
    def _once(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise ValueError(f"expected each once, got {', '.join(labels)}")
        return labels


class FurtherSettings(Settings):
    """Another corpus that the trained models are tested on as well (the second paper, section 4.2)."""

    corpus: str
    clips: str = "all"
    """"all", or a protocol of that corpus, whose test clips are taken."""


class ViewSettings(Settings):
    """A distortion (`distortions`) that a model should hear through."""

    distortion: str
    strength: float
    """In the distortion's unit."""

    @field_validator("distortion")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in DISTORTIONS:
            raise ValueError(f"expected one of {', '.join(DISTORTIONS)}, got '{name}'")
        return name


class FinalSettings(Settings):
    """How `affetto train` makes one checkpoint, for use rather than for a number."""

    exclude: tuple[str, ...] = ()
    """Files of the corpus that are kept out."""
    dev_speakers: tuple[str, ...] = ()
    """Speakers that epochs are chosen on; none: the last epoch is taken."""
    fold: str | None = None
    """Fold of the experiment's protocol whose train clips alone are learned from, and on whose dev clips epochs are
    chosen, so that its test clips stay unheard; null: all of the corpus."""

    @model_validator(mode="after")
    def _check_fold(self) -> "FinalSettings":
        if self.fold is not None and (self.exclude or self.dev_speakers):
            raise ValueError("fold says already what is kept out and who is dev; give it alone")
        return self


class Experiment(Settings):
    """One row of a results table."""

    name: str
    """Row id: names the results files."""
    corpus: str
    protocol: str
    model: SerializeAsAny[models.ModelSettings]
    task: SerializeAsAny[TaskSettings] = CategoriesSettings()
    training: TrainingSettings = TrainingSettings()
    views: tuple[ViewSettings, ...] = ()
    """Distorted copies that every clip of training is learned beside, always the same ones; dev and test are heard as
    they are."""
    choose: ChooseSettings | None = None
    second_stage: SecondStageSettings | None = None
    average: "tuple[Experiment, ...] | None" = None
    """Rows of the same file, by id, whose answers are averaged (late fusion); nothing is trained, and `model` follows
    from theirs."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    further: tuple[FurtherSettings, ...] = ()
    """Corpora that every trained model is tested on as well, each a results file of its own. Ratings are answered on
    the tested corpus's scale."""
    speaker_statistics: bool = False
    """Whether features are standardised with all of a speaker's own unlabelled clips. Test speakers' statistics are
    used then: the protocol's id says "transductive"."""
    tuned_on: tuple[str, ...] | None = None
    """Speakers whose scores were looked at when these settings were written; null: nobody knows. `affetto audit` and
    the report name their folds."""
    shipped: bool = False
    """Whether this is the recipe of the model that ships."""
    final: FinalSettings = FinalSettings()

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not is_safe_name(name) or name.lower() == "protocol":
            raise ValueError("cannot name files; expected letters, digits and _+-., and not 'protocol'")
        return name

    @model_validator(mode="after")
    def _one_choice(self) -> "Experiment":
        if self.choose is not None and self.choose.by not in (*self.task.scores, "loss"):
            expected = ", ".join((*self.task.scores, "loss"))
            raise ValueError(f"choose.by: {self.task.name} have no '{self.choose.by}'; expected one of {expected}")
        return self

    @model_validator(mode="after")
    def _check_second_stage(self) -> "Experiment":
        if self.second_stage is None:
            return self
        if self.choose is not None:
            raise ValueError("a second stage has nothing to choose; its first may have")
        if self.task.name != "categories":
            raise ValueError(f"second_stage divides categories; the task is {self.task.name}")
        if self.further:
            raise ValueError("further tests are of one model; with second_stage there are two")
        self._check_alike("second_stage", self.second_stage.first)
        return self

    @model_validator(mode="after")
    def _check_average(self) -> "Experiment":
        if self.average is None:
            if isinstance(self.model, LateFusionSettings):
                raise ValueError("late_fusion is not trained; name the rows that it averages: average: [row, row]")
            return self
        if self.choose is not None or self.second_stage is not None:
            raise ValueError("an average has nothing to choose and no second stage; its rows may have")
        for each in self.average:
            self._check_alike("average", each)
            if strange := [other.corpus for other in self.further if other not in each.further]:
                raise ValueError(f"average: {each.name} is not tested on {strange[0]}")
        return self

    def _check_alike(self, setting: str, each: "Experiment") -> None:
        """See that a row that this one is made of answers to the same clips in the same way."""
        if (each.corpus, each.protocol, each.task) != (self.corpus, self.protocol, self.task):
            raise ValueError(f"{setting}: {each.name} has another corpus, protocol or task")
        if each.speaker_statistics != self.speaker_statistics:
            raise ValueError(f"{setting}: {each.name} has speaker_statistics: {str(each.speaker_statistics).lower()}")
        if missing := set(self.seeds) - set(each.seeds):
            raise ValueError(f"{setting}: {each.name} has no seed {min(missing)}")

    @property
    def parts(self) -> "tuple[Experiment, ...]":
        """The rows that its answers are made of, and those that theirs are; none if its model answers by itself."""
        own = self.average or (() if self.second_stage is None else (self.second_stage.first,))
        return tuple(part for each in own for part in (each, *each.parts))

    @property
    def config(self) -> JSON:
        """The settings in full, as plain JSON."""
        return self.model_dump(mode="json")

    @property
    def fingerprint(self) -> str:
        """Of all settings that a trained cell's numbers depend on; 16 hexadecimal digits.

        Settings at their defaults do not enter, so that a new one leaves old cells valid. A default is therefore never
        changed: a better value gets another name.
        """
        relevant = {key: value for key, value in _stated(self).items() if key not in _NOT_IN_NUMBERS}
        if self.average is not None:
            relevant = {"average": [each.fingerprint for each in self.average]}
        if self.second_stage is not None:
            stage = self.second_stage
            relevant["second_stage"] = {"first": stage.first.fingerprint, "labels": list(stage.labels)}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def weights_sha256(self) -> dict[str, str]:
        """Of the weights in each folder that its models begin from, by the folder's name in the settings.

        The name alone does not say which weights they are. Those that ship, are packaged or come from a hub do not
        stand here, nor folders that are not there.
        """
        found = [each.weights_sha256 for each in self.parts]
        files = ((source, Path(source) / "model.safetensors") for source in sorted(set(_sources(self.config["model"]))))
        own = {source: _sha256(file, file.stat().st_mtime_ns) for source, file in files if file.is_file()}
        return {source: digest for each in (*found, own) for source, digest in each.items()}

    @property
    def refit(self) -> bool:
        """Whether a model that is tested was trained on dev as well."""
        own = self.choose is not None and self.choose.validation == "left_out"
        return own or any(each.refit for each in self.parts)

    def with_settings(self, values: dict[str, Any]) -> "Experiment":
        """A copy with dotted settings changed and nothing left to choose.

        Raises:
            ConfigError: if a key does not exist or a value is wrong.
        """
        content = self.config
        for key, value in values.items():
            content = with_value(content, key, value)
        return from_config({**content, "choose": None}, source=self.name)


def from_config(content: JSON, *, source: str) -> Experiment:
    """The experiment whose settings are `content`, as a YAML file or the `config` of a results file has them.

    Raises:
        ConfigError: if a setting is unknown or wrong.
    """
    if content.get("average") is not None:
        content = _averaging(content, source=source)
    if content.get("second_stage") is not None:
        content = _dividing(content, source=source)
    model = content.get("model")
    if isinstance(model, str):
        model = {"name": model}
    if not isinstance(model, dict):
        raise ConfigError(f"{source}: the setting 'model' is required; the models are {', '.join(models.names())}")
    settings = models.parse_settings(model, source=f"{source}: model")
    task = content.get("task", {})
    if isinstance(task, str):
        task = {"name": task}
    if not isinstance(task, dict):
        raise ConfigError(f"{source}: task: expected settings such as `name: categories`, got {task!r}")
    asked = tasks.parse_settings(task, source=f"{source}: task")
    return parse(Experiment, {**content, "model": settings, "task": asked}, source=source)


def _averaging(content: JSON, *, source: str) -> JSON:
    """The settings of an average, with its rows read and the model that follows from theirs."""
    rows = content["average"]
    if not isinstance(rows, list | tuple) or not all(isinstance(row, dict) for row in rows) or len(rows) < 2:
        raise ConfigError(f"{source}: average: expected ids of two rows or more of the same file, got {rows!r}")
    for row in rows:
        _check_unmade(row, "average", ("average",), source=source)
    averaged = tuple(from_config(row, source=f"{source}: {row.get('name', 'average')}") for row in rows)
    gives = "dimensions" if averaged[0].task.name == "dimensions" else "probabilities"
    model = {"name": "late_fusion", "of": [each.model for each in averaged], "gives": gives}
    return {**content, "average": averaged, "model": model}


def _dividing(content: JSON, *, source: str) -> JSON:
    """The settings of a second stage, with its first read."""
    stage = content["second_stage"]
    if not isinstance(stage, dict) or "first" not in stage:
        return content  # refused with the other settings
    first = stage["first"]
    if not isinstance(first, dict):
        raise ConfigError(f"{source}: second_stage: expected the id of a row of the same file as first, got {first!r}")
    _check_unmade(first, "second_stage", ("average", "second_stage"), source=source)
    return {**content, "second_stage": {**stage, "first": from_config(first, source=f"{source}: {first.get('name')}")}}


def _check_unmade(row: JSON, setting: str, kinds: Sequence[str], *, source: str) -> None:
    """See that a row that another is made of is not made of others in one of these ways."""
    for kind in kinds:
        if row.get(kind):
            what = f"{'an' if kind == 'average' else 'a'} {kind.replace('_', ' ')}"
            raise ConfigError(f"{source}: {setting}: {row.get('name')} is {what} itself")


_NOT_IN_NUMBERS = ("name", "seeds", "shipped", "final", "tuned_on", "further")


def _stated(settings: Settings) -> JSON:
    """Settings that differ from their defaults, as plain JSON; names of models and encoders always."""
    stated: JSON = {}
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if key != "name" and value == field.get_default(call_default_factory=True):
            continue
        stated[key] = _plain(value)
    return stated


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], Settings):
        return [_stated(each) for each in value]
    return _stated(value) if isinstance(value, Settings) else value


def _sources(settings: JSON) -> Iterator[str]:
    """Where a model's parts take their weights from, but for what ships or is packaged."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _sources(value)
        elif key == "weights" and isinstance(value, str) and value not in ("minilm", *pretrained.names()):
            yield value


@lru_cache
def _sha256(file: Path, changed: int) -> str:
    """Of a file, computed once as long as it does not change."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
