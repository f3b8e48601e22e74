"""From gathered results to the chapters of the report: every sentence, and what is drawn."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from affetto.report import across, figures, planned, reproduction, scoreboards, served
from affetto.report.comparisons import Bill, Pair, pairs, settled, without_tuned
from affetto.report.document import (
    Block,
    Chapter,
    Document,
    Facts,
    Folded,
    Gallery,
    Grid,
    Heading,
    Paragraph,
    Picture,
    Points,
)
from affetto.report.literature import studies
from affetto.report.matrix import is_across
from affetto.report.scoreboards import ALPHA, RULES, called, lines, place, question, shown, splits, tries
from affetto.report.sections import Gathered, Row, Section
from affetto.report.tables import Code, Link, Strong, Text, anchor, coded, listed, p_value, plural, unit
from affetto.scores import DimensionScores

SHARED = {"speaker": "speakers", "session": "sessions", "sentence": "sentences"}

COMPARE = (
    "Two numbers may be compared where protocol id, manifest (the recordings), classes and folds agree, and one row is "
    "called best only among those that were trained on the same splits. Numbers of different protocols answer "
    "different questions and are not ranked."
)
MEANING: tuple[Text, ...] = (
    (
        Strong("WA"),
        " is accuracy; ",
        Strong("UA"),
        " the mean recall of the classes, in which a rare class counts as much as a common one; ",
        Strong("macro F1"),
        " the mean F1 of the classes. Each is a mean over the folds, then over the seeds; classes that a fold's test "
        "clips do not have are not in it.",
    ),
    (
        Strong("Intervals"),
        " (95 %) draw speakers, not clips: they say how far a score would move had other speakers of the same kind "
        "been recorded. They do not speak of other training sets, rooms, languages or kinds of speech, and with few "
        "speakers they are rough themselves.",
    ),
    served.MEANING,
    (
        Strong("Seeds"),
        " say how far another start of the same training moves a score, on these very clips.",
    ),
    (
        Strong("Tries"),
        " count the configurations whose mean under a protocol was ever looked at. The best of many is a little "
        "lucky, the more so the more there were.",
    ),
    (
        "The numbers say how well a system agrees with a corpus's labels. In acted speech that is the emotion that "
        "an actor was asked for, not what a person feels.",
    ),
)
COMPARING: tuple[Text, ...] = (
    (
        "The ",
        Strong("difference"),
        " is the first row's score minus the second's, mean over speakers; beside it, with how many speakers the "
        "first is ahead.",
    ),
    (
        Strong("p, speakers"),
        ": if two systems were equally good, it would be chance which of a speaker's two scores belongs to which. p is "
        "the share of all ways of swapping them, speaker by speaker, that give a difference at least as large. It is "
        "the one to go by: it speaks of other speakers.",
    ),
    (
        Strong("Seen from"),
        ": the smallest true difference that a paired t-test over speakers would find in four of five cases, as much "
        "as these speakers differ. What is smaller and was not found may well be there.",
    ),
    (
        Strong("Only one right, p, clips"),
        ": of one seed, the clips that only the first and only the second system hears rightly, with McNemar's exact "
        "p. It takes clips for independent, which those of one speaker are not, so it is too small for a claim about "
        "other speakers.",
    ),
    (
        Strong("p, seeds"),
        " (a t-test) asks only whether other seeds would turn the order, on these very clips.",
    ),
)
COMPARING_PLACE = "comparing"
"""Anchor of the chapter that says what the columns of a comparison are."""


def document(gathered: Gathered, results: Path, out: Path, asked: Sequence[planned.Asked] = ()) -> Document:
    """The whole report.

    Args:
        gathered: what it is about.
        results: the folder of results.
        out: where the report will lie.
        asked: rows whose absence it tells.
    """
    found, faults = settled(gathered.sections)
    billed = {bill.corpus for bill in found}
    chapters = [_protocols(gathered)]
    inside: dict[Section, tuple[Block, ...]] = {}
    for section in gathered.sections:
        if is_across(section):
            inside[section] = _chapter(section, results, out).blocks
        elif not section.leak or section.leak[0] not in billed:
            chapters.append(_chapter(section, results, out))
    chapters += filter(None, [across.chapter(gathered.sections, inside)])
    for corpus in sorted(billed):
        rules = [section for section in gathered.sections if section.leak and section.leak[0] == corpus]
        chapters.append(_bill([bill for bill in found if bill.corpus == corpus], rules, results, out))
    beside, known = reproduction.measured(gathered), reproduction.every(gathered)
    ceilings = reproduction.ceilings(gathered)
    chapters += [reproduction.chapter(study, beside, known, ceilings) for study in studies()]
    chapters += filter(None, [planned.chapter(gathered, asked)])
    chapters.append(Chapter(("What the numbers mean, and what not",), "meaning", (Points(MEANING),)))
    chapters.append(Chapter(("How rows are compared",), COMPARING_PLACE, (Points(COMPARING),)))
    left_out = (*gathered.damaged, *faults)
    chapters += _left_out(left_out)
    rows = {(row.results["corpus"], row.name) for section in gathered.sections for row in section.rows}
    lede = (
        "What Affetto's systems score on recordings that they did not learn from: "
        f"{plural(len(rows), 'row', 'rows')} (a system with its settings each) under "
        f"{plural(len(gathered.sections), 'protocol', 'protocols')} on "
        f"{listed(sorted({corpus for corpus, _ in rows})) or 'no corpus'}. {COMPARE}",
    )
    footer = (
        "Made by ",
        Code("affetto report"),
        " from the results files alone; every number can be computed anew from the predictions that lie beside them.",
    )
    return Document("Affetto: results", lede, tuple(chapters), footer, left_out)


def bill_sentence(bill: Bill) -> str:
    """What the bill of one row comes to, in one sentence."""
    of = unit(bill.leaks[0].row.results["task"])
    worth = {}
    for leak in bill.leaks[1:]:
        assert leak.worth is not None
        points = f"{of.difference(leak.worth.difference, of.interval_digits)} {of.points}".strip()
        doubt = "" if leak.worth.p_value <= ALPHA else ", which may be chance"
        worth[leak.name] = f"{points} (p = {p_value(leak.worth.p_value)}{doubt})"
    both = bill.leaks[-1].worth
    assert both is not None
    end = (
        "what a system shows on voices and sentences that it knows, it does not keep on new ones."
        if both.p_value <= ALPHA and both.difference > 0
        else "that sharing both helps cannot be shown with these speakers."
    )
    return (
        f"Having the test's sentences in training is worth {worth['sentences']} of {called(bill.score)}, having its "
        f"speakers {worth['speakers']}, having both {worth['both']}: {end}"
    )


def _protocols(gathered: Gathered) -> Chapter:
    words = (
        "A protocol says who is train, dev and test. It decides what a number says, and by more than a point or two:",
    )
    return Chapter(("Protocols",), "protocols", (Paragraph(words), Grid(scoreboards.overview(gathered))))


def _chapter(section: Section, results: Path, out: Path) -> Chapter:
    asked = question(section)
    title = (f"{asked[0].upper()}{asked[1:]}: ", Code(section.title))
    blocks = [*_definition(section), *_bars(section), *_scores(section), *_comparisons(section)]
    blocks += [*_speakers(section), *served.served(section), *_errors(section, results, out), _origin(section)]
    return Chapter(title, place(section), tuple(blocks))


def _definition(section: Section) -> list[Block]:
    """The protocol, and what must not be missed about it."""
    definition, results = section.definition, section.results
    blocks: list[Block] = []
    if results["simulated"]:
        blocks.append(Paragraph((Strong("Simulated data:"), " these numbers say nothing about speech."), loud=True))
    if results["transductive"]:
        words = (
            Strong("Transductive:"),
            " features are standardised with all clips of each speaker, those of test included, without their labels. "
            "A system that meets a voice for the first time cannot do that.",
        )
        blocks.append(Paragraph(words, loud=True))
    facts: list[tuple[str, Text]] = []
    if "rule" in definition:
        shares = [SHARED[kind] for kind in definition["shares"]]
        facts += [("test", (definition["rule"],)), ("dev", (definition["dev_rule"],))]
        facts.append(("shared", (f"train and test may share {listed(shares)}" if shares else "nothing, by design",)))
    facts.append(("classes" if results["task"] == "categories" else "dimensions", (listed(results["labels"]),)))
    size = ""
    if "utterances" in definition:
        size = f", {definition['utterances']} clips of {plural(len(definition['speakers']), 'speaker', 'speakers')}"
    facts.append(("corpus", (f"{results['corpus']}{size}, manifest ", Code(results["manifest_sha256"][:12]))))
    of = unit(results["task"])
    for reader, known in section.ceilings.items():
        reached = ", ".join(f"{called(name)} {' '.join(of.score(value))}" for name, value in known.items())
        facts.append((f"ceiling, {reader}", (f"{reached}, for who knew all of it, and how clips are made",)))
    number = len({fold["fold"] for fold in results["folds"]})
    facts.append(("folds", (f"{number}, sha256 ", Code(results["folds_sha256"][:12]))))
    return [*blocks, Facts(tuple(facts))]


def _scores(section: Section) -> list[Block]:
    """The table of scores, and what to know about it."""
    of, primary = unit(section.results["task"]), section.scoring.primary
    notes: list[Text] = []
    kinds = list(dict.fromkeys(row.trained_on for row in section.rows))
    for kind in kinds:
        best = section.best(kind)
        if best:
            score = " ".join(of.score(best.score(primary)))
            end = f" has the highest {called(primary)}, {score}."
            notes.append((f"Of the rows trained on {splits(kind)}, ", Code(best.name), end))
    notes.append((f"{tries(section)} under this protocol: CHANGES.md lists them.",))
    if len(kinds) > 1:
        different = "; ".join(map(splits, kinds))
        words = f"No best row is named across different training splits ({different}): some had more to learn from."
        notes.append((words,))
    notes += [(Code(row.name), f": {row.fault}.") for row in section.rows if row.fault]
    looked: dict[str, list[Row]] = {}
    for row in section.rows:
        if row.results["tuned_on"]:
            looked.setdefault(_tuned(row, section), []).append(row)
    for words, rows in looked.items():
        whose = f": {'its' if len(rows) == 1 else 'their'} settings were written after a look at {words}"
        notes.append((*coded(row.name for row in rows), whose))
    for paper in dict.fromkeys(entry.paper for entry in section.published):
        own = [entry for entry in section.published if entry.paper == paper]
        tables = listed(dict.fromkeys(entry.table for entry in own))
        remarks = filter(None, dict.fromkeys(entry.remark for entry in own))
        notes.append((f"The paper: {paper.cite}, {tables}. {' '.join([paper.remark, *remarks])}",))
    return [Grid(scoreboards.full(section)), *([Points(tuple(notes))] if notes else [])]


def _tuned(row: Row, section: Section) -> str:
    """Who was looked at while a row's settings were written, and the mean without them."""
    of = unit(row.results["task"])
    folds, means = without_tuned(row, section)
    looked = list(map(str, row.results["tuned_on"]))
    who = f"{'speaker' if len(looked) == 1 else 'speakers'} {listed(looked)}"
    if not folds:
        return f"{who}, tested in no fold here."
    if not means:
        return f"{who}; no fold is left that does not test them."
    scores = ", ".join(f"{called(name)} {' '.join(of.score(means[name]))}" for name in shown(section))
    which = f"fold {folds[0]}; without that fold" if len(folds) == 1 else f"folds {listed(folds)}; without those folds"
    return f"{who}, tested in {which} the mean is {scores}."


