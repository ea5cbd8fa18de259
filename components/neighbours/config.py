"""Settings of the search for similar members."""

from typing import Literal

from pydantic import Field

from components.config import Config

IndexKind = Literal["exact", "clusters", "hnsw"]


class NeighboursConfig(Config):
    """How members' vectors are partitioned, indexed and searched."""

    shards: int = Field(default=1, ge=1, le=4096)
    """Random parts of equal size, searched in parallel; the paper has 16."""
    index: Literal["auto"] | IndexKind = "auto"
    """How a shard is searched; `auto` is `exact` for few members, else `clusters`; the paper has
    `hnsw`."""
    exact_members: int = Field(default=5_000, ge=0)
    """Most members of a shard that `auto` compares one and all. Clusters answered 1.6 times as many
    searches for 10 of 5,000 x 512, 2.4 times of 10,000 and 20 times of 100,000, at recall 0.995."""
    recall: float = Field(default=0.995, gt=0, le=1)
    """Share of the nearest that `clusters` must find among a sample of its own members; where it
    cannot, `auto` compares one and all."""
    head: int = Field(default=64, ge=0)
    """Principal axes on which vectors are compared first, before the best are compared in full;
    0 compares in full from the start."""
    clusters_per_root: float = Field(default=2.0, gt=0)
    """Clusters of a shard, in units of the square root of its number of members."""
    hnsw_links: int = Field(default=32, ge=2, le=512)
    """Links per member in the HNSW graph; the paper's M is 48."""
    hnsw_build_width: int = Field(default=100, ge=1)
    """Candidates kept while the graph is built; the paper's efConstruction is 32."""
    hnsw_search_width: int = Field(default=400, ge=1)
    """Candidates kept while the graph is searched; the paper's efSearch is 1000."""
    threads: int | None = Field(default=None, ge=1)
    """Threads that build and search; all cores when not given."""
