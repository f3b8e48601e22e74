"""Commands that train: train, pretrain, benchmark, calibrate."""

import glob
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from affetto.cli.console import (
    CacheOption,
    CorpusOption,
    DeviceOption,
    ExperimentArgument,
    PrecisionOption,
    SetOption,
    TranscriptsOption,
    err,
    note,
    note_silence,
    out,
    precision_of,
    progress_bars,
    with_transcripts,
)
from affetto.errors import ConfigError

if TYPE_CHECKING:
    from affetto.corpora import Corpus
    from affetto.report.sections import Row

app = typer.Typer()

TRAININGS = "finished trainings are kept, and the same command goes on with the next"
EPOCHS = "the same command goes on from the last epoch that was kept"


@app.command()
def train(
    experiment: ExperimentArgument,
    corpus: CorpusOption,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; default runs/NAME.")] = None,
    row: Annotated[
        str | None, typer.Option("--row", help="Which row of a file that holds several.", show_default=False)
    ] = None,
    set_: SetOption = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Results file that the model card quotes, and that calibrates.")
    ] = None,
    transcripts: TranscriptsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Train one checkpoint on a corpus; an interrupted run goes on where it was."""
    from affetto import corpora, runs
    from affetto import experiment as experiments
    from affetto.cache import FeatureCache
    from affetto.device import choose

    settings = experiments.read_one(experiment, tuple(set_ or ()), row=row)
    data = with_transcripts(corpora.read(settings.corpus, corpus), transcripts)
    if settings.model.hears_words:
        note_silence(data)
    with progress_bars() as progress, _saying_what_is_kept(EPOCHS):
        checkpoint = runs.train(
            settings,
            data,
            folder or Path("runs") / settings.name,
            cache=FeatureCache(cache),
            device=choose(device),
            precision=precision_of(precision),
            progress=progress,
            results=results,
        )
    err.print(f"checkpoint: {checkpoint}", markup=False, highlight=False)


@app.command()
def pretrain(
    settings: Annotated[str, typer.Argument(help="Settings: a YAML file, or the name of one that ships.")],
    corpus: Annotated[Path, typer.Option("--corpus", help="A folder of recordings; labels are not needed.")],
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; default runs/NAME.")] = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Pretrain a speech BERT on speech without labels; an interrupted run goes on where it was."""
    from affetto import corpora, pretraining
    from affetto.device import choose

    stated = pretraining.read(settings, tuple(set_ or ()))
    with progress_bars() as progress, _saying_what_is_kept(EPOCHS):
        checkpoint = pretraining.pretrain(
            stated,
            corpora.read(stated.corpus, corpus),
            folder or Path("runs") / stated.name,
            device=choose(device),
            precision=precision_of(precision),
            progress=progress,
        )
    err.print(f"checkpoint: {checkpoint}", markup=False, highlight=False)