def _bars(section: Section) -> list[Block]:
    of, primary = unit(section.results["task"]), section.scoring.primary
    names = ("wa", "ua") if section.results["task"] == "categories" else (primary,)
    rows = {
        called(name): [
            figures.Bar(
                row.name if row else entry.model if entry else "",
                row.score(name) if row else math.nan,
                row.interval(name) if row else (math.nan, math.nan),
                entry.scores.get(name) if entry else None,
            )
            for entry, row in lines(section)
        ]
        for name in names
    }
    chance = 1 / len(section.results["labels"]) if section.results["task"] == "categories" else None
    figure = figures.bars(rows, factor=of.factor, chance=chance, label=of.name)
    said = ", ".join(f"{row.name} {' '.join(of.score(row.score(primary)))}" for row in section.rows)
    alt = f"Bars of {listed(rows)} with 95 % intervals under {section.title}; {called(primary)}: {said}."
    words = f"{listed(rows)} with 95 % intervals over speakers"
    words += "; diamonds are the paper's, which gives no intervals." if section.published else "."
    return [Picture(f"{place(section)}-scores", figure, alt, (words,))]


def _comparisons(section: Section) -> list[Block]:
    found = pairs(section)
    if not found:
        return []
    return [Heading(("Row against row",)), Paragraph(_power(found)), Grid(scoreboards.against(found, section))]


