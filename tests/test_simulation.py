import dataclasses
import hashlib
import json
import math
from pathlib import Path

import audformat
import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score

from affetto import cli, corpora, protocol, simulation
from affetto.corpora import simulated
from affetto.errors import ConfigError, CorpusError
from affetto.labels import DIMENSIONS

# What was read


@pytest.mark.parametrize("name", ["simulated_a", "simulated_b"])
def test_a_simulated_corpus_says_that_it_is_one(name, toy_tree):
    corpus = corpora.read(name, toy_tree(name))
    assert corpus.info.simulated
    assert "imulated" in corpus.info.title
    assert "imulated" in corpus.info.caveat
    assert corpus.dimensions["valence"] == {"simulated_a": (1, 7), "simulated_b": (1, 5)}[name]
    row = corpus.table.iloc[0]
    assert (row["transcript"], row["rate"], row["arousal"]) == ("No, no, I said.", 190, 1.1)
    assert corpus.table["split"].isna().all() == (name == "simulated_b")


def test_simulated_protocols_say_the_corpuss_version(toy_tree):
    corpus = corpora.read("simulated_a", toy_tree("simulated_a"))
    dealt = protocol.create("simulated_a-official", corpus).checked()
    assert (dealt.id, [fold.name for fold in dealt.folds]) == ("simulated_a-official-v1", ["test"])
    assert protocol.create("official", corpus).definition == dealt.definition  # one id, one definition
    corpus = corpora.read("simulated_b", toy_tree("simulated_b"))
    dealt = protocol.create("simulated_b-loso10", corpus).checked()
    assert (dealt.id, dealt.shares) == ("simulated_b-loso10-v1", ())
    first = dealt.folds[0]
    speakers = [set(corpus.table["speaker"].iloc[list(rows)]) for rows in (first.test, first.dev, first.train)]
    assert speakers == [{"b01"}, {"b02"}, {f"b{number:02d}" for number in range(3, 11)}]
    assert [fold.name for fold in dealt.folds] == list(corpus.speakers)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 0}, "simulated_a: .* holds version 0 of simulated_a; expected version 1 of simulated_a"),
        ({"corpus": "simulated_b"}, "holds version 1 of simulated_b; expected version 1 of simulated_a"),
    ],
)
def test_another_version_is_refused(change, words, toy_tree):
    root = toy_tree("simulated_a")
    card = root / "simulated.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **change}))
    with pytest.raises(CorpusError, match=words):
        corpora.read("simulated_a", root)


def test_a_corpus_that_is_not_finished_is_refused(toy_tree):
    root = toy_tree("simulated_a")
    (root / "labels.csv").unlink()
    with pytest.raises(CorpusError, match="is not finished; `affetto corpora make` goes on where it stopped"):
        corpora.read("simulated_a", root)


# What is planned


@pytest.fixture(scope="module")
def planned(emobank_root: Path) -> dict[str, pd.DataFrame]:
    emobank = corpora.read("emobank", emobank_root)
    return {name: simulation.plan(name, emobank) for name in simulation.GROUPS}


def of_plan(name: str, table: pd.DataFrame) -> corpora.Corpus:
    """The corpus that a plan is of, without its sound."""
    index = audformat.segmented_index(table["file"].tolist())
    return corpora.Corpus(corpora.get(name).info, Path(), table.drop(columns="file").set_index(index))


def folds_of(corpus: corpora.Corpus) -> list[list[int]]:
    """The test rows of each fold: A's test split, each of B's speakers."""
    column = "split" if corpus.name == "simulated_a" else "speaker"
    rows = corpus.table.reset_index().groupby(column).indices
    return [list(rows["test"])] if corpus.name == "simulated_a" else [list(each) for each in rows.values()]


