"""The command that says whom a model serves less well: groups; and what `evaluate --by` shows."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from affetto.cli.console import note, out
from affetto.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from affetto.groups import Comparison
    from affetto.scores import Scoring

app = typer.Typer()

ByOption = Annotated[
    list[str] | None,
    typer.Option("--by", help="Compare groups of clips: sex, age, speaker; may be repeated.", show_default=False),
]


@app.command()
def groups(
    path: Annotated[Path, typer.Argument(help="A results file (JSON), its predictions (CSV) beside it.")],
    by: ByOption = None,
    speakers: Annotated[
        Path | None,
        typer.Option("--speakers", help="CSV of speaker and sex, age or both.", show_default=False),
    ] = None,
) -> None:
    """Say whom a row of results serves less well: its scores by sex, age and speaker, and the gaps between them.

    Sex and age come from what is published of the corpus's speakers, or from --speakers. Beside each gap stands what
    chance gives when the same speakers are dealt to groups at random.
    """
    from affetto import groups as of_groups
    from affetto.report import read

    row = read(path.with_suffix(".json"))
    about = of_groups.of_speakers(str(row.results["corpus"])) if speakers is None else of_groups.read(speakers)
    shown = 0
    for kind in by or of_groups.BY:
        found = of_groups.compare(row.table, row.scoring, of_groups.known(row.table, kind, about), by=kind)
        if found is None:
            note(f"fewer than two groups by {kind} are known; name speakers' with --speakers")
            continue
        shown += 1
        _show(found, row.scoring, f"{row.name} under {row.protocol}")
    if not shown:
        raise ConfigError(f"{path}: nothing to compare by {', '.join(by or of_groups.BY)}")


def show_groups(answers: "pd.DataFrame", clips: "pd.DataFrame", labels: tuple[str, ...], by: str) -> None:
    """The same of predictions that were just made.

    Args:
        answers: what was predicted and what is true, a row a clip.
        clips: the corpus's rows of these.
        labels: classes or dimensions.
        by: a column of the corpus.

    Raises:
        ConfigError: if the corpus has no such column.
    """
    from affetto import groups as of_groups
    from affetto import scores

    if by not in clips:
        raise ConfigError(f"--by {by}: the corpus has no such column; it has {', '.join(map(str, clips.columns))}")
    table = answers.rename(columns={"emotion": "prediction"}).assign(
        seed=0, fold="all", speaker=clips["speaker"].astype(object).where(clips["speaker"].notna(), None).tolist()
    )
    scoring = scores.scoring("categories" if "truth" in table else "dimensions", labels)
    found = of_groups.compare(table, scoring, [_group(value, by) for value in clips[by]], by=by)
    if found is None:
        note(f"fewer than two groups by {by} are known")
    else:
        _show(found, scoring, f"{len(table)} clips")


def _group(value: object, by: str) -> str | None:
    """A corpus's value as a group: ages by ten years, everything else as it is."""
    import pandas as pd

    from affetto import groups as of_groups

    if pd.isna(value) or value == "":  # type: ignore[call-overload]
        return None
    return of_groups.decade(float(str(value))) if by == "age" else str(value)


def _show(found: "Comparison", scoring: "Scoring", what: str) -> None:
    from affetto.report.scoreboards import called
    from affetto.report.tables import PER_CENT, PLAIN, p_value

    of = PER_CENT if found.odds is not None else PLAIN

    def number(value: float, ends: Sequence[float]) -> str:
        """A score with its interval."""
        return escape(" ".join((*of.score(value), *of.interval((ends[0], ends[1])))))

    names = (*scoring.headline, *scoring.further)[:4]
    table = Table(found.by, "clips", "speakers", *map(called, names), title=escape(f"{what}, by {found.by}, {of.name}"))
    for group in found.groups:
        cells = (number(group.scores[n], (group.intervals[n].low, group.intervals[n].high)) for n in names)
        table.add_row(escape(group.name), str(group.clips), str(group.speakers), *cells)
    out.print(table)
    table = Table("gap in", "highest", "lowest", "gap", "by chance", "p")
    for gap in (*(found.gaps[n] for n in names), *found.of_classes):
        title = called(gap.what) if gap.what in scoring.names else gap.what
        ends = (gap.highest, gap.lowest) if gap.difference > 0 else ("-", "-")
        chance = " ".join(of.score(gap.by_chance)), p_value(gap.p_value)
        shown = number(gap.difference, (gap.interval.low, gap.interval.high))
        table.add_row(title, *map(escape, ends), shown, *chance)
    out.print(table)
    if found.odds is not None:
        odds = found.odds
        said = f"equalised-odds gap: {' '.join(of.score(odds.difference))} ({odds.what})"
        if not math.isnan(odds.by_chance):
            said += f"; by chance {' '.join(of.score(odds.by_chance))}, p = {p_value(odds.p_value)}"
        out.print(said, markup=False, highlight=False)
    if found.left_out:
        note(f"{found.left_out} clips left out: nobody says their {found.by}")
