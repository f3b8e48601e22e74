"""Results files gathered from a folder: rows that may be compared stand together in a section, and no others.

A number means something only beside numbers under the same folds of the same recordings with the same classes
(`COMPARABLE`). What is damaged is left out and named; the rest goes on.
"""

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import pandas as pd

from affetto import changes, scores
from affetto.errors import ConfigError, ProtocolError
from affetto.metrics import Undefined
from affetto.report.literature import Published, published, remark, studies
from affetto.report.tables import listed
from affetto.scores import JSON, Scoring

COMPARABLE = ("protocol", "manifest_sha256", "labels", "folds_sha256", "transductive", "simulated")
"""Of a results file: two numbers may be compared where all of these agree."""
NEEDED: dict[str, type | tuple[type, ...]] = {
    "protocol": str,
    "corpus": str,
    "manifest_sha256": str,
    "folds_sha256": str,
    "model": str,
    "task": str,
    "labels": list,
    "transductive": bool,
    "simulated": bool,
    "trained_on": str,
    "tuned_on": (list, NoneType),
    "fingerprint": str,
    "seeds": list,
    "config": dict,
    "folds": list,
    "fold_mean": dict,
    "fold_mean_by_seed": dict,
    "deviation": dict,
    "by_speaker": dict,
    "intervals": dict,
    "undefined": dict,
}
"""Of a results file: what the report reads, and its type."""
TOLERANCE = 1e-9
"""Largest difference between a score in the file and the same from its predictions."""
LEAKS = ("none", "sentences", "speakers", "both")
"""The rules of the leakage bill, from the strictest."""
_BILL = re.compile(rf"(?P<corpus>.+)-bill-(?P<leak>{'|'.join(LEAKS)})-v1")


@dataclass(frozen=True, eq=False)
class Row:
    """One results file and its predictions.

    Args:
        results: its content.
        table: of predictions, as `scores.read` gives it.
    """

    results: JSON = field(repr=False)
    table: pd.DataFrame = field(repr=False)

    @property
    def name(self) -> str:
        """What the row is called."""
        return str(self.results["model"])

    @property
    def protocol(self) -> str:
        """Id of the protocol."""
        return str(self.results["protocol"])

    @property
    def trained_on(self) -> str:
        """The splits that it learned from: `train` or `train+dev`."""
        return str(self.results["trained_on"])

    @property
    def key(self) -> tuple[str, ...]:
        """What must be the same in two rows that are compared."""
        return tuple(json.dumps(self.results[name]) for name in COMPARABLE)

    @property
    def commits(self) -> list[str]:
        """Those of the code that made it: several if its trainings were made by several; + marks one with changes."""
        return str(self.results.get("commit") or "?").split("; ")

    @property
    def fault(self) -> str:
        """What went wrong in its making and is mended since; mostly nothing."""
        for study in studies():
            known = remark(study, self.name, self.protocol, self.results["fingerprint"])
            if known is not None and known.fault is not None and known.fault.commit in self.commits:
                return known.fault.says
        return ""

    @property
    def scoring(self) -> Scoring:
        """How its answers are scored."""
        return scores.scoring(self.results["task"], self.results["labels"])

    def score(self, name: str) -> float:
        """Mean over folds, then over seeds; NaN with its reason where undefined."""
        return self._number(f"fold_mean.{name}", self.results["fold_mean"].get(name))

    def deviation(self, name: str) -> float:
        """Of `score` over seeds; NaN with its reason where undefined."""
        return self._number(f"deviation.{name}", self.results["deviation"].get(name))

    def interval(self, name: str) -> tuple[float, float]:
        """Ends of the interval of `score`; NaN with its reason where there is none."""
        intervals = self.results["intervals"]
        low, high = intervals.get("fold_mean", {}).get(name) or (None, None)
        if low is None or high is None:
            none = Undefined(intervals.get("reason") or "no interval")
            return none, none
        return float(low), float(high)

    def by_seed(self, name: str) -> dict[int, float]:
        """Mean over folds under each seed; NaN where undefined."""
        means = self.results["fold_mean_by_seed"].items()
        return {int(seed): math.nan if mean[name] is None else float(mean[name]) for seed, mean in means}

    @property
    def best_seed(self) -> int | None:
        """The seed with the highest mean dev score; None if there are no dev scores."""
        found: dict[int, list[float]] = {}
        for fold in self.results["folds"]:
            score = (fold.get("dev") or {}).get(self.scoring.primary)
            found.setdefault(int(fold["seed"]), []).append(math.nan if score is None else float(score))
        means = {seed: sum(scores) / len(scores) for seed, scores in found.items()}
        known = {seed: mean for seed, mean in means.items() if not math.isnan(mean)}
        return max(known, key=known.__getitem__) if known else None

    def by_speaker(self, name: str) -> "pd.Series[float]":
        """Of each speaker's clips, mean over seeds; NaN where undefined."""
        found = {speaker: own.get(name) for speaker, own in self.results["by_speaker"].items()}
        return pd.Series(found, dtype=float).sort_index()

    def _number(self, path: str, value: float | None) -> float:
        if value is None or math.isnan(value):
            return Undefined(self.results["undefined"].get(path, "not in the file"))
        return float(value)


