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
    recognizer_of,
    shares,
    shares_table,
    with_transcripts,
)
from affetto.cli.groups import ByOption, show_groups
from affetto.errors import AudioError, ConfigError, CorpusError

if TYPE_CHECKING:
    import pandas as pd

    from affetto.baseline import Baseline
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
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", help="Clips of the same speaker, a folder, or a saved baseline.", show_default=False
        ),
    ] = None,
    save_baseline: Annotated[
        Path | None, typer.Option("--save-baseline", help="Keep what --baseline made there.", show_default=False)
    ] = None,
    speaker_column: Annotated[
        str | None,
        typer.Option(
            "--speaker-column", help="PATHS is a CSV table with files and this column of speakers.", show_default=False
        ),
    ] = None,
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
    if speaker_column is not None:
        if baseline is not None:
            raise ConfigError("give either --baseline or --speaker-column")
        sources, speakers = _spoken(paths, speaker_column)
        faults: list[AudioError] = []
    else:
        tables = [path for path in paths if path.lower().endswith(".csv")]
        if tables:
            expected = "recordings, or one table and --speaker-column NAME, the column that says who speaks"
            raise ConfigError(f"{tables[0]}: is a table; expected {expected}")
        sources, faults = sources_of(paths, recursive=recursive)
        speakers = [None] * len(sources)
    for fault in faults:
        complain(fault)
    if sources:
        recognizer = recognizer_of(model, device, precision, asr=asr, language=language, without=without)
        said = _words(sources, transcripts)
        known = _baselines(recognizer, sources, speakers, baseline, save_baseline)
        with output(out_file) as stream, progress_bars() as progress:
            writer = _Writer(kind, recognizer, stream)
            for done, outcome in enumerate(recognizer.predict_all(sources, words=said, baselines=known), start=1):
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
        sources, faults = sources_of(paths or [], recursive=recursive)
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
    by: ByOption = None,
    transcripts: TranscriptsOption = None,
    asr: AsrOption = None,
    language: LanguageOption = None,
    without: WithoutOption = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="speaker: judge each clip beside all its speaker's clips.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Score a checkpoint on a corpus. Says so when the checkpoint was trained on some of it."""
    import pandas as pd

    from affetto import corpora

    if baseline not in (None, "speaker"):
        raise ConfigError(f"--baseline {baseline}: expected speaker")
    data = with_transcripts(corpora.find(corpus, kind), transcripts)
    recognizer = recognizer_of(model, device, precision, asr=asr, language=language, without=without)
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
    beside = recognizer.speaker_baselines(data) if baseline else None
    if beside is not None:
        note("transductive: each clip is judged beside all its speaker's clips here, without their labels")
    with progress_bars() as progress:
        rows, faults, heard = [], [], []
        for number, (truth, outcome) in enumerate(
            zip(task.truth(data.table), recognizer.predict_corpus(data, baselines=beside), strict=True), start=1
        ):
            progress("recordings", number, len(data))
            if isinstance(outcome, AudioError):
                faults.append(outcome)
                complain(outcome)
            else:
                rows.append({**outcome.row, **truth})
                heard.append(number - 1)
    if not rows:
        raise CorpusError(f"{corpus}: none of its {len(data)} utterances can be heard")
    predictions = pd.DataFrame(rows)
    title = f"{recognizer.checkpoint.name} on {len(rows)} utterances of {data.info.title}"
    {"probabilities": _show_confusion, "dimensions": _show_ratings}[task.gives](predictions, task.labels, title)
    for column in by or ():
        show_groups(predictions, data.table.iloc[heard], task.labels, column)
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
        self.heard: list[Prediction] = []
        self.labels, self.gives = recognizer.labels, recognizer.checkpoint.task.gives
        self.csv = csv.writer(stream, lineterminator="\n")
        if kind == "csv":
            self.csv.writerow(recognizer.columns)

    def write(self, prediction: "Prediction") -> None:
        if self.kind == "csv":
            values = prediction.row.values()
            self.csv.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in values])
        elif self.kind == "jsonl":
            self.stream.write(json.dumps(self._nested(prediction), ensure_ascii=False) + "\n")
        else:
            self.heard.append(prediction)

    def close(self) -> None:
        if self.kind == "json":
            nested = [self._nested(each) for each in self.heard]
            self.stream.write(json.dumps(nested, indent=1, ensure_ascii=False) + "\n")
        elif self.kind == "table":
            self._table()
        self.stream.flush()

    def _nested(self, prediction: "Prediction") -> dict[str, Any]:
        """The row with its probabilities, or its ratings, under one key, rounded to six digits; sets as lists."""
        row: dict[str, Any] = {key: value for key, value in prediction.row.items() if key not in self.labels}
        if prediction.probabilities:
            row["confidence"] = round(prediction.confidence, 6)
        if "label_set" in row:
            row["label_set"] = list(prediction.label_set)
        del row["flags"]
        rounded = {label: round(answer, 6) for label, answer in _answers(prediction).items()}
        return {**row, str(self.gives): rounded, "flags": list(prediction.flags)}

    def _table(self) -> None:
        words = ("file", "emotion") if self.gives == "probabilities" else ("file",)
        table = shares_table(*words, labels=self.labels)
        table.add_column("trust")
        for each in self.heard:
            row, own = each.row, _answers(each)
            numbers = shares(own) if self.gives == "probabilities" else [f" {rating:.2f}" for rating in own.values()]
            table.add_row(*(escape(str(row[word])) for word in words), *numbers, trust(each))
        (out if self.stream is sys.stdout else Console(file=self.stream, width=160)).print(table)


