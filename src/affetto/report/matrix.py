"""Rows across corpora as matrices: what was learned on which corpus, heard on which."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from affetto.report.sections import Row, Section

Clips = frozenset[tuple[str, float]]


@dataclass(frozen=True, eq=False)
class Matrix:
    """One row of an experiment across corpora.

    Args:
        name: of the row.
        labels: the classes that all corpora share.
        trained: what was learned from, in order; several corpora are joined by +.
        tested: what was tested, in order; with which clips, if not all.
        rows: what was measured, by trained, tested and whether with each speaker's own baseline.
        tries: configurations that were scored, by the same.
    """

    name: str
    labels: tuple[str, ...]
    trained: tuple[str, ...]
    tested: tuple[str, ...]
    rows: dict[tuple[str, str, bool], Row] = field(repr=False)
    tries: dict[tuple[str, str, bool], int] = field(repr=False)

    def row(self, trained: str, tested: str, *, transductive: bool) -> Row | None:
        """What was measured in one place; None if nothing was."""
        return self.rows.get((trained, tested, transductive))


def is_across(section: Section) -> bool:
    """Whether a section's models learned from whole corpora and were tested on another."""
    return "trained" in section.definition


def matrices(sections: Iterable[Section]) -> tuple[Matrix, ...]:
    """The matrices of all rows across corpora, by name and classes."""
    across = [section for section in sections if is_across(section)]
    heads = _heads(across)
    groups: dict[tuple[str, tuple[str, ...]], dict[tuple[str, str, bool], tuple[Row, int]]] = {}
    for section in across:
        trained = "+".join(section.definition["trained"])
        for row in section.rows:
            place = (trained, heads[_clips(row)], bool(section.results["transductive"]))
            found = groups.setdefault((row.name, tuple(section.results["labels"])), {})
            found[place] = (row, section.tries)
    return tuple(_matrix(name, labels, groups[name, labels]) for name, labels in sorted(groups))


def _matrix(name: str, labels: tuple[str, ...], found: dict[tuple[str, str, bool], tuple[Row, int]]) -> Matrix:
    trained = sorted({place[0] for place in found}, key=lambda text: (text.count("+"), text))
    return Matrix(
        name,
        labels,
        tuple(trained),
        tuple(sorted({place[1] for place in found})),
        {place: row for place, (row, _) in found.items()},
        {place: tries for place, (_, tries) in found.items()},
    )


def _heads(across: list[Section]) -> dict[Clips, str]:
    """What each set of tested clips is called: two protocols that test the same clips stand in one column."""
    heads: dict[Clips, str] = {}
    for section in across:
        tested, clips = section.definition["tested"], section.definition["clips"]
        for row in section.rows:
            if clips == "all" or _clips(row) not in heads:
                heads[_clips(row)] = tested if clips == "all" else f"{tested} {clips}"
    return heads


def _clips(row: Row) -> Clips:
    return frozenset(zip(row.table["file"], row.table["start"], strict=True))
