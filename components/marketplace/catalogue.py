"""Everything the marketplace offers: occupations, employers, postings, skills and queries."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.config import MarketplaceConfig
from components.marketplace.occupations import Occupations, build_occupations
from components.marketplace.postings import Companies, Postings, build_companies, build_postings
from components.marketplace.queries import Queries, build_queries, build_skills, rank_postings


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What members of a marketplace may look for.

    Attributes:
        skills: of each occupation's specialities: the domain's tool, its own tool, its craft.
        ranked: postings for every goal, best first, int32[O, S + 1, LEVELS + 1, RESULTS]; the
            last speciality and level stand for "any".
    """

    occupations: Occupations
    skills: list[list[list[str]]]
    companies: Companies
    postings: Postings
    ranked: NDArray[np.int32]
    queries: Queries


def build_catalogue(config: MarketplaceConfig, *, seed: int) -> Catalogue:
    """Build the catalogue; the same sizes and seed give the same one."""
    rng = np.random.default_rng([seed, 0])
    occupations = build_occupations(config.occupations, config.specialities, rng=rng)
    skills = build_skills(occupations, rng)
    companies = build_companies(config.companies, rng)
    postings = build_postings(config.postings, occupations, companies, rng=rng)
    ranked = rank_postings(occupations, postings)
    queries = build_queries(occupations, skills, ranked)
    return Catalogue(occupations, skills, companies, postings, ranked, queries)
