"""How fast, and in how much memory, the command line hears a folder: whole processes, start-up included.

    python benchmarks/speed.py FOLDER

Runs `affetto predict FOLDER` and `affetto --help` five times each in turn and writes the times and the largest peak
memory to `benchmarks/speed.json`. Linux and macOS.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 5
HERE = Path(__file__).parent


def main(folder: Path) -> None:
    """Measure and write."""
    import soundfile

    affetto = Path(sys.executable).with_name("affetto")
    files = sorted(folder.glob("*.wav"))
    predict: list[float] = []
    helped: list[float] = []
    for _ in range(RUNS):
        predict.append(seconds([str(affetto), "predict", str(folder), "--format", "csv"]))
        helped.append(seconds([str(affetto), "--help"]))
    # ru_maxrss is in kilobytes on Linux and in bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    result = {
        "machine": f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "files": len(files),
        "audio_seconds": round(sum(soundfile.info(file).duration for file in files), 1),
        "predict_seconds": summary(predict),
        "predict_peak_mb": round(peak),
        "help_seconds": summary(helped),
    }
    (HERE / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def summary(values: list[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    return {
        "min": round(min(values), 2),
        "median": round(statistics.median(values), 2),
        "max": round(max(values), 2),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
