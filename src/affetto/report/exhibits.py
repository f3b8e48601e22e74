"""Tables of papers, beside what we measured: each system with ours and the difference below."""

import math

from affetto import statistics
from affetto.report.comparisons import Best, averaged, best, residual_slope
from affetto.report.literature import Board, Column, Exhibit, Line, Matrix, Place, Scores, Study, remark
from affetto.report.scoreboards import ALPHA, called, scored
from affetto.report.sections import Row
from affetto.report.tables import DASH, MINUS, PER_CENT, PLAIN, Code, Detail, Table, Text, Unit, listed

FAR = 0.03
"""A difference to a paper's WA or UA beyond which it asks for an explanation."""
EXHIBITED = ("wa", "ua", "macro_f1")
"""Scores that papers print, in the order of the columns."""
UNEXPLAINED = "not explained yet"
RIVALS = {"\N{ASTERISK OPERATOR}": "cnn14", "\N{DAGGER}": "bert"}
"""Marks of the second paper, and our rows that a marked one differs from (tables 1 to 3)."""
Measured = dict[tuple[str, str], Row]
"""Rows of ours by protocol and name."""
Ceilings = dict[str, dict[str, dict[str, float]]]
"""What perfect readers would reach: by protocol, reader and score."""


def exhibit(said: Exhibit, study: Study, found: Measured) -> Table:
    """A table or a chart of a paper: each of its systems, with ours and the difference below."""
    columns = [
        (protocol, name)
        for protocol in said.protocols
        for name in EXHIBITED
        if any(name in line.scores.get(protocol, {}) for line in said.lines)
    ]
    rows: list[tuple[Text, ...]] = []
    soft = []
    for line in said.lines:
        soft.append(len(rows))
        theirs = (_printed(name, line.scores.get(protocol, {}).get(name)) for protocol, name in columns)
        rows.append(((line.model,), *theirs, (_theirs(line),)))
        if not line.row:
            continue
        own = {protocol: found.get((protocol, line.row)) for protocol in said.protocols}
        cells = (scored(row, (name,), PER_CENT)[0] if (row := own[protocol]) else (DASH,) for protocol, name in columns)
        missing = {p: not_run(p, study) for p in line.scores if not own[p]}
        rows.append(((Code(line.row),), *cells, (_by_protocol(missing, said),)))
        if any(own.values()):
            apart = (_apart(own[protocol], name, line.scores.get(protocol, {})) for protocol, name in columns)
            why = {p: _why(row, line.scores.get(p, {}), study) for p, row in own.items() if row}
            rows.append(((f"ours {MINUS} paper",), *apart, (_by_protocol(why, said),)))
    several = len(said.protocols) > 1
    heads = (f"{called(name)}{f', {said.protocols[protocol]}' if several else ''}" for protocol, name in columns)
    caption = f"{said.name}: {said.title}."
    return Table(("system", *heads, "remark"), tuple(rows), caption, words=(0, len(columns) + 1), soft=tuple(soft))


def recalls(matrix: Matrix, study: Study, own: dict[str, float] | None) -> Table:
    """What a paper's words say of each class, beside what is heard rightly by our row.

    Args:
        matrix: the words.
        study: the paper.
        own: recall of each class, in 0..1; None if our row was not run.
    """
    labels = dict.fromkeys([*(own or {}), *matrix.says])
    missing = (not_run(matrix.protocol, study),)
    rows = tuple(
        (
            (label,),
            (matrix.says.get(label, DASH),),
            missing if own is None else PER_CENT.score(own.get(label, math.nan)),
        )
        for label in labels
    )
    caption = f"{matrix.name}: {matrix.title}. Share of each class that is heard rightly, {PER_CENT.name}."
    return Table(
        ("class", "the paper's words", Code(study.proposed)), rows, caption, words=(0, 1) if own else (0, 1, 2)
    )


