"""What a model is asked: its targets, its loss, and how outputs become answers and scores.

`Categories` asks which one of a fixed list of emotions a clip carries, `Dimensions` where it lies on scales such as
valence. `MaskedFrames` asks what stood in frames that were struck out, which needs no labels: it is how a speech BERT
is pretrained.
"""

from collections.abc import Mapping
from typing import Any

from affetto.config import parse
from affetto.errors import ConfigError, not_called
from affetto.tasks.base import Gives, Recognition, Scale, Task, TaskSettings
from affetto.tasks.categories import Categories, CategoriesSettings
from affetto.tasks.dimensions import Dimensions, DimensionsSettings
from affetto.tasks.masked_frames import MaskedFrames, MaskedFramesSettings

__all__ = [
    "Categories",
    "CategoriesSettings",
    "Dimensions",
    "DimensionsSettings",
    "Gives",
    "MaskedFrames",
    "MaskedFramesSettings",
    "Recognition",
    "Scale",
    "Task",
    "TaskSettings",
    "parse_settings",
]

TASKS: dict[str, type[TaskSettings]] = {"categories": CategoriesSettings, "dimensions": DimensionsSettings}
"""Settings of every `Recognition`, by its name."""


def parse_settings(content: Mapping[str, Any], *, source: str) -> TaskSettings:
    """Settings of the task that `content["name"]` names; of categories if it names none.

    Raises:
        ConfigError: if the name or a setting is unknown or wrong.
    """
    name = content.get("name", "categories")
    if name not in TASKS:
        raise ConfigError(f"{source}: {not_called(name, TASKS, 'task')}")
    return parse(TASKS[name], content, source=source)
