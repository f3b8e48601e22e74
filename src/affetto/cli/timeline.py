"""The command that hears long recordings: timeline."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from affetto.cli.answers import trust
from affetto.cli.console import (
    AsrOption,
    DeviceOption,
    LanguageOption,
    ModelOption,
    PrecisionOption,
    Told,
    WithoutOption,
    complain,
    note,
    out,
    output,
    progress_bars,
    recognizer_of,
)
from affetto.cli.sources import sources_of
from affetto.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from affetto.segments import Timeline, TimelineSettings

app = typer.Typer()


@app.command()
def timeline(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs; - reads a list of paths from stdin.")],
    model: ModelOption = None,
    window: Annotated[float, typer.Option("--window", help="Seconds judged at once; 0: one answer a region.")] = 5.0,
    stride: Annotated[
        float | None, typer.Option("--stride", help="Seconds from window to window; half a window if not given.")
    ] = None,
    channels: Annotated[str, typer.Option("--channels", help="mix: averaged; split: each a voice.")] = "mix",
    regions: Annotated[
        Path | None,
        typer.Option("--regions", help="Where speech is: CSV (start, end, speaker) or RTTM.", show_default=False),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option("--baseline", help="What each voice is judged beside: none, running, or a folder of its clips."),
    ] = "none",
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help="csv, jsonl, parquet, audformat, vtt, srt, textgrid, eaf, rttm.", show_default=False
        ),
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File, whose ending gives the format; FOLDER/ for one a recording."),
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option("--summary", help="words or json: say that in place of the table.", show_default=False),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw it there: PNG or SVG.", show_default=False)
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write it there as one HTML file that plays it.", show_default=False)
    ] = None,
    with_audio: Annotated[bool, typer.Option("--with-audio", help="Put the sound into the page.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders below folders.")] = False,
    asr: AsrOption = None,
    language: LanguageOption = None,
    without: WithoutOption = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run was killed.")] = True,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Say who felt what, when, in recordings of any length.

    Speech is found, judged in windows that overlap, and told as utterances with one emotion each. Results go to stdout
    or to --out, everything else to stderr. A recording that cannot be heard, or not to its end, is named there with the
    reason, the others go on, and the exit code is 1.
    """
    # oneDNN keeps what it compiled for up to 1024 shapes of batches, and a long recording has them all: that took half
    # a gigabyte. The variable is read when PyTorch first computes something.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    from affetto.cache import default_folder
    from affetto.segments import TimelineSettings, formats
    from affetto.segments import timeline as hear
    from affetto.vad import SpeechDetector

    if channels not in ("mix", "split"):
        raise ConfigError(f"--channels {channels}: expected mix or split")
    kind, folder = _target(format, out_file)
    sources, faults = sources_of(paths, recursive=recursive)
    views = _Views(summary, picture, page, with_audio=with_audio)
    views.check(kind, out_file, len(sources))
    for fault in faults:
        complain(fault)
    targets = _targets(sources, kind, folder)
    settings = TimelineSettings(
        window=window or None,
        stride=stride,
        channels="split" if channels == "split" else "mix",
        baseline="none" if baseline == "none" else "running" if baseline == "running" else Path(baseline),
        words=asr is not None,
    )
    asked = {source: settings if regions is None else _with(settings, regions, source) for source in sources}
    recognizer = recognizer_of(model, device, precision, asr=asr, language=language, without=without)
    recognizer.prepare()
    detector = SpeechDetector()
    journal = default_folder() / "timelines" if resume else None
    found: list[Timeline] = []
    for source in sources:
        try:
            with progress_bars() as progress:
                told = partial(_tell_progress, progress, Path(source).name)
                one = hear(source, recognizer, asked[source], detector=detector, progress=told, journal=journal)
        except AudioError as fault:
            faults.append(fault)
            complain(fault)
            continue
        if one.damage is not None:
            faults.append(AudioError(source, "truncated", one.damage))
            complain(faults[-1])
        _tell(one)
        views.show(one)
        if folder is None:
            found.append(one)
        else:
            formats.write([one], kind, targets[source])
    views.finish()
    if found and not (summary and kind == "table"):
        _put(found, kind, out_file)
    if faults:
        raise typer.Exit(1)


