"""How often the bootstrap's interval over speakers holds the true score, in simulations; writes coverage.json.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py        # a few minutes of one core

Accuracy: speakers' accuracies are normal (0.7, 0.1), each says 50 clips and is a fold. UA: seven classes with EMO-DB's
numbers of clips for each speaker, speakers and classes of unequal difficulty; a fold is a speaker (LOSO), or half of
the clips of two speakers, as in the leakage bill.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from affetto import metrics, statistics

SAMPLES, DRAWS = 1000, 2000
EMODB = [  # clips a speaker (row) and class
    [14, 5, 1, 4, 7, 7, 11], [12, 10, 0, 6, 11, 9, 10], [13, 4, 8, 1, 4, 4, 9], [10, 8, 1, 8, 4, 3, 4],
    [11, 8, 2, 10, 8, 7, 9], [12, 5, 2, 6, 2, 4, 4], [12, 10, 8, 7, 10, 5, 9], [16, 8, 8, 12, 8, 10, 7],
    [13, 9, 5, 8, 6, 4, 11], [14, 14, 11, 7, 11, 9, 5],
]  # fmt: skip
RECALL = np.array([0.9, 0.85, 0.7, 0.8, 0.7, 0.9, 0.95])
Sums = np.ndarray


def accuracies(speakers: int, rng: np.random.Generator) -> Sums:
    """Right and wrong answers of speakers with a fold each, (1, F, S, 2)."""
    right = rng.binomial(50, rng.normal(0.7, 0.1, speakers).clip(0, 1))
    return np.eye(speakers)[None, :, :, None] * np.stack([right, 50 - right], axis=-1)


def confusions(bill: bool, rng: np.random.Generator) -> Sums:
    """Confusion counts of ten speakers, (1, F, 10, 7, 7)."""
    counts = np.array(EMODB)[rng.integers(10, size=10)]
    logits = np.log(RECALL / (1 - RECALL)) + rng.normal(0, 0.6, (10, 1)) + rng.normal(0, 0.5, (10, 7))
    sums = np.zeros((1, 10, 10, 7, 7))
    for speaker, own in enumerate(counts):
        half = rng.binomial(own, 0.5)
        first = 2 * (speaker % 5)
        for fold, clips in ((first, half), (first + 1, own - half)) if bill else ((speaker, own),):
            right = rng.binomial(clips, 1 / (1 + np.exp(-logits[speaker])))
            for label in range(7):
                sums[0, fold, speaker, label, label] = right[label]
                sums[0, fold, speaker, label, (label + 1) % 7] = clips[label] - right[label]
    return sums


def share_right(sums: Sums) -> Sums:
    """Accuracy."""
    return sums[..., 0] / np.maximum(sums.sum(-1), 1)


def ua(sums: Sums) -> Sums:
    """UA."""
    return metrics.from_counts(sums)["ua"]


def coverage(make: Callable[[np.random.Generator], Sums], score: Callable[[Sums], Sums]) -> dict[str, float]:
    """Shares of samples whose 95 % interval of the fold mean holds the true one."""
    rng = np.random.default_rng(0)
    truth = np.mean([np.nanmean(score(make(rng).sum(axis=2))) for _ in range(4 * SAMPLES)])
    hits = 0
    for _ in range(SAMPLES):
        interval = statistics.speaker_bootstrap(make(rng), score, draws=DRAWS).fold_mean
        hits += interval.low <= truth <= interval.high
    return {"truth": round(float(truth), 4), "samples": SAMPLES, "draws": DRAWS, "held": hits / SAMPLES}


def main() -> None:
    """Simulate all, and write it down."""
    found = {
        "accuracy, 5 speakers": coverage(lambda rng: accuracies(5, rng), share_right),
        "accuracy, 10 speakers": coverage(lambda rng: accuracies(10, rng), share_right),
        "accuracy, 24 speakers": coverage(lambda rng: accuracies(24, rng), share_right),
        "UA, 10 speakers, LOSO": coverage(lambda rng: confusions(False, rng), ua),
        "UA, 10 speakers, leakage bill": coverage(lambda rng: confusions(True, rng), ua),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