def test_the_corpora_are_frozen(planned):
    """Hashes of every number and id, in the only version that results may name; the sentences are EmoBank's."""
    for name, expected in {
        "simulated_a": "49b64650833ab11feb80341f0f2d5724355b07cf0785e6292c0306a0e5a29dae",
        "simulated_b": "c57af1a636c4a360ae3274bbadcab8f4dbffd92b6b0e3f67d053a9cd0d55eff8",
    }.items():
        content = planned[name].drop(columns="transcript").to_csv(index=False).encode()
        assert hashlib.sha256(content).hexdigest() == expected, name
        assert planned[name]["emotion"].value_counts().to_dict() == corpora.get(name).info.categories
        assert len(planned[name]) <= 2_500


def test_no_sentence_is_spoken_twice_and_every_split_is_emobanks_own(planned, emobank_root):
    whole = pd.concat(planned.values())
    assert whole["sentence"].is_unique
    assert whole["transcript"].str.lower().is_unique
    theirs = pd.read_csv(emobank_root / "emobank.csv", index_col="id", keep_default_na=False)
    a, b = planned.values()
    assert theirs["split"].loc[a["sentence"]].tolist() == a["split"].tolist()
    assert set(theirs["split"].loc[b["sentence"]]) == {"train"}
    said = theirs["text"].loc[whole["sentence"]].str.replace('"', "").str.split().str.join(" ")
    assert said.tolist() == whole["transcript"].tolist()
    for name, letter in {"valence": "V", "arousal": "A", "dominance": "D"}.items():
        centre, spread = simulation.WORDS[name]
        stretched = ((theirs[letter].loc[whole["sentence"]] - centre) / spread).clip(-2.5, 2.5)
        np.testing.assert_allclose(whole[f"words_{name}"], stretched, atol=6e-5)


def test_each_speaker_has_a_voice_of_their_own_and_a_split(planned):
    whole = pd.concat(planned.values())
    voices = whole.groupby("speaker")["voice"].unique().map(list)
    assert (voices.map(len) == 1).all()
    assert len({voice for (voice,) in voices}) == whole["speaker"].nunique() == 56
    assert (planned["simulated_a"].groupby("speaker")["split"].nunique() == 1).all()
    assert planned["simulated_b"]["speaker"].value_counts().to_dict() == {f"b{n:02d}": 80 for n in range(1, 11)}


def test_ratings_are_made_of_words_and_voice_in_the_stated_shares(planned):
    """Of each dimension's variance the raters' errors take .098 parts, words and voice share 1 part."""
    for name, table in planned.items():
        (low, high), unit = corpora.get(name).info.dimensions["valence"], simulation.UNITS[name]
        for dimension in DIMENSIONS:
            share, latents = simulation.SHARES[dimension], table[[f"words_{dimension}", f"voice_{dimension}"]]
            assert latents.mean().abs().max() < 0.08
            assert latents.std().to_numpy() == pytest.approx([1, 1], abs=0.05)
            assert abs(np.corrcoef(latents.T)[0, 1]) < 0.08
            assert table[dimension].between(low, high).all()
            assert table[dimension].isin([low, high]).mean() < 0.02
            fitted = LinearRegression().fit(latents, table[dimension])
            assert fitted.coef_ / unit == pytest.approx([math.sqrt(share), math.sqrt(1 - share)], abs=0.03)
            error = np.std(table[dimension] - fitted.predict(latents)) / unit
            assert error == pytest.approx(0.7 / math.sqrt(5), abs=0.02)


def test_categories_are_quadrants_with_a_neutral_middle():
    points = {  # of valence and arousal, in points of the scale of seven from its middle; .66 is the edge
        (2, 2): "happiness",
        (0.1, 0.7): "happiness",
        (-2, 2): "anger",
        (-0.7, 0.1): "anger",
        (-2, -2): "sadness",
        (-0.1, -0.7): "sadness",
        (2, -2): "neutral",
        (0.6, 0.6): "neutral",
        (-0.6, 0.6): "neutral",
        (-0.6, -0.6): "neutral",
    }
    for (valence, arousal), expected in points.items():
        assert simulation.category("simulated_a", 4 + valence, 4 + arousal) == expected
        scale = simulation.UNITS["simulated_b"] / simulation.UNITS["simulated_a"]
        assert simulation.category("simulated_b", 3 + scale * valence, 3 + scale * arousal) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Too short.",
        "Three words altogetherbutlongenough here",
        "A sentence that goes on, and goes on, and on, until nobody can say it in time, not even so.",
        "There are 7 of them here, you see.",
        "They live in the USA and like it.",
        "It costs much more than $ or so.",
        "",
    ],
)
def test_what_is_not_made_of_a_few_plain_words_is_not_spoken(text):
    fits = simulation.spoken(text) is not None
    assert fits == (text.startswith("Three words") and len(text.split()) >= 4)


