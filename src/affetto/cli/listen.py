"""Commands that listen: demo, predict, transcribe, evaluate."""

import glob
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from affetto.cli.console import (
    AsrOption,
    CorpusOption,
    DeviceOption,
    LanguageOption,
    ModelOption,
    PrecisionOption,
    TranscriptsOption,
    WithoutOption,
    complain,
    err,
    note,
    out,
    output,
    precision_of,
    progress_bars,
    sense_of,
    shares,
    shares_table,
    transcriber,
    with_transcripts,
)
from affetto.errors import AudioError, ConfigError, CorpusError

if TYPE_CHECKING:
    import pandas as pd

    from affetto.corpora import Corpus
    from affetto.recognizer import Prediction, Recognizer

app = typer.Typer()


@app.command()
def demo(device: DeviceOption = "auto") -> None:
    """Listen to the seven sample clips."""
    from affetto import cards, corpora, resources
    from affetto.recognizer import Recognizer

    corpus = corpora.read("table", resources.folder("samples") / "samples.csv")
    recognizer = Recognizer.from_pretrained(device=device)
    table = shares_table("clip", "meant", "heard", labels=recognizer.labels)
    files = corpus.table.index.get_level_values("file")
    right = 0
    for file, meant, outcome in zip(files, corpus.table["emotion"], recognizer.predict_corpus(corpus), strict=True):
        if isinstance(outcome, AudioError):
            raise outcome
        right += outcome.emotion == meant
        colour = "green" if outcome.emotion == meant else "red"
        heard = f"[{colour}]{outcome.emotion}[/]"
        table.add_row(Path(file).stem, meant, heard, *shares(outcome.probabilities))
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
    transcripts: TranscriptsOption = None,
    asr: AsrOption = None,
    language: LanguageOption = None,
    without: WithoutOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Say which emotion each recording carries, or how it would be rated, as the model has learned.

    Results go to stdout, everything else to stderr. A recording that cannot be heard is named there with the reason,
    the others go on, and the exit code is 1. A model that hears words takes them from --transcripts, and where these
    say nothing from --asr. One that learned to do without words (modality drop-out) judges by the voice where there are
    none.
    """
    kind = _format(format, out_file)
    sources, faults = _sources(paths, recursive=recursive)
    for fault in faults:
        complain(fault)
    if sources:
        from affetto.recognizer import Recognizer

        recognizer = Recognizer.from_pretrained(
            model,
            device=device,
            precision=precision_of(precision),
            asr=transcriber(asr, language),
            without=sense_of(without),
        )
        said = _words(sources, transcripts)
        with output(out_file) as stream, progress_bars() as progress:
            writer = _Writer(kind, recognizer, stream)
            for done, outcome in enumerate(recognizer.predict_all(sources, words=said), start=1):
                progress("recordings", done, len(sources))
                if isinstance(outcome, AudioError):
                    faults.append(outcome)
                    complain(outcome)
                    continue
                for words in outcome.notes:
                    note(f"{outcome.file}: {words}")
                writer.write(outcome)
            writer.close()
    if faults:
        raise typer.Exit(1)


@app.command()
def transcribe(
    model: Annotated[str, typer.Option("--model", "-m", help="Whisper model; a name or a folder.")],
    to: Annotated[Path, typer.Option("--to", help="Table to write; one that is there is gone on with.")],
    paths: Annotated[list[str] | None, typer.Argument(help="Files, folders, globs; - reads a list.")] = None,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="A corpus's folder, or a CSV table.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which corpus it is; found out when not given.", show_default=False)
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders below folders.")] = False,
    language: LanguageOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Write down what is said, as a table that --transcripts takes: of recordings, or of a corpus.

    Where a corpus has transcripts of its own, the word error rate against them is told.
    """
    from affetto import audio, corpora
    from affetto.asr import FasterWhisper
    from affetto.corpora import transcripts

    if bool(paths) == (corpus is not None):
        raise ConfigError("give either recordings or --corpus")
    faults: list[AudioError] = []
    data = None if corpus is None else corpora.find(corpus, kind)
    if data is None:
        sources, faults = _sources(paths or [], recursive=recursive)
        stretches: list[tuple[str, float, float | None]] = [(source, 0.0, None) for source in sources]
    else:
        stretches = transcripts.stretches(data)
    for fault in faults:
        complain(fault)
    asr = FasterWhisper(model, language=language, device=device)
    table = transcripts.Growing(to, asr.name)
    with progress_bars() as progress:
        for row, (file, start, end) in enumerate(stretches):
            progress("recordings", row, len(stretches))
            if not table.lacks(file, start, end):
                continue
            try:
                heard = audio.read(file) if data is None else data.recording(row)
            except AudioError as error:
                faults.append(error)
                complain(error)
                continue
            table.add(asr.transcribe(heard.waveform), file, start, end)
    err.print(f"transcripts: {to}", markup=False, highlight=False)
    if data is not None and any(data.transcripts):
        _tell_errors(data, transcripts.join(data, transcripts.read(to))[0])
    if faults:
        raise typer.Exit(1)


