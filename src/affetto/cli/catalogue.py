"""Commands that tell what there is: corpora, models, cache."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from affetto.cli.console import CacheOption, err, out, output, progress_bars
from affetto.errors import CheckpointError, CorpusError

corpora_app = typer.Typer(help="Corpora that can be read.", no_args_is_help=True)
models_app = typer.Typer(help="Models: those that ship, and the architectures.", no_args_is_help=True)
cache_app = typer.Typer(help="Features that were computed once and kept.", no_args_is_help=True)


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
    if info.dimensions:
        scales = (f"{name} {low:g} to {high:g}" for name, (low, high) in info.dimensions.items())
        table.add_row("[bold]ratings[/]", ", ".join(scales))
    out.print(table)
    if info.categories:
        total = sum(info.categories.values())
        counts = Table("emotion", "utterances", "share in %")
        for emotion, count in info.categories.items():
            counts.add_row(emotion, str(count), f"{100 * count / total:.2f}")
        counts.add_row("total", str(total), "100.00")
        out.print(counts)
    if info.speakers:
        ages = {speaker: "" if age is None else f", {age}" for speaker, (_, age) in info.speakers.items()}
        out.print("speakers: " + ", ".join(f"{s} ({sex}{ages[s]})" for s, (sex, _) in info.speakers.items()))


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
        out.print(f"{corpus.info.title}: {len(corpus)} utterances, {len(corpus.speakers)} speakers, no faults found")
        return
    title = f"{len(findings)} finding{'' if len(findings) == 1 else 's'} in {len(corpus)} utterances"
    table = Table("file", "start", "end", "problem", "detail", title=title)
    for finding in findings:
        end = "" if finding.end is None else f"{finding.end:.2f}"
        table.add_row(escape(finding.file), f"{finding.start:.2f}", end, finding.problem, escape(finding.detail))
    out.print(table)
    raise typer.Exit(1)


@corpora_app.command("fetch")
def corpora_fetch(
    name: Annotated[str, typer.Argument(help="A corpus's name.")],
    to: Annotated[Path, typer.Option(help="The folder that it goes to; one that was begun is finished.")],
    url: Annotated[str | None, typer.Option(help="Of a mirror's zip archive.", show_default=False)] = None,
) -> None:
    """Get a corpus from its owner, and compare every file with what is known of it."""
    from affetto import corpora
    from affetto.corpora.fetch import fetch

    info = corpora.get(name).info
    with progress_bars() as progress:
        written = fetch(info, to, url=url, progress=progress)
    corpus = corpora.read(name, to)
    told = f"{written} files fetched" if written else "nothing to fetch"
    out.print(f"{info.title} ({info.licence}): {told}, {len(corpus)} utterances as known in {to}", markup=False)


@corpora_app.command("make")
def corpora_make(
    name: Annotated[str, typer.Argument(help="simulated_a or simulated_b.")],
    emobank: Annotated[Path, typer.Option(help="EmoBank: emobank.csv, or its folder.")],
    to: Annotated[Path, typer.Option(help="The folder that it goes to; one that was begun is finished.")],
    jobs: Annotated[int, typer.Option(min=1, help="Programs that speak at once.")] = os.cpu_count() or 1,
) -> None:
    """Speak a simulated corpus with espeak-ng, and say what perfect readers of it reach."""
    from affetto import simulation

    with progress_bars() as progress:
        corpus, ceilings = simulation.make(name, emobank, to, jobs=jobs, progress=progress)
    table = Table("reader", *(f"{name}, CCC" for name in corpus.dimensions), "UA in %", title="ceilings")
    for reader, known in ceilings.items():
        ratings = (f"{known[name]:.3f}" for name in corpus.dimensions)
        table.add_row(reader, *ratings, f"{100 * known['ua']:.1f}")
    out.print(table)
    out.print(f"{len(corpus)} clips of {len(corpus.speakers)} speakers in {to}", highlight=False, markup=False)


@corpora_app.command("unspoken")
def corpora_unspoken(
    emobank: Annotated[Path, typer.Argument(help="emobank.csv.")],
    simulated: Annotated[list[Path], typer.Argument(help="Folders of simulated corpora.")],
    to: Annotated[Path, typer.Option(help="The table to write; a new file.")],
) -> None:
    """Write EmoBank without the sentences that simulated corpora speak, for a reader to learn from."""
    from affetto import corpora, simulation

    if to.exists():
        raise CorpusError(f"{to}: is there already; give a new file")
    left = simulation.unspoken(emobank, [corpora.find(folder, None) for folder in simulated])
    with output(to) as stream:
        left.to_csv(stream, index=False, lineterminator="\n")
    out.print(f"{len(left)} sentences: {to}", highlight=False, markup=False)


@corpora_app.command("mishear")
def corpora_mishear(
    name: Annotated[str, typer.Argument(help="A corpus's name.")],
    path: Annotated[Path, typer.Argument(help="Its folder, or the CSV table.")],
    rate: Annotated[float, typer.Option(help="Word error rate that is asked for: 0.3 is 30 %.")],
    to: Annotated[Path, typer.Option(help="The table to write; a new file.")],
    seed: Annotated[int, typer.Option(help="Of the errors; a higher rate has those of a lower one, and more.")] = 0,
) -> None:
    """Write a corpus's transcripts with random errors, as a table that --transcripts takes."""
    from affetto import corpora
    from affetto.asr import word_error_rate
    from affetto.corpora import transcripts
    from affetto.mishearing import mishear

    corpus = corpora.read(name, path)
    corpus.check_transcripts()
    if to.exists():
        raise CorpusError(f"{to}: is there already; give a new file")
    heard = mishear(corpus.transcripts, rate, seed=seed)
    table = transcripts.Growing(to, f"random errors of {rate:g}, seed {seed}")
    for stretch, text in zip(transcripts.stretches(corpus), heard, strict=True):
        if text is not None:
            table.add(text, *stretch)
    found, words = word_error_rate([text or "" for text in corpus.transcripts], [text or "" for text in heard])
    out.print(f"word error rate {100 * found:.1f} % of {words} words: {to}", highlight=False, markup=False)


