"""The report says what the results files say, in a page that stands alone, and compares only what may be compared."""

import html.parser
import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import audmetric
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.metrics

from affetto import changes, evaluation, experiment, report, scores
from affetto.errors import ConfigError, ProtocolError
from affetto.files import json_bytes
from affetto.report import comparisons, exhibits, figures, literature, planned, scoreboards, sections, tables

LABELS = ("anger", "neutral", "sadness")
SPEAKERS = ("s1", "s2", "s3", "s4", "s5")
SENTENCES = ("a", "b", "c", "d")


def predictions(right: float, *, seeds: Sequence[int], folds: dict[str, tuple[str, ...]], seed: int) -> pd.DataFrame:
    """A table in which each speaker says every sentence in every class, once, and `right` of it is heard rightly."""
    random = np.random.default_rng(seed)
    rows = []
    for run in seeds:
        for fold, spoken in folds.items():
            for clip in spoken:
                speaker, sentence = clip.split("-")
                for label in LABELS:
                    heard = label if random.random() < right else LABELS[(LABELS.index(label) + 1) % 3]
                    probabilities = {name: 0.8 if name == heard else 0.1 for name in LABELS}
                    file = f"wav/{clip}-{label}.wav"
                    row = {"file": file, "start": 0.0, "end": None, "fold": fold, "seed": run, "truth": label}
                    rows.append({**row, "prediction": heard, **probabilities, "speaker": speaker})
    return pd.DataFrame(rows)


def dimensions(seed: int) -> pd.DataFrame:
    """Ratings of two dimensions that keep to the middle of the scale."""
    random = np.random.default_rng(seed)
    rows = []
    for speaker in SPEAKERS:
        for number in range(12):
            row: dict[str, Any] = {"file": f"{speaker}-{number}.wav", "start": 0.0, "end": None}
            row |= {"fold": speaker, "seed": 0}
            for name in ("valence", "arousal"):
                row[f"{name}_truth"] = truth = random.uniform(1, 7)
                row[name] = 4 + 0.5 * (truth - 4) + random.normal(0, 0.3)
            rows.append({**row, "speaker": speaker})
    return pd.DataFrame(rows)


def loso() -> dict[str, tuple[str, ...]]:
    return {speaker: tuple(f"{speaker}-{sentence}" for sentence in SENTENCES) for speaker in SPEAKERS}


def put(results: Path, protocol: str, row: str, table: pd.DataFrame, **changed: Any) -> Path:
    """A results file as `affetto benchmark` writes it, with its predictions and protocol."""
    task = "categories" if "truth" in table else "dimensions"
    labels = list(LABELS) if task == "categories" else ["valence", "arousal"]
    seeds = sorted({int(seed) for seed in table["seed"]})
    content: dict[str, Any] = {
        "protocol": protocol,
        "corpus": "toy",
        "manifest_sha256": "a" * 64,
        "folds_sha256": "b" * 64,
        "model": row,
        "task": task,
        "labels": labels,
        "transductive": False,
        "simulated": False,
        "shipped": False,
        "trained_on": "train",
        "tuned_on": [],
        "fingerprint": f"{row}-settings",
        "seeds": seeds,
        "config": {"model": {"name": "cnn"}, "training": {"epochs": 3}},
        "commit": "0123456789abcdef",
        "machine": "2 cores",
        "seconds": 60.0,
        **scores.summarise(table, task, labels),
        **changed,
    }
    for fold in content["folds"]:
        fold.setdefault("n_train", 36)
    folder = results / protocol
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{row}.json"
    path.write_bytes(json_bytes(scores.plain(content)))
    table.to_csv(path.with_suffix(".csv"), index=False, lineterminator="\n")
    changes.remember(results, scores.plain(content))
    if (folder / "protocol.json").exists():
        return path
    first = table[table["seed"] == seeds[0]]
    definition = {
        "id": protocol,
        "corpus": "toy",
        "manifest_sha256": content["manifest_sha256"],
        "utterances": len(first),
        "speakers": list(SPEAKERS),
        "classes": labels,
        "rule": "each speaker once",
        "dev_rule": "the next",
        "shares": ["speaker"] if "random" in protocol else [],
        "transductive": content["transductive"],
        "folds_sha256": content["folds_sha256"],
        "folds": [
            {
                "fold": fold,
                "train": 36,
                "dev": 12,
                "test": len(part),
                "dev_speakers": [SPEAKERS[(SPEAKERS.index(str(part["speaker"].iloc[0])) + 1) % 5]],
                "test_speakers": sorted(set(part["speaker"])),
            }
            for fold, part in first.groupby("fold")
        ],
    }
    (folder / "protocol.json").write_bytes(json_bytes(definition))
    return path


def rows_of(results: Path, protocol: str) -> dict[str, sections.Row]:
    return {path.stem: report.read(path) for path in (results / protocol).glob("*.json") if path.stem != "protocol"}


def section_of(results: Path, protocol: str) -> sections.Section:
    return next(section for section in report.gather(results).sections if section.protocol == protocol)


def markdown_rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose first column is called `head`."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |"))
    found = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


LOSO = "emodb-loso10-v1"  # the id that the paper's numbers are set beside


@pytest.fixture(scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows under five kinds of protocol."""
    results = tmp_path_factory.mktemp("made") / "results"
    results.mkdir()
    put(results, LOSO, "cnn", predictions(0.6, seeds=[0], folds=loso(), seed=1), tuned_on=["s2"])
    put(results, LOSO, "probe", predictions(0.9, seeds=[0, 1], folds=loso(), seed=2), shipped=True)
    more = predictions(0.95, seeds=[0, 1], folds=loso(), seed=3)
    put(results, LOSO, "probe-nine", more, trained_on="train+dev")
    random = predictions(0.97, seeds=[0], folds=loso(), seed=4)
    put(results, "emodb-random80-v1", "cnn", random, folds_sha256="c" * 64)
    put(results, "toy-ratings-v1", "rater", dimensions(5), folds_sha256="d" * 64)
    halves = {
        f"{group}{half}": tuple(f"{speaker}-{sentence}" for speaker in speakers for sentence in spoken)
        for group, speakers in (("1", SPEAKERS[:2]), ("2", SPEAKERS[2:]))
        for half, spoken in (("a", SENTENCES[:2]), ("b", SENTENCES[2:]))
    }
    for number, (leak, right) in enumerate([("none", 0.6), ("sentences", 0.75), ("speakers", 0.7), ("both", 0.98)]):
        table = predictions(right, seeds=[0], folds=halves, seed=6)
        put(results, f"toy-bill-{leak}-v1", "cnn", table, folds_sha256=str(number) * 64)
    return results


@pytest.fixture
def everything(_results: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(_results, tmp_path / "results"))


@pytest.fixture
def results(everything: Path) -> Path:
    """The same with one protocol of three rows."""
    for folder in everything.iterdir():
        if folder.is_dir() and folder.name != LOSO:
            shutil.rmtree(folder)
    return everything


@pytest.fixture(scope="module")
def written(_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of those rows."""
    out = tmp_path_factory.mktemp("out")
    report.write(_results, out)
    return out


class Page(html.parser.HTMLParser):
    """What a browser would see of a page."""

    VOID = frozenset(("meta", "br", "hr", "img", "link", "input", "path", "use", "rect", "circle", "line"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "report.html").read_text(encoding="utf-8"))


# Refusing


def test_rows_of_different_protocols_are_not_compared(_results: Path) -> None:
    one, other = rows_of(_results, LOSO)["cnn"], rows_of(_results, "emodb-random80-v1")["cnn"]
    expected = rf"'cnn' under {LOSO} and 'cnn' under emodb-random80-v1 cannot be compared, they differ in protocol: "
    with pytest.raises(ProtocolError, match=expected):
        report.compare(one, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manifest_sha256", "f" * 64),
        ("folds_sha256", "f" * 64),
        ("transductive", True),
        ("simulated", True),
    ],
)
def test_rows_are_not_compared_where_anything_that_matters_differs(results: Path, name: str, value: Any) -> None:
    rows = rows_of(results, LOSO)
    changed = sections.Row({**rows["cnn"].results, name: value}, rows["cnn"].table)
    with pytest.raises(ProtocolError, match=f"they differ in {name}: "):
        report.compare(changed, rows["probe"])


