"""A paper, section by section, beside what we measured: its tables, charts and confusion matrices, and its claims.

What we have no results for is shown as not run, and nothing is put in its place.
"""

import math

import numpy as np
import numpy.typing as npt

from affetto.report import exhibits, figures
from affetto.report.comparisons import Best, compare
from affetto.report.document import Block, Chapter, Gallery, Grid, Heading, Paragraph, Picture, Points
from affetto.report.exhibits import FAR, RIVALS, Ceilings, Measured
from affetto.report.literature import Board, Exhibit, Line, Matrix, Study
from affetto.report.scoreboards import ALPHA, called
from affetto.report.sections import Gathered, Row
from affetto.report.tables import PER_CENT, Code, Strong, Text, anchor, listed, p_value, plural
from affetto.scores import DimensionScores

CHART_SCORE = "ua"
"""What the bars of a paper's charts show."""
READING: tuple[Text, ...] = (
    (
        "Scores are per cent, differences points. The interval of a difference is that of our score, less the paper's "
        "number, which has none.",
    ),
    (
        f"Where WA or UA is more than {100 * FAR:.0f} points from the paper's, the last column says why, or that it is "
        "not explained yet.",
    ),
    ("F1 is set beside our macro F1 without a difference: the paper does not say how it is averaged.",),
    (
        Strong("Beats"),
        f" means a higher UA, mean over speakers, with p up to {ALPHA} in the paired permutation test over speakers. "
        "The p-values are not corrected for their number.",
    ),
    (
        Strong("Reaches"),
        " means that our interval holds the paper's number, ",
        Strong("passes"),
        " that all of it lies above.",
    ),
)


BOARD_READING: tuple[Text, ...] = (
    (
        "UA is per cent, the others are not. A line of ours is the mean over seeds with the deviation in brackets, as "
        "in the paper. Where the paper's corpora are not to be had, a second table has the same rows on corpora that "
        "stand in for them: those numbers are to be compared with one another, and never with the paper's.",
    ),
    (
        f"{listed(RIVALS)} mark a row that differs from {listed(RIVALS.values(), 'or')}, in whichever direction, by a "
        f"two-sided t-test of independent samples over seeds (p up to {ALPHA}). The test asks about other seeds on "
        "these clips, not about other speakers, and is not corrected for their number.",
    ),
    (
        "PCC is Pearson's correlation, which is blind to the scale. Across corpora a network's answers are put on the "
        "tested corpus's scale, end to end.",
    ),
)


def measured(gathered: Gathered) -> Measured:
    """The rows that stand beside a paper's numbers.

    Returns:
        By protocol and name. Rows on simulated data or on another copy of a corpus are not among them.
    """
    return {
        (row.protocol, row.name): row
        for section in gathered.sections
        if section.published and section.results["task"] == "categories" and not section.results["simulated"]
        for row in section.rows
    }


def every(gathered: Gathered) -> Measured:
    """All rows by protocol and name, of whatever task, for tables that say what stands where."""
    return {(row.protocol, row.name): row for section in gathered.sections for row in section.rows}


def ceilings(gathered: Gathered) -> Ceilings:
    """What perfect readers of simulated corpora would reach, by protocol."""
    found: Ceilings = {}
    for section in gathered.sections:
        for reader, known in section.ceilings.items():
            found.setdefault(section.protocol, {}).setdefault(reader, {}).update(known)
    return found


def chapter(study: Study, found: Measured, known: Measured, perfect: Ceilings) -> Chapter:
    """A paper beside what we measured, in the order of its sections.

    Args:
        study: the paper.
        found: `measured` rows, that its exhibits and matrices are set beside.
        known: `every` row, that its boards are set beside.
        perfect: `ceilings` of the corpora that stand in.
    """
    blocks: list[Block] = [*_introduction(study, {**known, **found})]
    for number, title in study.parts.items():
        blocks.append(Heading((f"{number} {title}",)))
        for exhibit in study.exhibits:
            blocks += _exhibit(exhibit, study, found) if exhibit.part == number else []
        for matrix in study.matrices:
            blocks += _matrix(matrix, study, found) if matrix.part == number else []
        for board in study.boards:
            blocks += _board(board, study, known, perfect) if board.part == number else []
    return Chapter((f"The paper beside what we measured: {study.paper.short}",), place(study), tuple(blocks))


