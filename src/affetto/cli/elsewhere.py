"""Commands for a world other than the training's: stress, adapt."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from affetto.cli.console import DeviceOption, PrecisionOption, complain, note, out, output, precision_of, progress_bars
from affetto.errors import ConfigError

if TYPE_CHECKING:
    from affetto.corpora import Corpus
    from affetto.stress.listeners import Listener
    from affetto.stress.verdicts import Stressed

app = typer.Typer()


@app.command()
def stress(
    model: Annotated[str, typer.Argument(help="A shipped model's name, a folder, a hub id, or an HTTP address.")],
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="A corpus's folder, or a CSV table.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which corpus it is; found out when not given.", show_default=False)
    ] = None,
    clips: Annotated[
        Path | None, typer.Option("--clips", help="A folder of recordings without labels.", show_default=False)
    ] = None,
    trials: Annotated[
        Path | None, typer.Option("--trials", help="Trials and thresholds, YAML.", show_default=False)
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A distortion to try; again for more.", show_default=False)
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write there: .html or .json.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Distort recordings as telephones, noise and rooms do, and see which answers change.

    Agreement is with the model's own answers to the clean clips; where clips have labels, the change in UAR (of
    ratings: in mean CCC) is judged, too. Without --corpus and --clips, the seven sample clips are heard. The exit code
    is 1 if a trial is failed. A server is asked with a form whose field `file` holds the clip, and answers in JSON with
    `probabilities`.
    """
    from affetto.stress import trials as known
    from affetto.stress.page import page
    from affetto.stress.verdicts import judge

    if out_file is not None and out_file.suffix.lower() not in (".html", ".json"):
        raise ConfigError(f"--out {out_file}: expected a name that ends in .html or .json")
    asked = known.chosen(known.DEFAULT if trials is None else known.read(trials), only or [])
    data = _clips(corpus, kind, clips)
    with progress_bars() as progress:
        found = judge(_listener(model, device, precision), data, asked, progress=progress)
    for fault in found.left_out:
        complain(fault)
    _show(found)
    if out_file is not None:
        text = page(found) if out_file.suffix.lower() == ".html" else json.dumps(found.plain, indent=1) + "\n"
        with output(out_file) as stream:
            stream.write(text)
    if found.failed:
        raise typer.Exit(1)


@app.command()
def adapt(
    model: Annotated[str, typer.Argument(help="A shipped model's name, a folder, or a hub id.")],
    clips: Annotated[Path, typer.Option("--clips", help="Your clips, CSV: file, emotion, maybe start, end, speaker.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new checkpoint.")],
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which corpus the clips are, if not a table.", show_default=False)
    ] = None,
    narrow: Annotated[
        bool, typer.Option("--narrow", help="Know the clips' emotions alone, and forget the model's others.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of how clips are held out.")] = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Fit a model's last layer to 20 to 200 labelled clips of your own, and say honestly how much that helps.

    Scores are of clips held out, by speaker where three or more are known: name them in the column `speaker`. What was
    chosen for the new model, what it reached beside the old one, and how much more clips would bring stands in its
    card.
    """
    from affetto import checkpoint, corpora
    from affetto.adaptation.adapted import adapted
    from affetto.cards import adaptation
    from affetto.device import choose
    from affetto.recognizer import locate

    if (folder / "config.json").exists():
        raise ConfigError(f"--out {folder}: holds a checkpoint already; give another folder")
    data = corpora.find(clips, kind)
    with progress_bars() as progress:
        found = adapted(
            checkpoint.load(locate(model)),
            data,
            narrow=narrow,
            seed=seed,
            device=choose(device),
            precision=precision_of(precision),
            progress=progress,
        )
    for fault in found.faults:
        complain(fault)
    checkpoint.save(found.checkpoint, folder)
    for line in adaptation(found.checkpoint.provenance["adapted"])[2:]:
        out.print(line, markup=False, highlight=False)
    out.print(f"\ncheckpoint: {folder}", markup=False, highlight=False)
    if found.faults:
        raise typer.Exit(1)


def _clips(corpus: Path | None, kind: str | None, clips: Path | None) -> "Corpus":
    """The recordings that are asked for."""
    from affetto import corpora, resources

    if corpus is not None and clips is not None:
        raise ConfigError("give either --corpus or --clips")
    if clips is not None:
        return corpora.read("speech", clips)
    if corpus is not None:
        return corpora.find(corpus, kind)
    note("no --corpus and no --clips: the seven sample clips are heard, of which one is 14 % of every share")
    return corpora.read("table", resources.folder("samples") / "samples.csv")


def _listener(model: str, device: str, precision: str) -> "Listener":
    from affetto.recognizer import Recognizer
    from affetto.stress.listeners import EndpointListener, ModelListener

    if model.startswith(("http://", "https://")):
        return EndpointListener(model)
    return ModelListener(Recognizer.from_pretrained(model, device=device, precision=precision_of(precision)))


def _show(found: "Stressed") -> None:
    """The verdicts in the terminal."""
    factor, digits, name = (100, 1, "UAR") if found.kind == "ua" else (1, 3, "CCC")
    table = Table(title=f"{found.model}, {found.clips} clips; {found.corpus}")
    for column in ("trial", "agreement", "at least", name, "drop", "at most", "changed", ""):
        table.add_column(column, justify="left" if column in ("trial", "") else "right")

    def shown(value: float) -> str:
        return "" if math.isnan(value) else f"{factor * value:.{digits}f}"

    for each in found.verdicts:
        table.add_row(
            each.trial.title,
            shown(each.agreement),
            f"{factor * each.trial.agreement:g}",
            shown(each.score),
            shown(each.drop),
            f"{factor * each.trial.drop:g}" if shown(each.drop) else "",
            str(each.changed),
            "passed" if each.passed else "[red]failed[/]",
        )
    out.print(table)
    clean = f"; {name} on the clean clips {shown(found.score)}" if found.labelled else ""
    out.print(f"{len(found.failed)} of {len(found.verdicts)} trials failed{clean}", highlight=False)
