"""Commands for what is said now: listen, serve."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from affetto.cli.console import (
    AsrOption,
    DeviceOption,
    LanguageOption,
    ModelOption,
    PrecisionOption,
    WithoutOption,
    err,
    out,
    recognizer_of,
)
from affetto.errors import ConfigError

if TYPE_CHECKING:
    from affetto.messages import MeasurementResult, MeasurementUpdate, StreamEvent

app = typer.Typer()

TOKEN = "AFFETTO_TOKEN"
"""The environment variable with a server's token: a command line can be read by others on the machine."""


@app.command()
def listen(
    rate: Annotated[
        int | None,
        typer.Option(
            "--rate", help="Hz of raw 16-bit PCM on stdin, one channel; WAV says it itself.", show_default=False
        ),
    ] = None,
    microphone: Annotated[bool, typer.Option("--microphone", help="Listen to the microphone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One event a line, as the server sends them.")] = False,
    update: Annotated[float, typer.Option("--update", help="Seconds between provisional answers.")] = 1.0,
    model: ModelOption = None,
    asr: AsrOption = None,
    language: LanguageOption = None,
    without: WithoutOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Say what is heard while somebody speaks: a WAV or raw PCM on stdin, or the microphone.

    Each utterance ends in one line; below it the bars of the utterance that goes on move, and are provisional. Ctrl-C
    ends it.
    """
    from affetto import sounding
    from affetto.stream import EmotionStream, StreamSettings

    settings = StreamSettings(update=update, words=asr is not None)
    source = sounding.microphone() if microphone else sounding.piped(sys.stdin.buffer, rate)
    recognizer = recognizer_of(model, device, precision, asr=asr, language=language, without=without)
    with source as sound, _display(as_json) as show:
        stream = EmotionStream(recognizer, sound.sample_rate, settings)
        try:
            for chunk in sound.chunks:
                show(stream.feed(chunk))
        except KeyboardInterrupt:
            pass
        show(stream.finish())
    if not as_json:
        err.print(f"{stream.seconds:.1f} s heard", highlight=False)


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0 for the network.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen at; 0 for one that is free.")
    ] = 8000,
    model: ModelOption = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", envvar=TOKEN, help="That everybody must show; better in AFFETTO_TOKEN.", show_default=False
        ),
    ] = None,
    jobs: Annotated[
        Path | None,
        typer.Option("--jobs", help="Folder of long recordings; none are taken without.", show_default=False),
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", help="Web page of another server that may ask.", show_default=False)
    ] = None,
    streams: Annotated[int, typer.Option("--streams", min=1, help="At the same time, at most.")] = 100,
    requests: Annotated[int, typer.Option("--requests", min=1, help="At the same time, at most.")] = 16,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, help="That the network computes with; as many as there are cores.", show_default=False
        ),
    ] = None,
    asr: AsrOption = None,
    language: LanguageOption = None,
    without: WithoutOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Serve recognition over HTTP and WebSocket (docs/server.md); Ctrl-C stops it.

    It calls nobody, and keeps and logs neither sound nor words, but recordings of jobs until these have ended.
    """
    try:
        from affetto.serve import app as serving
        from affetto.serve import running
    except ImportError as error:
        raise ConfigError("serving takes FastAPI and uvicorn: pip install 'affetto[serve]'") from error
    import torch

    from affetto.serve.settings import Limits, ServeSettings

    limits = Limits(streams=streams, requests=requests)
    settings = ServeSettings(limits, token or None, tuple(origin or ()), jobs)
    torch.set_num_threads(threads or os.cpu_count() or 1)
    with running.listening(host, port) as server:
        recognizer = recognizer_of(model, device, precision, asr=asr, language=language, without=without)
        if token is None and host not in ("127.0.0.1", "::1", "localhost"):
            err.print(f"warning: anybody who reaches {host} may ask; set {TOKEN}", style="yellow", highlight=False)
        address = f"http://{f'[{host}]' if ':' in host else host}:{server.getsockname()[1]}"
        said = f"{recognizer.checkpoint.name} listens at {address}"
        service = serving.create(recognizer, settings)
        running.run(service, server, limits, announce=lambda: err.print(said, highlight=False))


@contextmanager
def _display(as_json: bool) -> "Iterator[Any]":
    """Who shows events: as lines of JSON, or for people."""
    if as_json:

        def show(events: "list[StreamEvent]") -> None:
            for event in events:
                print(json.dumps(event.model_dump(), ensure_ascii=False), flush=True)

        yield show
        return
    if not err.is_terminal:
        yield _Screen(None)
        return
    with Live(console=err, transient=True, auto_refresh=False) as live:
        yield _Screen(live)


class _Screen:
    """Lines of what was said on stdout, and on a terminal, below them, bars of what is being said."""

    def __init__(self, live: Live | None) -> None:
        self.live = live

    def __call__(self, events: "list[StreamEvent]") -> None:
        for event in events:
            if event.type == "measurement.result":
                self._below("")
                out.print(_line(event), highlight=False)
            elif event.type == "measurement.update":
                self._below(_bars(event))
            elif event.type == "utterance.start":
                self._below(Text("somebody speaks ...", style="dim"))

    def _below(self, shown: RenderableType) -> None:
        if self.live is not None:
            self.live.update(shown, refresh=True)


def _line(result: "MeasurementResult") -> Text:
    """An utterance: when, what, how sure."""
    line = Text(f"{_clock(result.start)} - {_clock(result.end)}  ")
    if result.reason is not None:
        return line.append(f"not judged: {result.reason}", style="dim")
    if result.emotion is not None:
        line.append(f"{result.emotion:<10}", style="bold").append(f" {100 * (result.confidence or 0):3.0f} %")
    else:
        line.append("  ".join(f"{name} {rating:.2f}" for name, rating in result.dimensions.items()))
    if result.flags:
        line.append(f"  {' '.join(result.flags)}", style="yellow")
    if result.words:
        line.append(f"  {result.words}", style="italic")
    return line


def _bars(update: "MeasurementUpdate") -> RenderableType:
    """What the last seconds sound like."""
    table = Table.grid(padding=(0, 1))
    for label, share in update.probabilities.items():
        style = "bold" if label == update.emotion else "dim"
        table.add_row(
            Text(label, style=style), ProgressBar(total=1.0, completed=share, width=40), f"{100 * share:3.0f} %"
        )
    for name, rating in update.dimensions.items():
        table.add_row(name, "", f"{rating:.2f}")
    return Group(Text(f"{_clock(update.start)} - {_clock(update.end)}  provisional", style="dim"), table)


def _clock(seconds: float) -> str:
    """1:02.5."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