def place(study: Study) -> str:
    """The anchor of a paper's chapter, and how the names of its pictures begin."""
    return anchor(f"paper-{study.name}")


def _introduction(study: Study, found: Measured) -> list[Block]:
    asked = {
        (protocol, line.row)
        for exhibit in study.exhibits
        for line in exhibit.lines
        for protocol in line.scores
        if line.row
    }
    asked |= {
        (column.protocol, f"{line.row}{column.ending}")
        for board in study.boards
        for line in board.lines
        for column in board.columns
    }
    run = sum(key in found for key in asked)
    words = (
        f"{study.paper.cite}. {study.paper.remark} Of the {len(asked)} results that would stand beside the paper's, "
        f"{run} {'is' if run == 1 else 'are'} there; the others are shown as not run.",
    )
    return [Paragraph(words), Points(BOARD_READING if study.boards else READING)]


def _board(board: Board, study: Study, known: Measured, perfect: Ceilings) -> list[Block]:
    """A table of means over seeds, and the same of the corpora that stand in."""
    blocks: list[Block] = [Grid(exhibits.board(board, study, known))]
    blocks += [Paragraph((board.remark,))] if board.remark else []
    blocks += _of_best_seeds(board, study, known, board.columns[0].protocol)
    instead = exhibits.stand_in(board, study, known, perfect)
    if instead is None:
        return [*blocks, Paragraph((f"{board.name} on the corpora that stand in: not run.",))]
    simulated = any(row.results["simulated"] for (protocol, _), row in known.items() if protocol in _stand_ins(board))
    loud = [Paragraph((Strong("Simulated data:"), " these numbers say nothing about speech."), loud=True)]
    best = _of_best_seeds(board, study, known, board.columns[0].stand_in)
    return [*blocks, *(loud if simulated else []), Grid(instead), *best]


def _of_best_seeds(board: Board, study: Study, known: Measured, protocol: str) -> list[Block]:
    """The figures that a paper has of each system's best seed."""
    shown = exhibits.best_seeds(board, known, protocol)
    if shown and board.confusions:
        return [_confusions(board, study, shown, protocol)]
    return _residuals(board, study, shown, protocol) if shown and board.residuals else []


def _confusions(board: Board, study: Study, shown: dict[str, Best], protocol: str) -> Block:
    """What each system's best seed takes for what."""
    pictures = []
    for name, found in shown.items():
        counts = found.scoring.sums(found.table).astype(np.int64)
        file = f"{_figure_name(board.confusions, study, protocol)}-{anchor(name)}"
        alt = f"Confusion matrix of {name} under {protocol}, {found.words}."
        drawn = figures.confusion(counts, found.scoring.labels, small=True)
        pictures.append(Picture(file, drawn, alt, (f"As {board.confusions}: ", Code(name), f", {found.words}")))
    return Gallery(tuple(pictures))


def _figure_name(figure: str, study: Study, protocol: str) -> str:
    return f"{place(study)}-{anchor(figure.lower().replace(' ', '-'))}-{anchor(protocol)}"


def _residuals(board: Board, study: Study, shown: dict[str, Best], protocol: str) -> list[Block]:
    """Lines through the residuals of each system's best seed."""
    labels = exhibits.residual_labels(board)
    pairs = {name: DimensionScores(labels).pairs(found.table) for name, found in shown.items()}
    figure = figures.residual_lines(pairs, labels)
    alt = f"Lines through the residuals of {listed(shown)} under {protocol}, a panel a dimension."
    caption = (
        f"As {board.residuals}: prediction minus truth over the truth. Where a line falls, the answers keep to the "
        "middle of the scale; a slope of 0 would be errors that do not depend on the truth.",
    )
    name = _figure_name(board.residuals, study, protocol)
    return [Grid(exhibits.slopes(board, shown, protocol)), Picture(name, figure, alt, caption)]


