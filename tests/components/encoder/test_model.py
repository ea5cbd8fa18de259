"""The model: BERT as transformers computes it, over documents without padding."""

import numpy as np
import pytest
import torch

from components.encoder import model as model_module
from components.encoder.batching import pack
from components.encoder.config import EncoderConfig
from components.encoder.model import Bert, attend_to_neighbours, pooled_layers
from components.encoder.weights import load_encoder
from tests.components.encoder.conftest import TINY

CLS = 2
FIVE_LAYERS = EncoderConfig(layers=5, hidden=24, heads=3, intermediate=40, max_tokens=32)


def reference_layers(directory, document, cut):
    """Return HuggingFace's hidden states [layers + 1, tokens, hidden] of one document."""
    from transformers import BertModel

    reference = BertModel.from_pretrained(directory).eval()
    ids = torch.tensor([[CLS, *document.tolist()]])
    segments = torch.zeros_like(ids)
    segments[0, 1 + cut :] = 1
    with torch.no_grad():
        out = reference(ids, token_type_ids=segments, output_hidden_states=True)
    return torch.cat(out.hidden_states)


@pytest.mark.parametrize("config", [FIVE_LAYERS, TINY], ids=["5 layers", "2 layers"])
def test_every_pooling_equals_that_of_transformers(save_random, documents, config):
    directory = save_random(config)
    bert = load_encoder(directory).bert
    cuts = [len(document) // 2 for document in documents]
    packed = pack(documents, CLS, cuts)
    expected = {"cls": [], "mean": [], "cls_last4": [], "mean_last4": []}
    for document, cut in zip(documents, cuts, strict=True):
        layers = reference_layers(directory, document, cut)[1:]
        last4 = torch.cat(list(layers[-4:]), dim=1)
        expected["cls"].append(layers[-1][0])
        expected["mean"].append(layers[-1].mean(0))
        expected["cls_last4"].append(last4[0])
        expected["mean_last4"].append(last4.mean(0))
    for pooling, vectors in expected.items():
        with torch.no_grad():
            ours = bert.pooled(packed, pooling)
        torch.testing.assert_close(ours, torch.stack(vectors), rtol=0, atol=1e-5)
        assert ours.shape[1] == pooled_layers(config, pooling) * config.hidden


def test_a_document_alone_is_as_among_others(save_random, documents):
    bert = load_encoder(save_random()).bert
    with torch.no_grad():
        together = bert.pooled(pack(documents, CLS), "mean_last4")
        alone = torch.cat([bert.pooled(pack([one], CLS), "mean_last4") for one in documents])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_padded_attention_equals_attention_document_by_document(documents):
    packed = pack(documents, CLS)
    torch.manual_seed(0)
    qkv = torch.randn(len(packed.ids), 3, 2, 8, requires_grad=True)
    weights = torch.randn(len(packed.ids), 2, 8)
    found = []
    for attend in (
        model_module._attend_padded,
        lambda *own: model_module._attend_document_by_document(*own, longest=TINY.max_tokens),
    ):
        attended = attend(qkv, packed)
        (gradient,) = torch.autograd.grad((attended * weights).sum(), qkv)
        found.append((attended, gradient))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


def test_attention_stays_within_a_document(documents):
    bert = Bert(TINY, 600).eval()
    other = [*documents[:-1], documents[-1][::-1].copy()]
    with torch.no_grad():
        before, after = (bert.pooled(pack(batch, CLS), "mean") for batch in (documents, other))
    torch.testing.assert_close(before[:-1], after[:-1], rtol=0, atol=1e-6)
    assert not torch.allclose(before[-1], after[-1], atol=1e-6)


def attend_by_definition(q, k, v, window):
    """Attention over all pairs of tokens, those that may not meet masked."""
    place = torch.arange(q.shape[2])
    allowed = (place[:, None] - place).abs() <= window
    allowed[0] = allowed[:, 0] = True
    scores = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).masked_fill(~allowed, -torch.inf)
    return scores.softmax(3) @ v


@pytest.mark.parametrize("window", [1, 2, 7, 32, 100])
@pytest.mark.parametrize("tokens", [1, 2, 8, 33, 64, 97])
def test_attention_to_neighbours_equals_masked_attention_to_all(tokens, window):
    torch.manual_seed(tokens)
    qkv = torch.randn(3, 1, 2, tokens, 8, requires_grad=True)
    weights = torch.randn(1, 2, tokens, 8)
    found = []
    for attended in (
        attend_to_neighbours(*qkv, window=window),
        attend_by_definition(*qkv, window),
    ):
        (gradient,) = torch.autograd.grad((attended * weights).sum(), qkv)
        found.append((attended, gradient))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


def long(documents, window=16, **more):
    return pack(documents, CLS, longest=TINY.max_tokens, window=window, **more)


@pytest.fixture
def long_documents():
    lengths = (3, TINY.max_tokens - 1, TINY.max_tokens, 200, 5 * TINY.max_tokens)
    random = np.random.default_rng(0)
    return [random.integers(8, 250, length).astype(np.int32) for length in lengths]


def test_long_documents_leave_those_of_one_chunk_as_they_are(save_random, long_documents):
    bert = load_encoder(save_random()).bert
    with torch.no_grad():
        together = bert(long(long_documents))[0]
        apart = bert(pack(long_documents[:2], CLS))[0]
    assert torch.equal(together[: len(apart)], apart)


def test_a_long_document_alone_is_as_among_others(save_random, long_documents):
    bert = load_encoder(save_random()).bert
    with torch.no_grad():
        together = bert.pooled(long(long_documents), "mean_last4")
        alone = torch.cat([bert.pooled(long([one]), "mean_last4") for one in long_documents])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_a_window_as_wide_as_the_document_is_attention_to_all(save_random, long_documents):
    bert = load_encoder(save_random()).bert
    packed = long(long_documents, window=1000)
    qkv = torch.randn(len(packed.ids), 3, 2, 8)
    everything = model_module.attend(qkv, packed, longest=10**6)
    neighbours = model_module.attend(qkv, packed, longest=bert.config.max_tokens)
    torch.testing.assert_close(neighbours, everything, rtol=0, atol=1e-5)


def test_the_newest_subwords_of_a_long_document_have_the_places_of_a_chunk(long_documents):
    positions = long(long_documents).positions.split(long(long_documents).lengths)
    for document, own in zip(long_documents, positions, strict=True):
        newest = min(len(document), TINY.max_tokens - 1)
        assert own[0] == 0
        assert own[-newest:].tolist() == list(range(1, newest + 1))
        assert own.max() < TINY.max_tokens


def test_the_last_layers_come_in_order(documents):
    bert = Bert(FIVE_LAYERS, 600).eval()
    packed = pack(documents, CLS)
    with torch.no_grad():
        everything = bert(packed, last=5)
        last = bert(packed, last=2)
    assert len(everything) == 5
    torch.testing.assert_close(last, everything[-2:])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="variable-length attention needs a GPU")
def test_variable_length_attention_on_a_gpu_equals_the_cpu(save_random, documents):
    bert = load_encoder(save_random()).bert
    packed = pack(documents, CLS)
    with torch.no_grad():
        expected = bert.pooled(packed, "mean_last4")
        device = torch.device("cuda")
        with torch.autocast("cuda", torch.bfloat16):
            found = bert.to(device).pooled(packed.to(device), "mean_last4").cpu()
    assert torch.cosine_similarity(expected, found).min() > 0.999
