"""Commands about numbers: audit, verify, report, protocols."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from affetto.cli.console import CacheOption, any_corpus, err, out, progress_bars
from affetto.errors import ConfigError

if TYPE_CHECKING:
    from affetto.audit import Audit, Division, Finding
    from affetto.corpora import Corpus

app = typer.Typer()
protocols_app = typer.Typer(help="Protocols: who is train, dev and test.", no_args_is_help=True)

COLOURS = {"clean": "green", "shared": "cyan", "warning": "yellow", "unknown": "yellow", "leak": "bold red"}
KindOption = Annotated[
    str | None, typer.Option("--kind", help="Which corpus it is; found out when not given.", show_default=False)
]
CorpusFolder = Annotated[
    Path | None, typer.Option("--corpus", help="The corpus's folder, or a CSV table.", show_default=False)
]


@app.command()
def audit(
    subject: Annotated[str, typer.Argument(help="A protocol, a table of splits (CSV), or an experiment.")],
    corpus: CorpusFolder = None,
    kind: KindOption = None,
    features: Annotated[
        Path | None, typer.Option("--features", help="CSV of features, for --normaliser.", show_default=False)
    ] = None,
    normaliser: Annotated[
        Path | None, typer.Option("--normaliser", help="JSON with its mean and scale.", show_default=False)
    ] = None,
    bill: Annotated[bool, typer.Option("--bill", help="Show what leaks are worth: a quick model, four rules.")] = False,
    results: Annotated[Path, typer.Option("--results", help="Folder of results, for --bill.")] = Path("results"),
    cache: CacheOption = None,
) -> None:
    """Look for what train and test have in common; exit code 1 when they have what they must not.

    A table of splits has the columns file, split (train, dev, test) and, if there are several, fold; with speaker,
    session and sentence columns it needs no corpus, but then nobody listens for copies. With --corpus these columns
    still count, before those of the corpus.
    """
    from affetto import audit as audits
    from affetto import corpora, protocol
    from affetto.experiment import names

    if (features is None) != (normaliser is None):
        raise ConfigError("--features and --normaliser go together: the features before it, and what it subtracts")
    data = None if corpus is None else corpora.find(corpus, kind)
    findings: list[Finding] = []
    if subject.endswith(".csv"):
        division = audits.of_table(Path(subject), data)
    elif data is None:
        raise ConfigError(f"{subject}: say with --corpus on which corpus; only a table of splits can do without")
    elif subject in names() or subject.endswith((".yaml", ".yml")):
        division, findings = _experiments(subject, data, cache)
    else:
        division = audits.of_protocol(protocol.create(subject, data))
    if normaliser is not None and features is not None:
        findings.append(audits.normaliser(division, features, normaliser))
    with progress_bars() as progress:
        found = audits.audit(division, progress=progress)
    found = audits.Audit(found.subject, (*found.findings, *findings))
    _show(found)
    if bill:
        if data is None:
            raise ConfigError("--bill trains on the corpus; give it with --corpus")
        _bill(data, results, cache)
    if found.leaks:
        raise typer.Exit(1)


def _experiments(subject: str, data: "Corpus", cache: Path | None) -> tuple["Division", list["Finding"]]:
    """The division of an experiment's protocol, and what its rows do with it."""
    from affetto import audit as audits
    from affetto import experiment, protocol
    from affetto.bench import Bench
    from affetto.cache import FeatureCache
    from affetto.device import choose

    rows = experiment.read(subject)
    protocols = sorted({row.protocol for row in rows})
    if len(protocols) > 1:
        raise ConfigError(f"{subject}: has the protocols {', '.join(protocols)}; audit one of them by name")
    findings = []
    for row in rows:
        if row.average is not None:
            continue  # it learns nothing that its rows have not
        dealt = protocol.create(row.protocol, data, transductive=row.speaker_statistics)
        findings.append(replace(audits.tuned(dealt, row.tuned_on), check=f"{row.name}: settings"))
        with progress_bars() as progress:
            bench = Bench.prepare(row, data, cache=FeatureCache(cache), device=choose("auto"), progress=progress)
            findings.append(replace(audits.touched(dealt, bench), check=f"{row.name}: normaliser, training"))
    (name,) = protocols
    division = audits.of_table(Path(name), data) if name.endswith(".csv") else audits.of_protocol(dealt)
    return division, findings


def _show(found: "Audit") -> None:
    table = Table("check", "", "what was found", "folds", title=f"audit of {escape(found.subject)}")
    for finding in found.findings:
        folds = ", ".join(finding.folds[:6]) + (f" and {len(finding.folds) - 6} more" if len(finding.folds) > 6 else "")
        colour = COLOURS[finding.status]
        table.add_row(finding.check, f"[{colour}]{finding.status}[/]", escape(finding.detail), escape(folds))
    out.print(table)
    number, open_ = len(found.leaks), sum(finding.status == "unknown" for finding in found.findings)
    say = f"{number} leak{'s' if number > 1 else ''} found" if number else "No leak found"
    say += f"; {open_} check{'s' if open_ > 1 else ''} could not be made." if open_ else "."
    out.print(f"{say}{' Numbers under this division say too much.' if number else ''}", highlight=False)
    known = {"speaker": "voices", "session": "sessions", "sentence": "sentences"}
    for finding in found.findings:
        if finding.status == "shared" and (what := known.get(finding.check)):
            out.print(f"By design, its numbers are about known {what} and say nothing about new ones.", highlight=False)