# What could be known


def test_ceilings_of_ratings_are_the_correlations_that_scikit_learn_finds(planned):
    for name, table in planned.items():
        corpus = of_plan(name, table)
        (everything,) = [range(len(table))]
        found = simulation.ceilings(corpus, [everything])
        for reader, parts in {"voice": ["voice"], "words": ["words"], "joint": ["voice", "words"]}.items():
            for dimension in DIMENSIONS:
                known = table[[f"{part}_{dimension}" for part in parts]]
                r = math.sqrt(LinearRegression().fit(known, table[dimension]).score(known, table[dimension]))
                assert found[reader][dimension] == pytest.approx(r, abs=0.005)


def test_no_other_stretch_gives_a_higher_ceiling(planned):
    table = planned["simulated_a"]
    ceiling = simulation.ceilings(of_plan("simulated_a", table), [range(len(table))])["words"]["valence"]
    words = table["words_valence"]
    for slope in np.linspace(0.2, 2, 19):
        answer = table["valence"].mean() + slope * words
        ours = 2 * np.cov(answer, table["valence"], bias=True)[0, 1]
        ours /= answer.var(ddof=0) + table["valence"].var(ddof=0) + (answer.mean() - table["valence"].mean()) ** 2
        assert ours <= ceiling + 1e-4  # which is rounded


def test_ceilings_of_categories_are_those_of_drawing_clips_anew(planned):
    """A perfect reader's chances by brute force: what it does not know is drawn 400 times from numpy's generator."""
    rng = np.random.default_rng(0)
    table = planned["simulated_b"]
    found = simulation.ceilings(of_plan("simulated_b", table), [range(len(table))])
    parts = {part: table[[f"{part}_valence", f"{part}_arousal"]].to_numpy() for part in ("words", "voice")}
    weights = {"words": np.sqrt([0.6, 0.2]), "voice": np.sqrt([0.4, 0.8])}
    size = (400, *parts["words"].shape)
    unknown = {"words": parts["words"][rng.integers(len(table), size=400)][:, None], "voice": rng.standard_normal(size)}
    names = np.array(["anger", "happiness", "neutral", "sadness"])
    frequency = table["emotion"].value_counts(normalize=True)[names].to_numpy()
    for reader, known in {"voice": ["voice"], "words": ["words"], "joint": ["voice", "words"]}.items():
        truth = sum(weights[part] * (parts[part][None] if part in known else unknown[part]) for part in parts)
        v, a = np.moveaxis(truth + 0.7 / math.sqrt(5) * rng.standard_normal(size), -1, 0)
        neutral = (np.maximum(abs(v), abs(a)) < 0.6) | ((v > 0) & (a < 0))
        drawn = np.where(neutral, 2, np.where(v > 0, 1, np.where(a > 0, 0, 3)))
        chances = np.stack([(drawn == k).mean(0) for k in range(4)], axis=1)
        answers = names[(chances / frequency).argmax(axis=1)]
        assert found[reader]["ua"] == pytest.approx(balanced_accuracy_score(table["emotion"], answers), abs=0.02)


def test_ceilings_under_the_protocols_leave_room_and_are_not_trivial(planned):
    """The numbers of docs/simulated.md."""
    page = Path(__file__).parents[1].joinpath("docs", "simulated.md").read_text(encoding="utf-8")
    for name, table in planned.items():
        corpus = of_plan(name, table)
        for reader, scores in simulation.ceilings(corpus, folds_of(corpus)).items():
            cells = [f"{scores[dimension]:.3f}" for dimension in DIMENSIONS] + [f"{100 * scores['ua']:.1f}"]
            assert f"| `{name}` | {reader} | {' | '.join(cells)} |" in page
            assert 0.25 < min(scores.values()) < max(scores.values()) < 0.97


