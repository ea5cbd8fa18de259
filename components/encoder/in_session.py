"""In-session vectors: what an encoder makes of the most recent few actions of a trail.

An activity vector moves little by what somebody does now; a vector of the last K actions is of
nothing else (paper, section 6). It needs no other encoder: these functions cut the trail, as
subwords or as texts, and `Embedder.embed` does the rest.
"""

from collections.abc import Sequence

import numpy as np

Sessions = Sequence[Sequence[str]]


def last_actions(document: np.ndarray, action_ids: np.ndarray, k: int) -> np.ndarray:
    """Return the end of a document that holds its k most recent actions, a view.

    Args:
        document: int32 subwords; an action begins with the id of its type.
        action_ids: ids of the action types (`Vocabulary.action_ids`).
        k: actions; the whole document when it has fewer.
    """
    starts = np.flatnonzero(np.isin(document, action_ids))
    return document[starts[-k] :] if len(starts) > k else document


def last_of_sessions(sessions: Sessions, k: int) -> list[list[str]]:
    """Return the k most recent actions of a trail, session by session.

    Args:
        sessions: texts of the actions, as `rendered_sessions` gives them.
        k: actions; all when there are fewer.
    """
    kept: list[list[str]] = []
    for session in reversed(sessions):
        if k <= 0:
            break
        kept.append(list(session[-k:]))
        k -= len(session)
    return kept[::-1]
