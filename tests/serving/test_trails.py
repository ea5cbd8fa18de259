"""Actions of a request become the trail that the same actions in a file become."""

import json

import numpy as np
import pytest

from components.activity.config import JOBS, ActivityConfig
from components.extreme.suggest import TRAIL_COLUMNS, read_visitor, rendered_sessions
from serving.requests import Action
from serving.trails import read_actions

START = 1_600_000_000_000_000
MINUTE = 60_000_000


def drawn(seed, *, timed):
    random = np.random.default_rng(seed)
    texts = ("Ward  Nurse", "data engineer", "看護師", "é", "x" * 1999)
    actions = []
    for _ in range(random.integers(1, 30)):
        name = str(random.choice(list(JOBS.actions)))
        text = texts[random.integers(len(texts))]
        if JOBS.actions[name] == "query":
            action = {"action": name, "query": text}
        else:
            action = {"action": name, "title": text}
            if random.random() < 0.7:
                action["company"] = f"Firm {random.integers(3)}"
        if timed:
            action["ts"] = START + int(random.integers(60)) * 7 * MINUTE
        if random.random() < 0.3:
            action |= {"query": text, "title": text, "company": "  "}
        actions.append(action)
    return actions


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "in order"])
@pytest.mark.parametrize("seed", range(5))
def test_a_request_is_read_as_a_file_is(tmp_path, seed, timed):
    actions = drawn(seed, timed=timed)
    path = tmp_path / "visitor.jsonl"
    path.write_text("".join(json.dumps(action) + "\n" for action in actions))
    config = ActivityConfig(partitions=1)
    expected = read_visitor(path, JOBS, config)
    trail = read_actions([Action(**action) for action in actions], JOBS, config, where="actions")
    assert rendered_sessions(trail) == rendered_sessions(expected)
    columns = [name for name in TRAIL_COLUMNS if name not in ("sequence", "ts")]
    assert trail.select(columns).to_pylist() == expected.select(columns).to_pylist()
