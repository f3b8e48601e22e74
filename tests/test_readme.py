"""README and results say the same: every number in a results table stands in a results file."""

import json
import shutil
from pathlib import Path

import pytest

from affetto import evaluation, report

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGES = ("README.md", "results/README.md")


@pytest.mark.parametrize("page", PAGES)
def test_tables_quote_the_results_files(page: str, tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    shutil.copyfile(ROOT / page, copy)
    assert not report.fill(copy, RESULTS), f"{page} says something else than results/; fill it in with report.fill"


def test_the_report_is_that_of_these_results(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("cells")))
    report.write(copy, asked=evaluation.asked())
    now, then = ((folder / "REPORT.md").read_text(encoding="utf-8") for folder in (copy, RESULTS))
    assert now == then, "results/REPORT.md is of other results; write it anew with report.write"


def test_the_speed_is_the_one_measured() -> None:
    speed = json.loads((ROOT / "benchmarks" / "speed.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{speed['predict_seconds']['median']:.0f} seconds" in text
    assert f"{speed['predict_peak_mb'] / 1000:.1f} GB" in text


def test_the_shipped_card_quotes_the_shipped_results() -> None:
    shipped = [
        results
        for path in (ROOT / "results").glob("*/*.json")
        if (results := json.loads(path.read_text(encoding="utf-8"))).get("shipped")  # protocol.json has none
    ]
    assert len(shipped) == 1
    card = (ROOT / "src" / "affetto" / "pretrained" / "whisper4-emodb" / "README.md").read_text(encoding="utf-8")
    mean = shipped[0]["fold_mean"]
    assert f"WA {100 * mean['wa']:.1f} % and UA {100 * mean['ua']:.1f} %" in card


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in(page: str) -> None:
    assert "@" not in (ROOT / page).read_text(encoding="utf-8")
