"""Which examples methods are measured on: every method, whenever it predicts, on the same ones."""

import numpy as np
import scipy.sparse as sp

from components.labels.examples import DATASETS, Examples


def measured_datasets(examples: Examples) -> list[str]:
    """List the data sets of which a test member has a label.

    Where nobody searches there is no D3: it would be D2 again.
    """
    datasets = [name for name in DATASETS if len(examples.select(name, "test")[0])]
    if not examples.table["searched"].any() and "D3" in datasets:
        datasets.remove("D3")
    return datasets


def draw_test_rows(
    examples: Examples, dataset: str, *, members: int, seed: int
) -> tuple[np.ndarray, sp.csr_matrix]:
    """Return the test examples of a data set, a random draw where there are too many.

    Args:
        examples: contexts, labels and the split.
        dataset: see `Examples.select`.
        members: most examples drawn.
        seed: of the draw.

    Returns:
        Ascending example rows int64[n], and their labels, float32 ones in CSR [n, L].
    """
    rows, labels = examples.select(dataset, "test")
    if len(rows) > members:
        drawn = np.sort(np.random.default_rng(seed).choice(len(rows), members, replace=False))
        rows, labels = rows[drawn], labels[drawn]
    return rows, labels
