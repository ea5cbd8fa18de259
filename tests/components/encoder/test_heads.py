"""The heads: losses in slices are the losses, and their gradients are the gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encoder import heads
from components.encoder.heads import LabelLayer, SlicedBinaryCrossEntropy, SlicedCrossEntropy


def with_gradients(loss, *inputs):
    return loss, torch.autograd.grad(loss, inputs)


def leaves(*tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("scores_at_once", [1, 3 * 37, 4 * 37, 1 << 20])
@given(rows=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_sliced_cross_entropy_is_that_of_torch(scores_at_once, rows, seed):
    torch.manual_seed(seed)
    inputs = leaves(torch.randn(rows, 8), torch.randn(37, 8), torch.randn(37))
    target = torch.randint(37, (rows,))
    hidden, weight, bias = inputs
    expected = with_gradients(F.cross_entropy(F.linear(hidden, weight, bias), target), *inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "SCORES_AT_ONCE", scores_at_once)
        found = with_gradients(SlicedCrossEntropy.apply(hidden, weight, bias, target), *inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_without_masked_words_costs_nothing():
    inputs = leaves(torch.empty(0, 8), torch.randn(37, 8), torch.randn(37))
    target = torch.empty(0, dtype=torch.int64)
    loss, gradients = with_gradients(SlicedCrossEntropy.apply(*inputs, target), *inputs)
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients)


def test_large_scores_do_not_overflow():
    inputs = leaves(1000 * torch.ones(2, 8), torch.eye(8), torch.zeros(8))
    target = torch.tensor([0, 3])
    loss, gradients = with_gradients(SlicedCrossEntropy.apply(*inputs, target), *inputs)
    assert loss.item() == pytest.approx(math.log(8), rel=1e-4)
    assert all(gradient.isfinite().all() for gradient in gradients)


def binary_cross_entropy(features, weight, bias, positive):
    truth = torch.zeros(len(features), len(weight))
    truth[positive[0], positive[1]] = 1
    scores = F.linear(features, weight, bias)
    loss = F.binary_cross_entropy_with_logits(scores, truth, reduction="sum")
    return loss / len(features)


def random_positives(rows, labels, share=0.1):
    return (torch.rand(rows, labels) < share).nonzero().T


@pytest.mark.parametrize("chunk", [1, 7, 24, 25, 26, 1000])
@given(rows=st.integers(1, 6), share=st.sampled_from([0, 0.1, 0.9]), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_sliced_binary_cross_entropy_is_that_of_torch(chunk, rows, share, seed):
    torch.manual_seed(seed)
    inputs = leaves(torch.randn(rows, 8), torch.randn(25, 8), torch.randn(25))
    positive = random_positives(rows, 25, share)
    expected = with_gradients(binary_cross_entropy(*inputs, positive), *inputs)
    loss = SlicedBinaryCrossEntropy.apply(*inputs, positive, None, chunk)
    torch.testing.assert_close(with_gradients(loss, *inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = LabelLayer(8, torch.full((30,), 0.1), dropout=0.0, chunk=11)
    with torch.no_grad():
        layer.weight += torch.randn_like(layer.weight)
    return layer


def test_training_starts_from_popularity():
    prior = torch.tensor([0.5, 0.01, 0.0])
    layer = LabelLayer(8, prior, dropout=0.0, chunk=2)
    started = layer(torch.randn(4, 8)).sigmoid()
    torch.testing.assert_close(started, prior.clamp(min=1e-7).expand(4, 3))


def test_a_shortlist_of_all_labels_is_the_full_loss(layer):
    pooled = torch.randn(5, 8, requires_grad=True)
    positive = random_positives(5, 30)
    inputs = (pooled, *layer.parameters())
    full = with_gradients(layer.loss(pooled, positive), *inputs)
    sampled = torch.randperm(30).repeat(2)
    short = with_gradients(layer.shortlist_loss(pooled, positive, sampled), *inputs)
    torch.testing.assert_close(short, full, rtol=1e-4, atol=1e-5)


def test_the_shortlist_loss_is_unbiased(layer):
    pooled, positive = torch.randn(5, 8), random_positives(5, 30)
    with torch.no_grad():
        full = layer.loss(pooled, positive)
        draws = torch.stack(
            [layer.shortlist_loss(pooled, positive, torch.randint(30, (12,))) for _ in range(1000)]
        )
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - full) < 4 * error
    assert draws.std() > 0.01 * full, "a sample has to matter, or this test cannot fail"


@pytest.mark.parametrize("loss", ["words", "labels"])
def test_losses_in_half_precision_are_close_to_those_in_full(loss):
    torch.manual_seed(0)
    inputs = leaves(torch.randn(16, 8), torch.randn(37, 8), torch.randn(37))
    target, positive = torch.randint(37, (16,)), random_positives(16, 37)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            if loss == "words":
                value = SlicedCrossEntropy.apply(*inputs, target)
            else:
                value = SlicedBinaryCrossEntropy.apply(*inputs, positive, None, 10)
            found.append(with_gradients(value, *inputs))
    (full, expected), (half, gradients) = found
    torch.testing.assert_close(half, full, rtol=0.01, atol=0)
    for gradient, exact in zip(gradients, expected, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - exact).norm() < 0.02 * exact.norm()
