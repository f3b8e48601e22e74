"""The chapter on rows that were learned on one corpus and tested on another: matrices, as tables and heat maps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from affetto.report.document import Block, Chapter, Folded, Grid, Heading, Paragraph, Picture
from affetto.report.figures import ACCENT, INK, ON_ACCENT, SOFT, STYLE
from affetto.report.matrix import Matrix, matrices
from affetto.report.scoreboards import called, place
from affetto.report.sections import Section
from affetto.report.tables import DASH, PER_CENT, Code, Table, Text, anchor, listed, plural

HOW = {False: "as is", True: "with each speaker's own baseline"}
"""Whether a matrix is transductive, in words."""
PLACE = "across-corpora"
INTRODUCTION: Text = (
    "What is learned on one corpus and heard on another: rows are learned from, columns are tested. Every system knows "
    "the classes that the corpora share, and no others, from training on. ",
    "With each speaker's own baseline, features are standardised with that speaker's clips of these classes, all of "
    "them, without their labels: a system that meets a voice for the first time cannot do that. Where a corpus is "
    "learned from and tested, the voices are still others.",
)


def chapter(sections: Sequence[Section], inside: Mapping[Section, Sequence[Block]]) -> Chapter | None:
    """Every matrix, with the single protocols folded below; None if nothing was tested across corpora.

    Args:
        sections: all.
        inside: what is said of each protocol by itself.
    """
    found = matrices(sections)
    if not found:
        return None
    blocks: list[Block] = [Paragraph(INTRODUCTION)]
    for each in found:
        blocks += [Heading((Code(each.name), f": {listed(each.labels)}")), _picture(each)]
        blocks += [Grid(matrix(each, how)) for how in HOW if _measured(each, how)]
    for section, own in inside.items():
        blocks.append(Folded((Code(section.title),), tuple(own), place(section)))
    return Chapter(("Learned on one corpus, heard on the next",), PLACE, tuple(blocks))


def matrix(found: Matrix, transductive: bool) -> Table:
    """UA and WA of every place of a matrix."""
    rows = []
    for trained in found.trained:
        cells: list[Text] = [(trained,)]
        for tested in found.tested:
            row = found.row(trained, tested, transductive=transductive)
            for name in ("ua", "wa"):
                score = (*PER_CENT.score(row.score(name)), *PER_CENT.interval(row.interval(name))) if row else (DASH,)
                cells.append(score)
            tries = found.tries.get((trained, tested, transductive))
            cells.append((str(tries),) if tries else (DASH,))
        rows.append(tuple(cells))
    heads = [f"{head}, {tested}" for tested in found.tested for head in (called("ua"), called("wa"), "tried")]
    caption = f"{found.name}, {HOW[transductive]}: {PER_CENT.name}, with 95 % intervals over speakers."
    return Table(("learned on", *heads), tuple(rows), caption)


def _measured(found: Matrix, transductive: bool) -> bool:
    return any(how == transductive for _, _, how in found.rows)


def _picture(found: Matrix) -> Picture:
    name = f"across-{anchor(found.name)}-{anchor('-'.join(found.labels))}"
    said = [
        f"{trained} to {tested} {HOW[how]} {' '.join(PER_CENT.score(row.score('ua')))}"
        for (trained, tested, how), row in sorted(found.rows.items())
    ]
    alt = f"Heat map of {called('ua')} of {found.name}, learned on and tested on: {'; '.join(said)}."
    chance = " ".join(PER_CENT.score(1 / len(found.labels)))
    number = plural(len(found.labels), "class", "classes")
    return Picture(name, heat_map(found), alt, (f"UA in per cent; of {number}, guessing gets {chance}.",))


def heat_map(found: Matrix) -> Figure:
    """UA of every place, darker where it is higher above guessing; as is, and with each speaker's own baseline."""
    kinds = [how for how in HOW if _measured(found, how)]
    wide, high = len(found.tested), len(found.trained)
    chance = 1 / len(found.labels)
    figure = Figure(figsize=(1.2 + 1.15 * wide * len(kinds), 1.1 + 0.62 * high), layout="constrained")
    FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, how in zip(panels, kinds, strict=True):
            for y, trained in enumerate(found.trained):
                for x, tested in enumerate(found.tested):
                    row = found.row(trained, tested, transductive=how)
                    _cell(axes, x, y, row.score("ua") if row else math.nan, chance)
            axes.set_xlim(-0.5, wide - 0.5)
            axes.set_ylim(high - 0.5, -0.5)
            names = [tested.replace(" ", "\n", 1) for tested in found.tested]
            axes.set_xticks(range(wide), names, fontsize=8.5)
            axes.set_yticks(range(high), [trained.replace("+", " +\n") for trained in found.trained], fontsize=8.5)
            axes.tick_params(length=0, labelcolor=INK)
            axes.set_xlabel("heard on")
            axes.set_title(HOW[how])
            for spine in axes.spines.values():
                spine.set_visible(False)
        panels[0].set_ylabel("learned on")
    return figure


def _cell(axes: Any, x: int, y: int, score: float, chance: float) -> None:
    if math.isnan(score):
        axes.text(x, y, DASH, ha="center", va="center", color=SOFT, fontsize=9)
        return
    shade = min(max((score - chance) / (1 - chance), 0.0), 1.0)
    axes.add_patch(Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, fc=ACCENT, lw=0, alpha=0.06 + 0.94 * shade))
    colour = ON_ACCENT if shade > 0.62 else INK
    axes.text(x, y, f"{100 * score:.1f}", ha="center", va="center", color=colour, fontsize=10)
