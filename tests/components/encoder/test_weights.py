"""Encoders on disk: what transformers reads, and what damage says."""

import json

import numpy as np
import pytest
import torch

from components.encoder.batching import pack
from components.encoder.errors import EncoderError
from components.encoder.heads import MaskedLanguageModel
from components.encoder.weights import load_encoder
from components.text.vocabulary import Vocabulary
from tests.components.encoder.conftest import TINY


def test_what_is_saved_is_read_back(save_random):
    first, second = load_encoder(save_random(seed=1)), load_encoder(save_random(seed=2))
    again = load_encoder(save_random(seed=1))
    assert first.bert.config == TINY
    assert first.version == again.version != second.version
    for name, tensor in first.bert.state_dict().items():
        assert torch.equal(tensor, again.bert.state_dict()[name]), name
    assert set(first.heads) >= {"cls.predictions.bias", "cls.predictions.transform.dense.weight"}


def test_the_pooling_of_fine_tuning_is_kept(save_random):
    assert load_encoder(save_random(pooling="cls")).pooling == "cls"
    assert load_encoder(save_random()).pooling is None


@pytest.mark.parametrize("name", ["BertModel", "AutoModel"])
def test_transformers_finds_every_encoder_weight(save_random, name):
    import transformers

    loader = getattr(transformers, name)
    _, report = loader.from_pretrained(save_random(next_sentence=True), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]


def test_masked_word_scores_equal_those_of_transformers(save_random, documents):
    from transformers import BertForMaskedLM

    directory = save_random()
    reference = BertForMaskedLM.from_pretrained(directory).eval()
    stored = load_encoder(directory)
    model = MaskedLanguageModel(stored.bert)
    model.load_state_dict(
        {**stored.heads, **{f"bert.{k}": v for k, v in stored.bert.state_dict().items()}}
    )
    packed = pack(documents[-1:], stored.vocabulary.cls)
    words = torch.randint(600, packed.ids.shape) % stored.vocabulary.size
    with torch.no_grad():
        expected = reference(packed.ids[None], labels=words[None]).loss
        (hidden,) = stored.bert(packed)
        found = model.masked_loss(hidden, torch.arange(len(words)), words)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["AutoTokenizer", "PreTrainedTokenizerFast"])
def test_transformers_reads_the_tokenizer(save_random, corpus, name):
    import transformers

    tokenizer = getattr(transformers, name).from_pretrained(save_random())
    text = "JOB_SEARCH senior 看護師 night"
    (expected,) = Vocabulary.load(corpus.vocabulary).encode_batch([text])
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected.tolist()
    assert (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.mask_token_id) == (0, 2, 4)


def test_a_truncated_weight_file_is_named(save_random):
    directory = save_random()
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EncoderError, match=r"model\.safetensors: missing or damaged"):
        load_encoder(directory)


def test_missing_weights_are_named(save_random):
    directory = save_random()
    (directory / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"model\.safetensors: missing or damaged"):
        load_encoder(directory)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"num_hidden_layers": "many"}'], ids=repr
)
def test_an_unreadable_configuration_is_named(save_random, content):
    directory = save_random()
    (directory / "config.json").write_text(content)
    with pytest.raises(EncoderError, match=r"config\.json: unreadable"):
        load_encoder(directory)


def test_weights_of_other_sizes_are_refused(save_random):
    directory = save_random()
    config = directory / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_hidden_layers": 3}))
    with pytest.raises(EncoderError, match=r"model\.safetensors: does not fit config\.json"):
        load_encoder(directory)


def test_a_saved_encoder_embeds_alike_after_loading(save_random, documents):
    directory = save_random()
    with torch.no_grad():
        first, second = (
            load_encoder(directory).bert.pooled(pack(documents, 2), "mean").numpy()
            for _ in range(2)
        )
    np.testing.assert_array_equal(first, second)