@models_app.command("list")
def models_list() -> None:
    """The models that ship, and the architectures that can be trained."""
    from affetto import cards, checkpoint, models, pretrained

    table = Table("name", "gives", "trained on", "on what it never heard", title="models that ship")
    for name in pretrained.names():
        config = checkpoint.describe(pretrained.folder(name))
        provenance = config["provenance"]
        if checkpoint.is_pretrained(config):
            by = provenance["trained_on"]["held_out_by"]
            answers, scores = "predicts masked frames", f"L1 {provenance['held_out_l1']:.3f} (unheard {by})"
        else:
            expected = provenance["expected"]
            answers = ", ".join(config["labels"])
            scores = cards.quoted(expected, ", ") if expected else "not measured"
        table.add_row(name, answers, provenance["trained_on"]["title"].strip(), scores)
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
        model = info.create(settings, info.n_classes)
        parameters = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        out.print(f"[bold]{name}[/]: {info.paper}", highlight=False)
        out.print(
            f"{parameters:,} parameters for {info.n_classes} classes, {trained:,} of them trained", highlight=False
        )
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

    try:
        folder = locate(name)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; architectures: {', '.join(models.names())}") from error
    out.print(Markdown(checkpoint.card(folder)))


@models_app.command("import-panns")
def models_import_panns(
    file: Annotated[
        Path, typer.Argument(help="PANNs' Cnn14_16k_mAP=0.438.pth, from https://zenodo.org/record/3987831.")
    ],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")] = Path("cnn14-panns"),
) -> None:
    """Make PANNs' weights of CNN14 a folder that networks can begin from; AudioSet's classes are left out."""
    from affetto import panns

    panns.import_weights(file, folder)
    err.print(
        f"weights: {folder}; begin from them by --set model.encoder.weights={folder}", markup=False, highlight=False
    )


@cache_app.command("show")
def cache_show(cache: CacheOption = None) -> None:
    """What is kept, and where."""
    from affetto.cache import FeatureCache

    kept = FeatureCache(cache)
    out.print(str(kept.folder), soft_wrap=True, highlight=False, markup=False)
    table = Table()
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
