"""Every table of the report, and of the READMEs."""

import math
import re
from typing import Any

from affetto import statistics
from affetto.report.comparisons import Best, Bill, Pair, averaged, best, residual_slope
from affetto.report.literature import Board, Column, Exhibit, Line, Matrix, Place, Published, Scores, Study
from affetto.report.sections import Gathered, Row, Section
from affetto.report.tables import (
    DASH,
    MINUS,
    PER_CENT,
    PLAIN,
    Code,
    Detail,
    Link,
    Strong,
    Table,
    Text,
    Unit,
    anchor,
    listed,
    p_value,
    plural,
    unit,
)

ALPHA = 0.05
"""A p-value up to this is called more than chance, in words beside the number itself."""
RULES = {"none": "nothing", "sentences": "sentences", "speakers": "speakers", "both": "speakers and sentences"}
"""What train shares with test under the rules of the leakage bill."""
SEEN = "seen from"
"""Head of the column of `statistics.smallest_difference`."""
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
_CALLED = {"wa": "WA", "ua": "UA", "macro_f1": "macro F1", "ccc": "CCC", "pearson": "PCC", "mse": "MSE", "mae": "MAE"}


def called(score: str) -> str:
    """What a score is called.

    Example:
        >>> called("ua"), called("ccc_arousal")
        ('UA', 'CCC arousal')
    """
    kind, _, dimension = score.partition("_")
    return _CALLED.get(score) or f"{_CALLED.get(kind, kind)} {dimension}"


def shown(section: Section) -> tuple[str, ...]:
    """The scores that a section's tables show."""
    return section.scoring.headline


def lines(section: Section) -> list[tuple[Published | None, Row | None]]:
    """The lines of a table: what a paper has, with ours beside it if measured, then what only we have."""
    said = [(entry, section.row(entry.row) if entry.row else None) for entry in section.published]
    beside = {row.name for _, row in said if row}
    return [*said, *((None, row) for row in section.rows if row.name not in beside)]


def place(section: Section) -> str:
    """A section's anchor, and how the names of its pictures begin."""
    return anchor(re.sub(",? (?:manifest |and )?", "-", section.title))


def question(section: Section) -> str:
    """What a number of a section says, in a few words."""
    shares = section.definition.get("shares")
    learned = section.learned_from
    if learned:
        words = f"another corpus than the {learned['corpus']} of training"
    elif section.leak:
        words = f"leakage bill: train shares {RULES[section.leak[1]]} with test"
    elif shares is None:
        words = "other folds or recordings than its protocol.json has"
    elif "speaker" in shares:
        words = "voices that were heard in training"
    elif section.results["transductive"]:
        words = "new voices, other clips of which are known"
    elif not section.definition.get("speakers"):
        words = "other clips than those of training, by speakers who are not known"
    else:
        words = "new voices"
    return f"simulated data, {words}" if section.results["simulated"] else words


def splits(trained_on: str) -> str:
    """The splits that a row learned from, in words."""
    return "train and dev" if trained_on == "train+dev" else f"{trained_on} alone"


def tries(section: Section) -> str:
    """How many configurations were scored under a section's protocol."""
    return f"{plural(section.tries, 'configuration', 'configurations')} tried"


def training(row: Row, section: Section) -> str:
    """How much a row learned from: speakers if test has others, clips otherwise."""
    definition, learned = section.definition, section.learned_from
    folds, everyone = definition.get("folds", []), definition.get("speakers", [])
    if learned:
        return str(learned["corpus"])
    if "speaker" in definition.get("shares", []) or not everyone or not folds:
        return _trained_clips(row) or splits(row.trained_on)
    splits_held = ("test", "dev") if row.trained_on == "train" else ("test",)
    held = [{speaker for split in splits_held for speaker in fold[f"{split}_speakers"]} for fold in folds]
    return f"{_range([len(everyone) - len(speakers) for speakers in held])} speakers"


def overview(gathered: Gathered) -> Table:
    """Which protocols there are, and what a number under each says."""
    rows = []
    for section in gathered.sections:
        definition = section.definition
        size = f"{definition.get('utterances', '?')} clips, {len(definition.get('speakers', []))} speakers"
        corpus = (section.results["corpus"], Detail(size))
        link = (Link(section.title, f"#{place(section)}"),)
        rows.append((link, (question(section),), corpus, (str(len(section.rows)),)))
    return Table(
        ("protocol", "a number says how well emotions are heard in", "corpus", "rows"), tuple(rows), words=(0, 1, 2)
    )


