"""Models: one file an architecture, from streams of features to logits.

Adding one is writing one file with the decorator `register`; it is found here by being in this folder.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from affetto.config import parse
from affetto.errors import ConfigError, not_called
from affetto.models.base import REGISTRY, ModelInfo, ModelSettings, Sense, SpeechModel, Streams, register, sense

__all__ = [
    "ModelInfo",
    "ModelSettings",
    "Sense",
    "SpeechModel",
    "Streams",
    "get",
    "names",
    "parse_settings",
    "register",
    "sense",
]


def names() -> tuple[str, ...]:
    """The models that there are, sorted."""
    _load()
    return tuple(sorted(REGISTRY))


def get(name: str) -> ModelInfo:
    """The model called `name`.

    Raises:
        ConfigError: if there is none; the message lists the names.
    """
    _load()
    if name not in REGISTRY:
        raise ConfigError(not_called(name, names(), "model"))
    return REGISTRY[name]


def parse_settings(content: Mapping[str, Any], *, source: str) -> ModelSettings:
    """Settings of the model that `content["name"]` names.

    Raises:
        ConfigError: if the name or a setting is unknown or wrong.
    """
    if "name" not in content:
        raise ConfigError(f"{source}: the setting 'name' is required; the models are {', '.join(names())}")
    return parse(get(str(content["name"])).build.Settings, content, source=source)


def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
