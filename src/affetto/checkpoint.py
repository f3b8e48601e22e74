"""A trained model as a folder, from which it can rebuild itself and prove that it still hears the same.

    config.json         format, model and settings (front end included), labels, scales, audio road, provenance
    model.safetensors   all weights, those of a frozen encoder included
    golden.safetensors  a waveform, for models that hear words a sentence, and the probabilities, or ratings, that the
                        model gave for it, checked at every load
    README.md           the model card
    domain.safetensors  the sounds that it can know, if they were fitted

Probabilities here are the model's own; `calibration`, if config.json has one, is applied by who shows them, so that
fitting it anew leaves weights and golden answers alone.

Loading reads numbers and text and never executes anything.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as numpy_to_bytes
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from affetto import __version__, audio, models
from affetto.baseline import Baseline
from affetto.batch import pad
from affetto.calibration import Calibration
from affetto.calibration import parse as parse_calibration
from affetto.config import JSON
from affetto.domain import Domain
from affetto.errors import CheckpointError, ConfigError, CorpusError
from affetto.files import write_whole
from affetto.hub import fetch
from affetto.models.base import SpeechModel, Streams
from affetto.tasks import Recognition, parse_settings

FORMAT = 1
"""Of the folder; raised when an older program could not read a newer folder."""
AUDIO: JSON = {"sample_rate": audio.SAMPLE_RATE, "resampler": audio.RESAMPLER}
"""How a model's audio was read; it must not be read otherwise later."""
GOLDEN_TOLERANCE = 1e-3
"""Largest difference from the golden answers: room for other processors, none for other weights."""
GOLDEN_WORDS = "What a lovely surprise, I had not hoped to see you here so soon!"
"""Said in the golden waveform, as far as models are told."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that is needed to use it.

    Args:
        model: in evaluation mode.
        settings: of the model, in full.
        task: what it was asked, and what its outputs are called.
        provenance: what it was trained on and how, for people; plain JSON.
        card: the model card, Markdown.
        calibration: what makes its probabilities come true; None if it was never fitted.
        domain: the sounds that it can know; None if they were never fitted.
    """

    model: SpeechModel
    settings: models.ModelSettings
    task: Recognition
    provenance: JSON
    card: str = ""
    calibration: Calibration | None = None
    domain: Domain | None = None

    @property
    def name(self) -> str:
        """Its row id in results."""
        return str(self.provenance.get("name", "unnamed"))

    def answers(
        self,
        waveforms: Sequence[audio.Waveform] | None,
        words: Sequence[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        baselines: Sequence[Baseline | None] = (),
    ) -> Tensor:
        """Probabilities or ratings, (clips, labels), on the CPU, in the precision of the context.

        Args:
            waveforms: of the clips; not looked at by a model that hears words alone. None does for a model that can
                do without.
            words: what is said in each; None does for a model that hears no words, or can do without.
            device: where the model is.
            baselines: of each clip's speaker, for a model that takes one; none: each clip is judged by itself.
        """
        return self.judge(self.hear(waveforms, words, device=device), baselines)

    def hear(
        self,
        waveforms: Sequence[audio.Waveform] | None,
        words: Sequence[str] | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> Streams:
        """What the model's streams give of clips; arguments as those of `answers`."""
        padded = None
        if "sound" in self.model.senses and waveforms is not None:
            padded = pad([torch.from_numpy(waveform) for waveform in waveforms]).to(device)
        with torch.inference_mode():
            return self.model.hear(padded, words)

    def judge(self, streams: Streams, baselines: Sequence[Baseline | None] = ()) -> Tensor:
        """Probabilities or ratings of what the streams gave, (clips, labels), on the CPU; arguments as of `answers`."""
        with torch.inference_mode():
            logits = self.model.judge(streams, baselines) if any(baselines) else self.model(streams)
            return self.task.decode(logits).cpu()

    def voices(self, streams: Streams) -> npt.NDArray[np.float32] | None:
        """Each clip as one vector, (clips, D), for `domain`; None if the model has no frozen encoder of sound."""
        with torch.inference_mode():
            found = self.model.voice(streams)
        return None if found is None else found.cpu().numpy()

    def golden_answer(self, golden: dict[str, Tensor]) -> Tensor:
        """What it gives for the golden waveform and words, (1, labels)."""
        words = [bytes(golden["words"].tolist()).decode()] if "words" in golden else None
        return self.answers([golden["waveform"].numpy()], words)


def golden_waveform() -> Tensor:
    """One second that touches every band: a rising and falling chirp under a slow tremolo, (16000,)."""
    time = torch.arange(audio.SAMPLE_RATE, dtype=torch.float64) / audio.SAMPLE_RATE
    sweep = torch.sin(2 * torch.pi * (100 * time + 3_900 * torch.sin(torch.pi * time) / torch.pi))
    return (0.3 * sweep * (1 + torch.sin(2 * torch.pi * 4 * time)) / 2).float()


def save(checkpoint: Checkpoint, folder: Path, *, half_encoder: bool = True) -> None:
    """Write a checkpoint.

    Args:
        checkpoint: what to write.
        folder: created if need be; files of the same names are replaced.
        half_encoder: store the weights of frozen encoders as float16, which is how OpenAI published them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.model.to("cpu").eval()
    scales = checkpoint.task.scales
    config = {
        "format": FORMAT,
        "affetto": __version__,
        "model": checkpoint.settings.model_dump(mode="json"),
        "task": checkpoint.task.settings.model_dump(mode="json"),
        "labels": list(checkpoint.task.labels),
        **({"scales": {name: list(ends) for name, ends in scales.items()}} if scales else {}),
        "audio": AUDIO,
        **({"calibration": checkpoint.calibration.config} if checkpoint.calibration else {}),
        **({"domain": checkpoint.domain.config} if checkpoint.domain else {}),
        "provenance": checkpoint.provenance,
    }
    weights = {
        name: (tensor.half() if half_encoder and _is_frozen(name, tensor) else tensor).contiguous()
        for name, tensor in checkpoint.model.state_dict().items()
    }
    # The golden answer is that of the weights as stored.
    stored = replace(checkpoint, model=_build(config, weights))
    golden = {"waveform": golden_waveform()}
    if "words" in checkpoint.model.senses:
        golden["words"] = torch.from_numpy(np.frombuffer(GOLDEN_WORDS.encode(), np.uint8).copy())
    golden[checkpoint.task.gives] = stored.golden_answer(golden)
    if checkpoint.domain:
        _write_domain(checkpoint.domain, folder)
    write(folder, config, weights, golden, checkpoint.card)


def write(folder: Path, config: JSON, weights: dict[str, Tensor], golden: dict[str, Tensor], card: str) -> None:
    """The four files of a checkpoint, in a folder that is there; files of the same names are replaced."""
    # As bytes: safetensors' own files are readable for their owner alone.
    (folder / "model.safetensors").write_bytes(to_bytes(weights))
    (folder / "golden.safetensors").write_bytes(to_bytes(golden))
    (folder / "README.md").write_text(card, encoding="utf-8")
    # Last, for it is what says that a checkpoint is there.
    (folder / "config.json").write_text(_text(config), encoding="utf-8")


def amend(folder: Path, *, calibration: Calibration | None = None, domain: Domain | None = None) -> None:
    """Give a checkpoint on disk another calibration, or domain, or both; all else in it stays as it is, to the byte.

    Raises:
        CheckpointError: if there is none.
    """
    config = _read_config(folder)
    provenance = config.pop("provenance", {})
    if calibration:
        config["calibration"] = calibration.config
    if domain:
        config["domain"] = domain.config
        _write_domain(domain, folder)
    write_whole(folder / "config.json", _text({**config, "provenance": provenance}).encode())


def _write_domain(domain: Domain, folder: Path) -> None:
    (folder / "domain.safetensors").write_bytes(numpy_to_bytes(domain.arrays))


def _text(config: JSON) -> str:
    return json.dumps(config, indent=1, allow_nan=False) + "\n"


def load(source: str | Path) -> Checkpoint:
    """The checkpoint in a folder or at a hub id, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: if a file is missing or damaged, the format is newer than this program, the model does not
            give the golden answer, or it is a pretrained encoder.
    """
    config = _read_config(source)
    if is_pretrained(config):
        raise CheckpointError(
            f"{source}: is a pretrained encoder, which recognises nothing by itself; "
            "name it as encoder.weights of an experiment and train that"
        )
    try:
        weights = load_file(fetch(source, "model.safetensors"))
        golden = load_file(fetch(source, "golden.safetensors"))
        known = load_arrays(fetch(source, "domain.safetensors")) if "domain" in config else None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{source}: a safetensors file is damaged ({error})") from error
    try:
        model = _build(config, weights)
        asked = parse_settings(config["task"], source=f"{source}: config.json")
        scales = {name: (low, high) for name, (low, high) in config.get("scales", {}).items()}
        task = asked.of(config["labels"], scales)
        settings = models.parse_settings(config["model"], source=f"{source}: config.json")
        calibration = parse_calibration(config["calibration"]) if "calibration" in config else None
        domain = None if known is None else Domain.of(config["domain"], known)
        checkpoint = Checkpoint(model, settings, task, config["provenance"], card(source), calibration, domain)
        heard = config["audio"]
    except (AttributeError, KeyError, TypeError, ValueError, CorpusError, ConfigError) as error:
        raise CheckpointError(f"{source}: config.json does not describe a model ({_first_line(error)})") from error
    except RuntimeError as error:
        raise CheckpointError(f"{source}: the weights do not fit config.json ({_first_line(error)})") from error
    if heard != AUDIO:
        raise CheckpointError(f"{source}: was trained on audio read as {heard}; this affetto reads {AUDIO}")
    if set(golden) != {"waveform", task.gives, *(["words"] if "words" in model.senses else [])}:
        raise CheckpointError(f"{source}: golden.safetensors does not hold a waveform and its {task.gives}")
    difference = _difference(checkpoint.golden_answer(golden), golden[task.gives])
    if not difference <= GOLDEN_TOLERANCE:
        raise CheckpointError(
            f"{source}: does not give its golden answer (off by {difference:.3g}, at most {GOLDEN_TOLERANCE} allowed): "
            "its files were changed, or belong to different models"
        )
    return checkpoint


def describe(source: str | Path) -> JSON:
    """What a checkpoint says of itself, without loading its weights.

    Raises:
        CheckpointError: if there is none.
    """
    return _read_config(source)


def is_pretrained(config: JSON) -> bool:
    """Whether a checkpoint that says this of itself is a pretrained encoder, without classes."""
    task = config.get("task")
    return isinstance(task, dict) and task.get("name") in ("masked_frames", "audioset")


def card(source: str | Path) -> str:
    """The model card, Markdown.

    Raises:
        CheckpointError: if there is none.
    """
    return fetch(source, "README.md").read_text(encoding="utf-8")


def _read_config(source: str | Path) -> JSON:
    path = fetch(source, "config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: config.json is damaged ({_first_line(error)})") from error
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise CheckpointError(f"{source}: config.json is not that of an affetto model")
    if config["format"] > FORMAT:
        raise CheckpointError(
            f"{source}: has format {config['format']}; this affetto ({__version__}) reads up to {FORMAT}: upgrade it"
        )
    return config


def _build(config: JSON, weights: dict[str, Tensor]) -> SpeechModel:
    settings = models.parse_settings(config["model"], source="config.json")
    model = models.get(config["model"]["name"]).create(settings, len(config["labels"]))
    model.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    )
    return model.eval()


def _is_frozen(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of a model is a weight of a frozen encoder (and no tokenizer's file, which is bytes)."""
    return name.startswith("streams.") and tensor.is_floating_point()


def _difference(got: Tensor, expected: Tensor) -> float:
    if got.shape != expected.shape:
        return float("inf")
    return float((got - expected).abs().max())


def _first_line(error: Any) -> str:
    return str(error).strip().splitlines()[0]
