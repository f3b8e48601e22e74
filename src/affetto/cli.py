"""The command `affetto`. Each command imports what it needs when it runs, so that `--help` comes at once."""

import glob
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from affetto import __version__
from affetto.errors import AffettoError, AudioError, ConfigError, CorpusError

if TYPE_CHECKING:
    from affetto.corpora import Corpus
    from affetto.recognizer import Prediction, Recognizer

app = typer.Typer(
    help="Hear emotion in speech.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
corpora_app = typer.Typer(help="Corpora that can be read.", no_args_is_help=True)
models_app = typer.Typer(help="Models: those that ship, and the architectures.", no_args_is_help=True)
cache_app = typer.Typer(help="Features that were computed once and kept.", no_args_is_help=True)
app.add_typer(corpora_app, name="corpora")
app.add_typer(models_app, name="models")
app.add_typer(cache_app, name="cache")

# A pipe or a file has no width of its own.
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True)

DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
CacheOption = Annotated[Path | None, typer.Option("--cache", help="Folder of cached features.", show_default=False)]
CorpusOption = Annotated[Path, typer.Option("--corpus", help="The corpus's folder, or a CSV table.")]
ExperimentArgument = Annotated[str, typer.Argument(help="Settings: a YAML file, or the name of one that ships.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting, e.g. training.epochs=3.", show_default=False)
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A shipped model's name, a folder, or a hub id.", show_default=False),
]


def main() -> None:
    """Run the command line; a mistake of the user's ends in one line on stderr and exit code 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names are bytes, not always text
    try:
        app()
    except AffettoError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of stdout has gone (`affetto predict ... | head`); nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        print(f"affetto {__version__}")
        raise typer.Exit


@app.command()
def demo(device: DeviceOption = "auto") -> None:
    """Listen to the seven sample clips."""
    from affetto import cards, corpora, resources
    from affetto.recognizer import Recognizer

    corpus = corpora.read("table", resources.folder("samples") / "samples.csv")
    recognizer = Recognizer.from_pretrained(device=device)
    table = _shares_table("clip", "meant", "heard", labels=recognizer.labels)
    files = corpus.table.index.get_level_values("file")
    right = 0
    for file, meant, outcome in zip(files, corpus.table["emotion"], recognizer.predict_corpus(corpus), strict=True):
        if isinstance(outcome, AudioError):
            raise outcome
        right += outcome.emotion == meant
        colour = "green" if outcome.emotion == meant else "red"
        heard = f"[{colour}]{outcome.emotion}[/]"
        table.add_row(Path(file).stem, meant, heard, *_shares(outcome.probabilities))
    out.print(f"What {recognizer.checkpoint.name} hears in {len(corpus)} recordings, in %:\n", highlight=False)
    out.print(table)
    out.print(
        f"\n{right} of {len(corpus)} as meant. These speakers, not these clips, were in training;", highlight=False
    )
    out.print(f"for new speakers expect less. {cards.expectation(recognizer.checkpoint.provenance)}", highlight=False)


@app.command()
def predict(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs; - reads a list of paths from stdin.")],
    model: ModelOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders below folders.")] = False,
    format: Annotated[str | None, typer.Option("--format", "-f", help="table, csv, json or jsonl.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write there; its ending gives the format.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Say which emotion each recording carries.

    Results go to stdout, everything else to stderr. A recording that cannot be heard is named there with the reason,
    the others go on, and the exit code is 1.
    """
    kind = _format(format, out_file)
    sources, faults = _sources(paths, recursive=recursive)
    for fault in faults:
        _complain(fault)
    if sources:
        from affetto.recognizer import Recognizer

        recognizer = Recognizer.from_pretrained(model, device=device, precision=_precision(precision))
        with _output(out_file) as stream, _progress() as progress:
            writer = _Writer(kind, recognizer, stream)
            for done, outcome in enumerate(recognizer.predict_all(sources), start=1):
                progress("recordings", done, len(sources))
                if isinstance(outcome, AudioError):
                    faults.append(outcome)
                    _complain(outcome)
                    continue
                for note in outcome.notes:
                    _note(f"{outcome.file}: {note}")
                writer.write(outcome)
            writer.close()
    if faults:
        raise typer.Exit(1)


