"""Pretraining: a speech BERT that learns from speech without labels (Mockingjay; first paper, sections 3.3 and 4.2).

A run's folder holds `settings.yaml` (resolved), `origin.yaml` (the speech, the precision), `metrics.jsonl`,
`tensorboard/`, `state.pt` while it is unfinished, and `checkpoint/`:

    config.json         format, model and settings, task, audio road, provenance with the loss of every epoch
    model.safetensors   weights of encoder and head, as float16
    golden.safetensors  a waveform and the frames that the model predicts for it, whole
    README.md           the card
    l1.png, frames.png  the loss by epoch; frames as they were, struck out, and predicted
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import audformat
import pandas as pd
import torch
import yaml
from pydantic import Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from affetto import __version__, cards, report, runs
from affetto.batch import Padded, pad
from affetto.checkpoint import AUDIO, FORMAT, GOLDEN_TOLERANCE, describe, golden_waveform, write
from affetto.config import JSON, Settings, load, override, parse
from affetto.corpora.base import Corpus
from affetto.dataset import Recordings
from affetto.device import Precision, use_bf16
from affetto.errors import CheckpointError, ConfigError, CorpusError, TrainingError
from affetto.files import is_safe_name, write_whole
from affetto.hub import fetch
from affetto.models.masked_frames import MaskedFramesModel
from affetto.models.masked_frames import MaskedFramesSettings as ModelSettings
from affetto.pretrained import locate
from affetto.progress import Progress, no_progress
from affetto.provenance import commit, machine
from affetto.resources import settings_file
from affetto.tasks import MaskedFrames
from affetto.tasks import MaskedFramesSettings as TaskSettings
from affetto.training import TrainingSettings, fit, steps_per_epoch

LONGEST = 35.0
"""Seconds of a recording that are taken at once, as many as LibriSpeech's longest has."""


