"""The verdicts as one page of HTML that needs nothing beside it, in the report's clothes."""

import math

from affetto import __version__
from affetto.distortions import named
from affetto.report import figures
from affetto.report.document import Chapter, Document, Grid, Paragraph, Picture, Points
from affetto.report.pages import to_html
from affetto.report.tables import PER_CENT, PLAIN, Strong, Table, Text, Unit, plural
from affetto.stress.verdicts import SPARED, Stressed, Verdict


def page(found: Stressed) -> str:
    """The page."""
    chapters = [
        Chapter(("Trials",), "trials", (Grid(_table(found)),)),
        Chapter(("Agreement",), "agreement", (_picture(found),)),
        Chapter(("What the trials are",), "distortions", (Points(_explained(found)),)),
    ]
    if found.left_out:
        faults = tuple((str(fault),) for fault in found.left_out)
        chapters.append(Chapter(("Left out",), "left-out", (Paragraph(("Not heard, even clean:",)), Points(faults))))
    footer: Text = (f"Made by affetto {__version__}. A trial is the same on every machine: what is random is drawn ",)
    footer = (*footer, "from the clip's name.")
    return to_html(Document(f"Stress test of {found.model}", _lede(found), tuple(chapters), footer))


def _unit(found: Stressed) -> Unit:
    return PER_CENT if found.kind == "ua" else PLAIN


def score_name(found: Stressed) -> str:
    """What the score is called."""
    return "UAR" if found.kind == "ua" else "CCC"


def _lede(found: Stressed) -> Text:
    failed = len(found.failed)
    verdict = (
        f"{failed} of {len(found.verdicts)} trials failed" if failed else f"All {len(found.verdicts)} trials passed"
    )
    words: Text = (Strong(verdict), f" on {plural(found.clips, 'clip', 'clips')}. Corpus: {found.corpus}. ")
    if not found.labelled:
        return (*words, "The clips have no labels that the model knows, so only agreement is judged.")
    score = "".join(_unit(found).score(found.score))
    return (*words, f"Clean, the model's {score_name(found)} on the {found.labelled} labelled clips is {score}.")


def _table(found: Stressed) -> Table:
    score = score_name(found)
    drop = f"drop of {score}, {'points' if found.kind == 'ua' else 'absolute'}"
    agreement = "agreement, %" if found.kind == "ua" else "agreement, CCC"
    columns = ("trial", agreement, "at least", score, drop, "at most", "changed", "verdict")
    return Table(columns, tuple(_row(each, found) for each in found.verdicts), _caption(found), words=(0, 7))


def _caption(found: Stressed) -> str:
    return (
        f"A trial is passed if agreement and drop keep to their thresholds, or no more than {SPARED} clip changes its "
        f"answer; one clip of {found.clips} is {100 / found.clips:.1f} % of agreement. Clips that cannot be heard any "
        "more count as changed and wrong."
    )


def _row(each: Verdict, found: Stressed) -> tuple[Text, ...]:
    unit, trial = _unit(found), each.trial
    scored = not math.isnan(each.score)
    changed = f"{each.changed}" + (f" ({each.unheard} unheard)" if each.unheard else "")
    verdict: Text = ("passed",) if each.passed else (Strong("failed"),)
    return (
        (trial.title,),
        unit.score(each.agreement),
        (f"{unit.factor * trial.agreement:g}",),
        unit.score(each.score),
        (unit.difference(each.drop),) if scored else unit.score(each.drop),
        (f"{unit.factor * trial.drop:g}",) if scored else ("",),
        (changed,),
        verdict,
    )


def _picture(found: Stressed) -> Picture:
    unit = _unit(found)
    bars = [
        figures.Bar(each.trial.title, each.agreement, (math.nan, math.nan), each.trial.agreement)
        for each in found.verdicts
    ]
    label = "agreement with the clean answer" + (" in %" if found.kind == "ua" else ", CCC")
    figure = figures.bars({"agreement": bars}, factor=unit.factor, chance=None, label=label, mark="asked for, at least")
    words = ", ".join(f"{bar.name}: {unit.factor * bar.score:.3g}" for bar in bars)
    return Picture("agreement", figure, words, ("Diamonds mark the least that is asked for.",))


def _explained(found: Stressed) -> tuple[Text, ...]:
    asked = [named(name) for name in dict.fromkeys(each.trial.distortion for each in found.verdicts)]
    return tuple((Strong(each.name), f": {each.says} ({each.unit})") for each in asked)
