"""Break a suggestions variant as a mistake would: all is well-formed, but its labels are mixed up.

The package is whole, its server becomes ready, the store's records are those of the original, and
every label number has a text. Only it is another label's.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.labels.examples import read_labels
from components.store.push import Source, push
from components.store.store import Store, open_store
from components.variants.package import ABOUT, SETTINGS, Package, open_package, write_package
from serving.fortnight.errors import FortnightError

BROKEN = "broken"
_EXAMPLES, _LABELS = "examples", "labels.parquet"
_COLUMNS = {"any": ("labels", "scores"), "explore": ("explore_labels", "explore_scores")}


def break_suggestions(package: Path, target: Path, *, store: str, seed: int) -> Package:
    """Make a package of a suggestions variant with mixed-up labels, and its dataset.

    Args:
        package: of the variant to break; it stays as it is.
        target: directory to write.
        store: URL that holds the variant's dataset; a dataset `<dataset>-broken` is pushed.
        seed: decides which label gets which text.

    Raises:
        FortnightError: the package is not of a suggestions variant, or its dataset is empty.
        VariantError: the package is damaged.
        StoreError: the store is out of reach or full.
    """
    whole = open_package(package)
    about = whole.about
    if about.service != "suggestions" or about.dataset is None:
        raise FortnightError(f"{package}: not a suggestions variant that reads a store")
    labels = read_labels(package / _EXAMPLES)
    order = np.random.default_rng(seed).permutation(len(labels))
    numbers = labels.column_names.index("label")
    mixed = labels.take(order).set_column(numbers, "label", labels["label"])
    dataset = f"{about.dataset}-{BROKEN}"
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        examples = Path(folder) / _EXAMPLES
        examples.mkdir()
        pq.write_table(mixed, examples / _LABELS)
        with open_store(store, dataset=about.dataset) as original:
            _push_again(original, mixed, store, dataset, Path(folder))
        parts = {
            own.name: own for own in package.iterdir() if own.name not in (ABOUT, SETTINGS)
        } | {_EXAMPLES: examples}
        return write_package(
            target,
            parts,
            service=about.service,
            name=BROKEN,
            settings=whole.settings(),
            dataset=dataset,
            **about.model_dump(
                include={"encoder", "encoder_kind", "dimension", "parameters", "lineage"}
            ),
        )


def _push_again(original: Store, labels: pa.Table, store: str, dataset: str, folder: Path) -> None:
    version = original.current()
    if version is None:
        raise FortnightError(f"{store}: dataset {dataset.removesuffix(f'-{BROKEN}')} is empty")
    found = list(original.scan())
    names = pa.array([name for batch in found for name in batch.member_ids], pa.string())
    vectors = np.concatenate([batch.vectors for batch in found])
    lists = np.concatenate([batch.labels for batch in found])
    scores = np.concatenate([batch.scores for batch in found])
    columns: dict[str, pa.Array] = {"member_id": names}
    for at, surface in enumerate(version.schema.surfaces):
        known = lists[:, at] >= 0
        offsets = pa.array(np.append(0, np.cumsum(known.sum(1))), pa.int32())
        named, scored = _COLUMNS[surface]
        columns[named] = pa.ListArray.from_arrays(offsets, pa.array(lists[:, at][known]))
        columns[scored] = pa.ListArray.from_arrays(offsets, pa.array(scores[:, at][known]))
    source = Source(folder / "vectors", folder / "entities.parquet")
    save_member_vectors(source.vectors, MemberVectors(names, vectors, {}, version.model))
    pq.write_table(pa.table(columns), source.entities)
    push(
        store,
        dataset,
        source,
        data_time=version.data_time,
        model=version.model,
        schema=version.schema,
        labels=labels,
    )
