"""The trainings that predictions came from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from affetto.scores import JSON, Scoring
from affetto.verification.comparer import Comparer
from affetto.verification.folder import PROTOCOL, beside, objects

OF_PARTS = 1e-4
"""Largest difference between an answer and what the answers that it is made of come to, all of which are kept rounded.
"""


def check_cells(
    folder: Path,
    definition: JSON,
    results: JSON,
    scoring: Scoring,
    table: pd.DataFrame | None,
    comparer: Comparer,
) -> None:
    """The trainings that the predictions came from."""
    if not folder.is_dir():
        comparer.fault("cells", f"there is no cells/{folder.name}: its trainings are not there")
        return
    config = results.get("config")
    config = config if isinstance(config, dict) else {}
    averaged = [str(row.get("name")) for row in objects(config.get("average"))]
    stage = config.get("second_stage")
    hashes = {fold.get("fold"): fold.get("sha256") for fold in objects(definition.get("folds"))}
    finished: list[JSON] = []
    for fold in results["folds"]:
        name = f"{fold['fold']}-{fold['seed']}"
        cell = beside(folder / f"{name}.json", "cells", comparer)
        if not cell:
            continue
        finished.append(cell)
        where = f"cells.{name}"
        origin = {
            "fingerprint": results["fingerprint"],
            "manifest_sha256": definition.get("manifest_sha256"),
            "fold_sha256": hashes.get(fold["fold"]),
            "weights_sha256": results.get("weights_sha256"),
            "words_sha256": (results.get("words") or {}).get("sha256"),
        }
        for key, expected in origin.items():
            comparer.same(cell.get(key), expected, f"{where}.{key}", f"the results and {PROTOCOL} say")
        for key in ("fold", "seed", "n", "n_train", "dev", "chosen", "best_epoch", "epochs"):
            comparer.same(fold.get(key), cell.get(key), f"{where}.{key}", "the cell says")
        if table is not None:
            part = table[(table["fold"] == fold["fold"]) & (table["seed"] == fold["seed"])]
            _answers(part, scoring, cell, where, comparer)
        if averaged:
            parts = [beside(folder.with_name(row) / f"{name}.json", "cells", comparer) for row in averaged]
            _average(cell, parts, results["labels"], scoring, where, comparer)
        if isinstance(stage, dict):
            row = str((stage.get("first") or {}).get("name"))
            first = beside(folder.with_name(row) / f"{name}.json", "cells", comparer)
            second = beside(folder / f"{name}.second.json", "cells", comparer)
            _second_stage(cell, first, second, results["labels"], where, comparer)
    if len(finished) == len(results["folds"]):
        for key in ("commit", "machine"):
            origins = sorted({one for cell in finished if cell.get(key) for one in str(cell[key]).split("; ")})
            comparer.same(results.get(key), "; ".join(origins) or None, key, "its cells say")
        seconds = [cell["seconds"] for cell in finished if isinstance(cell.get("seconds"), int | float)]
        if len(seconds) == len(finished):
            comparer.same(results.get("seconds"), round(sum(seconds), 1), "seconds", "its cells say")
        else:
            comparer.fault("seconds", "not every cell has its own")


def _answers(part: pd.DataFrame, scoring: Scoring, cell: JSON, where: str, comparer: Comparer) -> None:
    """What a cell answered to each clip against the predictions of its fold and seed."""
    rows = objects(cell.get("predictions"))
    try:
        answers = [scoring.flat(row) for row in rows]
    except (KeyError, TypeError, ValueError):
        comparer.fault(where, "its predictions lack truth or answer")
        return
    words = {"file", "start", "end", "truth", "prediction"}
    named = [name for name in part if name in words]
    found = [tuple({**row, **answer}.get(name) for name in named) for row, answer in zip(rows, answers, strict=True)]
    stored = list(zip(*(part[name].astype(object).where(part[name].notna(), None) for name in named), strict=True))
    comparer.true(stored == found, where, "its predictions are not those of the table")
    if len(rows) == len(part):
        for name in (name for name in scoring.columns if name not in words):
            comparer.same(part[name].tolist(), [answer[name] for answer in answers], f"{where}.{name}", "the cell says")


def _average(
    cell: JSON, parts: Sequence[JSON], labels: Sequence[str], scoring: Scoring, where: str, comparer: Comparer
) -> None:
    """What the cell of an average answered against what the cells of its rows did."""
    if not all(parts):
        return
    try:
        mean, *own = (
            np.array([[scoring.flat(row)[label] for label in labels] for row in objects(each.get("predictions"))])
            for each in (cell, *parts)
        )
    except (KeyError, TypeError, ValueError):
        return  # told of by who compares the predictions
    same = all(each.shape == mean.shape for each in own)
    comparer.true(
        same and bool(np.allclose(mean, np.mean(own, axis=0), rtol=0, atol=OF_PARTS)),
        where,
        "is not the mean of what its rows answered; were they trained anew?",
    )


def _second_stage(cell: JSON, first: JSON, second: JSON, labels: Sequence[str], where: str, comparer: Comparer) -> None:
    """What the cell of a second stage answered against what its first's cell and its own training did."""
    if not first or not second:
        return
    try:
        divided, whole, share = (
            np.array([row["probabilities"] for row in objects(each.get("predictions"))])
            for each in (cell, first, second)
        )
        places = [labels.index(label) for label in second["labels"]]
        rest = [place for place in range(len(labels)) if place not in places]
        same = np.allclose(divided[:, rest], whole[:, rest], rtol=0, atol=OF_PARTS)
        together = whole[:, places].sum(axis=1, keepdims=True)
        same = same and np.allclose(divided[:, places], together * share, rtol=0, atol=OF_PARTS)
    except (KeyError, TypeError, ValueError, IndexError):
        same = False
    comparer.true(
        bool(same) and second.get("fingerprint") == cell.get("fingerprint"),
        where,
        "is not what its first answered, divided as its own training says; was one trained anew?",
    )