def _stand_ins(board: Board) -> set[str]:
    return {column.stand_in for column in board.columns}


def _exhibit(exhibit: Exhibit, study: Study, found: Measured) -> list[Block]:
    """A table or a chart, and whether its claims hold."""
    blocks: list[Block] = [Grid(exhibits.exhibit(exhibit, study, found))]
    if exhibit.drawn and any((protocol, line.row) in found for line in exhibit.lines for protocol in line.scores):
        blocks.append(_chart(exhibit, study, found))
    blocks += [Paragraph((exhibit.remark,))] if exhibit.remark else []
    claims = tuple(
        (*_named(word), *claim)
        for protocol, word in exhibit.protocols.items()
        for claim in _claims(protocol, exhibit, study, found)
    )
    if not exhibit.drawn and len(exhibit.protocols) == 1:  # a table that the paper's authors measured
        claims = (*_reach(next(iter(exhibit.protocols)), exhibit, study, found), *claims)
    return [*blocks, *([Points(claims)] if claims else [])]


def _named(word: str) -> Text:
    return (f"{word[0].upper()}{word[1:]}: ",) if word else ()


def _reach(protocol: str, exhibit: Exhibit, study: Study, found: Measured) -> list[Text]:
    """Whether our row of what the paper puts forward reaches the paper's numbers, a sentence a score."""
    ours = found.get((protocol, study.proposed))
    lines = [line for line in exhibit.lines if line.row == study.proposed]
    if ours is None or not lines:
        return []
    claims: list[Text] = []
    for score in ("wa", "ua"):
        published, (low, high) = lines[0].scores[protocol][score], ours.interval(score)
        if math.isnan(low):
            continue
        verdict = "passes" if low > published else "reaches" if high >= published else "does not reach"
        ends = " to ".join(f"{100 * end:.2f}" for end in (low, high))
        said = f" the paper's {called(score)} of {100 * published:.2f}: 95 % interval {ends}."
        claims.append((Code(ours.name), " ", Strong(verdict), said))
    return claims


def _claims(protocol: str, exhibit: Exhibit, study: Study, found: Measured) -> list[Text]:
    """Whether our row of what the paper puts forward beats the others, a sentence each."""
    names = [line.row for line in exhibit.lines if line.row and line.row != study.proposed and protocol in line.scores]
    ours = found.get((protocol, study.proposed))
    if ours is None:
        return [_unknown(study.proposed, names, study.proposed, study.not_run.get(protocol))] if names else []
    claims = []
    for name in names:
        other = found.get((protocol, name))
        claims.append(_claim(ours, other) if other else _unknown(ours.name, [name], name, study.not_run.get(protocol)))
    return claims


def _unknown(first: str, others: list[str], missing: str, reason: str | None) -> Text:
    """That it is not known whether a row beats others, and why."""
    commas = [", "] * (len(others) - 2) + [" and "] * (len(others) > 1)
    rivals = [piece for other, comma in zip(others, [*commas, ""], strict=True) for piece in (Code(other), comma)]
    end = f" was not run{f' ({reason})' if reason else ''}."
    return (Code(first), " against ", *rivals, ": not known, as ", Code(missing), end)


