"""Pre-training: what an example is, and that stops, disks and data cannot spoil a run."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.activity.config import SplitConfig
from components.encoder.config import PretrainConfig
from components.encoder.errors import EncoderError
from components.encoder.masking import mask_words
from components.encoder.pretrain import MaskedLanguageTask, pretrain
from components.encoder.training import train
from tests.components.encoder.conftest import TINY

CPU = torch.device("cpu")
CONFIG = PretrainConfig(batch=8, epochs=1, dupe_factor=1, warmup=0.1)

CHILD = """
import sys, time
from pathlib import Path
from components.encoder.pretrain import MaskedLanguageTask
from tests.components.encoder.test_pretrain import run

make = MaskedLanguageTask.batch
def slow_from_the_third_step(task, step, part):
    if step >= 3:
        Path(sys.argv[1], "slow").touch()
        time.sleep(0.5)
    return make(task, step, part)

MaskedLanguageTask.batch = slow_from_the_third_step
run(*map(Path, sys.argv[1:]))
"""


def run(home, tokens, vocabulary, config=CONFIG):
    return pretrain(
        tokens,
        vocabulary,
        home / "encoder",
        encoder=TINY,
        config=config,
        seed=0,
        checkpoints=home / "checkpoints",
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_stopped_and_resumed_writes_the_same_encoder(corpus, tmp_path, number, code):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    stopped.mkdir()
    arguments = [str(path) for path in (stopped, corpus.tokens, corpus.vocabulary)]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], cwd=Path(__file__).parents[3]
    )
    deadline = time.monotonic() + 120
    while not (stopped / "slow").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(number)
    assert child.wait(timeout=120) == code
    assert [path.name for path in stopped.glob("checkpoints/*")] == ["checkpoint.pt"]
    assert not (stopped / "encoder").exists()
    resumed_log = run(stopped, corpus.tokens, corpus.vocabulary)
    log = run(whole, corpus.tokens, corpus.vocabulary)
    assert len(log) > 5, "the child has to be stopped before its end"
    assert [entry["loss"] for entry in resumed_log] == [entry["loss"] for entry in log]
    expected, found = (load_file(home / "encoder/model.safetensors") for home in (whole, stopped))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_training_lowers_the_loss_on_members_it_has_not_seen(corpus, tmp_path):
    config = PretrainConfig(batch=8, epochs=10, dupe_factor=1, learning_rate=5e-3, evaluations=4)
    log = run(tmp_path, corpus.tokens, corpus.vocabulary, config)
    validation = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    assert len(validation) == 4
    assert validation[-1] < validation[0] - 0.5
    assert [json.loads(line) for line in (tmp_path / "encoder/log.jsonl").open()] == log


def test_tokens_of_another_vocabulary_are_refused(corpus, write_corpus, tmp_path):
    other = write_corpus({f"other {n}": 5 for n in range(9)}, labelled=False)
    with pytest.raises(EncoderError, match="tokenised with another vocabulary"):
        run(tmp_path, corpus.tokens, other.vocabulary)


def test_without_a_training_member_there_is_nothing_to_learn(corpus, write_corpus, tmp_path):
    held_out = SplitConfig(validation=0.999, test=0)
    validation_only = write_corpus({"ann": 2}, like=corpus, split=held_out, labelled=False)
    with pytest.raises(EncoderError, match="no training member has a document"):
        run(tmp_path, validation_only.tokens, corpus.vocabulary)


def test_every_chunk_is_visited_dupe_factor_times_an_epoch(language_task):
    task = language_task(batch=4, epochs=2, dupe_factor=3)
    assert task.steps == -(-2 * 3 * len(task.chunks) // 4)
    visits = [visit for step in range(task.steps) for visit in originals(task.batch(step, 0))]
    seen = {document: visits.count(document) for document in set(visits[: 6 * len(task.chunks)])}
    assert sum(seen.values()) == len(visits)
    assert min(seen.values()) >= 6


def originals(example):
    """Return the documents of an example as they were before masking."""
    ids = example.packed.ids.clone()
    ids[example.masked] = example.words
    return [tuple(document.tolist()) for document in ids.split(example.packed.lengths)]


def masks(example):
    """Return the masked positions within each document, by document."""
    masked = torch.zeros(len(example.packed.ids), dtype=torch.bool)
    masked[example.masked] = True
    parts = masked.split(example.packed.lengths)
    return {
        document: tuple(part.nonzero()[:, 0].tolist())
        for document, part in zip(originals(example), parts, strict=True)
    }


def test_maskings_differ_dupe_factor_times_and_then_repeat(language_task):
    task = language_task(batch=1, epochs=3, dupe_factor=2, mask_share=0.3)
    size = len(task.chunks)
    epochs = []
    for epoch in range(6):
        found = {}
        for step in range(epoch * size, (epoch + 1) * size):
            found |= masks(task.batch(step, 0))
        epochs.append(found)
    assert epochs[0] == epochs[2] == epochs[4]
    assert epochs[1] == epochs[3] == epochs[5]
    changed = sum(epochs[0][document] != epochs[1][document] for document in epochs[0])
    assert changed > 0.9 * len(epochs[0])


def test_a_batch_is_a_pure_function_of_its_number(language_task):
    task, again = language_task(batch=4), language_task(batch=4)
    task.batch(5, 0)
    first, second = task.batch(2, 0), again.batch(2, 0)
    for one, other in zip(first[1:], second[1:], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(first.packed.ids, second.packed.ids)
    other_seed = language_task(batch=4, seed=1).batch(2, 0)
    assert originals(other_seed) != originals(first)


def test_a_document_is_two_segments_that_meet_between_sessions(language_task, corpus):
    _, vocabulary = corpus.open()
    example = language_task(batch=16).batch(0, 0)
    two_segments = 0
    for document, segments in zip(
        originals(example), example.packed.segments.split(example.packed.lengths), strict=True
    ):
        assert segments.diff().min() >= 0
        assert segments[0] == 0
        if segments.any():
            first = int(segments.argmax())
            assert document[first - 1] == vocabulary.sep
            two_segments += 1
    assert two_segments >= 4


def test_without_next_sentence_nothing_is_random(language_task):
    assert not language_task(batch=16).batch(0, 0).random_next.any()


def test_half_of_the_next_segments_are_random(language_task):
    task = language_task(batch=16, next_sentence=True)
    plain = language_task(batch=16)
    random = total = 0
    for step in range(plain.steps):
        example, truth = task.batch(step, 0), plain.batch(step, 0)
        pieces = zip(originals(example), originals(truth), example.random_next, strict=True)
        for document, original, is_random in pieces:
            assert len(document) <= TINY.max_tokens
            assert is_random or document == original
            if is_random:
                assert document != original
            random, total = random + int(is_random), total + 1
        segments = example.packed.segments.split(example.packed.lengths)
        for part in segments:
            assert part.any(), "a next segment has to be there to be judged"
            assert not part.all()
    assert 0.4 < random / total < 0.9  # chunks of one session can only be followed at random


EVERYBODY = SplitConfig(validation=0, test=0)


def segments(example):
    """Return both segments of each document as they were before masking, [CLS] left out."""
    for document, marks in zip(
        originals(example), example.packed.segments.split(example.packed.lengths), strict=True
    ):
        first = len(document) - int(marks.sum())
        yield list(document[1:first]), list(document[first:])


def pretraining(corpus, **config):
    tokens, vocabulary = corpus.open()
    return MaskedLanguageTask(tokens, vocabulary, TINY, PretrainConfig(**config), seed=0)


def test_a_random_next_segment_is_whole_sessions_of_another_members_document(corpus, write_corpus):
    sessions = {"ann": 12, "bob": 12}
    two = write_corpus(sessions, like=corpus, split=EVERYBODY, labelled=False)
    task = pretraining(two, batch=4, epochs=4, next_sentence=True)
    assert len(task.chunks) > 8, "chunks of one's own document are there to be drawn by mistake"
    tokens, vocabulary = two.open()
    texts = [" ".join(map(str, tokens.document(row))) + " " for row in range(2)]
    seen = 0
    for step in range(task.steps):
        example = task.batch(step, 0)
        for (first, second), random in zip(segments(example), example.random_next, strict=True):
            homes = [
                [" ".join(map(str, part)) + " " in text for text in texts]
                for part in (first, second)
            ]
            assert homes[0] != homes[1] if random else homes[0] == homes[1]
            assert second[-1] == vocabulary.sep
            seen += int(random)
    assert seen > 20


def test_the_length_of_a_next_segment_does_not_tell_whether_it_is_random(corpus, write_corpus):
    members = {f"m{number:02d}": 9 for number in range(30)}
    many = write_corpus(members, like=corpus, split=EVERYBODY, labelled=False)
    task = pretraining(many, batch=8, epochs=2, next_sentence=True)
    lengths: dict[int, list[int]] = {0: [], 1: []}
    for step in range(task.steps):
        example = task.batch(step, 0)
        for (first, second), random in zip(segments(example), example.random_next, strict=True):
            lengths[int(random)].append(len(first) + len(second))
    assert min(map(len, lengths.values())) > 50
    real, random = (np.mean(lengths[label]) for label in (0, 1))
    assert abs(real - random) < 0.15 * real


def test_a_lone_document_is_always_followed_by_itself(corpus, write_corpus):
    alone = write_corpus({"ann": 12}, like=corpus, split=EVERYBODY, labelled=False)
    task = pretraining(alone, batch=4, next_sentence=True)
    assert not any(task.batch(step, 0).random_next.any() for step in range(task.steps))


def test_the_log_tells_the_losses_of_words_and_of_next_segments_apart(corpus, tmp_path):
    config = CONFIG.model_copy(update={"next_sentence": True, "evaluations": 1})
    last = run(tmp_path, corpus.tokens, corpus.vocabulary, config)[-1]
    both = last["validation_mlm_loss"] + last["validation_nsp_loss"]
    assert last["validation_loss"] == pytest.approx(both)
    assert 0.3 < last["validation_nsp_loss"] < 1.5
    plain = run(tmp_path / "plain", corpus.tokens, corpus.vocabulary)[-1]
    assert not {"validation_mlm_loss", "validation_nsp_loss"} & set(plain)


def test_next_sentence_loss_is_learnt_beside_the_masked_words(language_task):
    task, plain = language_task(batch=8, next_sentence=True), language_task(batch=8)
    example = task.batch(0, 0)
    plain.module.load_state_dict(task.module.state_dict(), strict=False)
    with torch.no_grad():
        task.module.eval()
        plain.module.eval()
        both = task.loss(example, CPU, step=[example])
        words = plain.loss(example, CPU, step=[example])
    assert 0.3 < both - words < 1.5  # near ln 2 before training


@pytest.mark.parametrize("next_sentence", [False, True])
def test_the_parts_of_a_step_add_up_to_the_loss_of_the_whole(language_task, next_sentence):
    config = {"batch": 8, "next_sentence": next_sentence, "dupe_factor": 1}
    whole, parts = language_task(**config), language_task(**config, accumulate=4)
    gradients = []
    for task, count in ((whole, 1), (parts, 4)):
        task.module.eval()
        batches = [task.batch(1, part) for part in range(count)]
        loss = sum(task.loss(batch, CPU, step=batches) for batch in batches)
        loss.backward()
        gradients.append([loss.detach(), *(p.grad for p in task.module.parameters())])
    assert len({len(batch.masked) for batch in batches}) > 1
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


def test_work_counts_tokens_and_the_operations_of_the_published_formula(language_task):
    task = language_task(batch=4)
    example = task.batch(0, 0)
    tokens, operations = task.work(example)
    assert tokens == sum(example.packed.lengths) == len(example.packed.ids)
    weights = sum(
        parameter.numel()
        for name, parameter in task.module.bert.encoder.named_parameters()
        if parameter.ndim == 2
    )
    lengths = np.array(example.packed.lengths)
    attention = TINY.layers * 2 * TINY.hidden * (lengths**2).sum()
    words = task.module.bert.embeddings.word_embeddings.weight.numel()
    scores = len(example.masked) * (words + TINY.hidden**2)
    assert operations == pytest.approx(6 * (tokens * weights + attention + scores))


def test_masking_follows_the_chunks_place_in_the_corpus(language_task, corpus):
    """The same session is masked alike wherever its chunk starts."""
    tokens, vocabulary = corpus.open()
    ids = np.asarray(tokens.shards[0].tokens[:300], np.int64)
    places = np.arange(300, dtype=np.uint64)
    whole = mask_words(ids, places, vocabulary, share=0.15, seed=0)
    start = int(tokens.shards[0].session_offsets[3])
    part = mask_words(ids[start:], places[start:], vocabulary, share=0.15, seed=0)
    np.testing.assert_array_equal(part.ids, whole.ids[start:])


def test_training_goes_on_after_a_disk_that_was_full(language_task, tmp_path, monkeypatch):
    """A write that fails half-way leaves neither a torn checkpoint nor a torn encoder."""
    task = language_task(batch=8, epochs=1, dupe_factor=1)

    def full(content, path):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(EncoderError, match="could not be written, is the disk full"):
            train(
                task,
                PretrainConfig(batch=8, checkpoint_seconds=0),
                description="x",
                seed=0,
                checkpoints=tmp_path,
                identity="x",
            )
    assert not list(tmp_path.iterdir())
