"""What an encoder takes from a checkpoint in which one of its kind lies under `encoder`: its sizes and its weights."""

import hashlib
import json

from safetensors import safe_open
from torch import nn

from affetto.config import JSON
from affetto.errors import CheckpointError
from affetto.hub import fetch
from affetto.pretrained import locate


def digest(encoder: nn.Module) -> str:
    """SHA-256 over the names and values of an encoder's weights."""
    result = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        result.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return result.hexdigest()


def stated(source: str, kind: str) -> JSON:
    """The settings of the encoder in a checkpoint.

    Args:
        source: a shipped name, a folder or a hub id.
        kind: the `name` that these settings must have.

    Raises:
        CheckpointError: if it holds no encoder of this kind.
    """
    try:
        config = json.loads(fetch(locate(source), "config.json").read_text(encoding="utf-8"))
        settings: JSON = config["model"]["encoder"]
        if settings["name"] != kind:
            raise KeyError(kind)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{source}: its config.json describes no {kind}") from error
    return settings


def load(encoder: nn.Module, source: str | None) -> None:
    """Fill an encoder with the weights in a checkpoint.

    Args:
        encoder: of the same size.
        source: a shipped name, a folder or a hub id; None: its random weights stay.

    Raises:
        CheckpointError: if it is not to be had, or holds no such encoder of this size.
    """
    if source is None:
        return
    path = fetch(locate(source), "model.safetensors")
    wanted = encoder.state_dict()
    with safe_open(path, framework="pt") as file:
        missing = sorted({f"encoder.{name}" for name in wanted} - set(file.keys()))
        if missing:
            kind = type(encoder).__name__
            raise CheckpointError(f"{source}: lacks {len(missing)} tensors of a {kind}, such as {missing[0]}")
        tensors = {name: file.get_tensor(f"encoder.{name}").float() for name in wanted}
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            expected = tuple(wanted[name].shape)
            raise CheckpointError(f"{source}: encoder.{name} is {tuple(tensor.shape)}, expected {expected}")
    encoder.load_state_dict(tensors)
