"""Settings: YAML in, validated and frozen objects out.

An experiment file states only what differs from the defaults. A key that does not exist is refused together with the
nearest one that does, and nothing in a file is ever executed (safe YAML, plain numbers and names).
"""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from affetto.errors import ConfigError

JSON = dict[str, Any]
S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all settings: frozen, typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def load(path: Path) -> JSON:
    """The mapping in a YAML file.

    Raises:
        ConfigError: if the file is missing, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such settings file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({error})") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ConfigError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected settings as `key: value`, got {type(content).__name__}")
    _check_names(content, str(path))
    return content


def override(content: JSON, assignments: Iterable[str]) -> JSON:
    """A copy of `content` with assignments such as `training.epochs=3` made; values are read as YAML.

    Raises:
        ConfigError: if an assignment has no `=` or no valid value, or goes below something that is not a mapping.

    Example:
        >>> override({"training": {"epochs": 20}}, ["training.epochs=3", "seeds=[0, 1]"])
        {'training': {'epochs': 3}, 'seeds': [0, 1]}
    """
    result = dict(content)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {assignment}: expected key=value, such as training.epochs=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {assignment}: '{text}' is not valid YAML") from error
        _check_names(value, f"--set {assignment}")
        result = with_value(result, key, value)
    return result


def with_value(content: JSON, key: str, value: Any) -> JSON:
    """A copy of `content` where the dotted `key` is `value`.

    Raises:
        ConfigError: if the key goes below something that is not a mapping.
    """
    first, _, rest = key.partition(".")
    if not rest:
        return {**content, first: value}
    below = content.get(first) or {}
    if not isinstance(below, dict):
        raise ConfigError(f"{key}: '{first}' is {below!r}, not a group of settings")
    return {**content, first: with_value(below, rest, value)}


def parse(kind: type[S], content: Mapping[str, Any], *, source: str) -> S:
    """Settings of a kind from a mapping.

    Args:
        kind: the class of settings.
        content: keys and values, such as `load` gives.
        source: what errors call the mapping's origin.

    Raises:
        ConfigError: naming the key, what was got, and the nearest known key or the expected values.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_explain(kind, problem) for problem in error.errors(include_url=False))
        raise ConfigError(f"{source}: {problems}") from error


def _check_names(content: Any, where: str) -> None:
    """See that what stands before every colon is text."""
    for key in content if isinstance(content, dict) else ():
        if not isinstance(key, str):
            raise ConfigError(
                f"{where}: {key!r} stands where a name is expected; put names such as 'on', 'no' and '03' in quotes, "
                "or YAML takes them for truth values and numbers"
            )
    for below in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        _check_names(below, where)


def _explain(kind: type[BaseModel], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(_resolve(kind, location)[1])
    if problem["type"] == "extra_forbidden":
        here, _ = _resolve(kind, location[:-1])
        known = sorted({name for k in here for name in k.model_fields})
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here are {', '.join(known)}"
        return f"unknown setting '{key}'; {hint}"
    if problem["type"] == "missing":
        return f"the setting '{key}' is required"
    if problem["type"] == "union_tag_not_found":
        return f"the setting '{key}.name' is required"
    if problem["type"] == "union_tag_invalid":
        return f"{key}.name: nothing is called '{problem['ctx']['tag']}'; expected {problem['ctx']['expected_tags']}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (got {problem['input']!r})" if key else message


def _resolve(kind: type[BaseModel], location: list[str]) -> tuple[set[type[BaseModel]], list[str]]:
    """The settings at pydantic's location inside nested ones, and the location as users write it.

    Where several kinds are possible, pydantic adds the name of the one that it took, which nobody writes.
    """
    here: set[type[BaseModel]] = {kind}
    written: list[str] = []
    for part in location:
        named = {k for k in here if "name" in k.model_fields and k.model_fields["name"].default == part}
        if len(here) > 1 and named:
            here = named
            continue
        written.append(part)
        below = {model for k in here if part in k.model_fields for model in _models(k.model_fields[part].annotation)}
        here = below or here
    return here, written


def _models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return {model for part in typing.get_args(annotation) for model in _models(part)}
    return set()
