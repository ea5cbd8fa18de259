"""The choice of machines: what each name means, and how a wrong one is told."""

import pytest

from pipelines.accelerators import NONE, POOLS, AcceleratorError, as_outputs, choose, image_of
from pipelines.choices import ChoiceError, choices
from pipelines.places import PlaceError

GKE = "cloud.google.com/gke-accelerator"
PLACES = {"store": "lmdb:/s", "registry": "/r", "experiments": "/e"}
SIZES = {"cpu": "2", "memory": "8Gi", "accelerated_cpu": "4", "accelerated_memory": "16Gi"}


def chosen(**other):
    given = {
        "accelerator": NONE,
        "pools": POOLS,
        "sessions_engine": "duckdb",
        "training": "step",
        "nodes": 1,
        "volume": "work",
        "sizes": SIZES,
        "places": PLACES,
    }
    return choices(**(given | other))


@pytest.mark.parametrize(
    ("name", "label", "image"),
    [
        ("v100", "nvidia-tesla-v100", "intent-store/train-v100:0.1.0"),
        ("a100", "nvidia-tesla-a100", "intent-store/train-cuda:0.1.0"),
        ("h100", "nvidia-h100-80gb", "intent-store/train-cuda:0.1.0"),
    ],
)
def test_a_name_is_a_selector_a_toleration_a_count_and_the_image_that_knows_it(name, label, image):
    outputs = as_outputs(choose(name, POOLS))
    assert outputs == {
        "node_selector": {GKE: label},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "resource": "nvidia.com/gpu",
        "count": "1",
        "image": image,
    }


def test_none_selects_nothing_and_asks_for_nothing_but_is_never_empty_text():
    outputs = as_outputs(choose(NONE, POOLS))
    assert (outputs["node_selector"], outputs["tolerations"], outputs["count"]) == ({}, [], "0")
    assert all(outputs[name] for name in ("resource", "count", "image"))


def test_another_cloud_brings_its_own_table_with_numbers_as_kubeflow_hands_them_over():
    pools = {
        "l4": {
            "node_selector": {"eks.amazonaws.com/instance-type": "g6.12xlarge"},
            "tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes"}],
            "count": 4.0,
            "image": "registry.example.com/train:7",
        }
    }
    outputs = as_outputs(choose("l4", pools))
    assert outputs["count"] == "4"
    assert outputs["image"] == "registry.example.com/train:7"


def test_an_image_lies_where_the_installation_says():
    settings = {"INTENT_STORE_IMAGE_TRAIN_CUDA": "registry.example.com/train-cuda:7"}
    assert image_of("train-cuda", settings) == "registry.example.com/train-cuda:7"


@pytest.mark.parametrize(
    ("accelerator", "pools", "told"),
    [
        ("a10", POOLS, "accelerator 'a10' (did you mean a100?): not one of none, v100, a100, h100"),
        ("tpu", POOLS, "accelerator 'tpu': not one of none, v100, a100, h100"),
        ("x", {"x": {}}, "pools.x.image: Field required"),
        ("x", {"x": {"image": "i", "count": -1}}, "pools.x.count: Input should be greater"),
        ("x", {"x": {"image": "i", "selector": {}}}, "pools.x.selector: Extra inputs"),
        (
            "x",
            {"x": {"image": "i", "tolerations": [{"operator": "Exist"}]}},
            "pools.x.tolerations.0.operator: String should match",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_told_by_name(accelerator, pools, told):
    with pytest.raises(AcceleratorError) as refusal:
        chosen(accelerator=accelerator, pools=pools)
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"training": "trainjobs"}, "training 'trainjobs' (did you mean trainjob?): not one of"),
        ({"sessions_engine": "polars"}, "sessions_engine 'polars': not one of duckdb, spark"),
        ({"nodes": 0}, "nodes 0: at least 1"),
    ],
)
def test_every_enumeration_is_checked_in_the_first_step(given, told):
    with pytest.raises(ChoiceError) as refusal:
        chosen(**given)
    assert told in str(refusal.value)


def test_a_place_is_as_given_or_as_configured(monkeypatch):
    monkeypatch.setenv("INTENT_STORE_URL", "redis://here:6379/0")
    places = chosen(places={**PLACES, "store": "configured"})
    assert (places["store"], places["registry"]) == ("redis://here:6379/0", "/r")
    monkeypatch.delenv("INTENT_STORE_REGISTRY", raising=False)
    with pytest.raises(PlaceError, match="ConfigMap intent-store has no key registry"):
        chosen(places={**PLACES, "registry": "configured"})


def test_a_job_that_trains_takes_the_accelerator_and_the_step_that_waits_for_it_none():
    outputs = chosen(accelerator="a100", training="trainjob", nodes=4)
    job = outputs["training_job"]
    assert (job["nodes"], job["gpus_per_node"]) == (4, 1)
    assert job["node_selector"] == {GKE: "nvidia-tesla-a100"}
    assert (outputs["pretrain_count"], outputs["pretrain_node_selector"]) == ("0", {})
    assert outputs["count"] == "1"


def test_without_jobs_pre_training_runs_where_the_accelerator_is():
    outputs = chosen(accelerator="v100")
    assert outputs["training_job"] == outputs["sessions_job"] == {}
    assert outputs["pretrain_node_selector"] == outputs["node_selector"] != {}
