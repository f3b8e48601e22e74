"""How well the speech BERT that ships fills in frames, by how they were struck out and when; writes masked_frames.json.

    python benchmarks/masked_frames.py SPEECH

Of each recording that was held out, the same spans are set to zero, replaced by others, and left as they are. It was
trained on stretches of at most `crop` seconds, each from position 0 on, so later positions are apart.
"""

import json
import sys
from pathlib import Path

import torch

from affetto import corpora, pretraining
from affetto.batch import pad
from affetto.dataset import Recordings
from affetto.tasks import MaskedFrames

DICE = {"zeroed": (1.0, 0.0), "replaced": (0.0, 1.0), "left as they are": (0.0, 0.0)}


def main(speech: Path) -> None:
    """Measure and write."""
    made = pretraining.load_pretrained("speech_bert-small")
    settings = made.provenance["experiment"]
    crop = settings["training"]["crop"]
    border = round(crop * made.settings.front_end.frame_rate)
    corpus = pretraining.stretches(corpora.read("speech", speech))
    _, held_out = pretraining.divide(corpus, settings["held_out"])
    data = Recordings(corpus, made.model)
    rows = [row for row in held_out if made.task.settings.spans(data.lengths[row])]
    result = {"recordings": len(rows), "crop_seconds": crop}
    for name, (zeroed, replaced) in {**DICE, "guessing the mean": DICE["zeroed"]}.items():
        task = MaskedFrames(made.task.settings.model_copy(update={"zeroed": zeroed, "replaced": replaced}))
        early, late = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        for row in rows:
            generator = torch.Generator().manual_seed(row)
            frames = {made.task.stream: pad([data.get(row)])}
            with torch.inference_mode():
                posed, answers = task.pose(frames, torch.empty(1, 0), generator)
                guess = torch.zeros_like(answers) if name == "guessing the mean" else made.model(posed).values
            errors = (guess - answers)[0].abs().double().nan_to_num().sum(dim=1)  # (T,)
            counts = (~answers[0].isnan()).sum(dim=1)
            early += torch.stack([errors[:border].sum(), counts[:border].sum()])
            late += torch.stack([errors[border:].sum(), counts[border:].sum()])
        result[name] = {
            "l1": round(float((early + late)[0] / (early + late)[1]), 3),
            "l1_up_to_crop": round(float(early[0] / early[1]), 3),
            "l1_later": round(float(late[0] / late[1]), 3),
        }
        print(name, result[name], flush=True)
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