def _power(found: tuple[Pair, ...]) -> Text:
    """What so many speakers and so many pairs allow to say."""
    most = max(found, key=lambda pair: pair.speakers.n).speakers
    ways = f"{2**most.n:,} ways of swapping" if most.exact else "100,000 random ways of swapping"
    words = (
        f"{plural(most.n, 'speaker', 'speakers')} allow {ways}, so that p over speakers cannot be below "
        f"{p_value(most.smallest_p)}, even if one system wins with every speaker. "
    )
    if len(found) > 1:
        words += (
            f"The p-values are not corrected for their number: of {len(found)} pairs of equally good systems, "
            f"{ALPHA * len(found):.2f} would come below {ALPHA} by chance, on average. "
        )
    return (words, "What the columns are: ", Link("How rows are compared", f"#{COMPARING_PLACE}"), ".")


def _speakers(section: Section, *, drawn: bool = True) -> list[Block]:
    score = section.scoring.primary
    of = unit(section.results["task"])
    if not any(row.results["by_speaker"] for row in section.rows):
        return []
    table = Folded((f"{called(score)} of each speaker, as a table",), (Grid(scoreboards.by_speaker(section)),))
    if not drawn:
        return [table]
    bars = [
        figures.Bar(row.name, row.score(score), row.interval(score), None, tuple(row.by_speaker(score)))
        for row in section.rows
    ]
    figure = figures.strip(bars, factor=of.factor, label=f"{called(score)} of single speakers, {of.name}")
    ends = []
    for row in section.rows:
        own = row.by_speaker(score).dropna()
        if len(own):
            low, high = (" ".join(of.score(float(value))) for value in (own.min(), own.max()))
            ends.append(f"{row.name} from {low} to {high}")
    alt = f"{called(score)} of every speaker under {section.title}: {'; '.join(ends)}."
    caption = (f"Each dot is the {called(score)} of one speaker's clips, each line the mean over speakers.",)
    picture = Picture(f"{place(section)}-speakers", figure, alt, caption)
    return [Heading(("Speaker by speaker",)), picture, table]


