"""Training: one loop, top to bottom, on Accelerate; the task says whether it is supervised or pretraining.

Every epoch draws from generators seeded by (seed, epoch), so that its order, dropout and augmentation depend on nothing
before it: a run that is killed goes on from its last whole epoch to the same weights that it would have had.
"""

import io
import itertools
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.optim.swa_utils import get_ema_multi_avg_fn as ema

from affetto.augment import SpecAugmentSettings, WarpSettings, crop, spec_augment, warp
from affetto.baseline import Baseline
from affetto.batch import Batch, Padded, by_length
from affetto.config import Settings
from affetto.dataset import Data, shuffled_batches
from affetto.device import Precision, autocast
from affetto.errors import CheckpointError, ConfigError, TrainingError
from affetto.files import write_whole
from affetto.frontend import LogMel
from affetto.models.base import SpeechModel
from affetto.optimizers import UncorrectedAdamW
from affetto.progress import Progress, no_progress
from affetto.tasks import Task

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamw_uncorrected": UncorrectedAdamW,
}


class TrainingSettings(Settings):
    """How a model is trained."""

    epochs: int = Field(default=40, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Steps after which an epoch ends, whatever the number of clips; null: when every clip was seen."""
    batch_size: int | None = Field(default=32, ge=1)
    """Clips a step; null: all at once."""
    optimizer: Literal["adam", "adamw", "adamw_uncorrected", "sgd"] = "adamw"
    """Adam puts the weight decay into the gradient (an L2 penalty), AdamW beside it; "adamw_uncorrected" is AdamW
    without bias correction, with which BERT is fine-tuned (see `optimizers`). SGD is Nesterov's, with momentum, and
    puts it into the gradient, too."""
    momentum: float = Field(default=0.9, gt=0, lt=1)
    """Of SGD."""
    learning_rate: float = Field(default=1e-3, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices and kernels; biases and norms are left alone."""
    warmup: float = Field(default=0.07, ge=0, le=1)
    """Share of the steps in which the learning rate rises from zero."""
    schedule: Literal["linear", "constant"] = "linear"
    """What it does then: fall linearly to zero, or stay."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a better dev score after which training stops; null: never."""
    least_gain: float = Field(default=0.0, ge=0, lt=1)
    """Share by which the lowest dev loss must fall within `patience` epochs for training to go on; 0: patience asks for
    a better score instead, by however little."""
    crop: float | None = Field(default=None, gt=0)
    """Seconds of the random stretch that is taken of longer clips in training; null: whole clips."""
    warp: WarpSettings | None = None
    """How far log-mel frames are stretched in time and frequency; null: not at all."""
    spec_augment: SpecAugmentSettings | None = None
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay, a step, of the moving average of the weights that is judged and kept in place of the weights themselves;
    null: the weights themselves are."""


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: its number from 1, training loss, and loss and scores on dev."""

    epoch: int
    loss: float
    dev_loss: float | None = None
    dev: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """What came of a training: its epochs and the one whose weights are kept.

    Args:
        epochs: all of them, in order.
        best: of them.
        weights: of the best epoch, by name.
        heard: rows whose features were asked for; in a run that went on, by what was left of it.
    """

    epochs: tuple[Epoch, ...]
    best: Epoch
    weights: dict[str, Tensor] = field(compare=False, repr=False)
    heard: frozenset[int] = field(compare=False)


def fit(
    model: SpeechModel,
    task: Task,
    data: Data,
    train: Sequence[int],
    devs: Sequence[Sequence[int]],
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    folder: Path | None = None,
    every: float = 0.0,
    curves: bool = True,
    progress: Progress = no_progress,
) -> tuple[History, ...]:
    """Train a model; a history with the weights of the best epoch for each dev set.

    Dev rows choose an epoch and stop the training, and do nothing else to it: two experiments that learn from the same
    rows and choose on different ones may therefore share a training, and come out as if each had its own. Without dev
    rows the last epoch is the best.

    Args:
        model: freshly made, with its encoder's weights loaded; ends with the weights of the last epoch.
        task: gives loss and scores.
        data: streams and targets.
        train: rows to learn from.
        devs: sets of rows to choose an epoch on, one or more; each may be empty.
        settings: of the training.
        seed: of order, dropout and augmentation.
        device: where to compute.
        precision: in which.
        folder: where the state is kept after an epoch, and from where an interrupted run goes on; None: nowhere.
        every: seconds that pass, at least, before it is kept again; 0: it is kept after every epoch.
        curves: whether there are curves for TensorBoard in the folder as well.
        progress: told of each epoch, and of those that a resumed run finds done.

    Returns:
        A history a dev set, each as if it had been the only one.

    Raises:
        TrainingError: if the loss is no longer a number.
        CheckpointError: if the state in `folder` is damaged.
        ConfigError: if a launcher started several processes.
    """
    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.num_processes > 1:
        raise ConfigError(f"training runs in one process, got {accelerator.num_processes}; start it without a launcher")
    choices = [_Choice(dev, task, settings) for dev in devs]
    before, data.heard = data.heard, set()
    model.fit_normalisation(data.batch(rows).streams for rows in _chunks(train))
    model.to(accelerator.device)
    weights = task.weights(data.targets[list(train)])
    weights = None if weights is None else weights.to(accelerator.device)
    optimizer = _optimizer(model, settings)
    schedule = _schedule(optimizer, settings, steps=settings.epochs * steps_per_epoch(settings, len(train)))
    network, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    average = None
    if settings.average is not None:
        # With the statistics of batch norms: those of the last step would not fit averaged weights.
        average = AveragedModel(
            model,
            multi_avg_fn=ema(settings.average),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
    state = _State(model, average, optimizer, schedule, choices, folder)
    losses = state.resume()
    kept = time.monotonic()
    board = _Board(folder if curves else None, done=len(losses))
    whole = data.batch(list(train)).to(accelerator.device) if settings.batch_size is None else None
    beside = dict(zip(train, data.baselines(train), strict=True)) if model.takes_baseline else {}
    judged = model if average is None else cast(SpeechModel, average.module)

    progress("epochs", len(losses), settings.epochs)
    while len(losses) < settings.epochs and not all(choice.is_over for choice in choices):
        number = len(losses) + 1
        generator = torch.Generator().manual_seed(_seed(seed, number))
        torch.manual_seed(_seed(seed, number))  # dropout
        model.train()
        total, clips = torch.zeros((), dtype=torch.float64, device=accelerator.device), 0
        for rows in _batches(train, data, settings, generator):
            batch = _augment(model, whole or data.batch(rows), settings, generator).to(accelerator.device)
            if beside:
                batch = _both_ways(model, batch, [beside[row] for row in rows])
            streams, targets = task.pose(batch.streams, batch.targets, generator)
            with autocast(accelerator.device, precision):
                outputs = network(streams)
            loss = task.loss(outputs, targets, weights)
            accelerator.backward(loss)
            if settings.clip is not None:
                accelerator.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if average is not None:
                average.update_parameters(model)
            total, clips = total + loss.detach() * len(rows), clips + len(rows)
        losses.append(total.item() / clips)
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the loss of epoch {number} is {losses[-1]}; try a lower training.learning_rate")
        for choice in choices:
            choice.judge(number, losses[-1], judged, data, accelerator.device, precision)
        board.show(number, losses[-1], choices)
        if time.monotonic() - kept >= every:
            state.keep(losses)  # after the curves: what they have beyond the state, a resumed run purges
            kept = time.monotonic()
        progress("epochs", number, settings.epochs)

    board.close()
    heard, data.heard = frozenset(data.heard), before | data.heard.union(*(choice.heard for choice in choices))
    model.eval()
    return tuple(choice.history(heard) for choice in choices)


def check_augmentation(model: SpeechModel, settings: TrainingSettings) -> None:
    """See that what is done to features in training has any to be done to.

    Raises:
        ConfigError: if the model listens through no stream that is changed by a setting.
    """
    frames = [name for name in model.streams if model.frame_rate(name) is not None]
    ends = [name for name in frames if isinstance(model.streams[name], LogMel)]
    for setting, streams in (("crop", frames), ("warp", ends), ("spec_augment", ends)):
        if getattr(settings, setting) is not None and not streams:
            kind = "frames" if setting == "crop" else "log-mel frames that are computed anew"
            raise ConfigError(f"training.{setting} would do nothing: the model hears no {kind}; leave it out, or null")


def predict(
    model: SpeechModel,
    task: Task,
    data: Data,
    rows: Sequence[int],
    *,
    device: torch.device,
    precision: Precision = "auto",
    size: int = 32,
) -> Tensor:
    """The task's tallies (len(rows), width) of utterances, in the order of `rows`, on the CPU.

    Those of categories are probabilities. Where a task draws lots (which frames it strikes out), it draws the same ones
    for the same rows every time.
    """
    model.to(device).eval()
    generator = torch.Generator().manual_seed(0)
    result = torch.empty(len(rows), task.width)
    for part in by_length([data.lengths[row] for row in rows], size):
        batch = data.batch([rows[i] for i in part]).to(device)
        streams, targets = task.pose(batch.streams, batch.targets, generator)
        with torch.inference_mode(), autocast(device, precision):
            outputs = model.judge(streams, batch.baselines) if batch.baselines else model(streams)
        result[part] = task.tally(outputs, targets).float().cpu()
    return result


class _Choice:
    """The choice of an epoch on some rows.

    Args:
        dev: the rows; none: the last epoch is taken.
        task: says which epoch is better.
        settings: say when to stop.
    """

    def __init__(self, dev: Sequence[int], task: Task, settings: TrainingSettings) -> None:
        self.dev, self.task, self.settings = dev, task, settings
        self.epochs: list[Epoch] = []
        self.weights: dict[str, Tensor] = {}
        self.heard: set[int] = set()

    @property
    def best(self) -> Epoch:
        """The first of the epochs with the highest rank."""
        if not self.dev:
            return self.epochs[-1]
        return max(self.epochs, key=lambda epoch: self.task.rank(epoch.dev_loss or 0.0, epoch.dev))

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        patience, least = self.settings.patience, self.settings.least_gain
        if patience is None or len(self.epochs) <= (patience if least else 0):
            return False
        if not least:
            return len(self.epochs) - self.best.epoch >= patience
        losses = [epoch.dev_loss or 0.0 for epoch in self.epochs]
        return min(losses[-patience:]) > (1 - least) * min(losses[:-patience])

    def judge(
        self, number: int, loss: float, model: SpeechModel, data: Data, device: torch.device, precision: Precision
    ) -> None:
        """Score an epoch, and keep its weights if it is the best so far."""
        if self.is_over:
            return
        epoch = Epoch(number, loss)
        if self.dev:
            trained, data.heard = data.heard, set()
            tallies = predict(model, self.task, data, self.dev, device=device, precision=precision)
            epoch = Epoch(number, loss, *self.task.judge(tallies, data.targets[list(self.dev)]))
            self.heard, data.heard = self.heard | data.heard, trained
        self.epochs.append(epoch)
        if self.best is epoch:
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in model.trained_state.items()}

    def history(self, heard: frozenset[int]) -> History:
        """What came of it; `heard` are the rows that training asked for."""
        return History(tuple(self.epochs), self.best, self.weights, heard | self.heard)


def _batches(
    train: Sequence[int], data: Data, settings: TrainingSettings, generator: torch.Generator
) -> Iterator[list[int]]:
    """Rows of each step of one epoch."""
    if settings.batch_size is None:
        yield from [list(train)] * steps_per_epoch(settings, len(train))
        return
    left = steps_per_epoch(settings, len(train))
    while left:
        lengths = [data.lengths[row] for row in train]
        for batch in itertools.islice(shuffled_batches(lengths, settings.batch_size, generator=generator), left):
            yield [train[i] for i in batch]
            left -= 1


def steps_per_epoch(settings: TrainingSettings, clips: int) -> int:
    """What the settings say, or as many as it takes to hear so many clips once."""
    return settings.steps_per_epoch or math.ceil(clips / (settings.batch_size or clips))


def _augment(model: SpeechModel, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Batch:
    """The batch with log-mel frames warped, a random stretch of long clips, and stripes struck out of log-mel frames.

    Frozen encoders heard the whole clip before, as it is: their states are not warped, and what is taken of them begins
    at the same share of the clip, not at the very frame.
    """
    streams = dict(batch.streams)
    ends = {name: end.front_end for name, end in model.streams.items() if isinstance(end, LogMel)}
    if settings.warp is not None and ends:
        blocks = {name: 1 + end.deltas for name, end in ends.items()}
        streams |= warp({name: streams[name] for name in ends}, blocks, settings.warp, generator)
    if settings.crop is not None:
        streams = crop(streams, {name: model.frame_rate(name) for name in streams}, settings.crop, generator)
    if settings.spec_augment is not None:
        for name, end in ends.items():
            normalised = end.normalisation == "utterance"
            streams[name] = spec_augment(
                streams[name], settings.spec_augment, generator=generator, normalised=normalised
            )
    return Batch(streams, batch.targets)


def _both_ways(model: SpeechModel, batch: Batch, baselines: Sequence[Baseline]) -> Batch:
    """Every clip twice: as it is, and with its speaker moved (see `SpeechModel.moved`)."""
    with torch.no_grad():
        moved = model.moved(batch.streams, baselines)
    streams = {
        name: Padded(torch.cat([each.values, moved[name].values]), torch.cat([each.lengths, each.lengths]))
        for name, each in batch.streams.items()
    }
    return Batch(streams, torch.cat([batch.targets, batch.targets]))


def _optimizer(model: SpeechModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        rate, momentum = settings.learning_rate, settings.momentum
        # foreach: in a few passes over all tensors, on a processor as well.
        return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=True, foreach=True)
    return _OPTIMIZERS[settings.optimizer](groups, lr=settings.learning_rate)


def _schedule(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, *, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear rise over the warm-up's share of the steps; then linear fall to zero over the rest, or none."""
    rise = round(settings.warmup * steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return 1.0 if settings.schedule == "constant" else (steps - step) / max(steps - rise, 1)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _seed(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch


def _chunks(rows: Sequence[int], size: int = 64) -> list[Sequence[int]]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


class _Board:
    """Curves for TensorBoard, in `tensorboard/` of a run's folder; nothing without a folder.

    Args:
        folder: of the run.
        done: epochs that an interrupted run has behind it.
    """

    def __init__(self, folder: Path | None, *, done: int) -> None:
        self.writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def show(self, epoch: int, loss: float, choices: Sequence[_Choice]) -> None:
        """Add an epoch: its training loss, and loss and scores on the first dev set."""
        if self.writer is None:
            return
        self.writer.add_scalar("loss/train", loss, epoch)
        last = choices[0].epochs[-1]
        if last.epoch == epoch and last.dev_loss is not None:
            self.writer.add_scalar("loss/dev", last.dev_loss, epoch)
            for name, score in last.dev.items():
                self.writer.add_scalar(f"dev/{name}", score, epoch)
        self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()


class _State:
    """Everything that an interrupted run needs, in one file that is replaced whole after every epoch."""

    def __init__(
        self,
        model: SpeechModel,
        average: AveragedModel | None,
        optimizer: Any,
        schedule: Any,
        choices: Sequence[_Choice],
        folder: Path | None,
    ) -> None:
        self.model, self.average = model, average
        self.optimizer, self.schedule, self.choices = optimizer, schedule, choices
        self.file = None if folder is None else folder / "state.pt"
        self.log = None if folder is None else folder / "metrics.jsonl"

    def resume(self) -> list[float]:
        """Take the state up where it was left; the losses of the epochs that are done."""
        if self.file is None or not self.file.exists():
            return []
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self.file}: is damaged; delete it to start this training anew") from error
        self.model.load_state_dict(state["model"], strict=False)
        if self.average is not None:
            self.average.module.load_state_dict(state["average"], strict=False)
            self.average.n_averaged.fill_(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        for choice, kept in zip(self.choices, state["choices"], strict=True):
            choice.weights = kept["weights"]
            choice.epochs = [Epoch(**epoch) for epoch in kept["epochs"]]
        return list(state["losses"])

    def keep(self, losses: Sequence[float]) -> None:
        """Write everything down."""
        if self.file is None or self.log is None:
            return
        state = {
            "model": self.model.trained_state,
            "average": None if self.average is None else self.average.module.trained_state,
            "averaged": None if self.average is None else int(self.average.n_averaged),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "losses": list(losses),
            "choices": [
                {"weights": choice.weights, "epochs": [asdict(epoch) for epoch in choice.epochs]}
                for choice in self.choices
            ],
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.file, buffer.getvalue())
        lines = (json.dumps(asdict(epoch)) + "\n" for epoch in self.choices[0].epochs)
        write_whole(self.log, "".join(lines).encode())
