"""Commands about what is said: transcribe, misheard."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from affetto.cli.console import (
    CorpusOption,
    DeviceOption,
    LanguageOption,
    PrecisionOption,
    TranscriptsOption,
    complain,
    err,
    out,
    output,
    precision_of,
    progress_bars,
    with_transcripts,
)
from affetto.cli.score import warn_of_training
from affetto.cli.sources import sources_of
from affetto.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from affetto.corpora import Corpus

app = typer.Typer()


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

    if out_file.suffix.lower() == ".png":
        raise ConfigError(f"--out {out_file}: is the name of a figure, which lies beside the scores; expected .csv")
    data = with_transcripts(corpora.find(corpus, kind), transcripts)
    rows = protocol.tested(data, clips)
    data = data.select(pd.Series(range(len(data))).isin(rows))
    files = set(data.table.index.get_level_values("file"))
    swept = []
    rates = rate or [n / 10 for n in range(7)]
    for model in models:
        recognizer = Recognizer.from_pretrained(model, device=device, precision=precision_of(precision))
        warn_of_training(recognizer, data, files)
        with progress_bars() as progress:
            swept.append(sweep(recognizer, data, rates, seed=seed, progress=progress))
    found = pd.concat(swept)
    labels = [name.removeprefix("ccc_") for name in map(str, found) if name.startswith("ccc_")]
    table = Table("model", "word errors in %", *(f"{name}, CCC" for name in labels), title=data.info.title)
    for row in found.to_dict("records"):
        errors = "no words" if math.isnan(row["wer"]) else f"{100 * row['wer']:.1f}"
        table.add_row(row["model"], errors, *(f"{row[f'ccc_{name}']:.3f}" for name in labels))
    out.print(table)
    with output(out_file) as stream:
        found.to_csv(stream, index=False, lineterminator="\n", float_format="%.6f")
    title = f"{data.info.title}, {len(data)} clips"
    misheard_figure(found, labels, title=title, path=out_file.with_suffix(".png"))
