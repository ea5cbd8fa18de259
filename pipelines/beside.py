"""The part of the training pipeline that sets other methods, contexts and verticals beside ours."""

from collections.abc import Mapping
from typing import Any

from components.baselines.component import train_end_to_end, train_sequences
from components.evaluation.component import compare_contexts, compare_in_session
from components.news.component import rank_news, study_appendix
from pipelines.steps import Steps


def train_baselines(
    steps: Steps, sections: Any, sessions: Any, examples: Any, *, words: Any, checkpoints: Any
) -> dict[str, Any]:
    """Add the steps of the baselines; one that the recipe does not name writes nothing.

    Returns:
        Their predictions, as `evaluate_methods` names them.
    """
    shared = {
        "sessions": sessions,
        "examples": examples,
        "words": words,
        "config": sections["baselines"],
        "evaluation": sections["evaluation"],
        "seed": sections["seed"],
        "checkpoints": checkpoints,
    }
    tasks = {
        "end_to_end": train_end_to_end(**shared),
        "sequences": train_sequences(vertical=sections["vertical"], **shared),
    }
    return {
        name: steps.accelerated(name.replace("_", "-"), task, volume=True)["predictions"]
        for name, task in tasks.items()
    }


def rank_all_news(
    steps: Steps, sections: Any, feed: Any, *, pretrained: Any, finetuned: Any, checkpoints: Any
) -> dict[str, Any]:
    """Add the steps that rank news: the source's, where it is of news, and those of the appendix.

    Returns:
        What each measured, as `draw_report` names it.
    """
    ranked = steps.accelerated(
        "rank-news",
        rank_news(
            feed=feed,
            pretrained=pretrained,
            finetuned=finetuned,
            config=sections["news"],
            seed=sections["seed"],
            checkpoints=checkpoints,
        ),
        volume=True,
    )["ranked"]
    studied = steps.accelerated(
        "appendix",
        study_appendix(
            settings=sections["appendix"], seed=sections["seed"], checkpoints=checkpoints
        ),
        volume=True,
    )["studied"]
    return {"news": ranked, "appendix": studied}


def compare_vectors(
    steps: Steps,
    sections: Any,
    sessions: Any,
    examples: Any,
    *,
    tokens: Any,
    finetuned: Any,
    ranked: Mapping[str, Any],
) -> dict[str, Any]:
    """Add the steps that compare ways to a vector: of long contexts, and within a session.

    Returns:
        What each measured, as `draw_report` names it.
    """
    shared = {
        "encoder": finetuned,
        "tokens": tokens,
        "examples": examples,
        "slices": ranked["finetuned_slices"],
        "embed": sections["embed"],
        "config": sections["evaluation"],
        "seed": sections["seed"],
    }
    contexts = steps.accelerated(
        "contexts",
        compare_contexts(
            vectors=ranked["finetuned_vectors"], slice_config=sections["slice"], **shared
        ),
    )["measured"]
    in_session = steps.accelerated(
        "in-session",
        compare_in_session(sessions=sessions, vertical=sections["vertical"], **shared),
    )["measured"]
    return {"contexts": contexts, "in_session": in_session}