class Pretraining(Settings):
    """What is pretrained, on what, and how."""

    name: str
    """Of the checkpoint."""
    corpus: str = "speech"
    """Reader of the speech: "speech" takes any folder of audio."""
    speech: str = ""
    """What the speech is: titles, languages, speakers, licences; the card quotes it."""
    model: ModelSettings = ModelSettings()
    task: TaskSettings = TaskSettings()
    training: TrainingSettings
    held_out: float = Field(default=0.05, gt=0, lt=1)
    """Share of the speakers, or of the files where speakers are unknown, that is not learned from."""
    seed: int = 0

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not is_safe_name(name):
            raise ValueError("cannot name files; expected letters, digits and _+-.")
        return name

    @property
    def config(self) -> JSON:
        """The settings in full, as plain JSON."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained model with all that is needed to go on from it.

    Args:
        model: encoder and head, in evaluation mode.
        settings: of the model, in full.
        task: which frames were struck out.
        provenance: what it learned from and how, for people; plain JSON.
        card: Markdown.
    """

    model: MaskedFramesModel
    settings: ModelSettings
    task: MaskedFrames
    provenance: JSON
    card: str = ""

    def reconstruct(self, waveform: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the model makes of a recording with frames struck out.

        Args:
            waveform: (N,), at 16 kHz.
            seed: of the frames that are struck out.

        Returns:
            The frames as they are, struck out, and predicted, each (T, M), and which were chosen, (T,).
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            heard = {name: stream(pad([waveform])) for name, stream in self.model.streams.items()}
            posed, answers = self.task.pose(heard, torch.empty(1, 0), generator)
            predicted = self.model(posed)
        name = self.task.stream
        return heard[name].values[0], posed[name].values[0], predicted.values[0], ~answers[0].isnan().any(dim=1)


def read(source: str | Path, assignments: tuple[str, ...] = ()) -> Pretraining:
    """The settings in a YAML file, or in the one of that name that ships, with `--set` assignments made.

    Raises:
        ConfigError: if the file is missing or a setting is unknown or wrong.
    """
    return parse(Pretraining, override(load(settings_file(source, "pretraining")), assignments), source=str(source))


def pretrain(
    settings: Pretraining,
    corpus: Corpus,
    folder: Path,
    *,
    device: torch.device,
    precision: Precision = "auto",
    progress: Progress = no_progress,
) -> Path:
    """Pretrain on a corpus's recordings, whatever labels it may have; the checkpoint's folder.

    A run that was interrupted goes on where it was; a finished one is left as it is. Long recordings are learned from
    and held out stretch by stretch (`stretches`); those that are too short to strike anything out are left alone, and
    so are, when their turn comes, those without sound and those that turn out to be damaged.

    Raises:
        ConfigError: if the folder holds a run of other settings, speech or precision.
        CorpusError: if there are too few recordings to hold some out, or they are too short.
        AudioError: if a file is missing or no audio.
        TrainingError: if the loss is no longer a number, or none of the recordings that are held out can be heard.
    """
    torch.manual_seed(settings.seed)
    model = MaskedFramesModel(settings.model)
    model.load_pretrained()
    corpus = stretches(corpus)
    data = Recordings(corpus, model, progress=progress)
    train, held_out = (
        [row for row in side if settings.task.spans(data.lengths[row])] for side in divide(corpus, settings.held_out)
    )
    if not train or not held_out:
        raise CorpusError(
            f"{corpus.name}: no recording {'that is held out' if train else 'to learn from'} is long enough to strike "
            "anything out; take longer ones"
        )
    names = "\n".join(f"{file} {length}" for (file, *_), length in zip(corpus.table.index, data.lengths, strict=True))
    speech_sha256 = hashlib.sha256(names.encode()).hexdigest()
    claim = {
        folder / "settings.yaml": yaml.safe_dump(settings.config, sort_keys=False),
        folder / "origin.yaml": yaml.safe_dump({"speech_sha256": speech_sha256, "bf16": use_bf16(device, precision)}),
    }
    runs.check(claim)
    target = folder / "checkpoint"
    if (target / "config.json").exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in claim.items():
        write_whole(file, text.encode())
    task = MaskedFrames(settings.task)
    [history] = fit(
        model,
        task,
        data,
        train,
        [held_out],
        settings.training,
        seed=settings.seed,
        device=device,
        precision=precision,
        folder=folder,
        progress=progress,
    )
    if math.isnan(history.best.dev_loss or 0.0):
        raise TrainingError(f"{corpus.name}: none of the {len(held_out)} recordings that are held out can be heard")
    model.load_state_dict(history.weights, strict=False)
    provenance: JSON = {
        "name": settings.name,
        "experiment": settings.config,
        "best_epoch": history.best.epoch,
        "held_out_l1": history.best.dev_loss,
        "epochs": [
            {"epoch": epoch.epoch, "l1": round(epoch.loss, 5), "held_out_l1": round(epoch.dev_loss or 0.0, 5)}
            for epoch in history.epochs
        ],
        "steps": len(history.epochs) * steps_per_epoch(settings.training, len(train)),
        "trained_on": {
            "corpus": corpus.name,
            "title": settings.speech or corpus.info.title,
            "recordings": _files(corpus, train),
            "hours": round(sum(data.lengths[row] for row in train) / settings.model.front_end.frame_rate / 3600, 3),
            "held_out": _files(corpus, held_out),
            "held_out_by": "speakers" if corpus.table["speaker"].notna().all() else "files",
            "speech_sha256": speech_sha256,
        },
        "commit": commit(),
        "machine": machine(device, precision),
    }
    made = Pretrained(model.to("cpu").eval(), settings.model, task, provenance, cards.write_pretrained(provenance))
    target.mkdir(exist_ok=True)
    shown = next(row for row in held_out if data.hears(row))
    _draw(made, torch.from_numpy(corpus.recording(shown).waveform), target)
    save(made, target)  # last, for its config.json says that all is there
    (folder / "state.pt").unlink(missing_ok=True)
    return target


def stretches(corpus: Corpus, longest: float = LONGEST) -> Corpus:
    """The corpus with each recording that is longer than `longest` seconds in stretches of one length.

    Nothing is decoded.

    Raises:
        AudioError: if a file is missing or no audio.
    """
    lengths = [corpus.seconds(row) for row in range(len(corpus))]
    if max(lengths, default=0.0) <= longest:
        return corpus
    parts: list[tuple[str, pd.Timedelta, pd.Timedelta]] = []
    origins: list[int] = []  # the row of each part
    for row, (length, (file, start, end)) in enumerate(zip(lengths, corpus.table.index, strict=True)):
        number = math.ceil(length / longest)
        cuts = [start + pd.Timedelta(seconds=length * cut / number) for cut in range(number)]
        parts += [(file, *ends) for ends in pairwise([*cuts, end])]
        origins += [row] * number
    index = audformat.segmented_index(*zip(*parts, strict=True))
    return replace(corpus, table=corpus.table.iloc[origins].set_axis(index))


def _files(corpus: Corpus, rows: Sequence[int]) -> int:
    return corpus.table.index[list(rows)].get_level_values("file").nunique()


def divide(corpus: Corpus, held_out: float) -> tuple[list[int], list[int]]:
    """Rows to learn from, and rows that are held out: whole speakers, or files where a speaker is unknown.

    Which ones depends on their names alone, so that more speech moves nobody from one side to the other.

    Raises:
        CorpusError: if nothing would be left on one side.
    """
    files = corpus.table.index.get_level_values("file")
    voices = corpus.table["speaker"].fillna(files.to_series(index=corpus.table.index)).astype(str)
    outside = [_place(voice) < held_out for voice in voices]
    sides = [row for row, out in enumerate(outside) if not out], [row for row, out in enumerate(outside) if out]
    if not all(sides):
        raise CorpusError(
            f"{corpus.name}: {len(corpus)} recordings of {voices.nunique()} speakers or files cannot be divided with "
            f"held_out at {held_out}; give more speech or another share"
        )
    return sides


def _place(name: str) -> float:
    """A number in [0, 1) that a name has by chance, and always the same."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def save(pretrained: Pretrained, folder: Path) -> None:
    """Write a checkpoint; files of the same names are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in pretrained.model.trained_state.items()}
    config = {
        "format": FORMAT,
        "affetto": __version__,
        "model": pretrained.settings.model_dump(mode="json"),
        "task": pretrained.task.settings.model_dump(mode="json"),
        "audio": AUDIO,
        "provenance": pretrained.provenance,
    }
    model = _build(pretrained.settings, weights)
    golden = {"waveform": golden_waveform(), "frames": _frames(model, golden_waveform())}
    write(folder, config, weights, golden, pretrained.card)


