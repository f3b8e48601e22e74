"""Commands that listen to recordings: demo, predict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affetto.cli.answers import Writer, format_of
from affetto.cli.console import (
    AsrOption,
    DeviceOption,
    LanguageOption,
    ModelOption,
    PrecisionOption,
    TranscriptsOption,
    WithoutOption,
    complain,
    note,
    out,
    output,
    progress_bars,
    recognizer_of,
    shares,
    shares_table,
)
from affetto.cli.sources import listed, sources_of
from affetto.errors import AudioError, ConfigError, CorpusError

if TYPE_CHECKING:
    from affetto.baseline import Baseline
    from affetto.recognizer import Recognizer

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
    kind = format_of(format, out_file)
    if speaker_column is not None:
        if baseline is not None:
            raise ConfigError("give either --baseline or --speaker-column")
        sources, speakers = listed(paths, speaker_column)
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
        said = _words(sources, transcripts, alone=asr is None)
        known = _baselines(recognizer, sources, speakers, baseline, save_baseline)
        with output(out_file) as stream, progress_bars() as progress:
            writer = Writer(kind, recognizer, stream)
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


def _words(sources: list[str], path: Path | None, *, alone: bool) -> list[str | None] | None:
    """What a table says is said in each source; None without a table.

    Raises:
        CorpusError: if it says nothing of any, and nobody else does: names are compared as they are written.
    """
    if path is None:
        return None
    from affetto.corpora import transcripts

    table = transcripts.read(path)
    words = [table.find(source) for source in sources]
    lacking = [source for source, said in zip(sources, words, strict=True) if said is None]
    if alone and len(lacking) == len(sources):
        first = next((place[0] for place in table.lines), "nothing")
        raise CorpusError(f"{path}: has none of the recordings; its first line is of {first}, theirs is {sources[0]}")
    if lacking:
        note(f"{path}: lacks {len(lacking)} of {len(sources)} recordings, such as {lacking[0]}")
    return words


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