def _errors(section: Section, results: Path, out: Path) -> list[Block]:
    """What is taken for what: confusion matrices, or residuals for dimensions."""
    if section.results["task"] == "categories":
        title = "What is taken for what"
        words = "Rows are what was meant, columns what was heard: shares of each true class, over all folds and seeds."
    else:
        title = "What is missed"
        words = (
            "Prediction minus truth, over the truth. Where the line falls, the model keeps to the middle of the scale."
        )
    pictures = tuple(_error(row, section, results, out) for row in section.rows)
    small = (Gallery(pictures),) if section.results["task"] == "categories" else pictures
    return [Heading((title,)), Paragraph((words,)), *small]


def _error(row: Row, section: Section, results: Path, out: Path) -> Picture:
    labels = row.results["labels"]
    if row.results["task"] == "categories":
        counts = row.scoring.sums(row.table).astype(np.int64)
        figure = figures.confusion(counts, labels, small=True)
        alt = f"Confusion matrix of {row.name}: {_confused(counts, labels)}"
    else:
        assert isinstance(row.scoring, DimensionScores)
        figure = figures.residuals(*row.scoring.pairs(row.table), labels)
        alt = f"Residuals of {row.name} on {listed(labels)}, with regression lines."
    picture = results / section.protocol / f"{row.name}.png"
    stored = row.results["task"] == "categories" and picture.exists()  # as `affetto benchmark` drew it
    link = Path(os.path.relpath(picture, out)).as_posix() if stored else None
    return Picture(f"{place(section)}-{anchor(row.name)}-errors", figure, alt, (Code(row.name),), link)