def _tell_errors(gold: "Corpus", heard: "Corpus") -> None:
    """Print the word error rate of a corpus's transcripts."""
    from affetto.asr import word_error_rate

    pairs = [(a, b) for a, b in zip(gold.transcripts, heard.transcripts, strict=True) if a and b is not None]
    rate, words = word_error_rate([a for a, _ in pairs], [b for _, b in pairs])
    out.print(
        f"word error rate {100 * rate:.1f} % of {words} words in {len(pairs)} utterances "
        "(in lower case, without punctuation and events in brackets)",
        markup=False,
        highlight=False,
    )


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
    transcripts: TranscriptsOption = None,
    asr: AsrOption = None,
    language: LanguageOption = None,
    without: WithoutOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Score a checkpoint on a corpus. Says so when the checkpoint was trained on some of it."""
    import pandas as pd

    from affetto import corpora
    from affetto.recognizer import Recognizer

    data = with_transcripts(corpora.find(corpus, kind), transcripts)
    recognizer = Recognizer.from_pretrained(
        model,
        device=device,
        precision=precision_of(precision),
        asr=transcriber(asr, language),
        without=sense_of(without),
    )
    task = recognizer.checkpoint.task
    known = task.known(data.table)
    if not known.all():
        note(f"{int((~known).sum())} utterances left out: {task.strange(data.table[~known])}")
        data = data.select(known)
    if not len(data):
        raise CorpusError(f"{corpus}: has no utterance of what the model gives: {', '.join(task.labels)}")
    for name, (low, high) in data.dimensions.items():
        if (ours := task.scales.get(name, (low, high))) != (low, high):
            note(f"{name} is rated from {low:g} to {high:g}, the model's from {ours[0]:g} to {ours[1]:g}: see Pearson")
    with progress_bars() as progress:
        rows, faults = [], []
        for number, (truth, outcome) in enumerate(
            zip(task.truth(data.table), recognizer.predict_corpus(data), strict=True), start=1
        ):
            progress("recordings", number, len(data))
            if isinstance(outcome, AudioError):
                faults.append(outcome)
                complain(outcome)
            else:
                rows.append({**outcome.row, **truth})
    if not rows:
        raise CorpusError(f"{corpus}: none of its {len(data)} utterances can be heard")
    predictions = pd.DataFrame(rows)
    title = f"{recognizer.checkpoint.name} on {len(rows)} utterances of {data.info.title}"
    {"probabilities": _show_confusion, "dimensions": _show_ratings}[task.gives](predictions, task.labels, title)
    _warn_of_training(recognizer, data, set(predictions.file))
    if out_file:
        with output(out_file) as stream:
            predictions.to_csv(stream, index=False, lineterminator="\n", float_format="%.6f")
    if faults:
        raise typer.Exit(1)


@app.command()
def misheard(
    models: Annotated[
        list[str], typer.Argument(help="Checkpoints of models that hear words: names, folders, hub ids.")
    ],
    corpus: CorpusOption,
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Write scores there, CSV, and a figure beside it.")],
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which corpus it is; found out when not given.", show_default=False)
    ] = None,
    clips: Annotated[
        str, typer.Option("--clips", help="all, or a protocol of the corpus, whose test clips are taken.")
    ] = "all",
    rate: Annotated[list[float] | None, typer.Option("--rate", help="Word error rates; 0 to 0.6 if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the errors.")] = 0,
    transcripts: TranscriptsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Rate a corpus with ever more of its words made wrong: how much do models lean on their words?"""
    import pandas as pd

    from affetto import corpora, protocol
    from affetto.mishearing import sweep
    from affetto.recognizer import Recognizer
    from affetto.report import misheard_figure

    data = with_transcripts(corpora.find(corpus, kind), transcripts)
    rows = protocol.tested(data, clips)
    data = data.select(pd.Series(range(len(data))).isin(rows))
    files = set(data.table.index.get_level_values("file"))
    swept = []
    for model in models:
        recognizer = Recognizer.from_pretrained(model, device=device, precision=precision_of(precision))
        _warn_of_training(recognizer, data, files)
        swept.append(sweep(recognizer, data, rate or [n / 10 for n in range(7)], seed=seed))
    found = pd.concat(swept)
    labels = [name.removeprefix("ccc_") for name in map(str, found) if name.startswith("ccc_")]
    table = Table("model", "word errors in %", *(f"{name}, CCC" for name in labels), title=data.info.title)
    for row in found.to_dict("records"):
        table.add_row(row["model"], f"{100 * row['wer']:.1f}", *(f"{row[f'ccc_{name}']:.3f}" for name in labels))
    out.print(table)
    with output(out_file) as stream:
        found.to_csv(stream, index=False, lineterminator="\n", float_format="%.6f")
    title = f"{data.info.title}, {len(data)} clips"
    misheard_figure(found, labels, title=title, path=out_file.with_suffix(".png"))


