"""Networks over words compute what their textbook forms do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from components.baselines.contexts import ContextWords
from components.baselines.networks import Convolutions, FeedForward, TextReader

TEXTS = [[0, 1, 2, 1, 3, 3, 0, 2], [3, 1, 2], [2], []]
WIDTHS = (2, 3, 5)
DIMENSION, FILTERS = 4, 6


@pytest.fixture
def reader():
    lengths = [len(text) for text in TEXTS]
    ends = np.cumsum(lengths)
    contexts = ContextWords(np.array(sum(TEXTS, []), np.int32), ends - lengths, ends)
    return TextReader(contexts, padding=4, widest=max(WIDTHS))


@pytest.fixture
def network():
    torch.manual_seed(1)
    vectors = np.random.default_rng(1).normal(size=(4, DIMENSION)).astype(np.float32)
    network = Convolutions(vectors, widths=WIDTHS, filters=FILTERS, units=3)
    for filters in network.filters:
        torch.nn.init.normal_(filters.bias)
    return network


def textbook(network, text):
    """Convolve one text, padded behind so that every word starts a window."""
    pooled = []
    for filters in network.filters:
        padded = torch.tensor([*(text or [4]), *[4] * (filters.width - 1)])
        words = network.embedding(padded).T[None]
        kernel = filters.kernel.view(filters.width, FILTERS, DIMENSION).permute(1, 2, 0)
        pooled.append(F.relu(F.conv1d(words, kernel, filters.bias)).amax(2)[0])
    return F.relu(network.dense(torch.cat(pooled)))


def test_convolutions_and_their_gradients_are_those_of_the_textbook(network, reader):
    expected = torch.stack([textbook(network, text) for text in TEXTS])
    found = network(reader.read(np.arange(4)))
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape)
    gradients = [
        torch.autograd.grad((output * weights).sum(), list(network.parameters()))
        for output in (expected, found)
    ]
    for right, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, right)


def test_a_text_counts_alone_whatever_else_is_in_the_batch(network, reader):
    together = network(reader.read(np.array([2, 0, 3, 1])))
    for row, text in zip(together, (2, 0, 3, 1), strict=True):
        torch.testing.assert_close(row, network(reader.read(np.array([text])))[0])


def test_padding_has_no_vector_and_learns_none(network, reader):
    network(reader.read(np.array([2, 3]))).sum().backward()
    assert network.embedding.weight[4].tolist() == [0] * DIMENSION
    assert network.embedding.weight.grad[4].tolist() == [0] * DIMENSION
    assert network.embedding.weight.grad[2].abs().sum() > 0


def test_every_layer_of_a_feed_forward_network_is_normalised_and_rectified():
    torch.manual_seed(1)
    network = FeedForward(5, (7, 3))
    assert network.dimension == 3
    features = network(torch.randn(16, 5))
    assert features.shape == (16, 3)
    assert (features >= 0).all()
    assert (features == 0).any()
    assert network.work(torch.zeros(16, 5))[0] == 16