def _confused(counts: npt.NDArray[np.int64], labels: list[str]) -> str:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = ", ".join(f"{label} {shares[number, number]:.0%}" for number, label in enumerate(labels))
    off = shares - np.diag(np.diag(shares))
    meant, heard = np.unravel_index(int(off.argmax()), off.shape)
    if not off.any():
        return f"right for {right}."
    return f"right for {right}. Most often {labels[meant]} is taken for {labels[heard]}, {off[meant, heard]:.0%}."


def _origin(section: Section) -> Block:
    return Folded(("Where these numbers come from",), (Grid(scoreboards.provenance(section)),))


def _bill(found: list[Bill], rules: list[Section], results: Path, out: Path) -> Chapter:
    words = (
        "How much of a score is the split? Each row is trained four times on as many clips and tested on the same "
        "ones; what training may have in common with test differs, and with it how many speakers and sentences it "
        "draws from: where more is shared, it is also more varied, as in a random split. What a leak adds is the "
        "difference to the rule under which nothing is shared, speaker by speaker, with the test over speakers "
        "described under ",
        Link("How rows are compared", f"#{COMPARING_PLACE}"),
        ". (It is not quite the difference of the scores themselves, which are means over folds: a fold tests several "
        "speakers with some of their sentences.) The worth is that for training sets of this size; larger ones may "
        "gain less.",
    )
    blocks: list[Block] = [Paragraph(words)]
    for bill in found:
        blocks += [Heading((Code(bill.row),)), Paragraph((Strong(bill_sentence(bill)),)), _bill_picture(bill)]
        blocks.append(Grid(scoreboards.bill(bill)))
    blocks.append(Heading(("Under each rule",)))
    for section in rules:
        inside = [*_definition(section), *_scores(section), *_comparisons(section), *_speakers(section, drawn=False)]
        inside += [*_errors(section, results, out), _origin(section)]
        shared = RULES[section.leak[1]] if section.leak else ""
        title = (f"Train shares {shared} with test: ", Code(section.title))
        blocks.append(Folded(title, tuple(inside), place(section)))
    return Chapter(("The leakage bill of ", found[0].corpus), anchor(f"{found[0].corpus}-bill"), tuple(blocks))


def _bill_picture(bill: Bill) -> Picture:
    score, of = bill.score, unit(bill.leaks[0].row.results["task"])
    bars = [
        figures.Bar(
            RULES[leak.name], leak.row.score(score), leak.row.interval(score), None, tuple(leak.row.by_speaker(score))
        )
        for leak in bill.leaks
    ]
    figure = figures.bill(bars, factor=of.factor, label=f"{called(score)}, {of.name}")
    said = ", ".join(f"{bar.name} {' '.join(of.score(bar.score))}" for bar in bars)
    alt = f"{called(score)} of {bill.row} by what train shares with test: {said}."
    words = f"{called(score)} with its 95 % interval, by what train shares with test; small dots are single speakers."
    return Picture(anchor(f"{bill.corpus}-bill-{bill.row}"), figure, alt, (words,))


def _left_out(lines: tuple[str, ...]) -> list[Chapter]:
    if not lines:
        return []
    words = Paragraph(("What follows could not be used; all else is as it would be without it.",), loud=True)
    return [Chapter(("Left out",), "left-out", (words, Points(tuple((line,) for line in lines))))]