@app.command()
def benchmark(
    experiment: ExperimentArgument,
    corpus: CorpusOption,
    results: Annotated[Path, typer.Option("--results", help="Folder of results.")] = Path("results"),
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help="Only these rows of a table, and what they are made of.", show_default=False),
    ] = None,
    set_: SetOption = None,
    further: Annotated[
        list[str] | None,
        typer.Option("--further", help="NAME=PATH of a corpus to test on as well.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Trainings at once; default: cores.", show_default=False)
    ] = None,
    transcripts: TranscriptsOption = None,
    further_transcripts: Annotated[
        list[str] | None,
        typer.Option("--further-transcripts", help="NAME=FILE, as --transcripts, for --further.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Train and test every row, fold and seed of an experiment, and write a results file a row.

    Finished trainings are kept: an interrupted run goes on with the next, and several commands on the same folder of
    results, on one machine or on many, share the work. Corpora that an experiment is to be tested on as well are named
    with --further; without them these tests are left out, and asking for them later trains anew.
    """
    from affetto import corpora, evaluation
    from affetto import experiment as experiments
    from affetto.cache import FeatureCache
    from affetto.device import choose
    from affetto.report import read

    rows = experiments.read(experiment, tuple(set_ or ()), only=row or None)
    data = with_transcripts(corpora.read(rows[0].corpus, corpus), transcripts)
    others = _corpora(further or [], {each.corpus for row in rows for each in row.further}, further_transcripts or [])
    if any(each.model.hears_words for row in rows for each in (row, *row.parts)):
        for each in (data, *others):
            note_silence(each)
    with progress_bars() as progress, _saying_what_is_kept(TRAININGS):
        paths = evaluation.benchmark(
            rows,
            data,
            results=results,
            cache=FeatureCache(cache),
            device=choose(device),
            precision=precision_of(precision),
            jobs=jobs,
            progress=progress,
            further=others,
        )
    for task in ("categories", "dimensions"):
        made = [read(path) for path in paths]
        _show_scores([row for row in made if row.results["task"] == task])
    for path in paths:
        err.print(f"results: {path}", markup=False, highlight=False)


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="Folder of a checkpoint; its config.json is changed.")],
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Cross-validated predictions of the same recipe.", show_default=False),
    ] = None,
    speech: Annotated[
        list[str] | None,
        typer.Option("--speech", help="NAME=FOLDER or glob of a corpus of speech; two or more.", show_default=False),
    ] = None,
) -> None:
    """Make a checkpoint's confidence come true, and teach it which sounds it can know.

    --results fits the temperature, the threshold of `reliable`, and the label sets, on predictions for speakers that
    were not in training. --speech fits the domain, outside of which recordings are flagged out_of_domain; name the
    corpus of the training among them. Weights and golden answers stay as they are.
    """
    from affetto import trust

    if results is None and not speech:
        raise ConfigError("give --results, --speech or both: there is nothing else to fit on")
    with progress_bars() as progress:
        found, known = trust.calibrate(model, results=results, speech=_speech(speech or []), progress=progress)
    if found is not None:
        out.print(
            f"temperature {found.temperature:g}; reliable from a confidence of {found.threshold:.2f}, which "
            f"{100 * found.coverage:.0f} % of {found.fitted_on['clips']} predictions reach, {100 * found.error:.1f} % "
            f"of them wrong; label sets of {100 * found.level:g} % from a probability of {1 - found.quantile:.2f}",
            highlight=False,
        )
    if known is not None:
        heard = ", ".join(f"{each['clips']} of {name}" for name, each in known.fitted_on.items())
        out.print(f"domain: clips {heard}; out of it from a distance of {known.threshold:.2f}", highlight=False)


def _speech(named: list[str]) -> dict[str, list[Path]]:
    """The recordings of each corpus of speech.

    Raises:
        ConfigError: if one is not written as NAME=FOLDER, or has no recordings.
    """
    from affetto import audio

    found = {}
    for text in named:
        name, equals, pattern = text.partition("=")
        paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
        files = [file for path in paths for file in (audio.find(path, recursive=True) if path.is_dir() else [path])]
        if not (name and equals and files):
            raise ConfigError(f"--speech {text}: expected NAME=FOLDER, or NAME=GLOB, of recordings")
        found[name] = files
    return found


@contextmanager
def _saying_what_is_kept(kept: str) -> Iterator[None]:
    """Tell whoever interrupts that nothing finished is lost, and from where the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"interrupted; {kept}")
        raise


def _corpora(named: list[str], asked: set[str], tables: list[str]) -> list["Corpus"]:
    """The corpora to test on as well, and a note on those that are asked for and not there.

    Raises:
        ConfigError: if one is not written as NAME=PATH, or no row asks for it; or a table of transcripts is of none.
    """
    from affetto import corpora

    found = []
    words = dict(text.partition("=")[::2] for text in tables)
    if strange := set(words) - {text.partition("=")[0] for text in named}:
        raise ConfigError(f"--further-transcripts {min(strange)}: expected NAME=FILE of a corpus in --further")
    for text in named:
        name, equals, path = text.partition("=")
        if not equals or name not in asked:
            expected = f"one of {', '.join(sorted(asked))}, as NAME=PATH" if asked else "none, as no row asks for any"
            raise ConfigError(f"--further {text}: expected {expected}")
        found.append(with_transcripts(corpora.read(name, Path(path)), Path(words[name]) if name in words else None))
    for name in sorted(asked - {corpus.name for corpus in found}):
        note(f"not tested on {name}: say where it is with --further {name}=PATH")
    return found


def _told(row: "Row") -> tuple[str, ...]:
    """The scores of a row that a terminal is wide enough for."""
    return (*row.scoring.headline, *row.scoring.further)[:4]


def _show_scores(rows: list["Row"]) -> None:
    """A table of results of one task; nothing if there are none."""
    from affetto.report.scoreboards import called
    from affetto.report.tables import unit

    if not rows:
        return
    of = unit(rows[0].results["task"])
    names = list(dict.fromkeys(name for row in rows for name in _told(row)))
    title = f"mean over folds and seeds, {of.name}, with 95 % intervals over speakers"
    table = Table("protocol", "row", title=title)
    for name in names:
        table.add_column(called(name), justify="right")
    for row in rows:
        cells = []
        for name in names:
            own = name in _told(row)
            low, _ = ends = row.interval(name) if own else (math.nan, math.nan)
            interval = [] if math.isnan(low) else of.interval(ends)
            cells.append(escape(" ".join((*of.score(row.score(name)), *interval))) if own else "")
        table.add_row(row.protocol, row.name, *cells)
    out.print(table)
