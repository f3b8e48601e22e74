"""Published numbers, with the paper and the table that they stand in, and what of ours they are set beside."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Paper:
    """Who published.

    Args:
        short: what it is called in a table.
        cite: the reference.
        remark: what to know before comparing.
    """

    short: str
    cite: str
    remark: str


@dataclass(frozen=True)
class Published:
    """One row of one table of a paper.

    Args:
        paper: who published it.
        table: its name there.
        title: corpus and way of testing.
        protocol: id of ours that follows the paper's description; None if there is none.
        remark: how far it does.
        trained_on: in the paper's words.
        model: as the paper calls it.
        row: our row of the same model; None if there is none.
        scores: `wa` and `ua`, in 0..1.
    """

    paper: Paper
    table: str
    title: str
    protocol: str | None
    remark: str
    trained_on: str
    model: str
    row: str | None
    scores: dict[str, float]


@cache
def published() -> tuple[Published, ...]:
    """Everything in `literature.yaml`, in its order."""
    content = yaml.safe_load((Path(__file__).parent / "literature.yaml").read_text(encoding="utf-8"))
    found = []
    for entry in content["papers"]:
        paper = Paper(entry["short"], entry["cite"], entry["remark"])
        for table in entry["tables"]:
            for line in table["scores"]:
                scores = {name: round(line[name] / 100, 6) for name in ("wa", "ua")}
                about = (table["table"], table["title"], table["protocol"], table["remark"], table["trained_on"])
                found.append(Published(paper, *about, line["model"], line["row"], scores))
    return tuple(found)