def short(section: Section) -> Table:
    """The table of a README: scores with intervals, ours beside the paper's."""
    names, of = shown(section), unit(section.results["task"])
    rows: list[tuple[Text, ...]] = []
    for entry, row in lines(section):
        if entry:
            said = (of.score(entry.scores[name]) if name in entry.scores else (DASH,) for name in names)
            rows.append(((entry.model, Detail(entry.paper.short)), *said, (entry.trained_on,), (DASH,)))
        if row:
            ships: Text = (Detail("ships"),) if row.results.get("shipped") else ()
            rows.append(
                ((Code(row.name), *ships), *_scores(row, names, of), (training(row, section),), _seeds(row, of))
            )
    heads = ("row", *map(called, names), "trained on", "seeds")
    return Table(heads, tuple(rows), words=(0, len(names) + 1))


def full(section: Section) -> Table:
    """Every row of a protocol, and every row that a paper has there."""
    names, of = shown(section), unit(section.results["task"])
    said = [name for name in names if any(name in entry.scores for entry in section.published)]
    extra = section.scoring.further
    rows, soft = [], []
    for number, (entry, row) in enumerate(lines(section)):
        cells = [_name(entry, row, section)]
        cells += [of.score(entry.scores[name]) if entry else (DASH,) for name in said]
        if row:
            cells += [*_scores(row, names, of)]
            cells += [(of.difference(row.score(name) - entry.scores[name]) if entry else DASH,) for name in said]
            cells += [of.score(row.score(name)) for name in extra]
            cells += [_learned(row, section), _seeds(row, of)]
        else:
            soft.append(number)
            cells += [(DASH,)] * (len(names) + len(said) + len(extra))
            cells += [(entry.trained_on if entry else DASH,), (DASH,)]
        rows.append(tuple(cells))
    heads = ["row", *(f"paper {called(name)}" for name in said), *map(called, names)]
    heads += [*(f"{called(name)} {MINUS} paper" for name in said), *map(called, extra), "trained on", "seeds"]
    caption = f"Scores: {of.name}, with 95 % intervals over speakers."
    return Table(tuple(heads), tuple(rows), caption, words=(0, len(heads) - 2), soft=tuple(soft))


def against(found: tuple[Pair, ...], section: Section) -> Table:
    """Every pair of rows."""
    of = unit(section.results["task"])
    clips = section.results["task"] == "categories"
    rows = []
    for pair in found:
        test, one = pair.speakers, pair.clips
        reading = "more than chance" if test.p_value <= ALPHA else "may be chance"
        if math.isnan(test.p_value):
            reading = "cannot be tested"
        cells: list[Text] = [
            (Code(pair.a), ", ", Code(pair.b)),
            (of.difference(test.difference),),
            (f"{pair.ahead} of {test.n}",),
            (p_value(test.p_value),),
            of.score(pair.smallest),
        ]
        if clips:
            cells += [(f"{one.only_a}, {one.only_b}",), (p_value(one.p_value),)] if one else [(DASH,), (DASH,)]
        cells.append((p_value(pair.seeds.p_value),) if pair.seeds else (DASH, Detail("(one seed)")))
        cells.append((reading,) if pair.same_training else (reading, Detail("trained on other splits")))
        rows.append(tuple(cells))
    heads = ["first, second", f"{called(section.scoring.primary)}, difference", "first ahead", "p, speakers", SEEN]
    heads += ["only one right", "p, clips"] if clips else []
    heads += ["p, seeds", "reading"]
    return Table(tuple(heads), tuple(rows), words=(0, len(heads) - 1))


def by_speaker(section: Section) -> Table:
    """The primary score of every speaker under every row."""
    score, of = section.scoring.primary, unit(section.results["task"])
    every = {speaker: own["n"] for row in section.rows for speaker, own in row.results["by_speaker"].items()}
    rows = []
    for speaker, number in sorted(every.items()):
        scores = (float(row.by_speaker(score).get(speaker, math.nan)) for row in section.rows)
        rows.append(((speaker,), (str(number),), *map(of.score, scores)))
    heads = ("speaker", "clips", *(Code(row.name) for row in section.rows))
    return Table(heads, tuple(rows), f"{called(score)} of each speaker's clips, {of.name}.")


