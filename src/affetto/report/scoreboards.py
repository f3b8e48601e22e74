"""Every table of our own numbers, for the report and the READMEs."""

import math
import re
from typing import Any

from affetto.report.comparisons import Bill, Pair
from affetto.report.literature import Published
from affetto.report.sections import Gathered, Row, Section
from affetto.report.tables import (
    DASH,
    MINUS,
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
FAULTY = "made with a fault"
"""Said of a row whose making went wrong in a way that is mended since; notes say how."""
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
    learned, trained = section.learned_from, section.definition.get("trained")
    if learned:
        words = f"another corpus than the {learned['corpus']} of training"
    elif trained and section.definition["tested"] not in trained:
        known = ", other clips of whose voices are known" if section.results["transductive"] else ""
        words = f"{section.definition['tested']}, another corpus than the {listed(trained)} of training{known}"
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
    if definition.get("trained"):
        return listed(definition["trained"])
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
            name = (Code(row.name), *map(Detail, _known(row)))
            rows.append((name, *scored(row, names, of), (training(row, section),), _seeds(row, of)))
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
            cells += [*scored(row, names, of)]
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
        caveats = [] if pair.same_training else ["trained on other splits"]
        caveats += [f"{row.name} {FAULTY}" for row in section.rows if row.name in (pair.a, pair.b) and row.fault]
        cells.append((reading, *([Detail("; ".join(caveats))] if caveats else [])))
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
        cells: list[Text] = [(RULES[leak.name],), *scored(leak.row, names, of), of.score(leak.by_speaker)]
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
        short = [Code(f"{commit[:10]}{'+' if commit.endswith('+') else ''}") for commit in row.commits]
        commits = tuple(part for each in short for part in (", ", each))[1:]
        seconds = own.get("seconds")
        time = f"{seconds / 60:.1f} min" if isinstance(seconds, int | float) else "?"
        about: tuple[Text, ...] = ((_described(own["config"]),), (Code(own["fingerprint"]),), commits)
        rows.append(((Code(row.name),), *about, (str(own.get("machine") or "?"),), (time,)))
    return Table(("row", "what it is", "settings", "commit", "computed on", "time"), tuple(rows), words=(0, 1, 2, 3, 4))


def scored(row: Row, names: tuple[str, ...], of: Unit) -> tuple[Text, ...]:
    """Scores of a row, each with its interval."""
    return tuple((*of.score(row.score(name)), *of.interval(row.interval(name))) for name in names)


def _name(entry: Published | None, row: Row | None, section: Section) -> Text:
    if row is None:
        return (entry.model if entry else "", Detail("not measured here"))
    details = [f"{entry.model} in the paper"] if entry else []
    details += _known(row)
    if section.best(row.trained_on) is row:
        details.append(f"best of those trained on {splits(row.trained_on)}; {tries(section)}")
    return (Code(row.name), *map(Detail, details))


def _known(row: Row) -> list[str]:
    """What is to be known of a row before its numbers are read."""
    return [*(["ships"] if row.results.get("shipped") else []), *([FAULTY] if row.fault else [])]


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
    stage = config.get("second_stage")
    if isinstance(stage, dict) and isinstance(stage.get("first"), dict):
        text += f", a second stage of {stage['first'].get('name')}"
    epochs, choose = plan.get("epochs"), config.get("choose")
    text += f"; {plural(epochs, 'epoch', 'epochs')}" if isinstance(epochs, int) else ""
    if isinstance(choose, dict) and isinstance(choose.get("grid"), dict):
        names = (key.rpartition(".")[2].replace("_", " ") for key in choose["grid"])
        text += f"; {listed(names)} chosen in each fold"
    return text
