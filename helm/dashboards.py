"""Write the chart's Grafana dashboards: `python -m helm.dashboards`.

A dashboard is a list of rows of panels, and a panel is a title, a unit and a few PromQL
expressions by their legend; everything else that Grafana wants is the same for all of them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "intent-store" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}


class Panel(NamedTuple):
    """A graph over time.

    Attributes:
        title: above the graph.
        unit: Grafana's name of the unit.
        queries: legend to expression.
        tells: what to see in it.
    """

    title: str
    unit: str
    queries: dict[str, str]
    tells: str = ""


class Dashboard(NamedTuple):
    """A page of graphs.

    Attributes:
        name: of its file, and its address in Grafana.
        title: its name.
        namespaces: metric whose namespaces can be chosen from.
        rows: panels by the title of their row.
    """

    name: str
    title: str
    namespaces: str
    rows: dict[str, list[Panel]]


def now(metric: str, where: str = "") -> str:
    """A metric or record of the chosen namespace, as it is."""
    return f'{metric}{{namespace="$namespace"{where}}}'


def rate(metric: str, by: str = "", where: str = "") -> str:
    """A counter's growth per second."""
    return f"sum by ({by}) (rate({now(metric, where)}[$__rate_interval]))"


def hourly(metric: str, by: str = "") -> str:
    """A counter's growth within an hour."""
    return f"sum by ({by}) (increase({now(metric)}[1h]))"


def quantile(share: float, histogram: str, by: str, where: str = "") -> str:
    """A quantile of a histogram."""
    labels = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, where)})"


_REQUESTS, _SECONDS = "intent_router_requests_total", "intent_router_request_seconds"
_IN = ', experiment!=""'
_VARIANT, _SHARE = "{{experiment}} {{variant}}", "experiment, variant"

