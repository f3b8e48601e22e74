"""Whom each row serves less well: its scores by sex and age of the speakers, and the gaps between them."""

import math

from affetto import groups
from affetto.groups import Comparison, Gap
from affetto.report.document import Block, Folded, Grid, Heading, Paragraph
from affetto.report.scoreboards import called
from affetto.report.sections import Row, Section
from affetto.report.tables import DASH, Code, Detail, Strong, Table, Text, Unit, p_value, unit

MEANING: Text = (
    Strong("Gaps between groups"),
    ": the score of the group that is heard best less that of the one that is heard worst, over all clips together. "
    "The equalised-odds gap asks, class by class, how often it is heard where it is meant (recall) and where it is not "
    "(false alarms), and is the largest difference of all; beside it stand what the largest is, on average, when the "
    "same speakers are dealt to groups at random, and p, how often it is then at least as large.",
)
"""What the columns are, for the chapter on meanings."""
KINDS = ("sex", "age")
"""What speakers are grouped by; speaker by speaker, every section is shown anyway."""


def served(section: Section) -> list[Block]:
    """Every row of a section by groups of its speakers, and one of them in full; nothing where these are not known.

    `affetto groups` shows any other in full.
    """
    about = groups.of_speakers(str(section.results["corpus"]))
    blocks: list[Block] = []
    for by in KINDS:
        found = [(row, compared) for row in section.rows if (compared := _compared(row, by, about)) is not None]
        if not found:
            continue
        blocks.append(Grid(_summary(found, by)))
        row, compared = max(found, key=_prominence)
        tables = (Grid(scores(compared, row)), Grid(gaps(compared, row)))
        blocks.append(Folded((Code(row.name), f" by {by}: every score and every class"), tables))
    if not blocks:
        return []
    return [Heading(("Whom it serves less well",)), Paragraph(_few(section)), *blocks]


def scores(found: Comparison, row: Row) -> Table:
    """Every score of every group."""
    of, scoring = unit(row.results["task"]), row.scoring
    names = [*scoring.headline, *scoring.further]
    rows = tuple(
        (
            (group.name,),
            (str(group.clips),),
            (str(group.speakers),),
            *(
                (*of.score(group.scores[name]), *of.interval((group.intervals[name].low, group.intervals[name].high)))
                for name in names
            ),
        )
        for group in found.groups
    )
    return Table((found.by, "clips", "speakers", *map(called, names)), rows)


def gaps(found: Comparison, row: Row) -> Table:
    """Every gap between the groups."""
    of = unit(row.results["task"])
    shown = [*(found.gaps[name] for name in row.scoring.headline), *found.of_classes]
    rows = tuple(
        (
            (called(gap.what) if gap.what in row.scoring.names else gap.what,),
            (gap.highest if gap.difference > 0 else DASH,),
            (gap.lowest if gap.difference > 0 else DASH,),
            _difference(gap, of),
            of.score(gap.by_chance),
            (p_value(gap.p_value),),
        )
        for gap in shown
    )
    heads = ("of", "highest", "lowest", "gap", "by chance", "p")
    return Table(heads, rows, words=(0, 1, 2))


def _prominence(pair: tuple[Row, Comparison]) -> tuple[bool, float]:
    """The row that ships comes first, then the best."""
    row, _ = pair
    score = row.score(row.scoring.primary)
    return bool(row.results.get("shipped")), -1.0 if math.isnan(score) else score


def _compared(row: Row, by: str, about: dict[str, dict[str, str]]) -> Comparison | None:
    return groups.compare(row.table, row.scoring, groups.known(row.table, by, about), by=by)


def _summary(found: list[tuple[Row, Comparison]], by: str) -> Table:
    """A line a row: its score in each group, the gap, and equalised odds."""
    scoring = found[0][0].scoring
    of, score = unit(found[0][0].results["task"]), scoring.primary
    names = [group.name for group in found[0][1].groups]
    rows = []
    for row, compared in found:
        own = {group.name: group for group in compared.groups}
        cells: list[Text] = [(Code(row.name),)]
        for name in names:
            group = own.get(name)
            ends = (group.intervals[score].low, group.intervals[score].high) if group else (math.nan, math.nan)
            cells.append((*of.score(group.scores[score]), *of.interval(ends)) if group else (DASH,))
        gap, odds = compared.gaps[score], compared.odds
        cells += [_difference(gap, of), (p_value(gap.p_value),)]
        if odds is not None:
            where = Detail(f"({odds.what}: {odds.highest} over {odds.lowest})")
            cells += [(*of.score(odds.difference), where), of.score(odds.by_chance), (p_value(odds.p_value),)]
        rows.append(tuple(cells))
    heads = ["row", *(f"{called(score)}, {name}" for name in names), "gap", "p"]
    heads += ["equalised-odds gap", "by chance", "p"] if len(rows[0]) > len(heads) else []
    sizes = ", ".join(f"{group.name}: {group.speakers} speakers" for group in found[0][1].groups)
    return Table(tuple(heads), tuple(rows), f"By {by} ({sizes}); {of.name}, with 95 % intervals over speakers.")


def _difference(gap: Gap, of: Unit) -> Text:
    return (*of.score(gap.difference), *of.interval((gap.interval.low, gap.interval.high)))


def _few(section: Section) -> Text:
    speakers = len(section.definition.get("speakers", []))
    tested = {speaker for fold in section.definition.get("folds", []) for speaker in fold["test_speakers"]}
    number = len(tested) or speakers
    return (
        f"The clips of {number} speakers by what the corpus says of these. So few speakers differ by chance as groups "
        "do: a gap is one to worry about where it is far from what chance gives, and one that is not found may be "
        "there.",
    )
