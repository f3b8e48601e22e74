"""What a checkpoint says of its own trustworthiness, fitted: its calibration, and the sounds that it can know."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from affetto import audio, calibration, checkpoint, domain
from affetto.batch import by_length
from affetto.calibration import Calibration
from affetto.checkpoint import Checkpoint
from affetto.domain import Domain
from affetto.errors import ConfigError
from affetto.progress import Progress, no_progress

CLIPS = 600
"""Of a corpus, at most: more say little more of it, and would outvote the others."""
BATCH = 8
"""Clips that are encoded together."""


def calibrate(
    folder: Path,
    *,
    results: Path | None = None,
    speech: Mapping[str, Sequence[Path]] | None = None,
    progress: Progress = no_progress,
) -> tuple[Calibration | None, Domain | None]:
    """Fit a checkpoint's calibration, its domain, or both, and write them into its folder.

    Args:
        folder: of the checkpoint.
        results: a results file of the same recipe, cross-validated by speaker.
        speech: recordings by corpus, that of the training among them; of each at most `CLIPS`, evenly, are heard.
        progress: told of what goes on.

    Raises:
        ConfigError: if the results are of another recipe or of no categories, or the model has no frozen encoder.
        CheckpointError: if there is no such checkpoint.
        AudioError: if a recording cannot be heard.
    """
    model = checkpoint.load(folder)
    found, known = None, None
    if results is not None:
        if model.task.gives != "probabilities":
            raise ConfigError(f"{folder}: rates dimensions; there are no probabilities to calibrate")
        found = calibration.of_results(results, model.task.labels)
        if found.fitted_on["row"] != model.name:
            raise ConfigError(f"{results}: is of {found.fitted_on['row']}, and {folder} holds {model.name}")
    if speech:
        known = domain.fit(
            {
                name: voices(model, paths[:: -(-len(paths) // CLIPS)], name, progress=progress)
                for name, paths in speech.items()
            }
        )
    checkpoint.amend(folder, calibration=found, domain=known)
    return found, known


def voices(
    model: Checkpoint, paths: Sequence[Path], what: str, *, progress: Progress = no_progress
) -> npt.NDArray[np.float32]:
    """Each recording as one vector, (n, D), for a domain.

    Raises:
        ConfigError: if the model has no frozen encoder of sound.
        AudioError: if a recording cannot be heard.
    """
    waveforms = [audio.read(path).waveform for path in paths]
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for batch in by_length([len(waveform) for waveform in waveforms], BATCH):
        progress(what, len(rows), len(paths))
        words = [""] * len(batch) if "words" in model.model.senses else None
        found = model.voices(model.hear([waveforms[i] for i in batch], words))
        if found is None:
            raise ConfigError(f"{model.name}: has no frozen encoder of sound, in whose space a domain could be fitted")
        rows |= dict(zip(batch, found, strict=True))
    progress(what, len(paths), len(paths))
    return np.stack([rows[i] for i in range(len(paths))])