# What is spoken


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("espeak")
def test_a_corpus_is_made_the_same_at_once_and_after_a_break(small_emobank, tmp_path):
    told: list[tuple[str, int, int]] = []
    corpus, ceilings = simulation.make(
        "simulated_a", small_emobank, tmp_path / "a", jobs=2, progress=lambda *done: told.append(done)
    )
    assert told == [("clips", done, 18) for done in range(1, 19)]
    assert len(corpus) == 18
    assert {finding.problem for finding in corpora.check(corpus)} <= {"count"}
    assert simulated.ceilings(corpus) == ceilings
    dealt = protocol.create("simulated_a-official", corpus)
    assert dealt.definition["ceilings"] == ceilings
    assert simulation.ceilings(corpus, [fold.test for fold in dealt.folds]) == ceilings
    whole = contents(tmp_path / "a")
    assert len(whole) == 20
    again = tmp_path / "again"
    simulation.make("simulated_a", small_emobank, again, jobs=1)
    assert contents(again) == whole
    lost, kept, *_ = sorted(path for path in again.rglob("*.wav"))
    (again / "labels.csv").unlink()
    lost.unlink()
    kept.write_bytes(b"kept")
    simulation.make("simulated_a", small_emobank, again, jobs=2)
    assert contents(again) == {**whole, kept.relative_to(again).as_posix(): b"kept"}


@pytest.mark.usefixtures("espeak")
def test_what_is_not_spoken_is_told_by_its_text(small_emobank, tmp_path, monkeypatch, capsys):
    corpus, _ = simulation.make("simulated_b", small_emobank, tmp_path / "b")
    file = tmp_path / "more.csv"
    table = pd.read_csv(small_emobank, dtype=str)
    said = table[table.id == corpus.table.sentence.iloc[0]].assign(id="copied")
    said.text = ' "' + said.text.str.upper().str.capitalize() + ' "'
    pd.concat([table, said, said.assign(id="longer", text=said.text + " And more.")]).to_csv(file, index=False)
    left = tmp_path / "left.csv"
    command = ["affetto", "corpora", "unspoken", str(file), str(tmp_path / "b"), "--to", str(left)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="^0$"):
        cli.main()
    found = pd.read_csv(left, dtype=str)
    assert list(found.columns) == list(table.columns)
    assert set(found.id) == {*table.id, "longer"} - set(corpus.table.sentence)
    assert f"{len(found)} sentences" in capsys.readouterr().out
    assert len(corpora.read("emobank", left)) == len(found)
    with pytest.raises(SystemExit, match="^1$"):
        cli.main()
    assert "is there already" in capsys.readouterr().err
    other = dataclasses.replace(corpus, info=dataclasses.replace(corpus.info, name="table", simulated=False))
    with pytest.raises(CorpusError, match="table is no simulated corpus; expected what"):
        simulation.unspoken(file, [other])


@pytest.mark.usefixtures("espeak")
def test_a_folder_that_was_begun_with_another_program_is_refused(small_emobank, tmp_path, monkeypatch):
    simulation.make("simulated_b", small_emobank, tmp_path / "b")
    monkeypatch.setattr(simulation, "espeak_version", lambda: "0.1")
    with pytest.raises(
        CorpusError, match=r"b was begun with espeak_ng \d.*; this is espeak_ng 0.1; take another folder"
    ):
        simulation.make("simulated_b", small_emobank, tmp_path / "b")


