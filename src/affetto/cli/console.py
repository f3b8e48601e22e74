"""What the commands share: consoles, options, progress, and how faults are told."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from affetto.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from affetto.asr import Transcriber
    from affetto.corpora import Corpus
    from affetto.recognizer import Recognizer

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
TranscriptsOption = Annotated[
    Path | None,
    typer.Option(
        "--transcripts", help="Table of what is said, CSV: file, transcript, maybe start, end.", show_default=False
    ),
]
AsrOption = Annotated[
    str | None,
    typer.Option("--asr", help="Whisper model that writes down what is said; a name or a folder.", show_default=False),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without", help="words or sound: what a model that can do without does not hear.", show_default=False
    ),
]
LanguageOption = Annotated[
    str | None,
    typer.Option("--language", help="Spoken, for the ASR: two letters; found out when not given.", show_default=False),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A shipped model's name, a folder, or a hub id.", show_default=False),
]

LINE_SECONDS = 60.0
"""Between two lines of progress in a log."""


Told = Callable[[str, int, int], None]
"""Told of some kind of work: how much of it is done, of how much."""


class Bars:
    """Progress on stderr: one bar a kind of work, with the time left."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell how far some kind of work is."""
        if what not in self.tasks:
            self.tasks[what] = self.progress.add_task(what, total=total)
        self.progress.update(self.tasks[what], completed=done, total=total)


class Lines:
    """Progress for a log: now and then a line on stderr."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell how far some kind of work is, if nothing was told for a while."""
        if time.monotonic() - self.last >= LINE_SECONDS:
            self.last = time.monotonic()
            err.print(f"{what}: {done} of {total}", markup=False, highlight=False)


@contextmanager
def progress_bars() -> Iterator[Told]:
    """Bars that vanish when the work is done; where stderr is not a terminal, a line a minute."""
    if not err.is_terminal:
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # The time left is judged by all that was done: what takes minutes apiece has no speed within seconds.
    day = 24 * 3600.0
    with Progress(*columns, console=err, transient=True, speed_estimate_period=day) as progress:
        yield Bars(progress)


@contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """A file to write to, or stdout.

    Raises:
        ConfigError: if it cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield stream
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror})") from error


def precision_of(precision: str) -> Any:
    """The precision that was asked for.

    Raises:
        ConfigError: if it is none.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"--precision {precision}: expected auto, fp32 or bf16")
    return precision


def shares_table(*columns: str, labels: tuple[str, ...]) -> Table:
    """A table that ends in one narrow column a category; seven of them fit a terminal 80 wide."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for column in columns:
        table.add_column(column, overflow="fold")
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    return table


def shares(probabilities: dict[str, float]) -> list[str]:
    """Probabilities in whole per cent, the largest in bold."""
    largest = max(probabilities.values())
    return [f"[bold]{100 * p:.0f}[/]" if p == largest else f"{100 * p:.0f}" for p in probabilities.values()]


def any_corpus(text: str, kind: str | None = None) -> "Corpus":
    """The corpus at NAME=PATH, or at a path, of a kind that is found out where none is given.

    Raises:
        CorpusError: if there is none.
    """
    from affetto import corpora

    name, equals, path = text.partition("=")
    if equals and name in corpora.names():
        return corpora.read(name, Path(path))
    return corpora.find(Path(text), kind)


def with_transcripts(corpus: "Corpus", path: Path | None) -> "Corpus":
    """A corpus with the transcripts of a table, if there is one; tells of what is missing."""
    if path is None:
        return corpus
    from affetto.corpora import transcripts

    corpus, missing = transcripts.join(corpus, transcripts.read(path))
    for words in missing:
        note(words)
    return corpus


def note_silence(corpus: "Corpus") -> None:
    """Tell how many utterances a model that hears words is given "" for.

    Raises:
        CorpusError: if these are all of them.
    """
    corpus.check_transcripts()
    if silent := sum(not words for words in corpus.transcripts):
        note(f"{silent} of {len(corpus)} utterances have no transcript or an empty one; it is heard as no words")


def sense_of(names: list[str] | None) -> Any:
    """What is not to be heard, as a user named it.

    Raises:
        ConfigError: if it is neither words nor sound, or both.
    """
    if not names:
        return None
    if strange := set(names) - {"words", "sound"}:
        raise ConfigError(f"--without {min(strange)}: expected words or sound")
    if len(set(names)) > 1:
        raise ConfigError(f"--without {' --without '.join(names)}: expected one of them, something must be heard")
    return names[0]


def transcriber(model: str | None, language: str | None) -> "Transcriber | None":
    """The ASR that was asked for."""
    if model is None:
        return None
    from affetto.asr import FasterWhisper

    return FasterWhisper(model, language=language)


def recognizer_of(
    model: str | None, device: str, precision: str, *, asr: str | None, language: str | None, without: list[str] | None
) -> "Recognizer":
    """The recogniser that the options of a command ask for."""
    from affetto.recognizer import Recognizer

    return Recognizer.from_pretrained(
        model,
        device=device,
        precision=precision_of(precision),
        asr=transcriber(asr, language),
        without=sense_of(without),
    )


def note(text: str) -> None:
    """Say something on stderr that the user may want to know."""
    err.print(f"note: {text}", style="yellow", markup=False, highlight=False)


def complain(fault: AudioError) -> None:
    """Name a recording that cannot be heard, on stderr."""
    err.print(f"error: {fault}", style="red", markup=False, highlight=False)