def _claim(a: Row, b: Row) -> Text:
    """Whether a row beats another, with the test over speakers."""
    names: Text = (Code(a.name), " and ", Code(b.name))
    if a.key != b.key:
        return (*names, " cannot be compared: they were not tested alike.")
    pair = compare(a, b)
    test = pair.speakers
    if math.isnan(test.p_value):
        return (*names, " cannot be compared: no speaker has a score in both.")
    beats = test.difference > 0 and test.p_value <= ALPHA
    doubt = "" if test.p_value <= ALPHA else ", which may be chance"
    splits = "" if pair.same_training else "; they were trained on other splits"
    numbers = (
        f": {called(pair.score)} {PER_CENT.difference(test.difference)} points, ahead with {pair.ahead} of "
        f"{plural(test.n, 'speaker', 'speakers')}, p = {p_value(test.p_value)}{doubt}{splits}."
    )
    return (Code(a.name), " ", Strong("beats" if beats else "does not beat"), " ", Code(b.name), numbers)


def _chart(exhibit: Exhibit, study: Study, found: Measured) -> Picture:
    """Our bars with intervals, the paper's as marks."""
    rows = {
        f"{called(CHART_SCORE)}, {word}": [_bar(line, protocol, found) for line in exhibit.lines]
        for protocol, word in reversed(exhibit.protocols.items())
    }
    figure = figures.bars(rows, factor=PER_CENT.factor, chance=None, label=PER_CENT.name)
    said = "; ".join(
        f"{kind}: {', '.join(f'{bar.name} {_value(bar)}' for bar in bars)}" for kind, bars in reversed(rows.items())
    )
    empty = any(math.isnan(bar.score) for bars in rows.values() for bar in bars)
    caption = (
        f"{exhibit.name} on {exhibit.title}: our bars with 95 % intervals over speakers, the paper's as diamonds"
        f"{'; where there is no bar, we have no result' if empty else ''}.",
    )
    name = f"{place(study)}-{anchor(exhibit.name.lower().replace(' ', '-'))}-{next(iter(exhibit.protocols))}"
    return Picture(name, figure, f"Bars of {exhibit.name}. {said}.", caption)


def _bar(line: Line, protocol: str, found: Measured) -> figures.Bar:
    row = found.get((protocol, line.row)) if line.row else None
    score = row.score(CHART_SCORE) if row else math.nan
    interval = row.interval(CHART_SCORE) if row else (math.nan, math.nan)
    return figures.Bar(line.model, score, interval, line.scores.get(protocol, {}).get(CHART_SCORE))


def _value(bar: figures.Bar) -> str:
    return "no result" if math.isnan(bar.score) else " ".join(PER_CENT.score(bar.score))


def _matrix(matrix: Matrix, study: Study, found: Measured) -> list[Block]:
    """What the paper says of a confusion matrix, and ours of the same system."""
    row = found.get((matrix.protocol, study.proposed))
    blocks: list[Block] = [Grid(exhibits.recalls(matrix, study, _recalls(row) if row else None))]
    if row:
        blocks.append(_confusion(matrix, row, study))
    return [*blocks, *([Paragraph((matrix.remark,))] if matrix.remark else [])]


def _confusion(matrix: Matrix, row: Row, study: Study) -> Picture:
    labels = row.results["labels"]
    right = [f"{label} {' '.join(PER_CENT.score(recall))}" for label, recall in _recalls(row).items()]
    alt = f"Confusion matrix of {row.name} under {row.protocol}: right for {listed(right)} per cent."
    caption: Text = (
        f"Beside {matrix.name}, {matrix.title}: ",
        Code(row.name),
        ", clips of all folds and seeds together.",
    )
    name = f"{place(study)}-{anchor(matrix.name.lower().replace(' ', '-'))}"
    return Picture(name, figures.confusion(_counts(row), labels), alt, caption)


def _recalls(row: Row) -> dict[str, float]:
    """The share of each class's clips that is heard rightly, over all folds and seeds; NaN for a class without any."""
    counts = _counts(row)
    return {
        label: float(counts[place, place] / total) if (total := counts[place].sum()) else math.nan
        for place, label in enumerate(row.results["labels"])
    }


def _counts(row: Row) -> npt.NDArray[np.int64]:
    return row.scoring.sums(row.table).astype(np.int64)
