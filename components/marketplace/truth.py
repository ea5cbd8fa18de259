"""What the generated marketplace knows and no model may: latent goals, and grades from them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from components.marketplace.catalogue import Catalogue
from components.marketplace.tables import save
from components.marketplace.words import CITIES, FAMILIES, QUERY_EXTRAS


def write_truth(catalogue: Catalogue, truth: Path) -> None:
    """Write what the catalogue's texts mean."""
    occupations, postings, queries = catalogue.occupations, catalogue.postings, catalogue.queries
    families = list(FAMILIES)
    np.save(truth / "closeness.npy", occupations.closeness)
    save(
        pa.table(
            {
                "occupation": occupations.names,
                "family": [families[f] for f in occupations.families],
                "popularity": occupations.popularity,
                "specialities": occupations.specialities,
                "neighbours": occupations.neighbours.tolist(),
            }
        ),
        truth / "occupations.parquet",
    )
    save(
        pa.table(
            {
                "company": [catalogue.companies[c] for c in postings.company],
                "title": postings.titles,
                "occupation": postings.occupation,
                "speciality": postings.speciality,
                "level": postings.level,
            }
        ),
        truth / "postings.parquet",
    )
    query, occupation, speciality, level, form = queries.meaning.T
    save(
        pa.table(
            {
                "query": pa.array(queries.texts).take(pa.array(query)),
                "occupation": occupation,
                "speciality": speciality,
                "level": level,
                "form": form,
            }
        ),
        truth / "queries.parquet",
    )
    save(pa.table({"extra": [*CITIES, *QUERY_EXTRAS]}), truth / "extras.parquet")
