"""Experiments from a YAML file: its rows with what they have in common, and with the rows that they are made of."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from affetto import resources
from affetto.config import JSON, load, override
from affetto.errors import ConfigError, not_called
from affetto.experiment.settings import Experiment, from_config


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
        only: ids of rows that are wanted, and that assignments reach, as they do those that they are made of. None:
            all.

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
        for each in _rows(_merged(content, differs), rows, assignments, only, source=str(source))
    )
    if len(corpora := {each.corpus for each in experiments}) > 1:
        raise ConfigError(f"{source}: all rows learn from one corpus, got {', '.join(sorted(corpora))}")
    if len({(each.name, each.protocol) for each in experiments}) < len(experiments):
        raise ConfigError(f"{source}: two rows have the same name under the same protocol; results are kept by name")
    if rows is None and only is not None:
        _check_ids(only, [each.name for each in experiments], source)
    return experiments


def read_one(source: str | Path, assignments: tuple[str, ...] = (), *, row: str | None = None) -> Experiment:
    """The one experiment of a file, or the one row of that name.

    Raises:
        ConfigError: as `read` does, or if it holds several, or none of that name.
    """
    experiments = read(source, assignments, only=None if row is None else [row])
    if len(experiments) > 1:
        held = ", ".join(f"{each.name} on {each.protocol}" for each in experiments)
        raise ConfigError(f"{source}: holds {len(experiments)} experiments ({held}); expected one, see --row")
    return experiments[0]


def _rows(
    common: JSON, rows: JSON | None, assignments: tuple[str, ...], only: Sequence[str] | None, *, source: str
) -> list[JSON]:
    """The settings of each wanted row in full, with assignments in place of what it has of its own."""
    if not rows:
        return [common]
    wanted = list(rows if only is None else only)
    _check_ids(wanted, rows, source)
    general = [each for each in assignments if re.split(r"[.=]", each)[0] not in ("name", "protocol", "rows")]
    full: dict[str, JSON] = {}
    waiting = list(wanted)
    while waiting:  # for those that these are made of, too
        row = waiting.pop(0)
        if row in full:
            continue
        prefix = f"rows.{row}."
        own = [each.removeprefix(prefix) for each in assignments if each.startswith(prefix)]
        full[row] = override(_merged(common, {"name": row, **rows[row]}), [*general, *own])
        for setting, part in _ids(full[row]):
            _check_ids([part], rows, f"{source}: {setting}")
            waiting.append(part)
    divided = {row: _with_first(content, full) for row, content in full.items()}
    return [_with_averaged(divided[row], divided) for row in rows if row in wanted]


def _check_ids(asked: Iterable[str], rows: Iterable[str], source: str | Path) -> None:
    """See that all of these rows are there."""
    for row in asked:
        if row not in rows:
            raise ConfigError(f"{source}: {not_called(row, rows, 'row')}")


def _ids(content: JSON) -> list[tuple[str, str]]:
    """The rows that a row's settings name as those that it is made of: by which setting, and their ids."""
    average, stage = content.get("average"), content.get("second_stage")
    named = [("average", each) for each in (average if isinstance(average, list) else [])]
    named += [("second_stage", stage.get("first"))] if isinstance(stage, dict) else []
    return [(setting, each) for setting, each in named if isinstance(each, str)]


def _with_first(content: JSON, named: dict[str, JSON]) -> JSON:
    stage = content.get("second_stage")
    if not isinstance(stage, dict) or not isinstance(stage.get("first"), str):
        return content
    return {**content, "second_stage": {**stage, "first": named[stage["first"]]}}


def _with_averaged(content: JSON, named: dict[str, JSON]) -> JSON:
    ids = content.get("average")
    if not isinstance(ids, list) or not ids:
        return content
    return {**content, "average": [named[row] if isinstance(row, str) else row for row in ids]}


def _read_one(content: JSON, *, source: str) -> Experiment:
    experiment = from_config(content, source=source)
    if experiment.choose:
        for key, values in experiment.choose.grid.items():
            for value in values:
                experiment.with_settings({key: value})
    return experiment


def _merged(common: JSON, differs: JSON) -> JSON:
    """Settings with those that differ put over them, group by group; a model is replaced whole."""
    result = dict(common)
    for key, value in differs.items():
        below = result.get(key)
        if key != "model" and isinstance(below, dict) and isinstance(value, dict):
            value = _merged(below, value)
        result[key] = value
    return result
