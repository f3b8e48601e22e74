"""How far below the ceilings of simulated corpus A a linear reader stays that is told what there is to hear.

    python benchmarks/simulated_ear.py SIMULATED_A CHECKPOINT

The ceilings are those of who knows the numbers that a voice and a sentence were made from. A listener has the sound
alone: at best, what espeak-ng was told (rate, pitch, range, amplitude), in which speakers and clips depart from these
numbers. A reader has words that tell a rating with an error. Here scikit-learn's ridge regression learns the ratings of
A's train clips from the four controls as they were given (a faultless ear; of rate and amplitude the logarithms, in
which the voice's numbers are linear), from the ratings that CHECKPOINT reads in the words (`affetto train
emobank_words` on the sentences that A and B do not speak, `experiments/multistage_tuned_words.yaml`), and from both.
Its answers are stretched to the deviation of train's ratings, as CCC rewards. A network that knows the speaker by his
voice could take off his departure and do better than this ear.

Writes the CCC and Pearson's correlation on the dev and test clips to `benchmarks/simulated_ear.json`; half a minute.
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV

from affetto import Recognizer, corpora, metrics
from affetto.corpora.simulated import CONTROLS, ceilings

LOGARITHMIC = ("rate", "amplitude")


def main(root: Path, checkpoint: Path) -> None:
    """Measure and write."""
    corpus = corpora.read("simulated_a", root)
    table = corpus.table
    recognizer = Recognizer.from_pretrained(checkpoint)
    read = [list(recognizer.predict(None, words=words).dimensions.values()) for words in table["transcript"]]
    told = [np.log(table[name]) if name in LOGARITHMIC else table[name] for name in CONTROLS]
    sides = {"ear": np.stack(told, axis=1).astype(float), "words": np.array(read)}
    sides["both"] = np.hstack([sides["ear"], sides["words"]])
    split = table["split"].to_numpy()

    result = {}
    for part in ("dev", "test"):
        result[part] = {
            side: {
                name: _scores(
                    known[split == "train"], known[split == part], ratings[split == "train"], ratings[split == part]
                )
                for name, ratings in ((name, table[name].to_numpy(float)) for name in corpus.dimensions)
            }
            for side, known in sides.items()
        }
    known = ceilings(corpus)["joint"]
    result["test of the joint ceiling"] = {
        name: round(score["ccc"] / known[name], 4) for name, score in result["test"]["both"].items()
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def _scores(learned: np.ndarray, asked: np.ndarray, ratings: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    regression = RidgeCV(np.logspace(-2, 4, 13)).fit(learned, ratings)
    own, answers = regression.predict(learned), regression.predict(asked)
    stretched = ratings.mean() + (answers - own.mean()) * ratings.std() / own.std()
    return {
        "ccc": round(metrics.ccc(truth, stretched), 4),
        "pearson": round(float(np.corrcoef(truth, answers)[0, 1]), 4),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
