"""The paper's Appendix A from end to end: the pipeline's steps in order, in one process."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.activity.config import ActivityConfig, SplitConfig, Vertical
from components.activity.ingest import ingest_source
from components.activity.posting_labels import carry_posting_labels
from components.activity.sessions import write_sessions
from components.encoder.config import EncoderConfig, FinetuneConfig, PretrainConfig
from components.encoder.finetune import finetune
from components.encoder.pretrain import pretrain
from components.files import whole_directory
from components.labels.config import ExamplesConfig
from components.labels.examples import build_examples
from components.news.config import NewsConfig
from components.news.rank import rank_news
from components.text.config import TextConfig
from components.text.documents import write_tokens
from components.text.vocabulary import train_vocabulary

logger = logging.getLogger(__name__)


def study_news(
    settings: dict[str, Any], target: Path, *, seed: int, checkpoints: Path
) -> dict[str, list[dict]]:
    """Run a recipe of news from its source to its rankers, and write what `rank_news` writes.

    Each step's output is a directory below the checkpoints, under the identity of settings and
    seed; a killed run goes on with the steps that are not done, and within the long ones.

    Args:
        settings: the sections of a recipe as plain data; nothing is done, and the target is empty,
            where there are none.
        target: directory to write; all or nothing.
        seed: of everything that is drawn.
        checkpoints: directory of what a killed run goes on with.

    Returns:
        The tables of `rank_news`.

    Raises:
        IntentError: what a step raises.
    """
    if not settings:
        with whole_directory(target):
            return {}
    identity = json.dumps([settings, seed], sort_keys=True).encode()
    work = checkpoints / hashlib.blake2b(identity, digest_size=16).hexdigest()
    work.mkdir(parents=True, exist_ok=True)
    for name, make in _steps(settings, work, seed).items():
        if not (work / name).exists():
            logger.info("appendix step=%s", name)
            make(work / name)
    resume = work / "resume" / "ranked"
    tables = rank_news(
        work / "feed",
        work / "finetuned",
        work / "ranked",
        NewsConfig(**settings["news"]),
        pretrained=work / "pretrained",
        seed=seed,
        checkpoints=resume,
    )
    with whole_directory(target) as directory:
        shutil.copytree(work / "ranked", directory, dirs_exist_ok=True)
    return tables


def _steps(settings: dict[str, Any], work: Path, seed: int) -> dict[str, Callable[[Path], Any]]:
    """Return what makes each directory, in order."""
    vertical, split = Vertical(**settings["vertical"]), SplitConfig(**settings["split"])
    activity, text = ActivityConfig(**settings["activity"]), TextConfig(**settings["text"])
    sessions, tokens, examples = work / "sessions", work / "tokens", work / "examples"
    vocabulary, resume = work / "vocabulary", work / "resume"
    return {
        "feed": lambda target: ingest_source(
            settings["source"], vertical, activity, feed=target, truth=work / "truth", seed=seed
        ),
        "sessions": lambda target: _cut_sessions(work / "feed", target, activity),
        "vocabulary": lambda target: train_vocabulary(
            sessions, target, text, vertical, split=split, seed=seed
        ),
        "tokens": lambda target: write_tokens(
            sessions, vocabulary, target, text, split=split, seed=seed
        ),
        "examples": lambda target: build_examples(
            sessions,
            target,
            ExamplesConfig(**settings["examples"]),
            vertical,
            split=split,
            seed=seed,
        ),
        "pretrained": lambda target: pretrain(
            tokens,
            vocabulary,
            target,
            encoder=EncoderConfig(**settings["encoder"]),
            config=PretrainConfig(**settings["pretrain"]),
            seed=seed,
            checkpoints=resume / "pretrained",
        ),
        "finetuned": lambda target: finetune(
            work / "pretrained",
            tokens,
            examples,
            target,
            config=FinetuneConfig(**settings["finetune"]),
            seed=seed,
            checkpoints=resume / "finetuned",
        ),
    }


def _cut_sessions(feed: Path, target: Path, config: ActivityConfig) -> None:
    with whole_directory(target) as directory:
        write_sessions(feed / "actions", directory, config)
        carry_posting_labels(feed, directory)