def test_rows_from_another_copy_of_the_corpus_are_a_section_of_their_own(results: Path) -> None:
    table = predictions(0.99, seeds=[0], folds=loso(), seed=9)
    put(results, LOSO, "elsewhere", table, manifest_sha256="e" * 64)
    found = [section for section in report.gather(results).sections if section.protocol == LOSO]
    assert sorted(section.title for section in found) == [f"{LOSO}, manifest aaaaaaaa", f"{LOSO}, manifest eeeeeeee"]
    assert [row.name for section in found if section.published for row in section.rows] == [
        "cnn",
        "probe",
        "probe-nine",
    ]
    report.write(results)


def test_ratings_and_categories_of_one_protocol_are_sections_of_their_own(results: Path) -> None:
    put(results, LOSO, "rated", dimensions(3))
    found = {section.title: section for section in report.gather(results).sections if section.protocol == LOSO}
    assert set(found) == {f"{LOSO}, anger, neutral and sadness", f"{LOSO}, valence and arousal"}
    assert [row.name for row in found[f"{LOSO}, valence and arousal"].rows] == ["rated"]
    assert not found[f"{LOSO}, valence and arousal"].published
    text = report.write(results)[0].read_text(encoding="utf-8")
    assert f"{LOSO}, valence and arousal" in text
    row = next(line for line in text.splitlines() if line.startswith("| `rated` |"))
    scores = found[f"{LOSO}, valence and arousal"].rows[0].results["fold_mean"]
    assert f"{scores['pearson_valence']:.3f}" in row and f"{scores['mse_arousal']:.3f}" in row
    ids = Page((results / "report.html").read_text(encoding="utf-8")).of("id")
    assert len(set(ids)) == len(ids)


def test_a_best_row_is_named_only_among_those_trained_on_the_same(results: Path) -> None:
    section = section_of(results, LOSO)
    best, alone = section.best("train"), section.best("train+dev")
    assert best is not None and best.name == "probe"
    assert alone is None
    assert section.row("probe-nine").score("ua") > best.score("ua")  # type: ignore[union-attr]


def test_an_undefined_score_is_never_the_best(results: Path) -> None:
    rows = {name: row for name, row in rows_of(results, LOSO).items() if row.trained_on == "train"}
    rows["probe"].results["fold_mean"]["ua"] = None
    section = sections.Section(tuple(rows.values()), {}, (), 2)
    best = section.best("train")
    assert best is not None and best.name == "cnn"