def bill(found: Bill) -> Table:
    """What a row scores under the four rules, and what each leak is worth."""
    task = found.leaks[0].row.results["task"]
    of, names = unit(task), ("wa", "ua") if task == "categories" else (found.score,)
    rows = []
    for leak in found.leaks:
        cells: list[Text] = [(RULES[leak.name],), *_scores(leak.row, names, of), of.score(leak.by_speaker)]
        if leak.worth:
            cells += [(Strong(of.difference(leak.worth.difference)),), (p_value(leak.worth.p_value),)]
            cells.append(of.score(leak.smallest))
        else:
            cells += [(DASH,)] * 3
        rows.append(tuple(cells))
    mean = f"{called(found.score)}, mean over speakers"
    heads = ("train shares with test", *map(called, names), mean, "the leak adds", "p, speakers", SEEN)
    return Table(heads, tuple(rows))


def provenance(section: Section) -> Table:
    """Where a section's numbers come from."""
    rows = []
    for row in section.rows:
        own = row.results
        commit = str(own.get("commit") or "?")
        short_commit = f"{commit[:10]}{'+' if commit.endswith('+') else ''}"
        seconds = own.get("seconds")
        time = f"{seconds / 60:.1f} min" if isinstance(seconds, int | float) else "?"
        about: tuple[Text, ...] = ((_described(own["config"]),), (Code(own["fingerprint"]),), (Code(short_commit),))
        rows.append(((Code(row.name),), *about, (str(own.get("machine") or "?"),), (time,)))
    return Table(("row", "what it is", "settings", "commit", "computed on", "time"), tuple(rows), words=(0, 1, 2, 3, 4))


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
        cells = (
            _scores(row, (name,), PER_CENT)[0] if (row := own[protocol]) else (DASH,) for protocol, name in columns
        )
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
    return _CALLED[column.score.partition("_")[0]]


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


def _scores(row: Row, names: tuple[str, ...], of: Unit) -> tuple[Text, ...]:
    return tuple((*of.score(row.score(name)), *of.interval(row.interval(name))) for name in names)


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
    return study.remarks.get(row.name, {}).get(row.protocol) or (UNEXPLAINED if far else "")


def _by_protocol(words: dict[str, str], said: Exhibit) -> str:
    """Words on each protocol of an exhibit; once, if they are the same for all."""
    known = {protocol: text for protocol, text in words.items() if text}
    if len(set(known.values())) == 1 and len(known) == len(said.protocols):
        return next(iter(known.values()))
    return "; ".join(f"{said.protocols[protocol]}: {text}" for protocol, text in known.items())


def _name(entry: Published | None, row: Row | None, section: Section) -> Text:
    if row is None:
        return (entry.model if entry else "", Detail("not measured here"))
    details = [f"{entry.model} in the paper"] if entry else []
    details += ["ships"] if row.results.get("shipped") else []
    if section.best(row.trained_on) is row:
        details.append(f"best of those trained on {splits(row.trained_on)}; {tries(section)}")
    return (Code(row.name), *map(Detail, details))


def _learned(row: Row, section: Section) -> Text:
    """What a row learned from, with the splits and the number of clips."""
    much, clips = training(row, section), _trained_clips(row)
    words = [splits(row.trained_on), clips if clips != much else ""]
    return (much, Detail(", ".join(word for word in words if word and word != much)))


def _seeds(row: Row, of: Unit) -> Text:
    number, deviation = len(row.results["seeds"]), row.deviation(row.scoring.primary)
    if number < 2 or math.isnan(deviation):
        return (str(number),)
    return (str(number), Detail(f"\N{PLUS-MINUS SIGN}{of.factor * deviation:.{of.digits}f}"))


def _trained_clips(row: Row) -> str:
    numbers = [fold["n_train"] for fold in row.results["folds"] if isinstance(fold.get("n_train"), int)]
    return f"{_range(numbers)} clips" if numbers else ""


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _described(config: dict[str, Any]) -> str:
    """A row's settings in a few words; all of them are in its results file."""
    model, plan = config.get("model"), config.get("training")
    if not isinstance(model, dict) or not isinstance(plan, dict):
        return "see its results file"
    text = str(model.get("name", "?")).replace("_", " ")
    encoder = model.get("encoder")
    if isinstance(encoder, dict):
        layers = encoder.get("outputs")
        text += f" on {str(encoder.get('name', '?')).replace('_', ' ')}"
        text += f", layers {listed(map(str, layers))}" if isinstance(layers, list) and layers else ""
        text += "" if encoder.get("trainable", True) else ", frozen"
    epochs, choose = plan.get("epochs"), config.get("choose")
    text += f"; {plural(epochs, 'epoch', 'epochs')}" if isinstance(epochs, int) else ""
    if isinstance(choose, dict) and isinstance(choose.get("grid"), dict):
        names = (key.rpartition(".")[2].replace("_", " ") for key in choose["grid"])
        text += f"; {listed(names)} chosen in each fold"
    return text