def board(said: Board, study: Study, found: Measured) -> Table:
    """A table of means over seeds as a paper prints it, with ours below each line."""
    rows: list[tuple[Text, ...]] = []
    soft = []
    for line in said.lines:
        soft.append(len(rows))
        rows.append(((line.model,), *((printed,) for printed in line.printed), ("",)))
        protocols = [column.protocol for column in said.columns]
        cells, missing = _ours(said, line, protocols, found)
        reasons = dict.fromkeys(study.not_run[protocol] for protocol in missing if protocol in study.not_run)
        words = f"not run{f': {listed(reasons)}' if reasons else ''}" if missing else ""
        rows.append(((Code(line.row),), *cells, (words,)))
    heads = (f"{column.head}, {_kind(column)}" for column in said.columns)
    caption = f"{said.name}: {said.title}."
    return Table(("system", *heads, "remark"), tuple(rows), caption, words=(0, len(said.columns) + 1), soft=tuple(soft))


def _kind(column: Column) -> str:
    """What a column's score is called without its dimension, which its head names."""
    return called(column.score.partition("_")[0])


def stand_in(said: Board, study: Study, found: Measured, perfect: Ceilings) -> Table | None:
    """The same of the corpora that stand in for the paper's, ours alone; None if nothing of it was run.

    Args:
        said: the board.
        study: the paper.
        found: our rows.
        perfect: what perfect readers would reach, below them.
    """
    protocols = [column.stand_in for column in said.columns]
    made = [(line, *_ours(said, line, protocols, found)) for line in said.lines]
    if all(len(missing) == len(set(protocols)) for _, _, missing in made):
        return None
    rows = [((Code(line.row),), *cells) for line, cells, _ in made]
    soft = len(rows)
    for reader in dict.fromkeys(reader for protocol in protocols for reader in perfect.get(protocol, {})):
        known = (perfect.get(column.stand_in, {}).get(reader, {}).get(column.score) for column in said.columns)
        scores = zip(said.columns, known, strict=True)
        cells = ((DASH,) if value is None else _unit(column.score).score(value) for column, value in scores)
        rows.append(((f"ceiling, {reader}",), *cells))
    heads = [f"{column.head}, {_kind(column)}" for column in said.columns]
    caption = f"{said.name}, ours alone, on {listed(dict.fromkeys(protocols))}. Dashes: not run."
    for theirs, ours in study.instead.items():
        heads, caption = [head.replace(theirs, ours) for head in heads], caption.replace(theirs, ours)
    return Table(("system", *heads), tuple(rows), caption, soft=tuple(range(soft, len(rows))))


def _ours(said: Board, line: Place, protocols: list[str], found: Measured) -> tuple[list[Text], list[str]]:
    """The cells of a system of ours, and the protocols under which it was not run."""
    cells: list[Text] = []
    missing: dict[str, None] = {}
    for column, protocol in zip(said.columns, protocols, strict=True):
        row = found.get((protocol, f"{line.row}{column.ending}"))
        shown = best_seeds(said, found, protocol).get(line.row) if said.best else None
        if shown is not None:
            cells.append(_of_best_seed(shown, column.score))
        elif row is None:
            missing[protocol] = None
            cells.append((DASH,))
        elif said.best:
            cells.append((DASH, Detail("(no dev scores)")))
        else:
            cells.append(_over_seeds(row, column.score, marks(row, line, column, found)))
    return cells, list(missing)


def marks(row: Row, line: Place, column: Column, found: Measured) -> str:
    """Marks of the rivals from whom a row differs, over seeds, by more than chance, in whichever direction."""
    made = ""
    for mark, rival in RIVALS.items():
        other = found.get((row.protocol, f"{rival}{column.ending}"))
        if line.row in RIVALS.values() or other is None or other.key != row.key:
            continue
        sides = [list(each.by_seed(column.score).values()) for each in (row, other)]
        made += mark if statistics.t_test(*sides).p_value <= ALPHA else ""
    return made


def _over_seeds(row: Row, score: str, made: str) -> Text:
    """Mean over seeds with the deviation, as papers print them."""
    of, deviation = _unit(score), row.deviation(score)
    spread = () if math.isnan(deviation) else (Detail(f"({of.factor * deviation:.{of.digits}f})"),)
    return (*of.score(row.score(score)), *spread, *((made,) if made else ()))