def _answers(prediction: "Prediction") -> dict[str, float]:
    """The probabilities, or the ratings."""
    return prediction.probabilities or prediction.dimensions


def trust(prediction: "Prediction | None") -> str:
    """How far to trust an answer, for a table: flags stand out."""
    if prediction is None:
        return ""
    return f"[yellow]{prediction.trust}[/]" if prediction.flags else prediction.trust


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


def _spoken(paths: list[str], column: str) -> tuple[list[str], list[str | None]]:
    """The files that a table of clips lists, from its own folder, and each one's speaker."""
    import pandas as pd

    if len(paths) != 1:
        raise ConfigError(f"--speaker-column: expected one CSV table with a column 'file', got {len(paths)} paths")
    [path] = paths
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is no CSV table ({error})") from error
    for name in ("file", column):
        if name not in table:
            raise ConfigError(f"{path}: has no column '{name}'; it has {', '.join(map(str, table))}")
    speakers = [name if isinstance(name, str) else None for name in table[column]]
    return [str(Path(path).parent / file) for file in table["file"]], speakers


def _baselines(
    recognizer: "Recognizer", sources: list[str], speakers: list[str | None], given: Path | None, keep: Path | None
) -> "list[Baseline | None] | None":
    """Each source's speaker's baseline: of a folder or file that was given, or of the speaker's own sources."""
    from affetto.baseline import Baseline

    if given is not None:
        files, faults = sources_of([str(given)], recursive=True) if given.is_dir() else ([], [])
        if faults:
            raise faults[0]
        baseline = recognizer.baseline(files) if given.is_dir() else Baseline.load(given)
        _tell(baseline, str(given))
        if keep is not None:
            baseline.save(keep)
        return [baseline] * len(sources)
    if keep is not None:
        raise ConfigError("--save-baseline: there is no --baseline to save")
    made: dict[str, Baseline | None] = {}
    for speaker in dict.fromkeys(name for name in speakers if name is not None):
        own = [source for source, name in zip(sources, speakers, strict=True) if name == speaker]
        made[speaker] = baseline_of = recognizer.baseline_of(own)
        if baseline_of is not None:
            _tell(baseline_of, speaker)
    return [made.get(speaker) if speaker is not None else None for speaker in speakers] if made else None


def _tell(baseline: "Baseline", whose: str) -> None:
    """Say what a baseline was made of, and whether that is enough."""
    from affetto.baseline import ENOUGH_CLIPS, ENOUGH_SECONDS

    short = (
        "" if baseline.enough else f"; from {ENOUGH_CLIPS} clips and {ENOUGH_SECONDS:.0f} s on it helps, less may harm"
    )
    note(f"baseline of {whose}: clips {baseline.clips}, {baseline.seconds:.0f} s{short}")


def sources_of(paths: list[str], *, recursive: bool) -> tuple[list[str], list[AudioError]]:
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
