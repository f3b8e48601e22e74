"""The command that scores a checkpoint: evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from affetto.cli.console import (
    AsrOption,
    CorpusOption,
    DeviceOption,
    LanguageOption,
    PrecisionOption,
    TranscriptsOption,
    WithoutOption,
    complain,
    err,
    note,
    out,
    output,
    progress_bars,
    recognizer_of,
    with_transcripts,
)
from affetto.cli.groups import ByOption, show_groups
from affetto.errors import AudioError, ConfigError, CorpusError

if TYPE_CHECKING:
    import pandas as pd

    from affetto.corpora import Corpus
    from affetto.recognizer import Recognizer

app = typer.Typer()


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
    warn_of_training(recognizer, data, set(predictions.file))
    if out_file:
        with output(out_file) as stream:
            predictions.to_csv(stream, index=False, lineterminator="\n", float_format="%.6f")
    if faults:
        raise typer.Exit(1)


def warn_of_training(recognizer: "Recognizer", corpus: "Corpus", files: set[str]) -> None:
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