def _bill(data: "Corpus", results: Path, cache: Path | None) -> None:
    """Score the quick row under the four rules, and show it beside every other row that has all four."""
    from affetto import evaluation, experiment
    from affetto.cache import FeatureCache
    from affetto.device import choose
    from affetto.report import comparisons, sections

    rows = experiment.read("bill", (f"corpus={data.name}",))
    with progress_bars() as progress:
        evaluation.benchmark(
            rows, data, results=results, cache=FeatureCache(cache), device=choose("auto"), progress=progress
        )
    gathered = sections.gather(results)
    for bill in comparisons.bills(gathered.sections):
        if bill.corpus != data.name:
            continue
        table = Table(title=f"the leakage bill of {bill.row}: the same test clips, as much training, four rules")
        for column in ("train shares with test", "protocol", f"{bill.score.upper()} in %", "95 %", "worth", "p"):
            table.add_column(column, justify="left" if column.startswith(("train", "protocol")) else "right")
        for leak in bill.leaks:
            low, high = leak.row.interval(bill.score)
            worth = leak.worth
            table.add_row(
                leak.name,
                leak.row.protocol,
                f"{100 * leak.row.score(bill.score):.2f}",
                escape(f"[{100 * low:.1f}, {100 * high:.1f}]"),
                "" if worth is None else f"{100 * worth.difference:+.2f}",
                "" if worth is None else f"{worth.p_value:.3f}",
            )
        out.print(table)
    out.print(
        "worth: mean difference over speakers to the rule that shares nothing; p: exact permutation over speakers.",
        highlight=False,
    )


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(help="Results files (JSON), or folders of them.")],
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus", help="A corpus's folder or CSV table, PATH or NAME=PATH; may be repeated.", show_default=False
        ),
    ] = None,
    kind: KindOption = None,
) -> None:
    """Compute every number of results files anew from the predictions beside them; exit code 1 when one differs.

    With scikit-learn and SciPy as witnesses beside our own metrics; with --corpus, truth, speakers and folds are
    compared with the corpus as well; for results across corpora, all of these have to be given.
    """
    from affetto import verification

    data = [any_corpus(text, kind) for text in corpus or ()]
    files = verification.find(paths)
    faulty = 0
    for path in files:
        found = verification.verify(path, *data)
        faulty += bool(found.faults)
        word = "[bold red]wrong[/]" if found.faults else "[green]right[/]"
        out.print(f"{word} {escape(str(path))}: {found.numbers} numbers computed anew", highlight=False, soft_wrap=True)
        for line in (*found.faults, *found.notes):
            out.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
    out.print(f"{len(files) - faulty} of {len(files)} results files are right.", highlight=False)
    if faulty:
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Folder of results.")] = Path("results"),
    out_folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write there; default: into the results.", show_default=False)
    ] = None,
    fill: Annotated[
        list[Path] | None, typer.Option("--fill", help="Markdown whose marked tables are renewed.", show_default=False)
    ] = None,
) -> None:
    """Make tables beside the papers', figures and one web page out of a folder of results."""
    from affetto import evaluation
    from affetto import report as reports

    for path in reports.write(results, out_folder, evaluation.asked()):
        err.print(f"wrote: {path}", markup=False, highlight=False)
    for path in fill or ():
        changed = reports.fill(path, results)
        err.print(f"{path}: {'renewed' if changed else 'as it was'}", markup=False, highlight=False)


@protocols_app.command("list")
def protocols_list() -> None:
    """The protocols that there are."""
    from affetto import protocol

    for name in protocol.names():
        out.print(name, markup=False, highlight=False)


@protocols_app.command("show")
def protocols_show(
    name: Annotated[str, typer.Argument(help="A protocol's name, or a table of splits (CSV).")],
    corpus: Annotated[Path, typer.Option("--corpus", help="The corpus's folder, or a CSV table.")],
    kind: KindOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """Everything that decides whether two numbers may be compared: id, classes, folds, dev rule, aggregation."""
    from affetto import corpora, protocol

    dealt = protocol.create(name, corpora.find(corpus, kind)).checked()
    definition = dealt.definition
    if as_json:
        print(json.dumps(definition, indent=1, ensure_ascii=False))
        return
    facts = Table(show_header=False, box=None)
    for key, value in (
        ("id", definition["id"]),
        (
            "corpus",
            f"{definition['corpus']}, {definition['utterances']} utterances, {len(definition['speakers'])} speakers",
        ),
        ("manifest", definition["manifest_sha256"]),
        ("classes", ", ".join(definition["classes"])),
        ("folds", f"{len(definition['folds'])}: {definition['rule']} (sha256 {definition['folds_sha256'][:16]})"),
        ("dev", definition["dev_rule"]),
        ("in common", ", ".join(f"{kind}s" for kind in definition["shares"]) or "nothing"),
        ("metrics", ", ".join(definition["metrics"])),
        ("aggregation", definition["aggregation"]),
        ("test speakers' statistics", "used" if definition["transductive"] else "not used"),
    ):
        facts.add_row(f"[bold]{key}[/]", escape(str(value)))
    out.print(facts)
    folds = Table("fold", "train", "dev", "test", "dev speakers", "test speakers")
    for fold in definition["folds"]:
        counts = (str(fold[split]) for split in ("train", "dev", "test"))
        folds.add_row(fold["fold"], *counts, *(_few(fold[f"{split}_speakers"]) for split in ("dev", "test")))
    out.print(folds)
    out.print("Compare numbers only where id, manifest, classes and folds are these.", highlight=False)


def _few(names: list[str]) -> str:
    return escape(", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""))