def load_pretrained(source: str | Path) -> Pretrained:
    """The pretrained model that ships under a name, in a folder, or at a hub id; on the CPU, in evaluation mode.

    Raises:
        CheckpointError: if a file is missing or damaged, or the model does not give the golden frames.
    """
    source = locate(source)
    config = describe(source)
    try:
        settings = parse(ModelSettings, config["model"], source=f"{source}: config.json")
        task = MaskedFrames(TaskSettings.model_validate(config["task"]))
        model = _build(settings, load_file(fetch(source, "model.safetensors")))
        golden = load_file(fetch(source, "golden.safetensors"))
        difference = float((_frames(model, golden["waveform"]) - golden["frames"]).abs().max())
    except (KeyError, ValidationError, ConfigError, RuntimeError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{source}: holds no pretrained model ({str(error).strip().splitlines()[0]})") from error
    if not difference <= GOLDEN_TOLERANCE:
        raise CheckpointError(f"{source}: does not give its golden frames (off by {difference:.3g})")
    card = fetch(source, "README.md").read_text(encoding="utf-8")
    return Pretrained(model, settings, task, config["provenance"], card)


def _build(settings: ModelSettings, weights: dict[str, Tensor]) -> MaskedFramesModel:
    model = MaskedFramesModel(settings)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model.eval()


def _frames(model: MaskedFramesModel, waveform: Tensor) -> Tensor:
    with torch.inference_mode():
        heard = {name: stream(pad([waveform])) for name, stream in model.streams.items()}
        predicted: Padded = model(heard)
    return predicted.values[0].clone()


def _draw(pretrained: Pretrained, waveform: Tensor, folder: Path) -> None:
    """The two pictures beside a checkpoint."""
    epochs: Sequence[JSON] = pretrained.provenance["epochs"]
    report.curve_figure(
        {
            "training": [epoch["l1"] for epoch in epochs],
            "held out": [epoch["held_out_l1"] for epoch in epochs],
        },
        label="L1 of masked frames",
        path=folder / "l1.png",
    )
    asked = pretrained.task.settings
    if asked.zeroed:  # the die's commonest face: frames replaced by others of the clip look like speech
        task = MaskedFrames(asked.model_copy(update={"zeroed": 1.0, "replaced": 0.0}))
        pretrained = replace(pretrained, task=task)
    true, struck, predicted, chosen = (part.numpy() for part in pretrained.reconstruct(waveform))
    filled = struck.copy()
    filled[chosen] = predicted[chosen]
    l1 = abs(filled - true)[chosen].mean()
    report.frames_figure(
        {
            "as it was, bars above what is struck out": true,
            "struck out": struck,
            f"filled in: mean absolute error {l1:.2f}, of the mean alone {abs(true[chosen]).mean():.2f}": filled,
        },
        chosen,
        rate=pretrained.settings.front_end.frame_rate,
        path=folder / "frames.png",
    )
