"""Settings: defaults of the paper, and impossible ones named."""

import pytest
from pydantic import ValidationError

from components.encoder.config import EmbedConfig, EncoderConfig, FinetuneConfig, PretrainConfig
from components.encoder.model import Bert


def test_the_default_is_the_model_the_paper_chose():
    config = EncoderConfig()
    assert (config.layers, config.hidden, config.heads, config.feed_forward) == (12, 128, 2, 512)
    assert config.max_tokens == 512


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "millions"),
    [(4, 256, 4, 29), (6, 512, 8, 70), (8, 128, 2, 14.5), (12, 128, 2, 15.4), (12, 256, 4, 35)],
)
def test_the_five_sizes_of_table_2_have_about_the_published_parameters(
    layers, hidden, heads, millions
):
    bert = Bert(EncoderConfig(layers=layers, hidden=hidden, heads=heads), 100_000)
    counted = sum(parameter.numel() for parameter in bert.parameters()) / 1e6
    assert counted == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (EncoderConfig, {"hidden": 100, "heads": 3}, "hidden 100 is not a multiple of heads 3"),
        (PretrainConfig, {"batch": 10, "accumulate": 4}, "batch 10 is not a multiple of acc"),
        (PretrainConfig, {"mask_share": 0}, "mask_share"),
        (PretrainConfig, {"dupe_factor": 65}, "dupe_factor"),
        (PretrainConfig, {"warmup": 1.5}, "warmup"),
        (FinetuneConfig, {"dataset": "D3"}, "dataset"),
        (FinetuneConfig, {"pooling": "max"}, "pooling"),
        (EmbedConfig, {"chunks": 0}, "chunks"),
        (EncoderConfig, {"depth": 12}, "depth"),
    ],
)
def test_an_impossible_setting_is_named(config, values, message):
    with pytest.raises(ValidationError, match=message):
        config(**values)