@dataclass(frozen=True, eq=False)
class Section:
    """Rows that may be compared with one another.

    Args:
        rows: at least one; those that a paper has first, in its order, then the others by name.
        definition: of the protocol, as in `protocol.json`.
        published: what papers say under this protocol.
        tries: configurations that were scored under it.
        apart: what of `COMPARABLE` tells it from other sections of its protocol; its title must say it.
    """

    rows: tuple[Row, ...]
    definition: JSON
    published: tuple[Published, ...]
    tries: int
    apart: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """Id of the protocol."""
        return self.rows[0].protocol

    @property
    def results(self) -> JSON:
        """What all rows have in common: those of `COMPARABLE`, and more."""
        return self.rows[0].results

    @property
    def title(self) -> str:
        """The id, and what tells it from another section of that id."""
        said = {name: self.results[name] for name in self.apart}
        words = [f"manifest {said['manifest_sha256'][:8]}"] if "manifest_sha256" in said else []
        words += [listed(said["labels"])] if "labels" in said else []
        if said and not words:
            words = [f"{name} {_short(value)}" for name, value in said.items()]
        return ", ".join([self.protocol, *words])

    @property
    def leak(self) -> tuple[str, str] | None:
        """Corpus and leak, if this is a rule of the leakage bill."""
        match = _BILL.fullmatch(self.protocol)
        return (match["corpus"], match["leak"]) if match else None

    @property
    def learned_from(self) -> JSON | None:
        """The protocol that models of another corpus were trained under; None if they were tested on their own."""
        learned: JSON | None = self.results.get("learned_from")
        return learned

    @property
    def ceilings(self) -> dict[str, dict[str, float]]:
        """What perfect readers of a simulated corpus would reach: by reader, by score of this section's."""
        found: dict[str, dict[str, float]] = {}
        for reader, known in self.definition.get("ceilings", {}).items():
            scores = {"ua": known["ua"]} if "ua" in known else {}
            scores |= {f"ccc_{name}": value for name, value in known.items() if name != "ua"}
            found[reader] = {name: value for name, value in scores.items() if name in self.scoring.names}
        return found

    @property
    def scoring(self) -> Scoring:
        """How answers are scored."""
        return self.rows[0].scoring

    def row(self, name: str) -> Row | None:
        """The row of a name, if it is there."""
        return next((row for row in self.rows if row.name == name), None)

    def best(self, trained_on: str) -> Row | None:
        """The row with the highest score among those trained on the same splits; None if there are not two."""
        rows = [row for row in self.rows if row.trained_on == trained_on]
        defined = [row for row in rows if not math.isnan(row.score(row.scoring.primary))]
        if len(rows) < 2 or not defined:
            return None
        return max(defined, key=lambda row: row.score(row.scoring.primary))


@dataclass(frozen=True, eq=False)
class Gathered:
    """A folder of results.

    Args:
        sections: speaker-independent ones first, the leakage bill last.
        damaged: files that were left out, with the reason.
    """

    sections: tuple[Section, ...]
    damaged: tuple[str, ...]


def gather(results: Path, only: Collection[str] | None = None) -> Gathered:
    """Everything in a folder of results.

    Args:
        results: the folder, as `affetto benchmark` writes it.
        only: ids of protocols that are read; None: all.

    Raises:
        ConfigError: if it holds no results at all, damaged or not.
    """
    if not results.is_dir():
        raise ConfigError(f"{results}: is not a folder; expected one that `affetto benchmark` wrote")
    rows: list[Row] = []
    damaged: list[str] = []
    for path in sorted(results.glob("*/*.json")):
        if path.name == "protocol.json" or (only is not None and path.parent.name not in only):
            continue
        try:
            rows.append(read(path))
        except ConfigError as error:
            damaged.append(str(error).replace(f"{results}/", "", 1))
    if not rows and not damaged:
        raise ConfigError(f"{results}: holds no results; expected <protocol>/<row>.json, as `affetto benchmark` writes")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.key, []).append(row)
    sections = []
    for group in groups.values():
        try:
            beside = [key for key in groups if key_of(key) == group[0].protocol]
            sections.append(_section(group, results, _differing(beside)))
        except ConfigError as error:
            damaged.append(str(error).replace(f"{results}/", "", 1))
    return Gathered(tuple(sorted(sections, key=_order)), tuple(damaged))