class _Views:
    """What is shown of timelines beside their table: a summary, a picture, a page."""

    def __init__(self, summary: str | None, picture: Path | None, page: Path | None, *, with_audio: bool) -> None:
        self.summary, self.picture, self.page, self.with_audio = summary, picture, page, with_audio
        self.summaries: list[dict[str, Any]] = []

    def check(self, kind: str, path: Path | None, count: int) -> None:
        """See that what was asked for can be had, before anything is heard.

        Raises:
            ConfigError: if not.
        """
        if self.summary not in (None, "words", "json"):
            raise ConfigError(f"--summary {self.summary}: expected words or json")
        if self.summary and kind != "table" and path is None:
            raise ConfigError(f"--summary and --format {kind} would both go to stdout; give --out")
        if self.with_audio and self.page is None:
            raise ConfigError("--with-audio: there is no page to put it into; give --page")
        for option, target, endings in (
            ("picture", self.picture, (".png", ".svg")),
            ("page", self.page, (".html", ".htm")),
        ):
            if target is None:
                continue
            if target.suffix.lower() not in endings:
                raise ConfigError(f"--{option} {target}: expected a name that ends in {' or '.join(endings)}")
            if not target.parent.is_dir():
                raise ConfigError(f"--{option} {target}: there is no folder {target.parent}")
            if count > 1:
                raise ConfigError(f"--{option} {target}: is of one recording, and here are {count}")

    def show(self, found: "Timeline") -> None:
        """Make what was asked for of one recording."""
        from affetto import views

        if self.summary == "words":
            out.print(views.in_words(views.summarise(found)), markup=False, highlight=False, soft_wrap=True)
        elif self.summary:
            self.summaries.append(views.summarise(found).to_json())
        if self.picture is not None:
            views.write_picture(found, self.picture)
        if self.page is not None:
            views.write_page(found, self.page, with_audio=self.with_audio)

    def finish(self) -> None:
        """What is told of all recordings together."""
        from affetto.files import json_bytes

        if self.summary == "json":
            with output(None) as stream:
                stream.write(json_bytes(self.summaries).decode())


def _target(format: str | None, path: Path | None) -> tuple[str, Path | None]:
    """The format that was asked for, and the folder, if results go to files of their own.

    Raises:
        ConfigError: if there is no such format, or nothing tells which.
    """
    from affetto.segments import formats

    kinds = ("table", *formats.FORMATS)
    is_folder = path is not None and (path.is_dir() or path.suffix == "") and format != "audformat"
    kind = format or ("table" if path is None else formats.known(path))
    if kind not in kinds:
        what = f"--format {format}" if format else f"--out {path}: the ending names no format"
        raise ConfigError(f"{what}; expected one of {', '.join(kinds)}")
    if path is None and kind in formats.BINARY:
        raise ConfigError(f"{kind} is not for reading on a screen; give --out")
    if path is not None and kind == "table":
        raise ConfigError(f"--out {path}: a table is for the screen; expected one of {', '.join(formats.FORMATS)}")
    if path is None or not is_folder:
        return kind, None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be made ({error.strerror})") from error
    return kind, path


def _targets(sources: Sequence[str], kind: str, folder: Path | None) -> dict[str, Path]:
    """The file for each recording, where each has one.

    Raises:
        ConfigError: if one file would have to hold several recordings and cannot, or several files had one name.
    """
    from affetto.segments import formats

    if folder is None:
        if kind in formats.OF_ONE and len(sources) > 1:
            raise ConfigError(f"a file of {kind} is about one recording, here are {len(sources)}; give --out FOLDER")
        return {}
    targets = {source: folder / f"{Path(source).stem}{formats.ending(kind)}" for source in sources}
    if len(set(targets.values())) < len(targets):
        raise ConfigError(f"--out {folder}: two recordings have the same name; hear them one after the other")
    return targets


def _with(settings: "TimelineSettings", regions: Path, source: str) -> "TimelineSettings":
    """Settings with the speech that is given of a recording."""
    from affetto.segments import given

    return replace(settings, given=given.read(regions, source))


def _tell_progress(progress: Told, name: str, done: float, total: float | None) -> None:
    progress(f"seconds of {name}", round(done), round(total or done))


def _tell(found: "Timeline") -> None:
    """Say what a user may wonder about."""
    if not found.utterances:
        note(f"{found.file}: no speech was found")
    reasons = Counter(each.reason for each in found.utterances if each.reason is not None)
    for reason, count in reasons.items():
        seconds = sum(each.seconds for each in found.utterances if each.reason == reason)
        places = "place" if count == 1 else "places"
        note(f"{found.file}: not judged in {count} {places}, {seconds:.1f} s: {reason}")
    for remark in dict.fromkeys(text for each in found.judged if each.prediction for text in each.prediction.notes):
        note(f"{found.file}: {remark}")


def _put(found: "Sequence[Timeline]", kind: str, path: Path | None) -> None:
    """Write timelines to one file or to stdout."""
    from affetto.segments import formats

    if path is not None:
        formats.write(found, kind, path)
    elif kind == "table":
        for one in found:
            _show(one)
    else:
        with output(None) as stream:
            stream.write(formats.render(found, kind).decode("utf-8", errors="surrogateescape"))


def _show(found: "Timeline") -> None:
    """A table for the screen."""
    from affetto.segments.formats.captions import answer

    voices, words = any(found.voices), any(each.words is not None for each in found.utterances)
    table = Table(title=escape(found.file), box=box.SIMPLE_HEAD)
    for head in ("start", "end"):
        table.add_column(head, justify="right")
    for head in (*(["who"] if voices else []), "heard", "trust", *(["words"] if words else [])):
        table.add_column(head)
    for each in found.utterances:
        who, said = [escape(each.voice)] if voices else [], [escape(each.words or "")] if words else []
        table.add_row(_clock(each.start), _clock(each.end), *who, escape(answer(each)), trust(each.prediction), *said)
    out.print(table)


def _clock(seconds: float) -> str:
    """1:02:03.4, or 2:03.4 within the first hour."""
    tenths = round(10 * seconds)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"
