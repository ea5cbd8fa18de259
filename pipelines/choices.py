"""What a run chooses beside its recipe: machines, engines, places; checked before it starts."""

import difflib
import os
from collections.abc import Mapping
from typing import Any

from components.errors import IntentError
from pipelines.accelerators import as_outputs, choose, image_of
from pipelines.places import SETTINGS, place

STEP, TRAINJOB = TRAINING = ("step", "trainjob")
"""Where pre-training runs: in its step, or as a TrainJob that the step creates and follows."""

DUCKDB, SPARK = SESSIONS = ("duckdb", "spark")
"""What cuts sessions: DuckDB in the step, or a SparkApplication that the step creates."""

TASKS = ("register", "analyse", "both")
"""What the experiment pipeline may be asked for."""

PLACES = {"store": "store-url", "registry": "registry", "experiments": "experiments"}
"""Parameters that name a place, and the settings that they are configured by."""

DAY = 86_400


class ChoiceError(IntentError):
    """A parameter that is none of its choices; names it and them."""


def one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    """Return a parameter's value.

    Raises:
        ChoiceError: it is not one of those known.
    """
    if given not in known:
        near = difflib.get_close_matches(given, known, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise ChoiceError(f"{name} {given!r}{meant}: not one of {', '.join(known)}")
    return given


def at_least_one(name: str, given: int) -> int:
    """Return a parameter's value.

    Raises:
        ChoiceError: it is below 1.
    """
    if given < 1:
        raise ChoiceError(f"{name} {given}: at least 1")
    return given


def choices(
    *,
    accelerator: str,
    pools: Mapping[str, Any],
    sessions_engine: str,
    training: str,
    nodes: int,
    volume: str,
    sizes: Mapping[str, str],
    places: Mapping[str, str],
) -> dict[str, Any]:
    """Check what was chosen for a run, and work out what its steps are given.

    Args:
        accelerator: name of a pool.
        pools: see `accelerators.POOLS`.
        sessions_engine: one of SESSIONS.
        training: one of TRAINING.
        nodes: of a TrainJob.
        volume: claim of the volume that steps and jobs share.
        sizes: `cpu`, `memory`, `accelerated_cpu` and `accelerated_memory`, as Kubernetes writes
            them.
        places: store, registry and experiments, as given.

    Returns:
        Outputs of the first step: where accelerated steps run, where pre-training's does (nowhere
        special when a job does the work), the jobs ({} for none) and the places.

    Raises:
        IntentError: a choice is wrong; names the parameter.
    """
    one_of("sessions_engine", sessions_engine, SESSIONS)
    one_of("training", training, TRAINING)
    at_least_one("nodes", nodes)
    chosen = as_outputs(choose(accelerator, pools))
    idle = {**chosen, "node_selector": {}, "tolerations": [], "count": "0"}
    launcher = {**idle, "image": image_of("train")}
    own = chosen if training == STEP else launcher
    return {
        **chosen,
        **{f"pretrain_{name}": value for name, value in own.items()},
        "training_job": {} if training == STEP else _train_job(chosen, nodes, volume, sizes),
        "sessions_job": {} if sessions_engine == DUCKDB else _spark_job(nodes, volume, sizes),
        **{name: place(name, given, PLACES[name]) for name, given in places.items()},
    }


def _train_job(
    chosen: Mapping[str, Any], nodes: int, volume: str, sizes: Mapping[str, str]
) -> dict[str, Any]:
    count = int(chosen["count"])
    return {
        **_job("trainer-service-account", nodes, volume),
        "image": chosen["image"],
        "node_selector": chosen["node_selector"],
        "tolerations": chosen["tolerations"],
        "processes_per_node": max(count, 1),
        "gpus_per_node": count,
        "cpu": sizes["accelerated_cpu"],
        "memory": sizes["accelerated_memory"],
        "timeout": 3 * DAY,
    }


def _spark_job(nodes: int, volume: str, sizes: Mapping[str, str]) -> dict[str, Any]:
    return {
        **_job("spark-service-account", nodes, volume),
        "image": image_of("train"),
        "cpu": sizes["cpu"],
        "memory": sizes["memory"],
        "timeout": DAY,
    }


def _job(account: str, nodes: int, volume: str) -> dict[str, Any]:
    """Give what both kinds of job have; what is not configured is left to the job's own default."""
    settings = {
        "release": "kubeflow-release",
        "queue": "queue",
        "runtime": "training-runtime",
        "service_account": account,
    }
    found = {name: os.environ.get(SETTINGS[setting]) for name, setting in settings.items()}
    configured = {name: value for name, value in found.items() if value}
    return {"nodes": nodes, "volume_claim": volume, **configured}
