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
    hashes = {fold.get("fold"): fold.get("sha256") for fold in objects(definition.get("folds"))}
    finished: list[JSON] = []
    for fold in results["folds"]:
        name = f"{fold['fold']}-{fold['seed']}"
        cell = beside(folder / f"{name}.json", "cells", comparer)
        if not cell:
            continue
        finished.append(cell)
        where = f"cells.{name}"
        whose = {
            "fingerprint": results["fingerprint"],
            "manifest_sha256": definition.get("manifest_sha256"),
            "fold_sha256": hashes.get(fold["fold"]),
        }
        origin = {
            **whose,
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
        if first := _first(config):
            second = beside(folder / f"{name}.second.json", "cells", comparer)
            for key, expected in {**whose, **{key: fold.get(key) for key in ("fold", "seed", "n")}}.items():
                comparer.same(second.get(key), expected, f"{where}.second.{key}", "the results and their folds say")
            parts = [beside(folder.with_name(first) / f"{name}.json", "cells", comparer), second]
            _second_stage(cell, parts, results["labels"], where, comparer)
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


def _first(config: JSON) -> str | None:
    """The row that a second stage divides, if this is one; settings that are damaged are told of elsewhere."""
    stage = config.get("second_stage")
    first = stage.get("first") if isinstance(stage, dict) else None
    name = first.get("name") if isinstance(first, dict) else None
    return name if isinstance(name, str) else None


def _second_stage(cell: JSON, parts: Sequence[JSON], labels: Sequence[str], where: str, comparer: Comparer) -> None:
    """What the cell of a second stage answered against what its first's cell and its own training did."""
    if not all(parts):
        return
    try:
        divided, whole, share = (
            np.array([row["probabilities"] for row in objects(each.get("predictions"))], dtype=float)
            for each in (cell, *parts)
        )
        places = [labels.index(label) for label in parts[1]["labels"]]
        expected = whole.copy()
        expected[:, places] = whole[:, places].sum(axis=1, keepdims=True) * share
        same = divided.shape == expected.shape and np.allclose(divided, expected, rtol=0, atol=OF_PARTS)
    except (KeyError, TypeError, ValueError, IndexError):
        same = False
    comparer.true(
        bool(same), where, "is not what its first answered, divided as its own training says; was one trained anew?"
    )
