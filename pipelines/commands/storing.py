"""The store: `intent store status`, `get`, `push`, `rollback` and `delete`."""

import argparse

from components.variants.names import DATASETS
from pipelines.commands.arguments import add_which_run, finished_run
from pipelines.local import runs

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
    from components.store.describe import status

    print(status(_url(options), options.dataset))


def _get(options: argparse.Namespace) -> None:
    from components.store.describe import record

    print(record(_url(options), options.dataset, options.member))


def _push(options: argparse.Namespace) -> None:
    from components.store.push import Source, newest_action, push

    run = finished_run(options)
    suffix = "" if options.dataset == DATASET else f"-{options.dataset}"
    pushed = push(
        _url(options),
        options.dataset,
        Source(
            run.path / f"vectors{suffix}" / "vectors", run.path / f"entities{suffix}" / "entities"
        ),
        data_time=newest_action(run.path / "sessions" / "sessions"),
        labels=run.path / "examples" / "examples" / "labels.parquet",
        keep=options.keep,
    )
    print(f"{options.dataset}: version {pushed.number} of {pushed.members:,} members is current")


def _rollback(options: argparse.Namespace) -> None:
    from components.store.describe import rollback

    print(rollback(_url(options), options.dataset))


def _delete(options: argparse.Namespace) -> None:
    from components.store.describe import delete

    for dataset in options.datasets or DATASETS:
        print(f"{dataset}: {delete(_url(options), dataset, options.member)}")


def _url(options: argparse.Namespace) -> str:
    return options.store or f"lmdb:{(options.runs / runs.STORE).resolve()}"
