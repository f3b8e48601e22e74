"""Training: one loop, top to bottom, on Accelerate.

Every epoch draws from generators seeded by (seed, epoch), so that its order, dropout and augmentation depend on nothing
before it: a run that is killed goes on from its last whole epoch to the same weights that it would have had.
"""

import io
import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor

from affetto import metrics
from affetto.augment import SpecAugmentSettings, spec_augment
from affetto.batch import Batch, by_length
from affetto.config import Settings
from affetto.dataset import Features, Progress, no_progress, shuffled_batches
from affetto.device import Precision, autocast
from affetto.errors import CheckpointError, ConfigError, TrainingError
from affetto.files import write_whole
from affetto.frontend import LogMel
from affetto.models.base import SpeechModel
from affetto.tasks import Categories


class TrainingSettings(Settings):
    """How a model is trained."""

    epochs: int = Field(default=40, ge=1)
    batch_size: int | None = Field(default=32, ge=1)
    """Clips a step; null: all at once."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """Adam puts the weight decay into the gradient (an L2 penalty), AdamW beside it."""
    learning_rate: float = Field(default=1e-3, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices and kernels; biases and norms are left alone."""
    warmup: float = Field(default=0.07, ge=0, le=1)
    """Share of the steps in which the learning rate rises from zero; it then falls linearly to zero."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a better dev score after which training stops; null: never."""
    spec_augment: SpecAugmentSettings | None = None


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: its number from 1, training loss, and loss and scores on dev."""

    epoch: int
    loss: float
    dev_loss: float | None = None
    dev: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """What came of a training: its epochs and the one whose weights were kept."""

    epochs: tuple[Epoch, ...]
    best: Epoch


def fit(
    model: SpeechModel,
    task: Categories,
    features: Features,
    train: Sequence[int],
    dev: Sequence[int],
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> History:
    """Train a model in place; it ends with the weights of its best epoch on dev, or of the last one without dev.

    The best epoch has the highest UAR on dev, and among equals the lowest dev loss. A NaN never wins.

    Args:
        model: freshly made, with its encoder's weights loaded.
        task: gives loss and answers.
        features: of the corpus.
        train: rows to learn from.
        dev: rows to choose the epoch on; may be empty.
        settings: of the training.
        seed: of order, dropout and augmentation.
        device: where to compute.
        precision: in which.
        folder: where the state is kept after every epoch, and from where an interrupted run goes on; None: nowhere.
        progress: told of each epoch.

    Returns:
        Losses and dev scores.

    Raises:
        TrainingError: if the loss is no longer a number.
        CheckpointError: if the state in `folder` is damaged.
        ConfigError: if a launcher started several processes.
    """
    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.num_processes > 1:
        raise ConfigError(f"training runs in one process, got {accelerator.num_processes}; start it without a launcher")
    model.fit_normalisation(features.batch(rows).streams for rows in _chunks(train))
    model.to(accelerator.device)
    weights = task.weights(features.targets[list(train)])
    weights = None if weights is None else weights.to(accelerator.device)
    optimizer = _optimizer(model, settings)
    steps_per_epoch = math.ceil(len(train) / (settings.batch_size or len(train)))
    schedule = _schedule(optimizer, settings, steps=settings.epochs * steps_per_epoch)
    network, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    state = _State(model, optimizer, schedule, folder)
    epochs = state.resume()
    whole = features.batch(list(train)).to(accelerator.device) if settings.batch_size is None else None

    while len(epochs) < settings.epochs and not _patience_is_over(epochs, settings.patience):
        number = len(epochs) + 1
        generator = torch.Generator().manual_seed(_seed(seed, number))
        torch.manual_seed(_seed(seed, number))  # dropout
        model.train()
        total = 0.0
        for rows in _batches(train, features, settings, generator):
            batch = whole or features.batch(rows).to(accelerator.device)
            streams = _augment(model, batch, settings.spec_augment, generator)
            with autocast(accelerator.device, precision):
                logits = network(streams)
            loss = task.loss(logits, batch.targets, weights)
            accelerator.backward(loss)
            if settings.clip is not None:
                accelerator.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item() * len(rows)
        epoch = Epoch(number, total / len(train), *_evaluate(model, task, features, dev, accelerator.device, precision))
        if not math.isfinite(epoch.loss):
            raise TrainingError(f"the loss of epoch {number} is {epoch.loss}; try a lower training.learning_rate")
        epochs.append(epoch)
        state.keep(epochs, best=_best(epochs) is epoch)
        progress("epochs", number, settings.epochs)

    state.restore_best()
    model.eval()
    return History(tuple(epochs), _best(epochs))


def predict(
    model: SpeechModel,
    task: Categories,
    features: Features,
    rows: Sequence[int],
    *,
    device: torch.device,
    precision: Precision = "auto",
    size: int = 32,
) -> Tensor:
    """Probabilities (len(rows), K) of utterances, in the order of `rows`, on the CPU."""
    model.to(device).eval()
    result = torch.empty(len(rows), len(task.labels))
    for part in by_length([features.lengths[row] for row in rows], size):
        streams = features.batch([rows[i] for i in part]).to(device).streams
        with torch.inference_mode(), autocast(device, precision):
            logits = model(streams)
        result[part] = task.decode(logits).cpu()
    return result


def _evaluate(
    model: SpeechModel,
    task: Categories,
    features: Features,
    rows: Sequence[int],
    device: torch.device,
    precision: Precision,
) -> tuple[float | None, dict[str, float]]:
    """Loss (unweighted cross-entropy) and scores of some utterances; nothing for none."""
    if not rows:
        return None, {}
    probabilities = predict(model, task, features, rows, device=device, precision=precision)
    targets = features.targets[list(rows)]
    loss = torch.nn.functional.nll_loss(probabilities.clamp(min=1e-12).log(), targets).item()
    truth = [task.labels[i] for i in targets.tolist()]
    return loss, metrics.scores(truth, task.answers(probabilities))


def _batches(
    train: Sequence[int], features: Features, settings: TrainingSettings, generator: torch.Generator
) -> list[list[int]]:
    if settings.batch_size is None:
        return [list(train)]
    lengths = [features.lengths[row] for row in train]
    batches = shuffled_batches(lengths, settings.batch_size, generator=generator)
    return [[train[i] for i in batch] for batch in batches]


def _augment(
    model: SpeechModel, batch: Batch, settings: SpecAugmentSettings | None, generator: torch.Generator
) -> dict[str, Any]:
    """The batch's streams, with stripes struck out of log-mel frames; frozen encoders heard the whole clip."""
    if settings is None:
        return dict(batch.streams)
    return {
        name: spec_augment(stream, settings, generator=generator) if isinstance(model.streams[name], LogMel) else stream
        for name, stream in batch.streams.items()
    }


