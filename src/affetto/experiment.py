"""An experiment: which model learns what from which corpus, under which protocol, as YAML.

A file holds one experiment, or a table of them: what is common at the top, and under `rows` what differs, by row id. A
list of protocols stands for the same rows under each.

    corpus: emodb
    protocol: [emodb-loso10, emodb-random80]
    training: {epochs: 25}
    rows:
      cnn: {model: cnn}
      whisper3: {model: {name: linear_probe}}
      both: {average: [cnn, whisper3]}
      cnn-again: {model: cnn, second_stage: {first: cnn, labels: [boredom, neutral]}}
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from affetto import models, pretrained, resources, tasks
from affetto.config import JSON, Settings, load, override, parse, with_value
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
    first = stage.get("first") if isinstance(stage, dict) else None
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


def names() -> tuple[str, ...]:
    """The experiments that ship, sorted."""
    return resources.settings_names()


def read(
    source: str | Path, assignments: tuple[str, ...] = (), *, only: Sequence[str] | None = None
) -> tuple[Experiment, ...]:
    """The experiments in a YAML file, or in the one of that name that ships, with `--set` assignments made.

    An assignment such as `training.epochs=3` changes every row, whatever it states itself; `rows.cnn.training.epochs=3`
    changes one, and wins over the first.

    Args:
        source: the file, or its name.
        assignments: as `override` takes them.
        only: rows that are wanted, and that assignments reach into; those that they are made of come along. None: all.

    Raises:
        ConfigError: if the file is missing, a setting is unknown or wrong, or no row has one of the names.
    """
    content = override(load(resources.settings_file(source)), assignments)
    rows = content.pop("rows", None)
    if rows is not None and not (
        rows and isinstance(rows, dict) and all(isinstance(row, dict) for row in rows.values())
    ):
        raise ConfigError(f"{source}: rows: expected row ids with the settings that differ, got {rows!r}")
    protocols = content.get("protocol")
    if protocols == []:
        raise ConfigError(f"{source}: protocol: expected one or more, got an empty list")
    experiments = tuple(
        _read_one(each, source=str(source) if rows is None else f"{source}: {each.get('name')}")
        for differs in ([{"protocol": each} for each in protocols] if isinstance(protocols, list) else [{}])
        for each in _with_parts(_rows(_merged(content, differs), rows, assignments, only), source=str(source))
    )
    if len(corpora := {each.corpus for each in experiments}) > 1:
        raise ConfigError(f"{source}: all rows learn from one corpus, got {', '.join(sorted(corpora))}")
    if len({(each.name, each.protocol) for each in experiments}) < len(experiments):
        raise ConfigError(f"{source}: two rows have the same name under the same protocol; results are kept by name")
    return experiments if only is None else chosen(experiments, only, source)


def read_one(source: str | Path, assignments: tuple[str, ...] = (), *, row: str | None = None) -> Experiment:
    """The one experiment of a file, or the one row of that name.

    Raises:
        ConfigError: as `read` does, or if it holds several, or none of that name.
    """
    experiments = read(source, assignments, only=None if row is None else [row])
    if row is not None:
        experiments = tuple(each for each in experiments if each.name == row)
    if len(experiments) > 1:
        held = ", ".join(f"{each.name} on {each.protocol}" for each in experiments)
        raise ConfigError(f"{source}: holds {len(experiments)} experiments ({held}); expected one, see --row")
    return experiments[0]


def chosen(experiments: tuple[Experiment, ...], names: Sequence[str], source: str | Path) -> tuple[Experiment, ...]:
    """The rows of these names, with those that they are made of.

    Raises:
        ConfigError: if no row has one of the names.
    """
    for name in names:
        if name not in {each.name for each in experiments}:
            rows = ", ".join(dict.fromkeys(each.name for each in experiments))  # each protocol has all of them
            raise ConfigError(f"{source}: no row is called '{name}'; the rows are {rows}")
    wanted = [each for each in experiments if each.name in names]
    parts = [part for each in wanted for part in each.parts]
    return tuple(each for each in experiments if each in wanted or each in parts)


def _rows(common: JSON, rows: JSON | None, assignments: tuple[str, ...], only: Sequence[str] | None) -> list[JSON]:
    """The settings of each row in full, with assignments in place of what wanted rows have of their own."""
    if not rows:
        return [common]
    wanted = _with_theirs(rows if only is None else only, rows)
    general = [each for each in assignments if re.split(r"[.=]", each)[0] not in ("name", "protocol", "rows")]
    result = []
    for name, row in rows.items():
        prefix = f"rows.{name}."
        own = [each.removeprefix(prefix) for each in assignments if each.startswith(prefix)]
        reaching = [*general, *own] if name in wanted else own
        result.append(override(_merged(common, {"name": name, **row}), reaching))
    return result


def _with_theirs(names: Iterable[str], rows: JSON) -> set[str]:
    """The names of rows, with those of all that they are made of."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in rows and name not in found:
            found.add(name)
            waiting += _ids(rows[name])
    return found


def _ids(content: JSON) -> list[str]:
    """The ids of the rows that a row's settings name as those that it is made of."""
    average, stage = content.get("average"), content.get("second_stage")
    first = stage.get("first") if isinstance(stage, dict) else None
    named = [*(average if isinstance(average, list) else []), first]
    return [each for each in named if isinstance(each, str)]


def _with_parts(contents: list[JSON], *, source: str) -> list[JSON]:
    """The same, with the settings of rows in place of their ids in averages and second stages."""
    named = {str(content.get("name")): content for content in contents}
    for content in contents:
        for row in _ids(content):
            if row not in named:
                setting = "average" if content.get("average") else "second_stage"
                raise ConfigError(f"{source}: {setting}: no row is called '{row}'; the rows are {', '.join(named)}")
    divided = {name: _with_first(content, named) for name, content in named.items()}
    return [_with_averaged(_with_first(content, named), divided) for content in contents]


def _with_first(content: JSON, named: dict[str, JSON]) -> JSON:
    stage = content.get("second_stage")
    if not isinstance(stage, dict) or not isinstance(stage.get("first"), str):
        return content
    return {**content, "second_stage": {**stage, "first": named[stage["first"]]}}


def _with_averaged(content: JSON, named: dict[str, JSON]) -> JSON:
    ids = content.get("average")
    return {**content, "average": [named[row] for row in ids]} if isinstance(ids, list) and ids else content


def _read_one(content: JSON, *, source: str) -> Experiment:
    experiment = from_config(content, source=source)
    if experiment.choose:
        for key, values in experiment.choose.grid.items():
            for value in values:
                experiment.with_settings({key: value})
    return experiment


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


def _merged(common: JSON, differs: JSON) -> JSON:
    """Settings with those that differ put over them, group by group; a model is replaced whole."""
    result = dict(common)
    for key, value in differs.items():
        below = result.get(key)
        if key != "model" and isinstance(below, dict) and isinstance(value, dict):
            value = _merged(below, value)
        result[key] = value
    return result
