"""What a ranker's configuration refuses."""

import pytest
from pydantic import ValidationError

from components.ranking.config import RankerConfig


def test_the_defaults_are_the_papers():
    config = RankerConfig()
    assert (config.word_dimension, config.heads, len(config.deep_units)) == (100, 10, 4)
    assert config.tower_units == (512, 256, 256, 128, 128)
    assert (config.batch, config.steps, config.learning_rate) == (64, 360_000, 0.1)
    assert (config.topn, config.list_size) == (25, 25)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"heads": 3}, "word_dimension 100 is not a multiple of heads 3"),
        ({"fusion_units": ()}, "fusion_units"),
        ({"strategy": "parameter_server"}, "strategy"),
        ({"momentum": 0.9}, "momentum"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(settings, named):
    with pytest.raises(ValidationError, match=named):
        RankerConfig(**settings)
