"""Settings of Slice."""

from typing import Literal

from pydantic import Field

from components.config import Config


class SliceConfig(Config):
    """How Slice finds hard negatives, trains its classifiers and predicts."""

    neighbours: int = Field(default=50, ge=1, le=10_000)
    """Labels on a shortlist, per training point and per prediction; the paper's num_nbrs is 300."""
    index: Literal["auto", "exact", "clusters", "hnsw"] = "auto"
    """How the nearest centroids are found; `auto` is `exact` for few labels, else `clusters`."""
    exact_labels: int = Field(default=5_000, ge=0)
    """Most labels that `auto` compares exactly; every one of them is then scored and ranked."""
    clusters_per_root: float = Field(default=4.0, gt=0)
    """Clusters of the index, in units of the square root of the number of labels."""
    probes: int = Field(default=64, ge=1)
    """Clusters compared per point."""
    hnsw_links: int = Field(default=32, ge=2, le=512)
    """Links per label in the HNSW graph; the paper's M is 100."""
    hnsw_build_width: int = Field(default=64, ge=1)
    """Candidates kept while the graph is built; the paper's efConstruction is 300."""
    hnsw_search_width: int = Field(default=128, ge=1)
    """Candidates kept while the graph is searched; the paper's efSearch is 300."""
    random_negatives: int = Field(default=100, ge=0)
    """Points drawn per label, besides its hard negatives, to stand for all the others."""
    random_negatives_total: int = Field(default=4_000_000, ge=0)
    """With few labels, more are drawn per label: this many in all."""
    negatives_per_positive: float = Field(default=3.0, ge=0)
    """With many positives, more are drawn too: this many for each."""
    cost: float = Field(default=0.5, gt=0)
    """C of the squared-hinge loss: higher fits the training points more closely."""
    rounds: int = Field(default=10, ge=1)
    """Most passes of coordinate descent over a label's points."""
    tolerance: float = Field(default=0.1, gt=0)
    """Largest projected gradient at which a label counts as solved."""
    weight_threshold: float = Field(default=1e-6, ge=0)
    """Weights smaller than this in magnitude are set to 0, as in the paper."""
    similarity_scale: float = Field(default=0.5, ge=0)
    """Gamma, by which the cosine is multiplied, in units of the classifiers' mean norm."""
