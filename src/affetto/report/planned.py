"""What the experiments that ship ask for and a folder of results does not hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from affetto import experiment
from affetto.experiment import Experiment
from affetto.report.document import Chapter, Grid, Paragraph
from affetto.report.sections import Gathered, Row
from affetto.report.tables import DASH, Code, Table, Text

PLACE = "not-run"
"""Anchor of the chapter."""


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


def missing(gathered: Gathered) -> tuple[Missing, ...]:
    """What is not there of the experiments that ship, on the corpora that results are of.

    Experiments on other corpora are left out: who has not their recordings cannot run them.
    """
    there = {_key(row): row for section in gathered.sections for row in section.rows}
    corpora = {corpus for corpus, _, _ in there}
    found = []
    for name in experiment.names():
        by_protocol: dict[str, list[Experiment]] = {}
        for each in experiment.read(name):
            if each.corpus in corpora:
                by_protocol.setdefault(each.protocol, []).append(each)
        found += [_missing(name, protocol, rows, there) for protocol, rows in by_protocol.items()]
    return tuple(each for each in found if each.rows or each.fewer)


def chapter(gathered: Gathered) -> Chapter | None:
    """A table of what is missing; None if nothing is."""
    found = missing(gathered)
    if not found:
        return None
    words = (
        "Rows of the experiments that ship, on the corpora above, that have no result here, or one of fewer seeds than "
        "the experiment asks for. ",
        Code("affetto benchmark EXPERIMENT --corpus CORPUS"),
        " runs what is missing; nothing is put in its place.",
    )
    rows = tuple(
        ((Code(each.experiment),), (Code(each.protocol),), _coded(each.rows), _coded(each.fewer, _seeds(each)))
        for each in found
    )
    table = Table(("experiment", "protocol", "not run", "seeds that there are"), rows, words=(0, 1, 2, 3))
    return Chapter(("What was not run",), PLACE, (Paragraph(words), Grid(table)))


def _key(row: Row) -> tuple[str, str, str]:
    """Corpus, protocol and row as the experiment names them."""
    config = row.results["config"]
    return str(config.get("corpus")), str(config.get("protocol")), row.name


def _missing(name: str, protocol: str, asked: list[Experiment], there: dict[tuple[str, str, str], Row]) -> Missing:
    rows, fewer = [], {}
    for each in asked:
        row = there.get((each.corpus, each.protocol, each.name))
        if row is None or row.results["fingerprint"] != each.fingerprint:
            rows.append(each.name)
        elif set(each.seeds) - set(row.results["seeds"]):
            fewer[each.name] = (len(set(each.seeds) & set(row.results["seeds"])), len(each.seeds))
    return Missing(name, protocol, tuple(rows), fewer)


def _coded(names: Iterable[str], said: Mapping[str, str] = MappingProxyType({})) -> Text:
    """Names with what is said of each; a dash for none."""
    pieces = [piece for name in names for piece in (", ", Code(name), said.get(name, ""))]
    return tuple(pieces[1:]) or (DASH,)


def _seeds(each: Missing) -> dict[str, str]:
    return {name: f" {there} of {asked}" for name, (there, asked) in each.fewer.items()}
