"""Imports point one way: from what a listener needs, through what a trainer needs, to the command line."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import affetto

SOURCE = Path(affetto.__file__).parent

BOTTOM = {
    "audio",
    "baseline",
    "batch",
    "config",
    "device",
    "errors",
    "files",
    "hub",
    "labels",
    "metrics",
    "progress",
    "resources",
}

# What each module, or folder of modules, may import of ours, wherever in the file.
MAY_IMPORT = {
    "errors": set(),
    "files": set(),
    "labels": set(),
    "baseline": {"errors", "files"},
    "batch": {"baseline"},
    "metrics": set(),
    "resources": {"errors"},
    "media": {"errors"},
    "palette": set(),
    "progress": set(),
    "audio": {"errors", "media"},
    "config": {"errors"},
    "asr": {"audio", "errors"},
    "vad": {"audio", "errors"},
    "pieces": {"audio", "errors", "media"},
    "device": {"errors"},
    "distortions": {"audio", "errors"},
    "hub": {"errors"},
    "cards": {"config", "labels"},
    "fingerprint": {"audio"},
    "statistics": {"metrics"},
    "scores": {"errors", "metrics", "statistics"},
    "changes": {"files"},
    "report": {"calibration", "changes", "errors", "files", "groups", "metrics", "scores", "statistics"},
    "tables": {"errors"},
    "splits": {"errors", "tables"},
    "provenance": {"device"},
    "cache": {"files"},
    "augment": {"batch", "config"},
    "frontend": {"batch", "config"},
    "layers": {"batch"},
    "pretrained": {"errors", "hub"},
    "encoders": {"batch", "config", "errors", "frontend", "hub", "layers", "pretrained"},
    "models": {"baseline", "batch", "config", "encoders", "errors", "frontend", "layers", "pretrained"},
    "tasks": {"batch", "config", "errors", "labels", "metrics"},
    "calibration": {"errors", "scores"},
    "domain": {"errors"},
    "flags": {"audio", "vad"},
    "checkpoint": BOTTOM | {"calibration", "domain", "models", "tasks"},
    "trust": BOTTOM | {"calibration", "checkpoint", "dataset", "domain"},
    "corpora": {"audio", "distortions", "errors", "files", "labels", "progress", "tables"},
    "groups": {"corpora", "errors", "metrics", "scores", "statistics", "tables"},
    "protocol": {"corpora", "errors", "files", "splits"},
    "simulation": {"corpora", "errors", "files", "labels", "metrics", "progress", "protocol"},
    "verification": {"changes", "corpora", "errors", "experiment", "labels", "protocol", "scores"},
    "pretraining": BOTTOM
    | {"cards", "checkpoint", "corpora", "dataset", "models", "pretrained", "provenance", "report", "tasks"}
    | {"runs", "training"},
    "panns": BOTTOM | {"checkpoint", "encoders", "frontend", "models"},
    "recognizer": BOTTOM | {"asr", "checkpoint", "corpora", "flags", "models", "pretrained", "tasks", "vad"},
    "views": {"audio", "errors", "files", "palette", "pieces", "report", "segments"},
    "segments": {"audio", "baseline", "encoders", "errors", "files", "pieces", "recognizer", "tables", "vad"},
    "adaptation": BOTTOM
    | {"cards", "checkpoint", "corpora", "dataset", "layers", "models", "provenance", "statistics", "tasks"},
    "stress": {"audio", "config", "corpora", "distortions", "errors", "metrics", "progress", "recognizer", "report"},
    "messages": set(),
    "sounding": {"errors"},
    "client": {"errors", "messages"},
    "serve": {"batch", "device", "encoders", "errors", "messages", "palette", "pieces", "recognizer", "segments"}
    | {"stream", "vad"},
    "stream": {"audio", "errors", "messages", "pieces", "recognizer", "segments", "vad"},
    "mishearing": {"asr", "corpora", "errors", "progress", "recognizer", "scores", "tasks"},
    "audit": {"bench", "corpora", "dataset", "errors", "fingerprint", "progress", "protocol", "splits", "tables"},
    "dataset": BOTTOM | {"cache", "corpora", "frontend", "models", "tasks"},
    "optimizers": set(),
    "training": BOTTOM | {"augment", "dataset", "frontend", "models", "optimizers", "tasks"},
    "experiment": BOTTOM | {"distortions", "models", "pretrained", "tasks", "training"},
    "bench": BOTTOM | {"cache", "corpora", "dataset", "distortions", "experiment", "models", "tasks", "training"},
    "cells": BOTTOM
    | {"bench", "cache", "corpora", "dataset", "experiment", "protocol", "provenance", "scores", "tasks"},
    "evaluation": BOTTOM
    | {"cache", "cells", "changes", "corpora", "dataset", "experiment", "provenance", "report", "scores"},
    "transfer": {"cache", "corpora", "dataset", "device", "errors", "evaluation", "experiment", "progress", "protocol"},
    "runs": BOTTOM
    | {"bench", "cache", "calibration", "cards", "checkpoint", "corpora", "dataset", "experiment", "models"}
    | {"protocol", "provenance", "tasks"},
}
ABOVE_ALL = {"", "cli", "__main__"}  # the package itself, which loads its names when they are used, and the commands

UNITS = sorted({path.relative_to(SOURCE).with_suffix("").parts[0] for path in SOURCE.rglob("*.py")} - {"__init__"})


def files(unit: str) -> list[Path]:
    if unit == "":
        return [SOURCE / "__init__.py"]
    single = SOURCE / f"{unit}.py"
    return [single] if single.is_file() else sorted((SOURCE / unit).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of what a file imports, at its top and inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            if node.module == "affetto":
                yield from (f"affetto.{alias.name}" for alias in node.names)
            else:
                yield node.module


@cache
def imports(unit: str) -> tuple[frozenset[str], frozenset[str]]:
    """Of a module or folder: what it imports of ours, by first name, and of others, by theirs."""
    names = {name for path in files(unit) for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    ours = {name.split(".")[1] for name in names if name.startswith("affetto.")}
    others = {name.split(".")[0] for name in names} - {"affetto"} - set(sys.stdlib_module_names)
    return frozenset(ours & set(UNITS)) - {unit}, frozenset(others)


def carried(unit: str) -> set[str]:
    """The modules and folders of ours that come along with one, itself included."""
    found, ahead = set(), [unit]
    while ahead:
        here = ahead.pop()
        if here not in found:
            found.add(here)
            ahead += imports(here)[0]
    return found


def test_the_table_knows_every_module_and_no_other():
    assert sorted({*MAY_IMPORT, *ABOVE_ALL} - {"", "__main__"}) == sorted(set(UNITS) - {"__main__"})
    for allowed in MAY_IMPORT.values():
        assert allowed <= set(MAY_IMPORT)


def test_the_table_has_no_circle():
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()


@pytest.mark.parametrize("unit", MAY_IMPORT)
def test_a_module_imports_only_what_the_table_allows(unit):
    ours, _ = imports(unit)
    assert ours <= MAY_IMPORT[unit], f"{unit} imports {', '.join(sorted(ours - MAY_IMPORT[unit]))}"


def test_nothing_imports_the_commands():
    for unit in MAY_IMPORT:
        assert not imports(unit)[0] & ABOVE_ALL


def test_who_listens_carries_nothing_that_trains():
    trains = {"augment", "bench", "cells", "dataset", "evaluation", "experiment", "runs", "training"}
    assert not carried("recognizer") & trains


def test_a_server_carries_nothing_that_trains():
    trains = {"augment", "bench", "cells", "dataset", "evaluation", "experiment", "optimizers", "runs", "training"}
    for unit in ("serve", "stream", "segments", "client"):
        assert not carried(unit) & trains
        assert not any("accelerate" in imports(part)[1] for part in carried(unit))


def test_a_client_needs_no_network_of_neither_kind_but_one():
    assert carried("client") == {"client", "errors", "messages"}
    assert not imports("client")[1] & {"torch", "numpy", "pandas", "fastapi"}


def test_models_know_nothing_of_corpora():
    for unit in ("models", "encoders", "layers", "tasks", "checkpoint"):
        assert not carried(unit) & {"corpora", "dataset", "protocol", "training"}


NO_NETWORKS = (
    "audio calibration cards changes config corpora domain files fingerprint flags hub metrics protocol report scores "
    "simulation splits statistics tables"
)


def test_who_checks_numbers_carries_nothing_that_made_them():
    assert not carried("scores") & {"bench", "cells", "evaluation", "experiment", "training"}
    # Settings it must know, to recompute what names them; they lie beside the networks that they are of.
    assert not carried("verification") & {"bench", "cells", "evaluation"}


@pytest.mark.parametrize("unit", NO_NETWORKS.split())
def test_networks_are_not_needed_where_there_are_none(unit):
    for part in carried(unit):
        assert not imports(part)[1] & {"torch", "transformers", "accelerate", "safetensors"}, part


def test_only_who_trains_needs_accelerate():
    assert {unit for unit in UNITS if "accelerate" in imports(unit)[1]} == {"training"}


@pytest.mark.parametrize("unit", ["", "cli"])
def test_heavy_modules_are_loaded_when_they_are_used(unit):
    """At their top the package and its commands import names and errors only, beside what is for type checkers."""
    for path in files(unit):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        ours = {name for name in imported(tree) if name.startswith("affetto") and not name.startswith("affetto.cli")}
        assert ours <= {"affetto.__version__", "affetto.errors"}
