"""PANNs' published weights of CNN14, made into a folder from which networks begin (`encoder.weights`).

Kong et al. published them as files of PyTorch at https://zenodo.org/record/3987831; the one for 16 kHz, which the
front end `panns16k` goes with, is `Cnn14_16k_mAP=0.438.pth`. Beside the network they hold the state of the sampler that
fed it, in arrays of NumPy. Only tensors and these are read, and no code is run that a file might bring.
"""

import hashlib
import re
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy._core import multiarray
from torch import Tensor

from affetto import __version__
from affetto.batch import pad
from affetto.checkpoint import AUDIO, FORMAT, golden_waveform, write
from affetto.config import JSON
from affetto.encoders.cnn14 import Cnn14, from_panns
from affetto.errors import CheckpointError
from affetto.frontend import LogMel
from affetto.models.cnn14 import Cnn14ModelSettings

SOURCE = "https://zenodo.org/record/3987831"
ARRAYS = [
    # NumPy 1 wrote the first two by names that NumPy 2 keeps for reading only, and writes otherwise.
    *((getattr(multiarray, name), f"numpy.core.multiarray.{name}") for name in ("_reconstruct", "scalar")),
    *(getattr(multiarray, name) for name in ("_reconstruct", "scalar")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in f"?{np.typecodes['AllInteger']}{np.typecodes['Float']}"),
]
"""What arrays of numbers are made of, which PyTorch's safe reader refuses unless told."""


def import_weights(file: Path, folder: Path) -> None:
    """Write the folder; files of a checkpoint that lie there are replaced.

    The layer that names AudioSet's 527 sounds is left out: what begins from these weights has classes of its own.

    Args:
        file: as PANNs published it.
        folder: created if need be.

    Raises:
        CheckpointError: if the file cannot be read, holds more than tensors, or another network than `Cnn14_16k`.
    """
    state = _read(file)
    settings = Cnn14ModelSettings()
    encoder = Cnn14(settings.encoder).eval()
    try:
        encoder.load_state_dict(from_panns(state))
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    provenance = {"name": folder.name, "source": SOURCE, "file": file.name, "sha256": digest}
    config: JSON = {
        "format": FORMAT,
        "affetto": __version__,
        "model": settings.model_dump(mode="json"),
        "task": {"name": "audioset"},
        "audio": AUDIO,
        "provenance": provenance,
    }
    waveform = golden_waveform()
    with torch.inference_mode():
        embedding = encoder(LogMel(settings.front_end)(pad([waveform])))
    weights = {f"encoder.{name}": tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, config, weights, {"waveform": waveform, "embedding": embedding}, _card(provenance))


def _read(file: Path) -> dict[str, Tensor]:
    """The state of the network in a file."""
    try:
        with torch.serialization.safe_globals(ARRAYS), warnings.catch_warnings(action="ignore"):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: there is no such file; PANNs' are at {SOURCE}") from error
    except Exception as error:  # of bytes that are no such file, PyTorch's reader makes errors of every kind
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        held = f"holds {refused[1]}, which is not read" if refused else "is damaged, or no file of PyTorch"
        raise CheckpointError(f"{file}: {held}; expected tensors and arrays alone") from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{file}: holds no network under 'model', as PANNs' files do")
    return state


def _card(provenance: JSON) -> str:
    lines = [
        f"# {provenance['name']}",
        "",
        "CNN14 of PANNs (Kong et al., IEEE/ACM TASLP 28, 2020), trained on AudioSet to name 527 kinds of sound, "
        "without the layer that names them. It recognises nothing by itself; models of emotion begin from it "
        "(`encoder.weights` of `cnn14` and `conditioned_cnn14`).",
        "",
        f"Imported from {provenance['file']} (SHA-256 {provenance['sha256']}). PANNs' weights, and the terms under "
        f"which they may be used, are at {provenance['source']}.",
        "",
    ]
    return "\n".join(lines)