def _warn_of_training(recognizer: "Recognizer", corpus: "Corpus", files: set[str]) -> None:
    """Tell how many of some of a corpus's files a model was trained on."""
    from affetto import runs

    heard = runs.heard_of(recognizer.checkpoint.provenance, corpus, files)
    if heard:
        err.print(
            f"warning: the model was trained on {heard} of these {len(files)} files; "
            "these scores say nothing about new recordings",
            style="yellow",
        )


def _show_confusion(predictions: "pd.DataFrame", labels: tuple[str, ...], title: str) -> None:
    """What was taken for what, and the scores of categories."""
    from affetto import metrics

    truth, heard = list(predictions.truth), list(predictions.emotion)
    table = Table(title=title)
    table.add_column("meant \\ heard")
    for label in labels:
        table.add_column(label, justify="right")
    for label, line in zip(labels, metrics.confusion(truth, heard, labels), strict=True):
        table.add_row(label, *(str(n) if n else "." for n in line))
    out.print(table)
    scores = metrics.scores(truth, heard)
    out.print(
        f"WA {100 * scores['wa']:.2f} %   UA {100 * scores['ua']:.2f} %   macro F1 {100 * scores['macro_f1']:.2f} %",
        highlight=False,
    )


def _show_ratings(predictions: "pd.DataFrame", labels: tuple[str, ...], title: str) -> None:
    """The scores of each dimension."""
    from affetto.scores import DimensionScores

    scores = DimensionScores(labels).of(predictions)
    table = Table("dimension", title=title)
    for head in ("CCC", "Pearson", "MSE", "MAE"):
        table.add_column(head, justify="right")
    for label in labels:
        table.add_row(label, *(f"{scores[f'{name}_{label}']:.3f}" for name in ("ccc", "pearson", "mse", "mae")))
    out.print(table)


class _Writer:
    """Predictions in one of the formats; csv and jsonl line by line as they come."""

    def __init__(self, kind: str, recognizer: "Recognizer", stream: TextIO) -> None:
        import csv

        self.kind, self.stream = kind, stream
        self.rows: list[dict[str, Any]] = []
        self.labels, self.gives = recognizer.labels, recognizer.checkpoint.task.gives
        self.csv = csv.writer(stream, lineterminator="\n")
        if kind == "csv":
            self.csv.writerow(recognizer.columns)

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
        """The row with its probabilities, or its ratings, under one key, rounded to six digits."""
        flat = {key: value for key, value in row.items() if key not in self.labels}
        if "confidence" in flat:
            flat["confidence"] = round(flat["confidence"], 6)
        return {**flat, self.gives: {label: round(row[label], 6) for label in self.labels}}

    def _table(self) -> None:
        words = ("file", "emotion") if self.gives == "probabilities" else ("file",)
        table = shares_table(*words, labels=self.labels)
        for row in self.rows:
            own = {label: row[label] for label in self.labels}
            numbers = shares(own) if self.gives == "probabilities" else [f" {rating:.2f}" for rating in own.values()]
            table.add_row(*(escape(row[word]) for word in words), *numbers)
        (out if self.stream is sys.stdout else Console(file=self.stream, width=160)).print(table)


def _format(format: str | None, path: Path | None) -> str:
    kinds = ("table", "csv", "json", "jsonl")
    kind = format or (path.suffix.lstrip(".").lower() if path is not None and path.suffix else "table")
    if kind not in kinds:
        asked = f"--format {format}" if format else f"--out {path}: the ending names no format"
        raise ConfigError(f"{asked}; expected one of {', '.join(kinds)}")
    return kind


def _words(sources: list[str], path: Path | None) -> list[str | None] | None:
    """What a table says is said in each source; None without a table."""
    if path is None:
        return None
    from affetto.corpora import transcripts

    table = transcripts.read(path)
    return [table.find(source) for source in sources]


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
