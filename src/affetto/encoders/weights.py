"""What an encoder takes from files: its weights, and from a checkpoint in which one of its kind lies, its sizes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
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
        known = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # which numpy does not know
        result.update(name.encode() + known.cpu().contiguous().numpy().tobytes())
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
    if source is not None:
        path, kind = fetch(locate(source), "model.safetensors"), type(encoder).__name__
        fill(encoder, path, _after("encoder."), source=source, whole=f"a {kind}")


def _after(prefix: str) -> Callable[[str], str | None]:
    return lambda key: key.removeprefix(prefix) if key.startswith(prefix) else None


def fill(network: nn.Module, path: Path, name: Callable[[str], str | None], *, source: str | Path, whole: str) -> None:
    """Fill a network from a file of safetensors, whatever else is in it.

    Args:
        network: what is filled; untouched if anything does not fit.
        path: of the file.
        name: what the network calls a tensor of the file; None: it has none such.
        source: what errors call the file.
        whole: what errors call the network.

    Raises:
        CheckpointError: if the file lacks one of the network's tensors, or has one of another shape.
    """
    wanted = network.state_dict()
    with safe_open(path, framework="pt") as file:
        stored = {ours: key for key in file.keys() if (ours := name(key)) is not None}  # noqa: SIM118
        if missing := sorted(set(wanted) - set(stored)):
            raise CheckpointError(f"{source}: lacks {len(missing)} tensors of {whole}, such as {missing[0]}")
        tensors = {name: file.get_tensor(stored[name]).float() for name in wanted}
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            expected = tuple(wanted[key].shape)
            raise CheckpointError(f"{source}: {key} is {tuple(tensor.shape)}, expected {expected}")
    network.load_state_dict(tensors)