# Damage


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_text("{"), r"probe\.json: cannot be read as JSON"),
        (lambda path: path.with_suffix(".csv").unlink(), r"probe\.csv: is not a table of predictions"),
        (lambda path: path.write_text(path.read_text().replace('"ua": 0.', '"ua": 0.0')), r"probe\.json: says ua "),
        (lambda path: path.write_text(path.read_text().replace('"seeds"', '"sees"')), r"has nothing as 'seeds'"),
        (lambda path: path.rename(path.with_name("other.json")), r"'model' is 'probe'; expected 'other'"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_goes_on(results: Path, harm: Any, reason: str) -> None:
    harm(results / LOSO / "probe.json")
    with pytest.raises(ConfigError, match=rf"REPORT\.md: was written without 1 thing: .*{reason}"):
        report.write(results)
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert re.search(rf"## Left out.*{reason}", text, re.DOTALL)
    assert "`probe-nine`" in text and "`probe` " not in text
    assert "Left out" in (results / "report.html").read_text(encoding="utf-8")


def test_predictions_that_were_changed_afterwards_are_noticed(results: Path) -> None:
    path = results / LOSO / "cnn.csv"
    table = pd.read_csv(path)
    table.loc[0, "prediction"] = next(label for label in LABELS if label != table.loc[0, "prediction"])
    table.to_csv(path, index=False)
    with pytest.raises(ConfigError, match=r"cnn\.json: says wa 0\.\d+, its predictions say 0\.\d+"):
        report.read(results / LOSO / "cnn.json")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no results; expected <protocol>/<row>.json"):
        report.write(tmp_path)
    with pytest.raises(ConfigError, match="is not a folder"):
        report.write(tmp_path / "nowhere")


# Numbers


def test_tables_say_what_the_results_files_say(_results: Path, written: Path) -> None:
    text = (written / "REPORT.md").read_text(encoding="utf-8")
    table = {re.findall(r"`([\w-]+)`", line[0])[0]: line for line in markdown_rows(text, "row") if "`" in line[0]}
    assert set(table) == {"cnn", "probe", "probe-nine"}
    for name, line in table.items():
        stored = json.loads((_results / LOSO / f"{name}.json").read_text(encoding="utf-8"))
        for column, score in ((3, "wa"), (4, "ua")):
            low, high = stored["intervals"]["fold_mean"][score]
            value = 100 * stored["fold_mean"][score]
            assert line[column] == f"{value:.2f} [{100 * low:.1f}, {100 * high:.1f}]"
        assert line[7] == f"{100 * stored['fold_mean']['macro_f1']:.2f}"
    assert table["cnn"][9] == "1"
    assert re.fullmatch(r"2 \(±\d\.\d\d\)", table["probe"][9])
    assert table["cnn"][8] == "3 speakers (train alone, 36 clips)"
    assert table["probe-nine"][8] == "4 speakers (train and dev, 36 clips)"
    difference = 100 * rows_of(_results, LOSO)["cnn"].score("ua") - 78.12
    assert table["cnn"][1:3] == ["79.42", "78.12"]
    assert table["cnn"][6] == f"{difference:+.2f}".replace("-", "−")
    assert "best of those trained on train alone; 3 configurations tried" in table["probe"][0]


def test_rows_of_the_paper_that_were_not_measured_are_shown_as_such(written: Path) -> None:
    lines = markdown_rows((written / "REPORT.md").read_text(encoding="utf-8"), "row")
    missing = {line[0]: line for line in lines if "not measured here" in line[0]}
    assert list(missing) == [f"{name} (not measured here)" for name in ("Transformer", "BERT", "Fusion-ConvBERT")]
    assert missing["Fusion-ConvBERT (not measured here)"][1:5] == ["88.43", "86.04", "–", "–"]


def test_the_published_numbers_are_those_of_the_tables_of_the_paper() -> None:
    found = {(entry.table, entry.model): entry for entry in literature.published()}
    assert len(found) == 16
    assert found["Table 4", "Fusion-ConvBERT"].scores == {"wa": 0.8843, "ua": 0.8604}
    assert found["Table 6", "CNNs"].scores == {"wa": 0.8756, "ua": 0.8544}
    protocols = {"Table 4": LOSO, "Table 5": "iemocap-loso10-v1", "Table 6": "emodb-random80-v1"}
    assert {entry.table: entry.protocol for entry in found.values()} == {**protocols, "Table 7": "iemocap-random80-v1"}


def test_folds_that_were_looked_at_are_named_and_left_out_of_a_second_mean(results: Path) -> None:
    report.write(results)
    table = pd.read_csv(results / LOSO / "cnn.csv")
    table = table[table["fold"] != "s2"]
    wa = np.mean([(part["truth"] == part["prediction"]).mean() for _, part in table.groupby("fold")])
    expected = "`cnn`: its settings were written after a look at speaker s2, tested in fold s2; without that fold the "
    assert f"{expected}mean is WA {100 * wa:.2f}, UA " in (results / "REPORT.md").read_text(encoding="utf-8")


def test_rows_whose_settings_were_written_after_the_same_look_share_a_remark(results: Path) -> None:
    for row in ("first", "second"):
        put(results, LOSO, row, predictions(0.6, seeds=[0], folds=loso(), seed=1), tuned_on=list(SPEAKERS))
    report.write(results)
    looked = "their settings were written after a look at speakers s1, s2, s3, s4 and s5"
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert f"* `first`, `second`: {looked}; no fold is left that does not test them.\n" in text


def test_a_fault_is_said_of_its_results_wherever_they_stand_and_of_no_others(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = literature.Fault("0123456789abcdef", "trained on half a clip")
    remark = literature.Remark("probe-settings", "Fewer steps", fault)
    study = replace(literature.studies()[0], remarks={"probe": {LOSO: remark}, "cnn": {LOSO: remark}})
    monkeypatch.setattr(sections, "studies", lambda: (study,))
    config = {"model": {"name": "cnn"}, "training": {}, "second_stage": {"first": {"name": "probe"}}}
    put(results, LOSO, "again", predictions(0.9, seeds=[0], folds=loso(), seed=9), config=config)
    report.write(results)
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert "* `probe`: trained on half a clip.\n" in text and "* `cnn`: trained on" not in text
    assert "| `again` | cnn, a second stage of probe |" in text
    for board in (scoreboards.short, scoreboards.full):
        details = {row[0][0]: row[0][1:] for row in board(section_of(results, LOSO)).rows}
        assert {name for name, said in details.items() if "made with a fault" in said} == {"probe"}
    pairs = {row[0]: row[-1] for row in markdown_rows(text[text.index("### Row against row") :], "first, second")}
    assert len(pairs) == 6
    for names, reading in pairs.items():
        assert ("probe made with a fault" in reading) == ("`probe`" in names)
    put(results, LOSO, "probe", predictions(0.9, seeds=[0], folds=loso(), seed=2), commit="89ab; 0123456789ac+")
    report.write(results)
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert "fault" not in text, "of other commits it is not said"
    assert "| `89ab`, `0123456789+` |" in text


def test_what_is_not_defined_is_a_dash_with_its_reason(results: Path) -> None:
    table = predictions(0.8, seeds=[0], folds=loso(), seed=8).assign(speaker=None)
    put(results, LOSO, "nameless", table)
    row = report.read(results / LOSO / "nameless.json")
    assert math.isnan(row.interval("ua")[0]) and math.isnan(row.deviation("ua"))
    report.write(results)
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert "[– (60 clips have no speaker)]" in text
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text.lower())
    assert "cannot be tested" in text


def test_a_pair_is_tested_over_speakers_clips_and_seeds(results: Path) -> None:
    rows = rows_of(results, LOSO)
    pair = report.compare(rows["probe-nine"], rows["probe"])
    first, second = (rows[name].by_speaker("ua") for name in ("probe-nine", "probe"))
    assert pair.speakers.difference == pytest.approx((first - second).mean())
    assert pair.speakers.n == 5 and pair.speakers.smallest_p == pytest.approx(2 / 2**5)
    sides = [rows[name].table[rows[name].table["seed"] == 0].reset_index() for name in ("probe-nine", "probe")]
    right = [side["truth"] == side["prediction"] for side in sides]
    assert pair.clips is not None and pair.seed == 0
    assert (pair.clips.only_a, pair.clips.only_b) == ((right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum())
    assert pair.seeds is not None and pair.seeds.degrees == 2
    assert not pair.same_training
    assert report.compare(rows["probe"], rows["cnn"]).seeds is None


def test_clips_are_matched_by_name_and_not_by_place(results: Path) -> None:
    rows = rows_of(results, LOSO)
    shuffled = sections.Row(rows["cnn"].results, rows["cnn"].table.sample(frac=1, random_state=0))
    assert report.compare(rows["probe"], shuffled) == report.compare(rows["probe"], rows["cnn"])


# The paper beside what we measured


FUSION = "fusion_convbert-robustbert-a"
RANDOM = "emodb-random80-v1"
EIGHT = tuple(f"s{number}" for number in range(1, 9))  # with fewer than six, no test over speakers can come below 0.05
RATES = {
    "cnn": 0.5,
    "transformer": 0.55,
    "speech_bert": 0.89,
    FUSION: 0.9,
    "fusion_convbert-robustbert-b": 0.6,
    "fusion_convbert-robustcnn-a": 0.88,
    "acrnn": 0.7,
}


def put_paper(results: Path, protocol: str, rows: Sequence[str], **changed: Any) -> None:
    """Rows of the paper under one of its protocols, eight speakers each."""
    said = {"corpus": "toy", "manifest_sha256": "a" * 64, "folds_sha256": "b" * 64}
    (results / protocol).mkdir(parents=True)
    (results / protocol / "protocol.json").write_bytes(json_bytes({"id": protocol, **said}))
    folds = {speaker: tuple(f"{speaker}-{sentence}" for sentence in SENTENCES) for speaker in EIGHT}
    for row in rows:
        table = predictions(RATES[row], seeds=[0], folds=folds, seed=len(row))
        remark = literature.studies()[0].remarks.get(row, {}).get(protocol)
        settings = {} if remark is None else {"fingerprint": remark.settings}
        put(results, protocol, row, table, **settings, **changed)


def chapter_of(path: Path) -> str:
    """The chapter on the paper, as Markdown."""
    text = path.read_text(encoding="utf-8")
    start = text.index('<a id="paper-fusion-convbert"></a>')
    return text[start : text.index('<a id="paper-multistage-conditioning"></a>')]


def under(chapter: str, caption: str, head: str) -> list[list[str]]:
    """The cells of the table below a caption."""
    return markdown_rows(chapter[chapter.index(f"\n{caption}") :], head)


def labelled(rows: Sequence[Sequence[str]], name: str) -> Sequence[str]:
    return next(row for row in rows if row[0] == name)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every row under both protocols that EMO-DB has, and the report beside them."""
    results = tmp_path_factory.mktemp("paper") / "results"
    put_paper(results, LOSO, list(RATES))
    put_paper(results, RANDOM, [row for row in RATES if row != "acrnn"])
    report.write(results)
    return results


def cited(text: str, table: int) -> dict[str, list[str]]:
    """Models and the four columns of a table, as the text of the paper has them."""
    begin = text.index(f"Table {table}. Speaker-independent")
    found = re.findall(
        r"^(\w+, [A-Z.]+ et al\. \[\d+\]|Our model)((?: (?:[\d.]+|[—-])){4})$", text[begin:], re.MULTILINE
    )
    lines: dict[str, list[str]] = {}
    for model, columns in found:
        lines[model] = columns.split()
        if model == "Our model":
            break
    return lines


@pytest.mark.parametrize("table", [8, 9])
def test_cited_systems_are_those_of_the_text_of_the_paper(table: int) -> None:
    path = Path(__file__).parents[2] / "shared" / "papers" / "fusion-convbert.txt"
    if not path.is_file():
        pytest.skip(f"the paper is not at {path}")
    expected = cited(path.read_text(encoding="utf-8"), table)
    assert len(expected) == 6
    study = literature.studies()[0]
    exhibit = next(exhibit for exhibit in study.exhibits if exhibit.name == f"Table {table}")
    assert len(exhibit.lines) == 6
    for line, (model, columns) in zip(exhibit.lines, expected.items(), strict=True):
        assert line.model.startswith(model)
        said = [line.scores.get(protocol, {}).get(name) for protocol in exhibit.protocols for name in ("wa", "ua")]
        assert said == [None if column in "—-" else pytest.approx(float(column) / 100) for column in columns]


def test_what_is_said_of_matrices_contradicts_itself_where_the_remark_says_so() -> None:
    study = literature.studies()[0]
    remarked = [matrix.name for matrix in study.matrices if matrix.remark]
    assert remarked == ["Figure 6", "Figure 8"]
    says = {matrix.name: matrix.says for matrix in study.matrices}
    sixth = [float(re.findall(r"(\d+) %", words)[0]) for words in says["Figure 6"].values()]
    assert 4 * 67.12 - sum(sixth) == pytest.approx(72.5, abs=0.05) and max(sixth) == 68
    eighth = [float(re.findall(r"(\d+) %", words)[0]) for words in says["Figure 8"].values()]
    assert np.mean(eighth) == 70.5 and 71.36 - 70.5 > 0.5


def test_a_table_of_the_paper_has_ours_and_the_difference_below_each_line(paper: Path) -> None:
    rows = under(chapter_of(paper / "REPORT.md"), "Table 4: ", "system")
    assert [row[0] for row in rows[:6]] == [
        "CNNs",
        "`cnn`",
        "ours − paper",
        "Transformer",
        "`transformer`",
        "ours − paper",
    ]
    stored = json.loads((paper / LOSO / "cnn.json").read_text(encoding="utf-8"))
    ua, (low, high) = stored["fold_mean"]["ua"], stored["intervals"]["fold_mean"]["ua"]
    assert rows[0][1:4] == ["79.42", "78.12", "77"]
    assert rows[1][2] == f"{100 * ua:.2f} [{100 * low:.1f}, {100 * high:.1f}]"
    expected = f"{100 * ua - 78.12:+.2f} [{100 * low - 78.12:+.1f}, {100 * high - 78.12:+.1f}]"
    assert rows[2][2] == expected.replace("-", "−")
    study = literature.studies()[0]
    assert rows[2][4] == study.remarks["cnn"][LOSO].says


UNKNOWN = "not explained yet"


def test_far_rows_wait_for_an_explanation_and_near_ones_do_not(paper: Path) -> None:
    study = replace(literature.studies()[0], remarks={})
    row = rows_of(paper, LOSO)["cnn"]
    said = {"wa": row.score("wa"), "ua": row.score("ua")}
    assert exhibits._why(row, {**said, "ua": said["ua"] + 0.0299}, study) == ""
    assert exhibits._why(row, {**said, "ua": said["ua"] + 0.0301}, study) == UNKNOWN
    assert exhibits._why(row, {**said, "wa": said["wa"] - 0.0301}, study) == UNKNOWN
    remark = literature.Remark(row.results["fingerprint"], "Fewer steps.")
    known = replace(study, remarks={"cnn": {LOSO: remark}})
    assert exhibits._why(row, {"ua": said["ua"] + 0.1}, known) == "Fewer steps."
    for others in ({RANDOM: remark}, {LOSO: replace(remark, settings="others")}):
        assert exhibits._why(row, {"ua": said["ua"] + 0.1}, replace(study, remarks={"cnn": others})) == UNKNOWN


def test_remarks_and_reasons_are_of_rows_and_protocols_that_the_paper_is_shown_with() -> None:
    study = literature.studies()[0]
    protocols = {protocol for exhibit in study.exhibits for protocol in exhibit.protocols}
    rows = {line.row for exhibit in study.exhibits for line in exhibit.lines}
    assert set(study.not_run) <= protocols and len(protocols) == 4
    assert set(study.remarks) <= rows and rows == {*RATES, None}
    assert {protocol for remarks in study.remarks.values() for protocol in remarks} <= protocols
    asked = {(each.row, each.fingerprint) for each in evaluation.asked()}  # others would never be said
    assert {(row, each.settings) for row, remarks in study.remarks.items() for each in remarks.values()} <= asked
    assert {exhibit.part for exhibit in study.exhibits} == set(study.parts)
    assert {matrix.part for matrix in study.matrices} <= set(study.parts)


def test_the_claims_of_the_paper_are_tested_over_speakers(paper: Path) -> None:
    text = chapter_of(paper / "REPORT.md")
    part = text[text.index("### 4.2.1") : text.index("### 4.2.2")]
    rows = rows_of(paper, LOSO)
    verdicts = {}
    for rival in ("cnn", "transformer", "speech_bert"):
        ours, theirs = (rows[name].by_speaker("ua").to_numpy() for name in (FUSION, rival))
        witness = scipy.stats.permutation_test(
            (ours, theirs), lambda a, b: float(np.mean(a - b)), permutation_type="samples", n_resamples=np.inf
        )
        verdicts[rival] = verdict = "beats" if witness.statistic > 0 and witness.pvalue <= 0.05 else "does not beat"
        [line] = [line for line in part.splitlines() if f"`{FUSION}` **{verdict}** `{rival}`: UA " in line]
        assert f"{100 * witness.statistic:+.2f} points".replace("-", "−") in line
        assert f"p = {tables.p_value(witness.pvalue)}" in line
        assert f"ahead with {(ours > theirs).sum()} of 8 speakers" in line
    assert verdicts == {"cnn": "beats", "transformer": "beats", "speech_bert": "does not beat"}
    assert f"Speaker-independent: `{FUSION}` **beats** `fusion_convbert-robustbert-b`" in text
    assert f"Speaker-dependent: `{FUSION}` **does not beat** `fusion_convbert-robustcnn-a`" in text
    assert f"Speaker-independent: `{FUSION}` **beats** `acrnn`" in text
    assert "acrnn" not in text[text.index("Speaker-dependent: ") : text.index("### 4.2.5")]


def test_the_proposed_row_reaches_the_paper_where_its_interval_does(paper: Path) -> None:
    text = chapter_of(paper / "REPORT.md")
    verdicts = {}
    for protocol, table in ((LOSO, "Table 4: "), (RANDOM, "Table 6: ")):
        row = rows_of(paper, protocol)[FUSION]
        part = text[text.index(f"\n{table}") :]
        for score in ("wa", "ua"):
            low, high = (100 * end for end in row.interval(score))
            published = float(labelled(under(text, table, "system"), "Fusion-ConvBERT")[1 + (score == "ua")])
            line = next(line for line in part.splitlines() if f"the paper's {score.upper()} of {published:.2f}" in line)
            assert line.endswith(f": 95 % interval {low:.2f} to {high:.2f}.")
            verdicts[protocol, score] = line.split("**")[1]
            assert (low <= published <= high) == (verdicts[protocol, score] == "reaches")
    assert verdicts == {
        (LOSO, "wa"): "reaches",
        (LOSO, "ua"): "reaches",
        (RANDOM, "wa"): "does not reach",
        (RANDOM, "ua"): "reaches",
    }


def test_the_proposed_row_passes_the_paper_where_all_of_its_interval_does(tmp_path: Path) -> None:
    folds = {speaker: tuple(f"{speaker}-{sentence}" for sentence in SENTENCES) for speaker in EIGHT}
    table = predictions(1.0, seeds=[0], folds=folds, seed=0)
    once = table["file"].str.contains(f"-{SENTENCES[0]}-")
    table = table[(table["truth"] != "sadness") | once].reset_index(drop=True)
    sad = table["truth"] == "sadness"  # said once by each speaker, and never heard
    table.loc[sad, ["prediction", "anger", "sadness"]] = ["anger", 0.8, 0.1]
    put_paper(tmp_path, LOSO, [])
    put(tmp_path, LOSO, FUSION, table)
    report.write(tmp_path)
    text = chapter_of(tmp_path / "REPORT.md")
    right = 2 * len(SENTENCES)
    wa = 100 * right / (right + 1)
    assert f"`{FUSION}` **passes** the paper's WA of 88.43: 95 % interval {wa:.2f} to {wa:.2f}." in text
    assert f"`{FUSION}` **does not reach** the paper's UA of 86.04: 95 % interval 66.67 to 66.67." in text


def test_figures_of_the_paper_are_drawn_where_there_are_results(paper: Path) -> None:
    drawn = sorted(path.name for path in (paper / "figures").glob("paper-*.svg"))
    assert drawn == [
        "paper-fusion-convbert-figure-10-emodb-loso10-v1.svg",
        "paper-fusion-convbert-figure-5.svg",
        "paper-fusion-convbert-figure-7.svg",
        "paper-fusion-convbert-figure-9-emodb-loso10-v1.svg",
    ]
    bars = (paper / "figures" / drawn[-1]).read_text(encoding="utf-8")
    for protocol in (LOSO, RANDOM):
        for row in (FUSION, "fusion_convbert-robustbert-b"):
            assert f">{100 * rows_of(paper, protocol)[row].score('ua'):.1f}<" in bars
    found = Page((paper / "report.html").read_text(encoding="utf-8"))
    assert not found.open and len(found.of("id")) == len(set(found.of("id")))


def test_recalls_stand_beside_the_words_on_a_confusion_matrix(paper: Path) -> None:
    rows = under(chapter_of(paper / "REPORT.md"), "Figure 5: ", "class")
    table = pd.read_csv(paper / LOSO / f"{FUSION}.csv")
    for label in LABELS:
        own = table[table["truth"] == label]
        expected = 100 * (own["truth"] == own["prediction"]).mean()
        assert labelled(rows, label)[1:] == ["above 90 %", f"{expected:.2f}"]
    assert labelled(rows, "boredom")[1:] == ["below 80 %, confused with neutral", "–"]


def test_iemocap_is_shown_as_not_run(paper: Path) -> None:
    text = chapter_of(paper / "REPORT.md")
    rows = under(text, "Table 5: ", "system")
    assert labelled(rows, "Fusion-ConvBERT")[1:4] == ["66.47", "67.12", "66"]
    missing = "not run: IEMOCAP is not freely available"
    assert [row[1:] for row in rows if row[0].startswith("`")] == [["–", "–", "–", missing]] * 4
    assert "cannot be read" in labelled(under(text, "Figure 9: IEMOCAP", "system"), "Fusion-B")
    assert {row[2] for row in under(text, "Figure 6: ", "class")} == {missing}


def test_rows_that_are_not_there_are_shown_as_not_run(tmp_path: Path) -> None:
    put_paper(tmp_path, LOSO, ["cnn", FUSION])
    report.write(tmp_path)
    text = chapter_of(tmp_path / "REPORT.md")
    assert "Of the 26 results that would stand beside the paper's, 2 are there" in text
    rows = under(text, "Table 4: ", "system")
    assert labelled(rows, "`transformer`")[1:] == ["–", "–", "–", "not run"]
    assert labelled(rows, "Transformer")[1:4] == ["80.25", "79.10", "78"]
    assert f"`{FUSION}` **beats** `cnn`" in text
    assert f"* `{FUSION}` against `transformer`: not known, as `transformer` was not run." in text
    everyone = "`cnn`, `transformer` and `speech_bert`"
    assert f"* `{FUSION}` against {everyone}: not known, as `{FUSION}` was not run." in text
    nine = under(text, "Figure 9: EMO-DB", "system")
    assert labelled(nine, f"`{FUSION}`")[3] == "speaker-dependent: not run"
    assert labelled(nine, "`fusion_convbert-robustbert-b`")[1:] == ["–", "–", "not run"]
    assert "where there is no bar, we have no result" in text
    drawn = tmp_path / "figures" / "paper-fusion-convbert-figure-9-emodb-loso10-v1.svg"
    assert "speaker-dependent: no result<" in drawn.read_text(encoding="utf-8")
    assert {row[2] for row in under(text, "Figure 7: ", "class")} == {"not run"}
    assert labelled(under(text, "Table 8: ", "system"), "Meng, H. et al. [38]")[1:] == [
        *("–", "84.99", "–", "90.37"),
        "no row of ours",
    ]


def test_the_paper_is_shown_without_any_result_of_its_protocols(tmp_path: Path) -> None:
    put(tmp_path, "toy-loso5-v1", "cnn", predictions(0.6, seeds=[0], folds=loso(), seed=1))
    report.write(tmp_path)
    text = chapter_of(tmp_path / "REPORT.md")
    assert "0 are there" in text and "ours − paper" not in text and "![" not in text
    for name in ("Table 4", "Table 9", "Figure 5", "Figure 10"):
        assert f"\n{name}: " in text


def test_simulated_rows_do_not_stand_beside_the_paper(tmp_path: Path) -> None:
    put_paper(tmp_path, LOSO, ["cnn"], simulated=True)
    report.write(tmp_path)
    assert labelled(under(chapter_of(tmp_path / "REPORT.md"), "Table 4: ", "system"), "`cnn`")[4] == "not run"


# The leakage bill


def test_what_experiments_ask_for_and_is_not_there_is_said(tmp_path: Path) -> None:
    results = tmp_path / "results"
    asked = {row.name: row for row in experiment.read("emodb_fusion_whisper")}
    table = predictions(0.9, seeds=[0], folds=loso(), seed=1)
    for row in ("whisper4", "late_fusion-whisper"):
        put(results, LOSO, row, table, config=asked[row].config, fingerprint=asked[row].fingerprint)
    row = "fusion_convbert-robustcnn-whisper3"
    put(results, LOSO, row, table, config=asked[row].config, fingerprint="other settings")
    found = {each.experiment: each for each in planned.missing(report.gather(results), evaluation.asked())}
    fusion = "fusion_convbert-robustbert-whisper3"
    others = [f"fusion_convbert-{other}-whisper3" for other in ("concatenation", "equation10")]
    others += ["whisper4-baseline", "late_fusion-whisper-speaker"]
    assert found["emodb_fusion_whisper"].rows == (fusion, row, f"{fusion}-speaker", *others)
    assert found["emodb_fusion_whisper"].fewer == {"whisper4": (1, 3), "late_fusion-whisper": (1, 3)}
    assert "cnn-swish" in found["emodb_variants"].rows
    assert "ravdess" not in found  # no recordings of it
    report.write(results, asked=evaluation.asked())
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    rows = markdown_rows(text[text.index("## What was not run") :], "experiment")
    assert labelled(rows, "`emodb_fusion_whisper`")[1:] == [
        "`emodb-loso10`",
        ", ".join(f"`{name}`" for name in (fusion, row, f"{fusion}-speaker", *others)),
        "`whisper4` 1 of 3, `late_fusion-whisper` 1 of 3",
    ]


def test_nothing_is_said_to_be_missing_where_all_is_there(_results: Path, written: Path) -> None:
    assert planned.chapter(report.gather(_results), evaluation.asked()) is None
    assert "What was not run" not in (written / "REPORT.md").read_text(encoding="utf-8")


def test_the_bill_is_the_difference_to_the_rule_that_shares_nothing(_results: Path, written: Path) -> None:
    found, faults = comparisons.settled(report.gather(_results).sections)
    assert not faults
    assert [(bill.corpus, bill.row, [leak.name for leak in bill.leaks]) for bill in found] == [
        ("toy", "cnn", ["none", "sentences", "speakers", "both"])
    ]
    strict, *leaks = found[0].leaks
    assert strict.worth is None
    for leak in leaks:
        assert leak.worth is not None
        own = rows_of(_results, f"toy-bill-{leak.name}-v1")["cnn"].by_speaker("ua")
        none = rows_of(_results, "toy-bill-none-v1")["cnn"].by_speaker("ua")
        assert leak.worth.difference == pytest.approx((own - none).mean())
        assert leak.worth.difference == pytest.approx(leak.by_speaker - strict.by_speaker)
    text = (written / "REPORT.md").read_text(encoding="utf-8")
    line = markdown_rows(text, "train shares with test")[-1]
    assert line[0] == "speakers and sentences"
    assert line[4] == f"**{100 * leaks[-1].worth.difference:+.2f}**"  # type: ignore[union-attr]
    assert "Having the test's sentences in training is worth " in text


def test_no_bill_without_all_four_rules(everything: Path) -> None:
    shutil.rmtree(everything / "toy-bill-both-v1")
    assert comparisons.bills(report.gather(everything).sections) == ()


def test_no_bill_from_different_test_clips(everything: Path) -> None:
    folder = everything / "toy-bill-both-v1"
    table = pd.read_csv(folder / "cnn.csv").assign(file=lambda table: "other/" + table["file"])
    table.to_csv(folder / "cnn.csv", index=False)
    found, faults = comparisons.settled(report.gather(everything).sections)
    assert not found
    assert len(faults) == 1 and "make no leakage bill, they differ in tested clips" in faults[0]
    for folder in everything.iterdir():
        if folder.is_dir() and "bill" not in folder.name:
            shutil.rmtree(folder)
    with pytest.raises(ConfigError, match="they differ in tested clips"):
        report.write(everything)


# The page


def test_the_page_is_well_formed_and_has_its_parts(page: Page) -> None:
    assert not page.open
    names = [tag for tag, _ in page.tags]
    for tag in ("main", "nav", "header", "footer", "caption", "figcaption", "details"):
        assert tag in names
    assert names.count("h1") == 1
    assert {"en"} == {attributes.get("lang") for tag, attributes in page.tags if tag == "html"}


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = page.of("id")
    assert len(ids) == len(set(ids))
    targets = [target.removeprefix("#") for target in page.of("href")]
    assert targets and set(targets) <= set(ids)
    used = re.findall(r"url\(#([\w.-]+)\)", " ".join([*page.of("clip-path"), *page.of("style")]))
    assert set(used) <= set(ids)
    assert set(page.of("aria-labelledby")) <= set(ids)


def test_the_page_loads_nothing(written: Path, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "image"} & {tag for tag, _ in page.tags}
    assert not page.of("src")
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "http" not in text and "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_every_figure_has_words_for_who_cannot_see_it(page: Page) -> None:
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert pictures
    assert all(attributes.get("role") == "img" and attributes.get("aria-labelledby") for attributes in pictures)


def test_colours_of_the_page_follow_the_reader(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}", drawn)) == set()
    assert set(re.findall(r"var\(--([\w-]+)\)", drawn)) <= set(figures.INKS.values())
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_hostile_names_are_words_and_nothing_else(results: Path) -> None:
    name = '<img src=x onerror=alert(1)>&"$x_1$`|[a](b)'
    table = predictions(0.7, seeds=[0], folds=loso(), seed=7)
    put(results, LOSO, name, table, tuned_on=["<b>"])
    report.write(results)
    found = Page((results / "report.html").read_text(encoding="utf-8"))
    assert not found.open
    assert "img" not in {tag for tag, _ in found.tags} and not found.of("onerror")
    assert name in "".join(found.words)
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert "<img" not in text and "<b>" not in text and "[a](b)" not in text
    for head in ("row", "first, second", "speaker"):
        assert len({len(cells) for cells in markdown_rows(text, head)}) == 1  # the name makes no cell of its own


def test_simulated_and_transductive_numbers_say_so(results: Path) -> None:
    table = predictions(0.8, seeds=[0], folds=loso(), seed=8)
    put(results, "toy-loso-transductive-v1", "known", table, transductive=True)
    put(results, "toy-guise-v1", "guise", table, simulated=True)
    report.write(results)
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    assert "> **Transductive:**" in text and "> **Simulated data:**" in text
    assert [section.protocol for section in report.gather(results).sections][-1] == "toy-guise-v1"


def test_the_same_results_give_the_same_bytes(_results: Path, written: Path, tmp_path: Path) -> None:
    again = {path.relative_to(tmp_path): path.read_bytes() for path in report.write(_results, tmp_path)}
    assert set(map(str, again)) >= {
        "REPORT.md",
        "report.html",
        f"figures/{LOSO}-scores.svg",
        "figures/toy-bill-cnn.svg",
    }
    assert again == {path: (written / path).read_bytes() for path in again}


def test_nothing_of_the_machine_is_in_the_report(written: Path, _results: Path) -> None:
    for path in written.rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert str(Path.home()) not in text and "Matplotlib" not in text


def test_pictures_that_markdown_shows_are_there(written: Path) -> None:
    text = (written / "REPORT.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert linked and all((written / link).is_file() for link in linked)
    for link in linked:
        drawn = (written / link).read_text(encoding="utf-8")
        assert 'fill="#ffffff"' in drawn and "var(" not in drawn


# Pictures


def test_a_confusion_figure_is_a_png(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    report.confusion_figure(np.array([[8, 2], [0, 0]]), ["anger", "fear"], title="cnn", path=path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_residuals_of_dimensions_show_the_regression_line(tmp_path: Path, written: Path) -> None:
    truth = np.linspace(1, 7, 50)[:, None]
    path = tmp_path / "residuals.svg"
    report.residual_figure(truth, 4 + 0.5 * (truth - 4), ["arousal"], title="rater", path=path)
    drawn = path.read_text(encoding="utf-8")
    assert "arousal, slope −0.50" in drawn
    text = (written / "REPORT.md").read_text(encoding="utf-8")
    assert "CCC valence" in text and "What is missed" in text


def test_residuals_of_a_constant_truth_have_no_line() -> None:
    figure = figures.residuals(np.ones((5, 1)), np.arange(5.0)[:, None], ["valence"])
    assert [axes.get_title() for axes in figure.axes] == ["valence"]


def test_numbers_in_pictures_keep_their_digits() -> None:
    bar = figures.Bar("cnn", 0.5, (0.4, 0.6), 0.55)
    drawn = figures.svg(
        figures.draw(figures.bars({"UA": [bar]}, factor=1, chance=None, label="")), themed=True, name="a"
    )
    assert ">0.50<" in drawn


# Tables in other files


def test_markers_are_filled_and_filling_again_changes_nothing(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"Before\n\n<!-- results: {LOSO} -->\nold\n<!-- /results -->\n\nAfter\n", encoding="utf-8")
    assert report.fill(path, results)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("Before\n") and text.endswith("After\n") and "old" not in text
    lines = {line[0]: line for line in markdown_rows(text, "row")}
    row = rows_of(results, LOSO)["probe"]
    assert lines["`probe` (ships)"][2].startswith(f"{100 * row.score('ua'):.2f} [")
    assert lines["CNNs (Lee et al., 2020)"][1:4] == ["79.42", "78.12", "8 speakers"]
    assert not report.fill(path, results)
    assert path.read_text(encoding="utf-8") == text


def test_a_table_that_was_changed_by_hand_is_put_right(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"<!-- results: {LOSO} full -->\n<!-- /results -->\n", encoding="utf-8")
    assert report.fill(path, results)
    right = path.read_text(encoding="utf-8")
    path.write_text(right.replace("speakers", "voices"), encoding="utf-8")
    assert report.fill(path, results)
    assert path.read_text(encoding="utf-8") == right


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing here", "has no marker; expected e.g. <!-- results: "),
        ("<!-- results: nowhere-v1 -->\n<!-- /results -->", "no table is called 'nowhere-v1'; the tables are "),
        (f"<!-- results: {LOSO} -->\ntext", "is not closed; expected <!-- /results -->"),
    ],
)
def test_markers_that_cannot_be_filled_are_refused(results: Path, tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(reason)):
        report.fill(path, results)
    assert path.read_text(encoding="utf-8") == text


def test_nothing_is_filled_from_damaged_results(results: Path, tmp_path: Path) -> None:
    (results / LOSO / "cnn.json").write_text("[]")
    path = tmp_path / "README.md"
    path.write_text(f"<!-- results: {LOSO} -->\n<!-- /results -->\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"was not filled in, as files are damaged: .*cnn\.json: holds no object"):
        report.fill(path, results)


def test_differences_carry_their_sign_and_no_more() -> None:
    assert tables.PER_CENT.difference(0.00001) == "0.00"
    assert tables.PER_CENT.difference(-0.1) == "−10.00"


# The second paper


def test_boards_are_the_tables_of_the_text_of_the_paper() -> None:
    path = Path(__file__).parents[2] / "shared" / "papers" / "multistage-conditioning.txt"
    if not path.is_file():
        pytest.skip(f"the paper is not at {path}")
    lines = [[cell.strip() for cell in line.split("|")] for line in path.read_text(encoding="utf-8").splitlines()]
    theirs = [(cells[0], tuple(filter(None, cells[1:]))) for cells in lines if len(cells) > 3 and "." in cells[1]]
    boards = literature.studies()[1].boards
    ours = [(line.model, line.printed) for board in boards for line in board.lines]
    assert len(theirs) == 4 + 3 + 3 + 4 + 5
    assert ours == theirs


SEEDED = {"bert": 0.2, "cnn14": 0.5, "sfcnn14": 0.52, "mfcnn14": 0.9}
"""Share of the truth in the answers of rows on three seeds."""


def seeded(share: float, seeds: Sequence[int], *, offset: int) -> pd.DataFrame:
    """Ratings whose answers hold a share of the truth, drawn anew for each seed."""
    frames = []
    for seed in seeds:
        table, random = dimensions(11), np.random.default_rng(100 * offset + seed)
        for name in ("valence", "arousal"):
            truth = table[f"{name}_truth"]
            table[name] = 4 + share * (truth - 4) + (1 - share) * random.normal(0, 1.5, len(table))
        frames.append(table.assign(seed=seed, fold="test", dominance_truth=table["valence_truth"]))
    return pd.concat(frames).assign(dominance=lambda table: table["valence"])[
        [
            *scores.INDEX,
            *(f"{n}{end}" for n in ("valence", "arousal", "dominance") for end in ("_truth", "")),
            "speaker",
        ]
    ]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The multi-task rows of the second paper on the corpus that stands in for MSP-Podcast, and the report."""
    results = tmp_path_factory.mktemp("second") / "results"
    for offset, (row, share) in enumerate(SEEDED.items()):
        table, labels = seeded(share, [0, 1, 2], offset=offset), ["valence", "arousal", "dominance"]
        summary = scores.summarise(table, "dimensions", labels)
        for place, fold in enumerate(summary["folds"]):
            fold["dev"] = {"ccc": [0.1, 0.3, 0.2][place]}
        put(results, "simulated_a-official-v1", f"{row}-vad", table, simulated=True, **{"labels": labels, **summary})
    put(results, "simulated_a-official-v1", "cnn14", predictions(0.7, seeds=[0], folds=loso(), seed=1), simulated=True)
    path = results / "simulated_a-official-v1" / "protocol.json"
    definition = json.loads(path.read_text(encoding="utf-8"))
    ceilings = {"voice": {"valence": 0.61, "arousal": 0.87, "dominance": 0.75, "ua": 0.65}}
    path.write_bytes(json_bytes({**definition, "ceilings": ceilings}))
    report.write(results)
    return results


def board_of(results: Path, caption: str) -> list[list[str]]:
    text = (results / "REPORT.md").read_text(encoding="utf-8")
    chapter = text[text.index('<a id="paper-multistage-conditioning"></a>') : text.index('<a id="meaning"></a>')]
    return markdown_rows(chapter[chapter.index(f"\n{caption}") :], "system")


def test_rows_of_the_second_paper_that_were_not_run_are_shown_as_such(second: Path) -> None:
    rows = board_of(second, "Table 3: three dimensions a model")
    assert rows[0][:4] == ["BERT", ".232 (.006)", ".503 (.003)", ".214 (.008)"]
    assert rows[1][0] == "`bert`"
    assert set(rows[1][1:4]) == {"\N{EN DASH}"}
    assert rows[1][4] == "not run: MSP-Podcast and IEMOCAP are not freely available"
    text = (second / "REPORT.md").read_text(encoding="utf-8")
    assert "Table 2, trained on MSP-Podcast on the corpora that stand in: not run." in text


def test_categories_of_the_second_paper_stand_with_their_confusions(second: Path) -> None:
    (line,) = (line for line in board_of(second, "Table 1, ours alone, on simulated_a") if line[0] == "`cnn14`")
    (row,) = (row for section in report.gather(second).sections for row in section.rows if row.name == "cnn14")
    assert line[1] == f"{100 * row.score('ua'):.2f}"
    assert set(line[2:]) == {"\N{EN DASH}"}
    name = "paper-multistage-conditioning-figure-2-simulated_a-official-v1-cnn14.svg"
    assert "anger" in (second / "figures" / name).read_text(encoding="utf-8")


def test_means_over_seeds_stand_with_marks_of_scipys_t_test(second: Path) -> None:
    rows = board_of(second, "Table 3, ours alone, on simulated_a-official-v1")
    found = {row.name: row for section in report.gather(second).sections for row in section.rows}
    marked = set()
    for line in (own for own in rows if not own[0].startswith("ceiling")):
        row = found[f"{line[0].strip('`')}-vad"]
        for cell, name in zip(line[1:], ("arousal", "valence", "dominance"), strict=True):
            own = list(row.by_seed(f"ccc_{name}").values())
            expected = f"{np.mean(own):.3f} ({np.std(own, ddof=1):.3f})"
            for mark, rival in (("\N{ASTERISK OPERATOR}", "cnn14"), ("\N{DAGGER}", "bert")):
                others = list(found[f"{rival}-vad"].by_seed(f"ccc_{name}").values())
                if line[0] not in ("`cnn14`", "`bert`") and scipy.stats.ttest_ind(own, others).pvalue <= 0.05:
                    expected += mark
                    marked.add((line[0], mark))
            assert cell == expected
    assert ("`mfcnn14`", "\N{ASTERISK OPERATOR}") in marked
    assert "**Simulated data:**" in (second / "REPORT.md").read_text(encoding="utf-8")


def test_ceilings_stand_beside_every_table_of_their_protocol(second: Path) -> None:
    assert board_of(second, "Table 3, ours alone")[-1][:4] == ["ceiling, voice", "0.870", "0.610", "0.750"]
    assert board_of(second, "Table 1, ours alone")[-1][1] == "65.00"
    text = (second / "REPORT.md").read_text(encoding="utf-8")
    assert "CCC valence 0.610, CCC arousal 0.870, CCC dominance 0.750, for who knew all of it" in text
    assert "UA 65.00, for who knew all of it" in text


def test_the_best_seed_is_that_of_dev(second: Path) -> None:
    (line,) = (
        line for line in board_of(second, "Table 4, ours alone, on simulated_a-official-v1") if line[0] == "`mfcnn14`"
    )
    table = scores.read(second / "simulated_a-official-v1" / "mfcnn14-vad.csv")
    part = table[table["seed"] == 1]
    ccc = audmetric.concordance_cc(part["arousal_truth"], part["arousal"])
    mse = sklearn.metrics.mean_squared_error(part["arousal_truth"], part["arousal"])
    assert line[1:3] == [f"{ccc:.3f} (seed 1)", f"{mse:.3f} (seed 1)"]


def test_residual_lines_have_slopes_and_intervals_over_speakers(second: Path) -> None:
    rows = board_of(second, "Figure 3 on simulated_a-official-v1")
    (line,) = (line for line in rows if line[0] == "`bert`")
    table = scores.read(second / "simulated_a-official-v1" / "bert-vad.csv")
    part = table[table["seed"] == 1]
    for cell, name in zip(line[1:], ("arousal", "valence", "dominance"), strict=True):
        error = part[name] - part[f"{name}_truth"]
        slope = scipy.stats.linregress(part[f"{name}_truth"], error).slope
        low, high = map(float, re.findall(r"[\d.]+", cell.replace("\N{MINUS SIGN}", ""))[1:])
        assert cell.startswith(f"\N{MINUS SIGN}{abs(slope):.2f} [")
        assert min(low, high) <= abs(slope) <= max(low, high)
    picture = second / "figures" / "paper-multistage-conditioning-figure-3-simulated_a-official-v1.svg"
    assert all(f">{row}<" in picture.read_text(encoding="utf-8") for row in (*SEEDED, "late_fusion"))


def test_late_fusion_is_the_mean_of_the_best_seeds(second: Path) -> None:
    (line,) = (own for own in board_of(second, "Table 4, ours alone") if own[0] == "`late_fusion`")
    parts = []
    for row in ("cnn14", "bert"):
        table = scores.read(second / "simulated_a-official-v1" / f"{row}-vad.csv")
        parts.append(table[table["seed"] == 1].sort_values("file").reset_index(drop=True))
    mean = (parts[0]["arousal"] + parts[1]["arousal"]) / 2
    assert line[1].startswith(f"{audmetric.concordance_cc(parts[0]['arousal_truth'], mean):.3f} ")


def test_the_mean_of_classes_answers_with_the_likeliest() -> None:
    table = predictions(1.0, seeds=[0], folds={"1": ("s1-a", "s2-b")}, seed=0)
    sure = table.assign(prediction="sadness", anger=0.0, neutral=0.1, sadness=0.9)
    parts = [
        comparisons.Best(name, "seed 0", scores.CategoryScores(LABELS), own)
        for name, own in zip("ab", (table, sure), strict=True)
    ]
    mean = comparisons.averaged("both", parts).table
    assert (mean["prediction"] == mean[list(LABELS)].idxmax(axis=1)).all()
    assert set(mean["prediction"]) == {"sadness"}
