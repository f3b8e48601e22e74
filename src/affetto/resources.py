"""Files that come with the package beside its code: sample clips and experiments."""

from pathlib import Path
from typing import Literal

from affetto.errors import ConfigError, not_called


def folder(name: Literal["samples", "experiments"]) -> Path:
    """Where they lie: inside the installed package, or beside `src` in a working copy."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name


def settings_names(kind: Literal["", "pretraining"] = "") -> tuple[str, ...]:
    """Names of the settings files that ship, sorted: of experiments, or of pretrainings."""
    return tuple(sorted(path.stem for path in (folder("experiments") / kind).glob("*.yaml")))


def settings_file(source: str | Path, kind: Literal["", "pretraining"] = "") -> Path:
    """The YAML file meant by a path, or by the name of one that ships.

    Raises:
        ConfigError: if it is neither.
    """
    path = Path(source)
    if path.is_file() or path.suffix:
        return path
    if str(source) not in settings_names(kind):
        problem = not_called(str(source), settings_names(kind), "settings file that ships", kinds="ones that ship")
        raise ConfigError(f"{source}: no such file, and {problem}")
    return folder("experiments") / kind / f"{source}.yaml"
