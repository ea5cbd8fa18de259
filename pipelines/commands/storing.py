"""The store: `intent store status`, `get`, `push`, `rollback` and `delete`."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.commands.arguments import add_which_run, finished_run
from pipelines.local import runs

if TYPE_CHECKING:
    from components.store.store import Role, Store

DATASETS = ("finetuned", "fasttext")
"""What the pipeline pushes."""

DATASET = DATASETS[0]


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    store = commands.add_parser(
        "store",
        help="look members up in the store, push to it, roll it back",
        description="The versioned key-value store that holds every member's activity vector and "
        "predicted entities.",
    )
    actions = store.add_subparsers(title="actions", metavar="ACTION", required=True)

    status = actions.add_parser("status", help="list the versions of a dataset")
    status.set_defaults(do=_status)

    get = actions.add_parser("get", help="print a member's record")
    get.add_argument("member", metavar="MEMBER", help="a member's id")
    get.set_defaults(do=_get)

    push = actions.add_parser(
        "push",
        help="push a run's vectors and entities as a new version",
        description="Write a run's vectors and entities beside the current version, check them, "
        "and switch. The run's own publish steps do the same.",
    )
    push.add_argument("--keep", metavar="N", type=int, default=2, help="versions (default: 2)")
    push.set_defaults(do=_push)

    rollback = actions.add_parser("rollback", help="return at once to the version before")
    rollback.set_defaults(do=_rollback)

    delete = actions.add_parser(
        "delete",
        help="delete a member everywhere, and keep him out of later pushes",
        description="Delete a member from every version of the datasets; later pushes and updates "
        "leave him out.",
    )
    delete.add_argument("member", metavar="MEMBER", help="a member's id")
    delete.add_argument(
        "--dataset",
        dest="datasets",
        metavar="NAME",
        action="append",
        help=f"content; may be repeated (default: {' and '.join(DATASETS)})",
    )
    delete.set_defaults(do=_delete)

    for action in (status, get, push, rollback, delete):
        action.add_argument(
            "--store",
            metavar="URL",
            help="lmdb:DIRECTORY, redis://, rediss://, redis+cluster:// or rediss+cluster:// "
            "(default: store, beside the runs)",
        )
        add_which_run(action)
    for action in (status, get, push, rollback):
        action.add_argument(
            "--dataset", metavar="NAME", default=DATASET, help=f"content (default: {DATASET})"
        )


def _status(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("version", "status", "members", "data until", "pushed", "model"):
        table.add_column(name, justify="right" if name == "members" else "left", no_wrap=True)
    with _open(options) as store:
        deleted = len(store.deleted())
        for version in store.versions():
            table.add_row(
                str(version.number),
                version.status,
                f"{version.members:,}",
                _time(version.data_time)[: len("2026-01-31")],
                _time(version.pushed_at),
                version.model,
            )
    Console().print(table)
    print(f"{deleted:,} members deleted")


def _get(options: argparse.Namespace) -> None:
    from components.store.errors import StoreError

    with _open(options) as store:
        record, version = store.get(options.member), store.current()
        if record is None or version is None:
            raise StoreError(f"{options.dataset}: holds no member {options.member!r}")
        labels = store.labels()
    print(f"{record.member_id}: version {record.version}, data until {_time(record.data_time)}")
    shown = ", ".join(f"{value:.3f}" for value in record.vector[:6])
    print(f"vector of {len(record.vector)}: {shown}, ...")
    texts = labels["text"].to_pylist() if labels is not None else None
    ranked = zip(version.schema.surfaces, record.labels, record.scores, strict=True)
    for surface, numbers, scores in ranked:
        print(f"{surface}:")
        for label, score in zip(numbers.tolist(), scores.tolist(), strict=True):
            if label >= 0:
                print(f"  {score:.3f}  {texts[label] if texts else label}")


def _push(options: argparse.Namespace) -> None:
    from components.store.push import Source, push

    run = finished_run(options)
    suffix = "" if options.dataset == DATASET else f"-{options.dataset}"
    pushed = push(
        _url(options),
        options.dataset,
        Source(
            run.path / f"vectors{suffix}" / "vectors", run.path / f"entities{suffix}" / "entities"
        ),
        data_time=_newest_action(run),
        labels=run.path / "examples" / "examples" / "labels.parquet",
        keep=options.keep,
    )
    print(f"{options.dataset}: version {pushed.number} of {pushed.members:,} members is current")


def _rollback(options: argparse.Namespace) -> None:
    with _open(options, "writer") as store:
        version = store.rollback()
    print(f"{options.dataset}: back to version {version.number} of {_time(version.pushed_at)}")


def _delete(options: argparse.Namespace) -> None:
    from components.store.store import open_store

    for dataset in options.datasets or DATASETS:
        with open_store(_url(options), dataset=dataset, role="writer") as store:
            new = store.delete(options.member)
        print(f"{dataset}: {options.member} {'deleted' if new else 'was deleted already'}")


def _open(options: argparse.Namespace, role: "Role" = "reader") -> "Store":
    from components.store.store import open_store

    return open_store(_url(options), dataset=options.dataset, role=role)


def _url(options: argparse.Namespace) -> str:
    return options.store or f"lmdb:{(options.runs / runs.STORE).resolve()}"


def _newest_action(run: runs.Run) -> int:
    from components.activity.sessions import newest_action

    return newest_action(run.path / "sessions" / "sessions")


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
