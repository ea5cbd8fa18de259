"""Settings that cannot work are refused, with the key that is wrong."""

import pytest
from pydantic import ValidationError

from components.activity.config import (
    JOBS,
    NEWS,
    SHOPPING,
    ActivityConfig,
    FilesConfig,
    MindConfig,
    SplitConfig,
    Vertical,
)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Vertical(actions={"job search": "query"}), "actions"),
        (lambda: Vertical(actions={"VIEW": "page"}), "actions"),
        (lambda: Vertical(actions={}), "actions"),
        (lambda: Vertical(channels=("it's",)), "channels"),
        (lambda: Vertical(label_actions=("HIRE",)), "label_actions names .'HIRE'."),
        (lambda: Vertical(posting_label="company"), "posting_label"),
        (lambda: FilesConfig(path=""), "path"),
        (lambda: FilesConfig(path="x", format="xml"), "format"),
        (lambda: MindConfig(path="x", size="tiny"), "size"),
        (lambda: ActivityConfig(idle_minutes=0), "idle_minutes"),
        (lambda: ActivityConfig(engine="polars"), "engine"),
        (lambda: ActivityConfig(partitions=0), "partitions"),
        (lambda: ActivityConfig(quarantine_limit=1.01), "quarantine_limit"),
        (lambda: ActivityConfig(idle_time=30), "idle_time"),
        (lambda: SplitConfig(validation=0.5, test=0.5), "leave no members to train on"),
    ],
)
def test_a_setting_that_cannot_work_is_named(make, key):
    with pytest.raises(ValidationError, match=key):
        make()


@pytest.mark.parametrize("vertical", [JOBS, SHOPPING, NEWS], ids=["jobs", "shopping", "news"])
def test_a_vertical_survives_being_written_as_json(vertical):
    assert Vertical.model_validate_json(vertical.model_dump_json()) == vertical


def test_actions_have_one_order_however_they_are_given():
    shuffled = dict(reversed(JOBS.actions.items()))
    assert list(JOBS.actions) == sorted(JOBS.actions)
    assert list(Vertical(actions=shuffled).actions) == list(JOBS.actions)
