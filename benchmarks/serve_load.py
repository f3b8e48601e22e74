"""How many a server can hear at the same time: live streams, uploads, and a crowd that is too large.

    python benchmarks/serve_load.py [--streams 60] [--seconds 60] [--soak 0] [--only streams,fast,uploads,flood]

Starts `affetto serve` on this machine and asks it over loopback, from one process of its own, whose share of the
processor is told. Speech is that of `samples/`, without pauses but those between clips, so that everybody speaks nearly
all the time. Writes `benchmarks/serve_load.json` and stops by itself. Linux.

    streams   live streams at real time, an update a second
    fast      a quarter of them, an update every 250 ms
    uploads   ten clips of 5 s a second
    flood     a hundred of them a second, and how long it takes until one is heard as soon as before
    soak      streams for so many minutes, and what memory they take in between
"""

import argparse
import asyncio
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import soundfile
from websockets.asyncio.client import connect

HERE = Path(__file__).parent
RATE = 16_000
CHUNK_SECONDS = 0.1
PAUSE_SECONDS = 0.6
CLIP_SECONDS = 5.0
UPLOADS = 10.0
"""A second."""
FLOOD_SECONDS = 15
MEMORY_SECONDS = 5
"""Between looks at the server's memory."""
MOST_LOOKS = 24
"""That are written down."""

Samples = npt.NDArray[np.int16]


def talk() -> Samples:
    """The samples one after the other, with short pauses."""
    clips = []
    for path in sorted((HERE.parent / "samples").glob("*.wav")):
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == RATE
        clips += [samples, np.zeros(round(PAUSE_SECONDS * RATE), np.int16)]
    return np.concatenate(clips)


@dataclass
class Heard:
    """What came of some streams."""

    updates: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)
    stretched: int = 0
    faults: list[str] = field(default_factory=list)
    utterances: int = 0
    asked_seconds: float = 0.0
    heard_seconds: float = 0.0


async def stream(address: str, sound: Samples, seconds: float, update: float, late: float, heard: Heard) -> None:
    """One stream in real time."""
    await asyncio.sleep(late)
    sent: list[float] = []  # when each chunk was
    async with connect(f"ws{address[4:]}/v1/stream", compression=None, ping_timeout=None) as socket:
        await socket.send(json.dumps({"type": "session.start", "sample_rate": RATE, "update_interval": update}))
        ready = json.loads(await socket.recv())
        assert ready["type"] == "session.ready", ready
        sending = asyncio.create_task(_send(socket, sound, seconds, sent))
        open_utterances: set[int] = set()
        async for message in socket:
            now = time.perf_counter()
            event = json.loads(message)
            match event["type"]:
                case "utterance.start":
                    open_utterances.add(event["utterance"])
                case "measurement.update":
                    heard.updates.append(now - _when(sent, event["end"]))
                    heard.stretched += event["interval"] > 1.5 * ready["update_interval"]
                case "measurement.result":
                    heard.results.append(now - _when(sent, event["heard"]))
                case "utterance.end":
                    open_utterances.remove(event["utterance"])
                    heard.utterances += 1
                case "session.end":
                    heard.heard_seconds += event["seconds"]
                case "error":
                    heard.faults.append(event["what"])
        await sending
    heard.asked_seconds += len(sent) * CHUNK_SECONDS
    heard.faults += [f"utterance {n} did not end" for n in open_utterances]


async def _send(socket: Any, sound: Samples, seconds: float, sent: list[float]) -> None:
    size = round(CHUNK_SECONDS * RATE)
    started = time.perf_counter()
    for number in range(round(seconds / CHUNK_SECONDS)):
        await asyncio.sleep(max(0.0, started + number * CHUNK_SECONDS - time.perf_counter()))
        chunk = sound.take(range(number * size, (number + 1) * size), mode="wrap")
        sent.append(time.perf_counter())
        await socket.send(chunk.tobytes())
    await socket.send(json.dumps({"type": "session.end"}))


def _when(sent: list[float], seconds: float) -> float:
    """When the sound of a moment was sent."""
    return sent[min(int(seconds / CHUNK_SECONDS - 1e-6), len(sent) - 1)]


async def streams(server: "Server", count: int, seconds: float, update: float) -> dict[str, Any]:
    """Many streams, which begin within one interval."""
    sound, heard = talk(), Heard()
    rng = np.random.default_rng(0)
    async with server.watched() as watch:
        await asyncio.gather(
            *(
                stream(server.address, np.roll(sound, int(rng.integers(len(sound)))), seconds, update, late, heard)
                for late in np.arange(count) / count
            )
        )
    return {
        "streams": count,
        "update_seconds": update,
        "seconds": seconds,
        "updates": len(heard.updates),
        "stretched_updates": heard.stretched,
        "update_latency": summary(heard.updates),
        "results": len(heard.results),
        "result_latency": summary(heard.results),
        "lost": len(heard.faults) + (len(heard.results) - heard.utterances),
        "faults": dict(Counter(heard.faults)),
        "seconds_sent": round(heard.asked_seconds, 1),
        "seconds_heard": round(heard.heard_seconds, 1),
        **watch,
    }