def _optimizer(model: SpeechModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate)


def _schedule(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, *, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear rise over the warm-up's share of the steps, linear fall to zero over the rest."""
    rise = round(settings.warmup * steps)

    def factor(step: int) -> float:
        return (step + 1) / (rise + 1) if step < rise else (steps - step) / max(steps - rise, 1)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _best(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights are kept."""
    if not epochs[-1].dev:
        return epochs[-1]

    def rank(epoch: Epoch) -> tuple[float, float]:
        uar, loss = epoch.dev["ua"], epoch.dev_loss
        if loss is None or math.isnan(uar) or math.isnan(loss):
            return -math.inf, -math.inf
        return uar, -loss

    return max(epochs, key=rank)


def _patience_is_over(epochs: Sequence[Epoch], patience: int | None) -> bool:
    return bool(epochs) and patience is not None and len(epochs) - _best(epochs).epoch >= patience


def _seed(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch


def _chunks(rows: Sequence[int], size: int = 64) -> list[Sequence[int]]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


class _State:
    """Everything that an interrupted run needs, in one file that is replaced whole after every epoch."""

    def __init__(self, model: SpeechModel, optimizer: Any, schedule: Any, folder: Path | None) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.file = None if folder is None else folder / "state.pt"
        self.log = None if folder is None else folder / "metrics.jsonl"
        self.best: dict[str, Tensor] = {}

    def resume(self) -> list[Epoch]:
        """Take the state up where it was left; the epochs that are done."""
        if self.file is None or not self.file.exists():
            return []
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self.file}: is damaged; delete it to start this training anew") from error
        self.model.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best = state["best"]
        return [Epoch(**epoch) for epoch in state["epochs"]]

    def keep(self, epochs: Sequence[Epoch], *, best: bool) -> None:
        """Remember the weights if they are the best so far on dev, and write everything down."""
        if best and epochs[-1].dev:
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.trained_state.items()}
        if self.file is None or self.log is None:
            return
        state = {
            "model": self.model.trained_state,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "epochs": [asdict(epoch) for epoch in epochs],
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.file, buffer.getvalue())
        write_whole(self.log, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in epochs).encode())

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch; without dev it has them already."""
        if self.best:
            self.model.load_state_dict(self.best, strict=False)