ROUTER = Dashboard(
    "router",
    "Intent Store: router",
    "intent_router_generation",
    {
        "Requests": [
            Panel("Requests", "reqps", {"{{service}}": now("intent_store:router_requests:rate5m")}),
            Panel(
                "Share that fails",
                "percentunit",
                {"{{service}}": now("intent_store:router_errors:ratio_rate5m")},
                "Errors of ours that reach a client; the objective allows 0.1%.",
            ),
            Panel(
                "Time until the answer has gone out",
                "s",
                {
                    "median {{service}}": quantile(0.5, _SECONDS, "service"),
                    "p99 {{service}}": quantile(0.99, _SECONDS, "service"),
                },
            ),
            Panel(
                "Answers by status",
                "reqps",
                {"{{protocol}} {{status}}": rate(_REQUESTS, "protocol, status")},
            ),
        ],
        "Experiments": [
            Panel(
                "Declared percent",
                "percent",
                {_VARIANT: f"max by ({_SHARE}) ({now('intent_router_variant_percent')})"},
            ),
            Panel(
                "Observed percent of requests, 6 hours",
                "percent",
                {_VARIANT: now("intent_store:router_variant_percent:observed6h")},
                "Counts requests; the analysis counts units, and tests the ratio.",
            ),
            Panel(
                "Share answered by the control instead",
                "percentunit",
                {_VARIANT: now("intent_store:router_fallbacks:ratio_rate5m", _IN)},
            ),
            Panel(
                "Time by who served, 99th percentile",
                "s",
                {"{{experiment}} {{served}}": quantile(0.99, _SECONDS, "experiment, served", _IN)},
            ),
            Panel(
                "Requests without unit, or given a variant by name",
                "reqps",
                {
                    "{{service}} {{reason}}": rate(
                        _REQUESTS, "service, reason", ', reason=~"no unit|override|stopped"'
                    )
                },
            ),
            Panel(
                "Guardrails tripped",
                "short",
                {"{{pod}}": now("intent_router_guardrail_trips_total")},
            ),
        ],
        "The router itself": [
            Panel(
                "Configuration",
                "short",
                {
                    "failing {{pod}}": now("intent_router_configuration_failing"),
                    "manifests' place away {{pod}}": now("intent_router_watch_failing"),
                    "manifests refused {{pod}}": now("intent_router_manifests_rejected"),
                    "upstreams away {{pod}}": now("intent_router_upstreams_away"),
                },
                "All of these are 0 when things are well.",
            ),
            Panel("Configurations so far", "short", {"{{pod}}": now("intent_router_generation")}),
            Panel(
                "Connections",
                "short",
                {"{{state}}": f"sum by (state) ({now('intent_router_connections')})"},
            ),
            Panel(
                "Exposures",
                "short",
                {
                    "shipped {{pod}}": hourly("intent_router_exposures_shipped_total", "pod"),
                    "bad {{pod}}": hourly("intent_router_exposures_bad_total", "pod"),
                },
                "Per hour.",
            ),
        ],
    },
)
MODELS = Dashboard(
    "models",
    "Intent Store: models",
    "intent_model_ready",
    {
        "Answers": [
            Panel("Requests", "reqps", {"{{model}}": now("intent_store:model_requests:rate5m")}),
            Panel(
                "Share that fails",
                "percentunit",
                {"{{model}}": now("intent_store:model_errors:ratio_rate5m")},
            ),
            Panel(
                "Time to the answer, 99th percentile",
                "s",
                {"{{model}}": now("intent_store:model_seconds:p99_5m")},
            ),
            Panel(
                "Time by variant, median",
                "s",
                {_VARIANT: quantile(0.5, "intent_request_seconds", _SHARE, _IN)},
            ),
            Panel(
                "Instances",
                "short",
                {"{{model}}": rate("intent_instances_total", "model")},
                "Members, postings or texts a second.",
            ),
            Panel(
                "Trails encoded together, mean",
                "short",
                {
                    "{{encoder}}": f"{rate('intent_batch_items_sum', 'encoder')} / "
                    f"{rate('intent_batch_items_count', 'encoder')}"
                },
            ),
        ],
        "State": [
            Panel(
                "Servers ready",
                "short",
                {"{{model}} {{version}}": f"sum by (model, version) ({now('intent_model_ready')})"},
            ),
            Panel(
                "New versions",
                "short",
                {"{{model}} {{outcome}}": hourly("intent_model_loads_total", "model, outcome")},
                "Per hour.",
            ),
            Panel(
                "Questions to the store",
                "reqps",
                {"{{dataset}} {{outcome}}": rate("intent_store_lookups_total", "dataset, outcome")},
            ),
            Panel("Memory", "bytes", {"{{pod}}": now("process_resident_memory_bytes")}),
        ],
    },
)
NEARLINE = Dashboard(
    "nearline",
    "Intent Store: nearline",
    "intent_nearline_messages_total",
    {
        "Keeping up": [
            Panel(
                "Behind the topic",
                "s",
                {"partition {{partition}}": now("intent_nearline_behind_seconds")},
                "Age of the last message read while more are waiting.",
            ),
            Panel(
                "Messages waiting",
                "short",
                {"partition {{partition}}": now("intent_nearline_lag_messages")},
            ),
            Panel(
                "Messages",
                "short",
                {"{{pod}}": rate("intent_nearline_messages_total", "pod")},
                "A second.",
            ),
            Panel(
                "Time that a batch takes",
                "s",
                {
                    "median": quantile(0.5, "intent_nearline_batch_seconds", ""),
                    "p99": quantile(0.99, "intent_nearline_batch_seconds", ""),
                },
            ),
        ],
        "What becomes of actions": [
            Panel(
                "Sessions and chunks",
                "short",
                {
                    "sessions closed": rate("intent_nearline_sessions_total"),
                    "chunks encoded": rate("intent_nearline_chunks_total"),
                },
                "A second.",
            ),
            Panel(
                "Members with a session under way",
                "short",
                {"{{pod}}": now("intent_nearline_open_members")},
            ),
            Panel(
                "Records",
                "short",
                {"{{result}}": rate("intent_nearline_records_total", "result")},
                "By what became of them in the store, a second.",
            ),
            Panel(
                "What is left out",
                "short",
                {
                    "dead letters: {{reason}}": hourly(
                        "intent_nearline_dead_letters_total", "reason"
                    ),
                    "late": hourly("intent_nearline_late_actions_total"),
                    "lost": hourly("intent_nearline_lost_messages_total"),
                },
                "Per hour.",
            ),
            Panel(
                "Attempts repeated",
                "short",
                {"{{of}}": hourly("intent_nearline_failures_total", "of")},
                "Per hour.",
            ),
        ],
    },
)
DASHBOARDS = (ROUTER, MODELS, NEARLINE)

_WIDTH, _HEIGHT = 12, 8


def written(dashboard: Dashboard) -> str:
    """Return a dashboard as Grafana reads it."""
    content = {
        "uid": f"intent-store-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["intent-store"],
        "schemaVersion": 39,
        "editable": False,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": list(_choices(dashboard))},
        "panels": list(_panels(dashboard)),
    }
    return json.dumps(content, indent=2) + "\n"


def main() -> None:
    """Write all of them."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(written(dashboard))


def _choices(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({dashboard.namespaces}, namespace)",
        "refresh": 2,
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in dashboard.rows.items():
        number += 1
        place = {"x": 0, "y": top, "w": 2 * _WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top += 1
        for index, panel in enumerate(panels):
            number += 1
            x, y = _WIDTH * (index % 2), top + _HEIGHT * (index // 2)
            yield _panel(number, panel) | {"gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT}}
        top += _HEIGHT * ((len(panels) + 1) // 2)


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.tells,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    main()
