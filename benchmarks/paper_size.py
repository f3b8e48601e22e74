"""How long a step takes at the first paper's own size; writes paper_size.json.

    OMP_NUM_THREADS=1 python benchmarks/paper_size.py SPEECH EMODB

Runs `pretraining/speech_bert_paper.yaml` on a folder of speech and the fusion of `emodb_paper_size.yaml` on EMO-DB for
a few steps, and tells how long all of theirs would take here.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from affetto import corpora, experiment, pretraining
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.dataset import Recordings
from affetto.models.masked_frames import MaskedFramesModel
from affetto.tasks import MaskedFrames
from affetto.training import TrainingSettings, fit

CPU = torch.device("cpu")
STEPS = 4


def main(speech: Path, emodb: Path) -> None:
    """Measure and write."""
    result = {
        "threads": torch.get_num_threads(),
        "pretraining": pretraining_steps(speech),
        "fusion": fusion_steps(emodb),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def pretraining_steps(folder: Path) -> dict[str, float]:
    """Of the speech BERT, on recordings that were heard before."""
    settings = pretraining.read("speech_bert_paper", ("corpus=speech",))
    model = MaskedFramesModel(settings.model)
    data = Recordings(corpora.read("speech", folder), model)
    rows = list(range(0, len(data), 16))[: STEPS * 8]
    for row in rows:
        data.get(row)

    def train(few: TrainingSettings) -> None:
        fit(model, MaskedFrames(settings.task), data, rows, [[]], few, seed=0, device=CPU)

    return timed(train, settings.training)


def fusion_steps(root: Path) -> dict[str, float]:
    """Of the fusion with that BERT, fine-tuned on fold 03."""
    row = "fusion_convbert-robustbert-a-paper"
    [settings] = experiment.read("emodb_paper_size", (f"rows.{row}.model.encoder.weights=null",), only=[row])
    bench = Bench.prepare(settings, corpora.read("emodb", root), cache=FeatureCache(), device=CPU)
    rows = [row for row, speaker in enumerate(bench.corpus.table["speaker"]) if speaker not in ("03", "08")]

    def train(few: TrainingSettings) -> None:
        [_] = bench.train(settings.model_copy(update={"training": few}), rows, [], seed=0)

    return timed(train, settings.training)


def timed(train: Callable[[TrainingSettings], None], settings: TrainingSettings) -> dict[str, float]:
    """Seconds a step, the first few not counted, and the days that all steps would take."""
    seconds = []
    for steps in (2, 2 + STEPS):
        started = time.perf_counter()
        train(settings.model_copy(update={"epochs": 1, "steps_per_epoch": steps}))
        seconds.append(time.perf_counter() - started)
    step = (seconds[1] - seconds[0]) / STEPS
    steps = settings.epochs * (settings.steps_per_epoch or 0)
    return {"seconds_a_step": round(step, 2), "steps": steps, "days": round(step * steps / 86_400, 1)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
