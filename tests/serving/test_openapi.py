"""The page that describes the servers is true of them, whatever is sent."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

load_all_checks()
# A page cannot say which actions go together, so what it allows may still be refused.
LEFT_OUT = CHECKS.get_by_names(["positive_data_acceptance"])


@pytest.fixture(scope="module")
def page(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json").exclude(
        path_regex="^/v2/repository"  # or fuzzing would take the models away
    )


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_any_request_gets_an_answer_of_the_page(page, mode):
    asked = 0
    for found in page.get_all_operations():

        @given(case=found.ok().as_strategy(generation_mode=mode))
        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        def answers(case):
            nonlocal asked
            asked += 1
            response = case.call()
            if response.status_code != 413:  # which schemathesis takes for acceptance
                case.validate_response(response, excluded_checks=LEFT_OUT)

        try:
            answers()
        except Unsatisfiable:  # an operation that takes nothing cannot be asked wrongly
            assert mode == GenerationMode.NEGATIVE
    assert asked > 100


def test_the_page_names_what_is_served(server):
    page = server.http.get("/openapi.json").json()
    for service in ("encoder", "suggestions", "ranker", "audience", "candidates"):
        assert f"/v1/models/{service}:predict" in page["paths"]
        assert f"/v2/models/{service}/infer" in page["paths"]
    assert "JOB_SEARCH" in page["components"]["schemas"]["Action"]["properties"]["action"]["enum"]
