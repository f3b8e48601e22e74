"""The command that learns on one corpus and tests another: transfer."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from affetto.cli.console import (
    CacheOption,
    DeviceOption,
    ExperimentArgument,
    PrecisionOption,
    SetOption,
    err,
    note_silence,
    out,
    precision_of,
    progress_bars,
)
from affetto.errors import ConfigError

if TYPE_CHECKING:
    from affetto.report.matrix import Matrix

app = typer.Typer()


@app.command()
def transfer(
    experiment: ExperimentArgument,
    corpus: Annotated[list[str], typer.Option("--corpus", help="NAME=PATH of a corpus; two or more.")],
    train: Annotated[
        list[str] | None,
        typer.Option("--train", help="Learn from this one only; may be repeated.", show_default=False),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            help="Test this one only, NAME or NAME=PROTOCOL, whose test clips are taken; may be repeated.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Ask about these alone, with commas; default: all shared.", show_default=False),
    ] = None,
    results: Annotated[Path, typer.Option("--results", help="Folder of results.")] = Path("results"),
    row: Annotated[
        list[str] | None, typer.Option("--row", help="Only these rows of a table.", show_default=False)
    ] = None,
    set_: SetOption = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Trainings at once; default: cores.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Learn on each corpus and test the others, on the classes that all have: a matrix.

    Each place is run as it is and with each speaker's own baseline, for which test speakers' clips are heard without
    their labels. With three corpora or more, all but the tested one are learned from together as well. A corpus that is
    learned from is tested too where --test names a protocol of its own. Finished trainings are kept.
    """
    from affetto import corpora, report
    from affetto import experiment as experiments
    from affetto import transfer as transfers
    from affetto.cache import FeatureCache
    from affetto.device import choose
    from affetto.report import matrix

    rows = experiments.read(experiment, tuple(set_ or ()), only=row or None)
    given = [corpora.read(name, path) for name, path in _named("--corpus", corpus).items()]
    if any(each.model.hears_words for each in rows):
        for each in given:
            note_silence(each)
    tests = {name: clips or "all" for name, clips in _named("--test", test or (), bare=True).items()}
    entries = transfers.plan(given, train or (), tests)
    with progress_bars() as progress:
        paths = transfers.run(
            rows,
            given,
            entries,
            classes=None if classes is None else classes.split(","),
            results=results,
            cache=FeatureCache(cache),
            device=choose(device),
            precision=precision_of(precision),
            jobs=jobs,
            progress=progress,
        )
    made = {path.parent.name for path in paths}
    for found in matrix.matrices(report.gather(results, only=made).sections):
        for transductive in (False, True):
            _show(found, transductive)
    for path in paths:
        err.print(f"results: {path}", markup=False, highlight=False)


def _named(option: str, texts: Iterable[str], *, bare: bool = False) -> dict[str, str]:
    """What follows each name in NAME=VALUE; "" for a bare name, where one is allowed.

    Raises:
        ConfigError: if a text is not so written, or a name stands there twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not (value if equals else bare):
            raise ConfigError(f"{option} {text}: expected NAME=VALUE, such as emodb=/data/emodb")
        if name in found:
            raise ConfigError(f"{option} {text}: {name} is named twice")
        found[name] = value
    return found


def _show(found: "Matrix", transductive: bool) -> None:
    """A matrix of one row, in the terminal."""
    from affetto.report.tables import PER_CENT

    how = "with each speaker's own baseline" if transductive else "as is"
    title = f"{found.name}, {how}: UA in %, with 95 % intervals over speakers; {', '.join(found.labels)}"
    table = Table("learned \\ tested", *map(escape, found.tested), title=escape(title))
    for trained in found.trained:
        cells = []
        for tested in found.tested:
            row = found.row(trained, tested, transductive=transductive)
            text = " ".join((*PER_CENT.score(row.score("ua")), *PER_CENT.interval(row.interval("ua")))) if row else "-"
            cells.append(escape(text))
        table.add_row(escape(trained), *cells)
    out.print(table)
