"""Published numbers, with the paper and the table that they stand in, and what of ours they are set beside."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Scores = dict[str, float]


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


@dataclass(frozen=True)
class Line:
    """A system in a table or a chart of a paper.

    Args:
        model: as the paper calls it.
        row: our row of the same model; None if there is none.
        scores: by protocol of ours, in 0..1; a protocol without any is one whose numbers cannot be read.
    """

    model: str
    row: str | None
    scores: dict[str, Scores]


@dataclass(frozen=True)
class Exhibit:
    """A table or a chart of a paper.

    Args:
        name: its name there.
        part: the section that it stands in.
        title: corpus, and what is compared.
        protocols: ids of ours that its numbers are set beside, with what the paper calls each way of testing.
        remark: what to know before comparing.
        lines: its systems.
        drawn: whether it is a chart.
    """

    name: str
    part: str
    title: str
    protocols: dict[str, str]
    remark: str
    lines: tuple[Line, ...]
    drawn: bool


@dataclass(frozen=True)
class Matrix:
    """What the words of a paper say of a confusion matrix.

    Args:
        name: of the figure there.
        part: the section that it stands in.
        title: corpus and way of testing.
        protocol: id of ours that it is set beside.
        says: words by class.
        remark: whether they can be true.
    """

    name: str
    part: str
    title: str
    protocol: str
    says: dict[str, str]
    remark: str


@dataclass(frozen=True)
class Column:
    """A column of a board.

    Args:
        head: above it, in the paper's words.
        score: of ours that stands below the paper's.
        protocol: of ours that follows the paper's description.
        stand_in: of ours that stands in where its corpora cannot be had.
        ending: of our rows' names.
    """

    head: str
    score: str
    protocol: str
    stand_in: str
    ending: str = ""


@dataclass(frozen=True)
class Place:
    """A system in a board.

    Args:
        model: as the paper calls it.
        row: how the names of our rows of it begin.
        printed: what the paper prints in each column: the mean over seeds, the deviation in brackets, and marks.
        average: rows whose best seeds it averages, where best seeds are shown.
    """

    model: str
    row: str
    printed: tuple[str, ...]
    average: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """A table of a paper with means over seeds, and marks where they differ by more than chance.

    Args:
        name: its name there.
        part: the section that it stands in.
        title: what is compared.
        remark: what to know before comparing.
        columns: its columns.
        lines: its systems.
        best: whether it shows the seed that is best on dev, in place of the mean.
        residuals: the figure with lines through the residuals of these systems; empty if there is none.
        confusions: the figure with their confusion matrices, of the seeds that are best on dev; empty if there is none.
    """

    name: str
    part: str
    title: str
    remark: str
    columns: tuple[Column, ...]
    lines: tuple[Place, ...]
    best: bool = False
    residuals: str = ""
    confusions: str = ""


@dataclass(frozen=True)
class Fault:
    """What went wrong in the making of results, and is mended since.

    Args:
        commit: that made them; of others it is not said.
        says: what went wrong.
    """

    commit: str
    says: str


@dataclass(frozen=True)
class Remark:
    """Why results of ours are not where a paper's are.

    Args:
        settings: the fingerprint of these results; of others, with the same name, it is not said.
        says: the reason.
        fault: what went wrong in their making, if anything did.
    """

    settings: str
    says: str
    fault: Fault | None = None


@dataclass(frozen=True)
class Study:
    """A paper's experiments.

    Args:
        name: of the paper, in ids.
        paper: who published.
        proposed: our row of the system that it puts forward.
        parts: titles of its sections, by their numbers.
        exhibits: tables and charts.
        matrices: confusion matrices.
        boards: tables of means over seeds.
        instead: from the paper's corpora to those that stand in for them in boards.
        not_run: why protocols of ours have no results, where there is a reason.
        remarks: why rows of ours differ from its numbers, by row and protocol.
    """

    name: str
    paper: Paper
    proposed: str
    parts: dict[str, str]
    exhibits: tuple[Exhibit, ...]
    matrices: tuple[Matrix, ...]
    boards: tuple[Board, ...]
    instead: dict[str, str]
    not_run: dict[str, str]
    remarks: dict[str, dict[str, Remark]]


@cache
def studies() -> tuple[Study, ...]:
    """Every paper in `literature.yaml` with all that it shows."""
    found = []
    for entry in _content()["papers"]:
        exhibits = [_table(table) for table in entry["tables"]]
        exhibits += [_exhibit(table, drawn=False) for table in entry["cited"]]
        exhibits += [_exhibit(chart, drawn=True) for chart in entry["charts"]]
        matrices = tuple(Matrix(**matrix) for matrix in entry["matrices"])
        boards = tuple(map(_board, entry["boards"]))
        known = (entry["proposed"], entry["parts"], tuple(exhibits), matrices, boards, entry["instead"])
        found.append(Study(entry["id"], _paper(entry), *known, entry["not_run"], _remarks(entry["remarks"])))
    return tuple(found)


def _remarks(content: dict[str, dict[str, Any]]) -> dict[str, dict[str, Remark]]:
    return {
        row: {protocol: _remark(**remark) for protocol, remark in remarks.items()} for row, remarks in content.items()
    }


def _remark(settings: str, says: str, fault: dict[str, str] | None = None) -> Remark:
    return Remark(settings, says, None if fault is None else Fault(**fault))


def remark(study: Study, row: str, protocol: str, settings: str) -> Remark | None:
    """What a paper's study says of results of ours, if these are the ones that it speaks of.

    Args:
        study: the paper.
        row: the results' row.
        protocol: id of the one that they are of.
        settings: their fingerprint.
    """
    found = study.remarks.get(row, {}).get(protocol)
    return found if found is not None and found.settings == settings else None


@cache
def published() -> tuple[Published, ...]:
    """What the authors of every paper in `literature.yaml` measured themselves, in its order."""
    found = []
    for entry in _content()["papers"]:
        paper = _paper(entry)
        for table in entry["tables"]:
            for line in table["scores"]:
                scores = {name: round(line[name] / 100, 6) for name in ("wa", "ua")}
                about = (table["table"], table["title"], table["protocol"], table["remark"], table["trained_on"])
                found.append(Published(paper, *about, line["model"], line["row"], scores))
    return tuple(found)


def _content() -> Any:
    return yaml.safe_load((Path(__file__).parent / "literature.yaml").read_text(encoding="utf-8"))


def _paper(entry: dict[str, Any]) -> Paper:
    return Paper(entry["short"], entry["cite"], entry["remark"])


def _table(table: dict[str, Any]) -> Exhibit:
    """A table with one protocol."""
    protocol, lines = table["protocol"], []
    for line in table["scores"]:
        scores = {**_shares({name: line[name] for name in ("wa", "ua")}), "macro_f1": float(line["f1"])}
        lines.append(Line(line["model"], line["row"], {protocol: scores}))
    about = (table["table"], table["part"], table["title"], {protocol: ""}, table["remark"])
    return Exhibit(*about, tuple(lines), drawn=False)


def _exhibit(content: dict[str, Any], *, drawn: bool) -> Exhibit:
    """A table or a chart with several protocols."""
    lines = []
    for line in content["scores"]:
        scores = {protocol: _shares(line[protocol]) for protocol in content["protocols"] if protocol in line}
        lines.append(Line(line["model"], line["row"], scores))
    about = (content["name"], content["part"], content["title"], content["protocols"], content["remark"])
    return Exhibit(*about, tuple(lines), drawn=drawn)


def _board(content: dict[str, Any]) -> Board:
    columns = tuple(Column(**column) for column in content["columns"])
    lines = tuple(
        Place(line["model"], line["row"], tuple(map(str, line["printed"])), tuple(line.get("average", ())))
        for line in content["lines"]
    )
    return Board(**{**content, "columns": columns, "lines": lines})


def _shares(per_cent: Scores) -> Scores:
    return {name: round(value / 100, 6) for name, value in per_cent.items()}
