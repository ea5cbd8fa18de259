"""Fine-tuning: encoder and label layer learn together, by any pooling and either loss."""

import numpy as np
import pytest
import torch

from components.encoder.config import FinetuneConfig
from components.encoder.errors import EncoderError
from components.encoder.finetune import LabelTask, finetune
from components.encoder.weights import load_encoder

CPU = torch.device("cpu")
POOLINGS = ("cls", "mean", "cls_last4", "mean_last4")


@pytest.fixture
def label_task(corpus, pretrained):
    def make(seed=0, **config):
        stored, (tokens, _) = load_encoder(pretrained), corpus.open()
        torch.manual_seed(seed)
        settings = FinetuneConfig(**{"batch": 4} | config)
        return LabelTask(
            stored.bert, stored.vocabulary.cls, tokens, corpus.labels(), settings, seed=seed
        )

    return make


@pytest.fixture
def run(corpus, pretrained, tmp_path):
    def run(name="finetuned", tokens=corpus.tokens, **config):
        log = finetune(
            pretrained,
            tokens,
            corpus.examples,
            tmp_path / name,
            config=FinetuneConfig(**{"batch": 4, "epochs": 3, "evaluations": 2} | config),
            seed=0,
            checkpoints=tmp_path / f"checkpoints of {name}",
        )
        return log, load_encoder(tmp_path / name)

    return run


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("loss", ["full", "shortlist"])
def test_every_pooling_and_loss_learns_what_members_do(run, pooling, loss):
    rates = {"learning_rate": 2e-3, "label_learning_rate": 2e-2}
    log, stored = run(pooling=pooling, loss=loss, shortlist=20, epochs=12, batch=8, **rates)
    validation = [entry for entry in log if "validation_loss" in entry]
    assert len(validation) == 2
    losses = [entry["loss"] for entry in log]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert 0 <= validation[-1]["validation_p@1"] <= 1
    assert stored.pooling == pooling
    assert {"labels.weight", "labels.bias"} <= stored.heads.keys()


def test_all_weights_are_trained(run, pretrained):
    _, tuned = run()
    before = load_encoder(pretrained).bert.state_dict()
    after = tuned.bert.state_dict()
    assert [name for name in after if torch.equal(after[name], before[name])] == []


def test_precision_on_held_out_members_beats_the_most_popular_label(run, label_task):
    """The corpus' members keep to one field, which their context tells."""
    log, _ = run(epochs=20, learning_rate=2e-3, label_learning_rate=2e-2, batch=8)
    rows, labels = label_task()._held_out
    popular = np.asarray(labels.sum(0)).max() / len(rows)
    assert log[-1]["validation_p@1"] > popular


@pytest.mark.parametrize(("dataset", "more"), [("D1", False), ("D2", True)])
def test_the_labels_are_those_of_the_data_set(label_task, corpus, dataset, more):
    task = label_task(dataset=dataset, batch=1)
    data = corpus.labels()
    rows, expected = data.select(dataset, "train")
    found = {}
    for step in range(len(rows)):
        batch = task.batch(step, 0)
        document = tuple(batch.packed.ids.tolist())
        found.setdefault(document, set()).add(tuple(sorted(batch.positive[1].tolist())))
    tokens, _ = corpus.open()
    places = tokens.rows(data.table["member_id"])
    for row, labels in zip(rows, expected, strict=True):
        context = tokens.document(int(places[row]), 0, int(data.table["context_end"][row]))[-63:]
        assert tuple(sorted(labels.indices)) in found[(2, *context.tolist())]
    assert (expected.nnz > data.select("D1", "train")[1].nnz) == more


def test_contexts_are_the_most_recent_subwords(label_task):
    lengths = [n for step in range(10) for n in label_task().batch(step, 0).packed.lengths]
    assert max(lengths) == 64


def test_a_batch_is_a_pure_function_of_its_number(label_task):
    task, again = (label_task(loss="shortlist", shortlist=5) for _ in range(2))
    task.batch(6, 0)
    first, second = task.batch(1, 0), again.batch(1, 0)
    assert torch.equal(first.packed.ids, second.packed.ids)
    assert torch.equal(first.positive, second.positive)
    assert torch.equal(first.sampled, second.sampled)
    assert not torch.equal(first.sampled, task.batch(2, 0).sampled)


def test_the_parts_of_a_step_add_up_to_the_loss_of_the_whole(label_task):
    losses = []
    for accumulate in (1, 4):
        task = label_task(accumulate=accumulate)
        task.module.eval()
        batches = [task.batch(3, part) for part in range(accumulate)]
        losses.append(sum(task.loss(batch, CPU, step=batches) for batch in batches))
    torch.testing.assert_close(losses[1], losses[0])


def test_encoder_and_label_layer_have_their_own_rates(label_task):
    task = label_task(learning_rate=0.01, label_learning_rate=0.5)
    (encoder, low), (labels, high) = task.groups()
    assert (low, high) == (0.01, 0.5)
    assert len(encoder) + len(labels) == len(list(task.module.parameters()))


def test_labels_in_chunks_are_the_labels(label_task):
    whole, chunked = label_task(), label_task(label_chunk=3)
    chunked.module.load_state_dict(whole.module.state_dict())
    batch = whole.batch(0, 0)
    losses = []
    for task in (whole, chunked):
        task.module.eval()
        losses.append(task.loss(batch, CPU, step=[batch]))
    torch.testing.assert_close(*losses)


def test_tokens_of_another_vocabulary_are_refused(run, write_corpus):
    other = write_corpus({f"other {n}": 5 for n in range(9)}, labelled=False)
    with pytest.raises(EncoderError, match="tokenised with another vocabulary"):
        run(tokens=other.tokens)


def test_without_a_labelled_example_there_is_nothing_to_learn(corpus, pretrained):
    stored, (tokens, _) = load_encoder(pretrained), corpus.open()
    data = corpus.labels()
    data.table["split"] = np.full_like(data.table["split"], 2)
    with pytest.raises(EncoderError, match="no training example has a label of D1"):
        LabelTask(stored.bert, 2, tokens, data, FinetuneConfig(dataset="D1"), seed=0)


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    checkpoints = tmp_path / "checkpoints of finetuned"
    checkpoints.mkdir()
    (checkpoints / "checkpoint.pt").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(EncoderError, match=r"checkpoint\.pt: damaged checkpoint"):
        run()