def slopes(said: Board, shown: dict[str, Best], protocol: str) -> Table:
    """Slopes of the lines through the residuals of a board's systems, at their best seeds."""
    labels = residual_labels(said)
    rows = tuple(((Code(name),), *(_slope(found, label) for label in labels)) for name, found in shown.items())
    caption = f"{said.residuals} on {protocol}: slope of residuals over the truth, with 95 % intervals over speakers."
    return Table(("system", *labels), rows, caption)


def _slope(found: Best, label: str) -> Text:
    slope, ends = residual_slope(found, label)
    low, high = (PLAIN.difference(end, PLAIN.interval_digits) for end in ends)
    interval = () if math.isnan(ends[0]) else (Detail(f"[{low}, {high}]"),)
    return (PLAIN.difference(slope, PLAIN.interval_digits), *interval)


def residual_labels(said: Board) -> tuple[str, ...]:
    """The dimensions of a board, in its order."""
    return tuple(dict.fromkeys(column.score.partition("_")[2] for column in said.columns))


def best_seeds(said: Board, found: Measured, protocol: str) -> dict[str, Best]:
    """The best seed of each of a board's systems that has one, by row; averages of rows from those of the rows."""
    ending, shown = said.columns[0].ending, {}
    for line in said.lines:
        row = found.get((protocol, f"{line.row}{ending}"))
        if row is not None and not line.average and (of_row := best(row)) is not None:
            shown[line.row] = of_row
    for line in said.lines:
        alike = {found[protocol, f"{each}{ending}"].key for each in line.average if each in shown}
        if line.average and all(each in shown for each in line.average) and len(alike) == 1:
            shown[line.row] = averaged(f"{line.row}{ending}", [shown[each] for each in line.average])
    return {line.row: shown[line.row] for line in said.lines if line.row in shown}


def _of_best_seed(shown: Best, score: str) -> Text:
    return (*_unit(score).score(shown.score(score)), Detail(f"({shown.words})"))


def _unit(score: str) -> Unit:
    return PER_CENT if score in EXHIBITED else PLAIN


def not_run(protocol: str, study: Study) -> str:
    """What is said in place of a result that is not there."""
    reason = study.not_run.get(protocol)
    return f"not run: {reason}" if reason else "not run"


def _theirs(line: Line) -> str:
    if not any(line.scores.values()):
        return "cannot be read"
    return "" if line.row else "no row of ours"


def _printed(name: str, score: float | None) -> Text:
    """A paper's score with the digits that it has there."""
    if score is None:
        return (DASH,)
    return (f"{PER_CENT.factor * score:.0f}",) if name == "macro_f1" else PER_CENT.score(score)


def _apart(row: Row | None, name: str, said: Scores) -> Text:
    """Our score less a paper's, with the interval of ours moved as far."""
    if row is None or name not in said or name == "macro_f1":
        return (DASH,)
    low, high = row.interval(name)
    difference = PER_CENT.difference(row.score(name) - said[name])
    if math.isnan(low):
        return (difference, *PER_CENT.interval((low, high)))
    ends = (PER_CENT.difference(end - said[name], PER_CENT.interval_digits) for end in (low, high))
    return (difference, Detail(f"[{', '.join(ends)}]"))


def _why(row: Row, said: Scores, study: Study) -> str:
    """Why a row is not where the paper's is; empty if it is near and nothing is known."""
    far = any(abs(row.score(name) - said[name]) > FAR for name in ("wa", "ua") if name in said)
    known = remark(study, row.name, row.protocol, row.results["fingerprint"])
    if known is not None:
        return "; ".join(filter(None, (known.says, row.fault)))
    return UNEXPLAINED if far else ""


def _by_protocol(words: dict[str, str], said: Exhibit) -> str:
    """Words on each protocol of an exhibit; once, if they are the same for all."""
    known = {protocol: text for protocol, text in words.items() if text}
    if len(set(known.values())) == 1 and len(known) == len(said.protocols):
        return next(iter(known.values()))
    return "; ".join(f"{said.protocols[protocol]}: {text}" for protocol, text in known.items())
