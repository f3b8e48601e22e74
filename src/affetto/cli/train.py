"""Commands that train: train, pretrain, benchmark."""

import json
from pathlib import Path
from typing import Annotated

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
    note_silence,
    out,
    precision_of,
    progress_bars,
    with_transcripts,
)

app = typer.Typer()


@app.command()
def train(
    experiment: ExperimentArgument,
    corpus: CorpusOption,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; default runs/NAME.")] = None,
    set_: SetOption = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Results file whose numbers the model card quotes.")
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

    settings = experiments.read_one(experiment, tuple(set_ or ()))
    data = with_transcripts(corpora.read(settings.corpus, corpus), transcripts)
    if settings.model.hears_words:
        note_silence(data)
    with progress_bars() as progress:
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
    with progress_bars() as progress:
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
    set_: SetOption = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Trainings at once; default: cores.", show_default=False)
    ] = None,
    transcripts: TranscriptsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Train and test every row, fold and seed of an experiment, and write a results file a row.

    Finished trainings are kept: an interrupted run goes on with the next, and several commands on the same folder of
    results, on one machine or on many, share the work.
    """
    from affetto import corpora, evaluation
    from affetto import experiment as experiments
    from affetto.cache import FeatureCache
    from affetto.device import choose

    rows = experiments.read(experiment, tuple(set_ or ()))
    data = with_transcripts(corpora.read(rows[0].corpus, corpus), transcripts)
    if any(row.model.hears_words for row in rows):
        note_silence(data)
    with progress_bars() as progress:
        paths = evaluation.benchmark(
            rows,
            data,
            results=results,
            cache=FeatureCache(cache),
            device=choose(device),
            precision=precision_of(precision),
            jobs=jobs,
            progress=progress,
        )
    table = Table("protocol", "row", title="mean over folds and seeds, in %, with 95 % intervals over speakers")
    for column in ("WA", "UA", "macro F1"):
        table.add_column(column, justify="right")
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = []
        for name in ("wa", "ua", "macro_f1"):
            low, high = content["intervals"].get("fold_mean", {}).get(name, (None, None))
            interval = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
            cells.append(escape(f"{100 * content['fold_mean'][name]:.2f}{interval}"))
        table.add_row(content["protocol"], content["model"], *cells)
    out.print(table)
    for path in paths:
        err.print(f"results: {path}", markup=False, highlight=False)
