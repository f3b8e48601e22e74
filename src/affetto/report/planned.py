"""What the experiments that ship ask for and a folder of results does not hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from affetto.report.document import Chapter, Grid, Paragraph
from affetto.report.sections import Gathered, Row
from affetto.report.tables import Code, Table, coded

PLACE = "not-run"
"""Anchor of the chapter."""


@dataclass(frozen=True)
class Asked:
    """A row that an experiment asks for.

    Args:
        experiment: the name that it ships by.
        corpus: its name.
        protocol: as the experiment has it.
        row: its id.
        fingerprint: of its settings.
        seeds: all of them.
    """

    experiment: str
    corpus: str
    protocol: str
    row: str
    fingerprint: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Missing:
    """What is not there of one experiment under one of its protocols.

    Args:
        experiment: the name that it ships by.
        protocol: as the experiment has it.
        rows: without a result that has their settings.
        fewer: rows with a result of fewer seeds than asked for: number there and number asked for, by row.
    """

    experiment: str
    protocol: str
    rows: tuple[str, ...]
    fewer: dict[str, tuple[int, int]]


def missing(gathered: Gathered, asked: Sequence[Asked]) -> tuple[Missing, ...]:
    """What is not there of what is asked for, on the corpora that results are of.

    Experiments on other corpora are left out: who has not their recordings cannot run them.
    """
    there = {_key(row): row for section in gathered.sections for row in section.rows}
    corpora = {corpus for corpus, _, _ in there}
    together: dict[tuple[str, str], list[Asked]] = {}
    for each in asked:
        if each.corpus in corpora:
            together.setdefault((each.experiment, each.protocol), []).append(each)
    found = [_missing(*key, rows, there) for key, rows in together.items()]
    return tuple(each for each in found if each.rows or each.fewer)


def chapter(gathered: Gathered, asked: Sequence[Asked]) -> Chapter | None:
    """A table of what is missing; None if nothing is."""
    found = missing(gathered, asked)
    if not found:
        return None
    words = (
        "Rows of the experiments that ship, on the corpora above, that have no result here with the settings that the "
        "experiment gives them, or one of fewer seeds than it asks for. ",
        Code("affetto benchmark EXPERIMENT --corpus CORPUS"),
        " runs what is missing; nothing is put in its place.",
    )
    rows = tuple(
        ((Code(each.experiment),), (Code(each.protocol),), coded(each.rows), coded(each.fewer, _seeds(each)))
        for each in found
    )
    table = Table(("experiment", "protocol", "not run", "seeds that there are"), rows, words=(0, 1, 2, 3))
    return Chapter(("What was not run",), PLACE, (Paragraph(words), Grid(table)))


def _key(row: Row) -> tuple[str, str, str]:
    """Corpus, protocol and row as the experiment names them."""
    config = row.results["config"]
    return str(config.get("corpus")), str(config.get("protocol")), row.name


def _missing(name: str, protocol: str, asked: list[Asked], there: dict[tuple[str, str, str], Row]) -> Missing:
    rows, fewer = [], {}
    for each in asked:
        row = there.get((each.corpus, each.protocol, each.row))
        if row is None or row.results["fingerprint"] != each.fingerprint:
            rows.append(each.row)
        elif set(each.seeds) - set(row.results["seeds"]):
            fewer[each.row] = (len(set(each.seeds) & set(row.results["seeds"])), len(each.seeds))
    return Missing(name, protocol, tuple(rows), fewer)


def _seeds(each: Missing) -> dict[str, str]:
    return {name: f" {there} of {asked}" for name, (there, asked) in each.fewer.items()}
