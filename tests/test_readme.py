"""README and results say the same: every number in a results table stands in a results file."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| `(?P<row>[\w-]+)`.*?\| (?P<wa>\d+\.\d\d) \| (?P<ua>\d+\.\d\d) \|", re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_tables_quote_the_results_files(page: str) -> None:
    rows = list(ROW.finditer((ROOT / page).read_text(encoding="utf-8")))
    assert rows, f"{page} quotes no results"
    for row in rows:
        path = ROOT / "results" / "emodb-loso10-v1" / f"{row['row']}.json"
        mean = json.loads(path.read_text(encoding="utf-8"))["fold_mean"]
        assert (row["wa"], row["ua"]) == (f"{100 * mean['wa']:.2f}", f"{100 * mean['ua']:.2f}"), row["row"]


def test_the_speed_is_the_one_measured() -> None:
    speed = json.loads((ROOT / "benchmarks" / "speed.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{speed['predict_seconds']['median']:.0f} seconds" in text
    assert f"{speed['predict_peak_mb'] / 1000:.1f} GB" in text


def test_the_shipped_card_quotes_the_shipped_results() -> None:
    shipped = [
        results
        for path in (ROOT / "results").glob("*/*.json")
        if (results := json.loads(path.read_text(encoding="utf-8")))["shipped"]
    ]
    assert len(shipped) == 1
    card = (ROOT / "src" / "affetto" / "pretrained" / "whisper3-emodb" / "README.md").read_text(encoding="utf-8")
    mean = shipped[0]["fold_mean"]
    assert f"WA {100 * mean['wa']:.1f} % and UA {100 * mean['ua']:.1f} %" in card


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_nothing_is_left_to_fill_in(page: str) -> None:
    assert "@" not in (ROOT / page).read_text(encoding="utf-8")