def clip() -> bytes:
    """Five seconds of speech, as a WAV file."""
    stream = io.BytesIO()
    soundfile.write(stream, talk()[: round(CLIP_SECONDS * RATE)], RATE, format="WAV")
    return stream.getvalue()


async def uploads(server: "Server", seconds: float, a_second: float) -> dict[str, Any]:
    """Recordings at a steady pace, whether the ones before are done or not."""
    content, statuses, taken = clip(), Counter[str](), list[float]()
    retries: list[float] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=server.address, timeout=60, limits=limits) as client:

        async def ask() -> None:
            started = time.perf_counter()
            try:
                answer = await client.post("/v1/analyze", content=content)
            except httpx.HTTPError as error:
                statuses[type(error).__name__] += 1
                return
            statuses[str(answer.status_code)] += 1
            if answer.status_code == 200:
                taken.append(time.perf_counter() - started)
            elif "retry-after" in answer.headers:
                retries.append(float(answer.headers["retry-after"]))

        async with server.watched() as watch:
            started, tasks = time.perf_counter(), []
            for number in range(round(seconds * a_second)):
                await asyncio.sleep(max(0.0, started + number / a_second - time.perf_counter()))
                tasks.append(asyncio.create_task(ask()))
            await asyncio.gather(*tasks)
        found = {
            "uploads_a_second": a_second,
            "clip_seconds": CLIP_SECONDS,
            "seconds": seconds,
            "statuses": dict(statuses),
            "latency_of_200": summary(taken),
            "with_retry_after": len(retries),
            **watch,
        }
        if statuses["429"]:
            began = time.perf_counter()
            while (await client.post("/v1/analyze", content=content)).status_code != 200:
                await asyncio.sleep(0.05)
            found["seconds_until_heard_again"] = round(time.perf_counter() - began, 3)
    return found


class Server:
    """An `affetto serve` of this machine's own."""

    def __init__(self) -> None:
        program = Path(sys.executable).with_name("affetto")
        command = [str(program), "serve", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        told = self.process.stderr.readline()
        found = re.search(r"http://\S+", told)
        assert found, told
        self.address = found[0]

    def stop(self) -> int:
        """Its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    @property
    def cpu(self) -> float:
        """Seconds of a processor that it took."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """Of memory that it takes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[dict[str, Any]]:
        """What server and generator take while something goes on; filled in when it ends."""
        watch: dict[str, Any] = {}
        memory: list[float] = []

        async def look() -> None:
            while True:
                memory.append(self.megabytes)
                await asyncio.sleep(MEMORY_SECONDS)

        looking = asyncio.create_task(look())
        wall, own, theirs = time.perf_counter(), time.process_time(), self.cpu
        yield watch
        looking.cancel()
        wall, own, theirs = time.perf_counter() - wall, time.process_time() - own, self.cpu - theirs
        watch |= {
            "server_cores": round(theirs / wall, 2),
            "generator_cores": round(own / wall, 2),
            "generator_share": round(own / (own + theirs), 3),
            "memory_mb": [round(one) for one in memory[:: -(-len(memory) // MOST_LOOKS)]],
        }


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest, in milliseconds."""
    if len(seconds) < 2:
        return {}
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    found = {"median": percentiles[49], "p95": percentiles[94], "p99": percentiles[98], "max": max(seconds)}
    return {f"{name}_ms": round(1000 * value) for name, value in found.items()}


async def measure(server: Server, asked: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for."""
    found: dict[str, Any] = {}
    await streams(server, 2, 5, 1.0)  # warm
    if "streams" in asked.only:
        found["streams"] = await streams(server, asked.streams, asked.seconds, 1.0)
    if "fast" in asked.only:
        found["fast"] = await streams(server, max(1, asked.streams // 4), asked.seconds, 0.25)
    if "uploads" in asked.only:
        found["uploads"] = await uploads(server, asked.seconds, UPLOADS)
    if "flood" in asked.only:
        found["flood"] = await uploads(server, min(asked.seconds, FLOOD_SECONDS), 10 * UPLOADS)
    if asked.soak:
        found["soak"] = await streams(server, asked.streams, 60 * asked.soak, 1.0)
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--soak", type=float, default=0.0, help="minutes")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["streams", "fast", "uploads", "flood"])
    parser.add_argument("--out", type=Path, default=HERE / "serve_load.json")
    asked = parser.parse_args()
    before = os.getloadavg()[0]
    server = Server()
    try:
        found = asyncio.run(measure(server, asked))
    finally:
        code = server.stop()
    machine = f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}"
    about = {"machine": machine, "python": platform.python_version(), "load_before": round(before, 1)}
    result = {**about, **found, "exit_code": code}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