@app.command()
def train(
    experiment: ExperimentArgument,
    corpus: CorpusOption,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; default runs/NAME.")] = None,
    set_: SetOption = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Results file whose numbers the model card quotes.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Train one checkpoint on a corpus; an interrupted run goes on where it was."""
    from affetto import corpora, runs
    from affetto import experiment as experiments
    from affetto.cache import FeatureCache
    from affetto.device import choose

    settings = experiments.read(experiment, tuple(set_ or ()))
    with _progress() as progress:
        checkpoint = runs.train(
            settings,
            corpora.read(settings.corpus, corpus),
            folder or Path("runs") / settings.name,
            cache=FeatureCache(cache),
            device=choose(device),
            precision=_precision(precision),
            progress=progress,
            results=results,
        )
    err.print(f"checkpoint: {checkpoint}", markup=False, highlight=False)


@app.command()
def benchmark(
    experiment: ExperimentArgument,
    corpus: CorpusOption,
    results: Annotated[Path, typer.Option("--results", help="Folder of results.")] = Path("results"),
    set_: SetOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Train and test every fold of an experiment's protocol, and write its results file.

    Finished folds are kept: an interrupted run goes on with the next.
    """
    from affetto import corpora, evaluation
    from affetto import experiment as experiments
    from affetto.cache import FeatureCache
    from affetto.device import choose

    settings = experiments.read(experiment, tuple(set_ or ()))
    with _progress() as progress:
        path = evaluation.benchmark(
            settings,
            corpora.read(settings.corpus, corpus),
            results=results,
            cache=FeatureCache(cache),
            device=choose(device),
            precision=_precision(precision),
            progress=progress,
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    seeds = len(content["seeds"])
    table = Table(title=f"{content['model']} on {content['protocol']} (in %, {seeds} seed{'s' if seeds > 1 else ''})")
    for column in ("", "WA", "UA", "macro F1"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("fold_mean", "pooled"):
        table.add_row(name.replace("_", " "), *(f"{100 * content[name][key]:.2f}" for key in ("wa", "ua", "macro_f1")))
    out.print(table)
    err.print(f"results: {path}", markup=False, highlight=False)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model's name, a folder, or a hub id.")],
    corpus: CorpusOption,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which corpus it is; found out when not given.", show_default=False)
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write predictions and truth there, CSV.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Score a checkpoint on a corpus. Says so when the checkpoint was trained on some of it."""
    import pandas as pd

    from affetto import metrics, runs
    from affetto.recognizer import Recognizer

    data = _corpus(kind, corpus)
    recognizer = Recognizer.from_pretrained(model, device=device, precision=_precision(precision))
    known = data.table["emotion"].isin(list(recognizer.labels))
    if not known.all():
        strange = ", ".join(sorted(set(data.table["emotion"][~known])))
        _note(f"{int((~known).sum())} utterances left out: the model does not know {strange}")
        data = data.select(known)
    if not len(data):
        raise CorpusError(f"{corpus}: has no utterance of the model's classes {', '.join(recognizer.labels)}")
    with _progress() as progress:
        rows, faults = [], []
        for number, (truth, outcome) in enumerate(
            zip(data.table["emotion"], recognizer.predict_corpus(data), strict=True), start=1
        ):
            progress("recordings", number, len(data))
            if isinstance(outcome, AudioError):
                faults.append(outcome)
                _complain(outcome)
            else:
                rows.append({**outcome.row, "truth": truth})
    if not rows:
        raise CorpusError(f"{corpus}: none of its {len(data)} utterances can be heard")
    predictions = pd.DataFrame(rows)
    scores = metrics.scores(list(predictions.truth), list(predictions.emotion))
    counts = metrics.confusion(list(predictions.truth), list(predictions.emotion), recognizer.labels)
    table = Table(title=f"{recognizer.checkpoint.name} on {len(rows)} utterances of {data.info.title}")
    table.add_column("meant \\ heard")
    for label in recognizer.labels:
        table.add_column(label, justify="right")
    for label, line in zip(recognizer.labels, counts, strict=True):
        table.add_row(label, *(str(n) if n else "." for n in line))
    out.print(table)
    out.print(
        f"WA {100 * scores['wa']:.2f} %   UA {100 * scores['ua']:.2f} %   macro F1 {100 * scores['macro_f1']:.2f} %",
        highlight=False,
    )
    files = {data.path(file) for file in predictions.file}
    heard = sum(runs.heard(recognizer.checkpoint.provenance, path) for path in files)
    if heard:
        err.print(
            f"warning: the model was trained on {heard} of these {len(files)} files; "
            "these scores say nothing about new recordings",
            style="yellow",
        )
    if out_file:
        with _output(out_file) as stream:
            predictions.to_csv(stream, index=False, lineterminator="\n", float_format="%.6f")
    if faults:
        raise typer.Exit(1)


@corpora_app.command("list")
def corpora_list() -> None:
    """The corpora that can be read."""
    from affetto import corpora

    table = Table("name", "corpus", "language", "licence", "utterances")
    for name in corpora.names():
        info = corpora.get(name).info
        count = str(sum(info.categories.values())) if info.categories else "any"
        table.add_row(name, info.title, info.language, info.licence, count)
    out.print(table)


@corpora_app.command("show")
def corpora_show(name: Annotated[str, typer.Argument(help="A corpus's name.")]) -> None:
    """What is known of a corpus: source, licence, layout, counts."""
    from affetto import corpora

    info = corpora.get(name).info
    table = Table(show_header=False, box=None)
    for key in ("title", "language", "licence", "source", "citation"):
        table.add_row(f"[bold]{key}[/]", str(getattr(info, key)))
    table.add_row("[bold]layout[/]", "\n".join(info.layout))
    out.print(table)
    if info.categories:
        total = sum(info.categories.values())
        counts = Table("emotion", "utterances", "share in %")
        for emotion, count in info.categories.items():
            counts.add_row(emotion, str(count), f"{100 * count / total:.2f}")
        counts.add_row("total", str(total), "100.00")
        out.print(counts)
    if info.speakers:
        out.print("speakers: " + ", ".join(f"{s} ({sex}, {age})" for s, (sex, age) in info.speakers.items()))


@corpora_app.command("check")
def corpora_check(
    name: Annotated[str, typer.Argument(help="A corpus's name.")],
    path: Annotated[Path, typer.Argument(help="Its folder, or the CSV table.")],
) -> None:
    """Look for missing, undecodable, silent, clipped and duplicate files, and for names that contradict labels."""
    from affetto import corpora

    corpus = corpora.read(name, path)
    findings = corpora.check(corpus)
    if not findings:
        out.print(f"{corpus.info.title}: {len(corpus)} utterances, {len(corpus.speakers)} speakers, nothing found")
        return
    table = Table(
        "file", "start", "end", "problem", "detail", title=f"{len(findings)} findings in {len(corpus)} utterances"
    )
    for finding in findings:
        end = "" if finding.end is None else f"{finding.end:.2f}"
        table.add_row(escape(finding.file), f"{finding.start:.2f}", end, finding.problem, escape(finding.detail))
    out.print(table)
    raise typer.Exit(1)


@models_app.command("list")
def models_list() -> None:
    """The models that ship, and the architectures that can be trained."""
    from affetto import checkpoint, models, pretrained

    table = Table("name", "classes", "trained on", "unseen speakers, WA / UA in %", title="models that ship")
    for name in pretrained.names():
        config = checkpoint.describe(pretrained.folder(name))
        expected = config["provenance"]["expected"]
        scores = f"{100 * expected['wa']:.1f} / {100 * expected['ua']:.1f}" if expected else "not measured"
        table.add_row(name, ", ".join(config["labels"]), config["provenance"]["trained_on"]["title"], scores)
    out.print(table)
    table = Table("name", "paper", title="architectures")
    for name in models.names():
        table.add_row(name, models.get(name).paper)
    out.print(table)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A shipped model, an architecture, a folder, or a hub id.")],
) -> None:
    """The card of a checkpoint; or an architecture's paper, readings, size and settings."""
    from affetto import models

    if name in models.names():
        info = models.get(name)
        settings = models.parse_settings({"name": name}, source=name)
        model = info.create(settings, 7)
        parameters = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        out.print(f"[bold]{name}[/]: {info.paper}", highlight=False)
        out.print(f"{parameters:,} parameters for 7 classes, {trained:,} of them trained", highlight=False)
        if info.differs:
            out.print("Differs from the paper:")
        for line in info.differs:
            out.print(f"* {line}", markup=False, highlight=False)
        out.print("Settings:")
        out.print_json(settings.model_dump_json())
        return
    from rich.markdown import Markdown

    from affetto import checkpoint
    from affetto.recognizer import locate

    out.print(Markdown(checkpoint.card(locate(name))))


@cache_app.command("show")
def cache_show(cache: CacheOption = None) -> None:
    """What is kept, and where."""
    from affetto.cache import FeatureCache

    kept = FeatureCache(cache)
    table = Table(title=str(kept.folder))
    table.add_column("stream", no_wrap=True, overflow="ellipsis", max_width=60)
    table.add_column("clips", justify="right")
    table.add_column("MB", justify="right")
    for usage in kept.usage():
        table.add_row(escape(usage.stream), str(usage.files), f"{usage.bytes / 1e6:.1f}")
    out.print(table)


@cache_app.command("clear")
def cache_clear(cache: CacheOption = None) -> None:
    """Delete everything that is kept."""
    from affetto.cache import FeatureCache

    kept = FeatureCache(cache)
    out.print(f"freed {kept.clear() / 1e6:.1f} MB in {kept.folder}", highlight=False, markup=False)


class _Writer:
    """Predictions in one of the formats; csv and jsonl line by line as they come."""

    def __init__(self, kind: str, recognizer: "Recognizer", stream: TextIO) -> None:
        import csv

        self.kind, self.stream = kind, stream
        self.rows: list[dict[str, Any]] = []
        self.labels = recognizer.labels
        self.csv = csv.writer(stream, lineterminator="\n")
        if kind == "csv":
            self.csv.writerow(["file", "start", "end", "emotion", "confidence", *recognizer.labels])

    def write(self, prediction: "Prediction") -> None:
        row = prediction.row
        if self.kind == "csv":
            self.csv.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in row.values()])
        elif self.kind == "jsonl":
            self.stream.write(json.dumps(self._nested(row), ensure_ascii=False) + "\n")
        else:
            self.rows.append(row)

    def close(self) -> None:
        if self.kind == "json":
            self.stream.write(json.dumps([self._nested(row) for row in self.rows], indent=1, ensure_ascii=False) + "\n")
        elif self.kind == "table":
            self._table()
        self.stream.flush()

    def _nested(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with its probabilities under one key, rounded to six digits."""
        flat = {key: value for key, value in row.items() if key not in self.labels}
        flat["confidence"] = round(flat["confidence"], 6)
        return {**flat, "probabilities": {label: round(row[label], 6) for label in self.labels}}

    def _table(self) -> None:
        table = _shares_table("file", "emotion", labels=self.labels)
        for row in self.rows:
            table.add_row(escape(row["file"]), row["emotion"], *_shares({label: row[label] for label in self.labels}))
        (out if self.stream is sys.stdout else Console(file=self.stream, width=160)).print(table)


def _shares_table(*columns: str, labels: tuple[str, ...]) -> Table:
    """A table that ends in one narrow column a category; seven of them fit a terminal 80 wide."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for column in columns:
        table.add_column(column, overflow="fold")
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    return table


def _shares(probabilities: dict[str, float]) -> list[str]:
    """Probabilities in whole per cent, the largest in bold."""
    largest = max(probabilities.values())
    return [f"[bold]{100 * p:.0f}[/]" if p == largest else f"{100 * p:.0f}" for p in probabilities.values()]


class _Bars:
    """Progress on stderr: one bar a kind of work, with the time left."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.progress.add_task(what, total=total)
        self.progress.update(self.tasks[what], completed=done, total=total)


@contextmanager
def _progress() -> Iterator[_Bars]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield _Bars(progress)


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield stream
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror})") from error


def _format(format: str | None, path: Path | None) -> str:
    kinds = ("table", "csv", "json", "jsonl")
    kind = format or (path.suffix.lstrip(".").lower() if path is not None and path.suffix else "table")
    if kind not in kinds:
        asked = f"--format {format}" if format else f"--out {path}: the ending names no format"
        raise ConfigError(f"{asked}; expected one of {', '.join(kinds)}")
    return kind


def _precision(precision: str) -> Any:
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"--precision {precision}: expected auto, fp32 or bf16")
    return precision


def _sources(paths: list[str], *, recursive: bool) -> tuple[list[str], list[AudioError]]:
    """The files meant by arguments, and the arguments that mean none."""
    from affetto import audio

    if "-" in paths:
        listed = [line.rstrip("\r\n") for line in sys.stdin]
        at = paths.index("-")
        paths = [*paths[:at], *(line for line in listed if line), *paths[at + 1 :]]
    sources: list[str] = []
    faults: list[AudioError] = []
    for path in paths:
        if os.path.isdir(path):  # unlike Path's, it takes any text, however long
            found = [str(file) for file in audio.find(Path(path), recursive=recursive)]
            below = "" if recursive else " (-r looks below it)"
            if not found:
                faults.append(AudioError(path, "missing", f"no audio files in this folder{below}"))
        elif not os.path.exists(path) and glob.has_magic(path):
            found = sorted(file for file in glob.glob(path, recursive=True) if Path(file).is_file())
            if not found:
                faults.append(AudioError(path, "missing", "no file matches this pattern"))
        else:
            found = [path]
        sources += found
    return sources, faults


def _corpus(kind: str | None, path: Path) -> "Corpus":
    """The corpus at a path: of the kind that is named, or the first kind whose reader takes it."""
    from affetto import corpora

    if kind is not None or path.is_file():
        return corpora.read(kind or "table", path)
    for name in corpora.names():
        try:
            return corpora.read(name, path)
        except CorpusError:
            continue
    raise CorpusError(
        f"{path}: is none of the corpora {', '.join(corpora.names())}; `affetto corpora show` has layouts"
    )


def _note(text: str) -> None:
    err.print(f"note: {text}", style="yellow", markup=False, highlight=False)


def _complain(fault: AudioError) -> None:
    err.print(f"error: {fault}", style="red", markup=False, highlight=False)