@pytest.mark.usefixtures("espeak")
def test_a_folder_that_holds_something_else_is_left_alone(small_emobank, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.wav").touch()
    with pytest.raises(CorpusError, match="mine: holds something else; give a new or an empty folder"):
        simulation.make("simulated_b", small_emobank, folder)
    assert [path.name for path in folder.iterdir()] == ["mine.wav"]


@pytest.mark.usefixtures("espeak")
def test_the_voice_is_as_it_was_told_to_be(small_emobank, tmp_path):
    """Loudness by root mean square, speed by length, pitch by autocorrelation: none of them is espeak-ng's own word."""
    base = {"speaker": "x", "transcript": "The letter that she wrote was never sent to anybody.", "voice": "en-gb+m3"}
    middle = {"rate": 190, "pitch": 50, "range": 100, "amplitude": 36}
    heard = {}
    for control, value in [("pitch", 50), ("rate", 134), ("rate", 269), ("pitch", 10), ("pitch", 90)] + [
        ("range", 10),
        ("range", 190),
        ("amplitude", 14),
        ("amplitude", 90),
    ]:
        row = {**base, **middle, control: value, "file": f"x/{control}{value}.wav"}
        simulation.speak(row, tmp_path)
        samples, rate = soundfile.read(tmp_path / row["file"])
        heard[control, value] = measured(samples, rate)
    seconds, decibels, octaves, spread = (
        dict(zip(heard, each, strict=True)) for each in zip(*heard.values(), strict=True)
    )
    assert seconds["rate", 134] / seconds["rate", 269] == pytest.approx(269 / 134, rel=0.1)
    assert decibels["amplitude", 90] - decibels["amplitude", 14] == pytest.approx(20 * math.log10(90 / 14), abs=2)
    assert octaves["pitch", 10] < octaves["pitch", 50] - 0.3 < octaves["pitch", 90] - 0.8
    assert spread["range", 10] < 0.3 * spread["pitch", 50]
    assert octaves["range", 10] < octaves["pitch", 50] < octaves["range", 190]  # it opens upwards
    for other in (("pitch", 10), ("pitch", 90), ("range", 10), ("range", 190)):
        assert seconds[other] == pytest.approx(seconds["pitch", 50], rel=0.05)
        assert decibels[other] == pytest.approx(decibels["pitch", 50], abs=2.5)


def measured(samples: np.ndarray, rate: int) -> tuple[float, float, float, float]:
    """Seconds, decibels, median of the pitch in octaves, and how far its tenth and ninetieth percentiles lie apart."""
    size, low, high = rate // 20, rate // 300, rate // 50
    decibels = 10 * math.log10(np.mean(samples**2))
    samples = scipy.signal.sosfiltfilt(scipy.signal.butter(4, 400, fs=rate, output="sos"), samples)
    pitches = []
    for start in range(0, len(samples) - size - high, rate // 100):
        frame, later = samples[start : start + size], samples[start : start + size + high]
        energies = np.array([later[lag : lag + size] @ later[lag : lag + size] for lag in range(low, high)])
        match = np.correlate(later, frame)[low:high] / np.sqrt(energies * (frame @ frame) + 1e-9)
        if match.max() > 0.9 and frame @ frame > 0.1 * size * np.mean(samples**2):
            first = int(np.flatnonzero(match > 0.97 * match.max())[0])  # not a multiple of the period
            while first + 1 < len(match) and match[first + 1] > match[first]:
                first += 1
            pitches.append(math.log2(rate / (low + first)))
    tenth, median, ninetieth = np.percentile(pitches, [10, 50, 90])
    return len(samples) / rate, decibels, float(median), float(ninetieth - tenth)


def test_what_is_missing_is_named(small_emobank, tmp_path, monkeypatch):
    with pytest.raises(
        ConfigError, match="no simulated corpus is called 'emodb'; the simulated corpora are simulated_a, simulated_b"
    ):
        simulation.make("emodb", small_emobank, tmp_path / "a")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="espeak-ng is not installed; e.g. `apt-get install espeak-ng`"):
        simulation.make("simulated_a", small_emobank, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_emobank_with_too_few_sentences_is_refused(toy_tree):
    emobank = corpora.read("emobank", toy_tree("emobank"))
    with pytest.raises(CorpusError, match="emobank: 0 sentences of train can be spoken; expected 2200 or more"):
        simulation.plan("simulated_a", emobank)


def test_the_version_is_the_one_that_is_documented():
    assert simulated.VERSION == 1
