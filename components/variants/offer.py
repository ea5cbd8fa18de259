"""Registering variants: into the registry, to where they are to run, and into experiments at 0%."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from components.experiments.places import SCHEME, Folder, Place, open_place
from components.variants.deploy import EXPERIMENTS, MANAGER, deploy, write_manifest
from components.variants.enrol import enrol
from components.variants.package import About, open_package
from components.variants.registry import Registered, package_uri, register


class Offered(NamedTuple):
    """What registering did, or would do.

    Attributes:
        records: places in the registry; none of a dry run.
        told: one line per change elsewhere, as a person would be told.
    """

    records: list[Registered]
    told: list[str]


def offer(
    packages: Sequence[Path],
    registry: str,
    experiments: str | Path,
    *,
    experiment: str | None = None,
    manifests: Path | None = None,
    credentials: Path | None = None,
    dry_run: bool = False,
) -> Offered:
    """Register variants; registering the same again changes nothing, a ramp least of all.

    Each package goes into the registry. Where experiments are on a cluster, its InferenceService
    is applied there, and what is new joins its service's experiment at 0%. Where `manifests` is
    given, both are written there instead, for a person to commit.

    Args:
        packages: directories, the control of a new experiment first.
        registry: a folder, or gs://bucket/prefix.
        experiments: a folder of manifests, or kubernetes:NAMESPACE, as `open_place` takes it.
        experiment: to add them to; needed where a service has several.
        manifests: folder of a repository that says what runs on a cluster.
        credentials: directory of the service account to use on a cluster, when it is there.
        dry_run: check everything and change nothing; a cluster checks too.

    Raises:
        VariantError: a package is damaged, or cannot be registered.
        ExperimentsError: an experiment cannot take one more treatment.
        ClusterError: the cluster refuses it.
    """
    abouts = [open_package(package).about for package in packages]
    records = [] if dry_run else [register(package, registry) for package in packages]
    uris = {about.model: package_uri(about, registry) for about in abouts}
    told: list[str] = []
    place: Place
    if manifests is not None:
        for about in abouts:
            told += write_manifest(manifests, about, uris[about.model], dry_run=dry_run)
        place = Folder(manifests / EXPERIMENTS, may_be_missing=True)
    elif str(experiments).startswith(SCHEME):
        told += _deploy(str(experiments), abouts, uris, credentials, dry_run)
        place = open_place(experiments, manager=MANAGER, credentials=credentials)
    else:
        place = Folder(Path(experiments), may_be_missing=True)
    told += enrol(place, abouts, experiment=experiment, dry_run=dry_run)
    return Offered(records, told)


def _deploy(
    place: str,
    abouts: Sequence[About],
    uris: dict[str, str],
    credentials: Path | None,
    dry_run: bool,
) -> list[str]:
    from components.cluster.client import connect, own_namespace

    api = connect(credentials)
    namespace = place.removeprefix(SCHEME) or own_namespace(credentials)
    return [
        line
        for about in abouts
        for line in deploy(api, namespace, about, uris[about.model], dry_run=dry_run)
    ]