def _differing(keys: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What of `COMPARABLE` is not the same in all of some rows' keys."""
    each = zip(COMPARABLE, zip(*keys, strict=True), strict=True)
    return tuple(name for name, values in each if len(set(values)) > 1)


def key_of(key: tuple[str, ...]) -> str:
    """The protocol's id in a row's key."""
    return str(json.loads(key[0]))


def read(path: Path) -> Row:
    """One results file with the predictions beside it.

    Raises:
        ConfigError: if it is damaged: not JSON, lacking something, elsewhere than it says, or with scores that are not
            those of its predictions.
    """
    results = _load(path)
    for name, kind in NEEDED.items():
        if not isinstance(results.get(name), kind):
            found = "nothing" if results.get(name) is None else type(results[name]).__name__
            raise ConfigError(f"{path}: has {found} as '{name}'; benchmark it anew")
    for name, place in (("model", path.stem), ("protocol", path.parent.name)):
        if results[name] != place:
            raise ConfigError(f"{path}: its '{name}' is '{results[name]}'; expected '{place}', as the path says")
    row = Row(results, scores.read(path.with_suffix(".csv")))
    try:
        _check(row, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: is not a results file ({error!r}); benchmark it anew") from error
    return row


def compare_keys(a: Row, b: Row) -> None:
    """See that two rows may be compared.

    Raises:
        ProtocolError: if they may not, with both ids and what differs.
    """
    differ = [name for name in COMPARABLE if a.results[name] != b.results[name]]
    if differ:
        what = "; ".join(f"{name}: {_short(a.results[name])} and {_short(b.results[name])}" for name in differ)
        raise ProtocolError(
            f"'{a.name}' under {a.protocol} and '{b.name}' under {b.protocol} cannot be compared, they differ in {what}"
        )


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _load(path: Path) -> JSON:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); benchmark it anew") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no object; benchmark it anew")
    return content


def _check(row: Row, path: Path) -> None:
    """See that the scores of a results file are those of its predictions."""
    table, scoring = row.table, row.scoring
    missing = [column for column in scoring.columns if column not in table]
    if missing:
        raise ConfigError(f"{path.with_suffix('.csv')}: has no column {', '.join(missing)}; benchmark it anew")
    if isinstance(scoring, scores.CategoryScores):
        strange = sorted({*map(str, table["truth"]), *map(str, table["prediction"])} - set(scoring.labels))
        if strange:
            raise ConfigError(
                f"{path.with_suffix('.csv')}: has the class {', '.join(strange)}; expected {', '.join(scoring.labels)}"
            )
    of_fold = {(fold, seed): scoring.of(part) for (fold, seed), part in table.groupby(["fold", "seed"])}
    sizes = {key: len(part) for key, part in table.groupby(["fold", "seed"])}
    if sizes != {(fold["fold"], fold["seed"]): fold["n"] for fold in row.results["folds"]}:
        raise ConfigError(
            f"{path}: its predictions have other folds, seeds or clips than its scores; benchmark it anew"
        )
    for name in scoring.names:
        row.deviation(name), row.interval(name), row.by_speaker(name)  # can be read
        by_seed = pd.DataFrame(
            [(seed, float(found[name])) for (_, seed), found in of_fold.items()],
            columns=["seed", "score"],
        ).groupby("seed")["score"]
        computed = float(by_seed.apply(lambda part: part.mean(skipna=False)).mean(skipna=False))
        if not _same(row.score(name), computed):
            raise ConfigError(
                f"{path}: says {name} {row.score(name):.6f}, its predictions say {computed:.6f}; benchmark it anew"
            )


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _section(rows: list[Row], results: Path, apart: tuple[str, ...]) -> Section:
    first = rows[0]
    path = results / first.protocol / "protocol.json"
    definition = _load(path)
    others = [name for name in ("manifest_sha256", "folds_sha256") if definition.get(name) != first.results[name]]
    if others and not set(others) & set(apart):
        raise ConfigError(f"{path}: its {' and '.join(others)} are not those of {first.name}.json; benchmark it anew")
    if others:  # it describes the rows of another section
        definition = {"corpus": first.results["corpus"], "classes": first.results["labels"]}
    said = () if others else tuple(filter(partial(_said_of, first), published()))
    place = {entry.row: number for number, entry in enumerate(said)}
    ordered = sorted(rows, key=lambda row: (place.get(row.name, len(place)), row.trained_on != "train", row.name))
    return Section(tuple(ordered), definition, said, changes.tries(results, first.protocol), apart)


def _said_of(row: Row, entry: Published) -> bool:
    """Whether a paper's row stands under the same protocol, with scores of the same task."""
    return entry.protocol == row.protocol and set(entry.scores) <= set(row.scoring.names)


def _order(section: Section) -> tuple[Any, ...]:
    leak = section.leak
    return (
        section.results["simulated"],
        leak is not None,
        section.results["corpus"],
        section.learned_from is not None,
        LEAKS.index(leak[1]) if leak else 0,
        "speaker" in section.definition.get("shares", []),
        section.results["transductive"],
        section.title,
    )
