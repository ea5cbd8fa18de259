"""What the paper reports of query recommendation: its Tables 3 and 5, and its notes in section 5.2.

Its members and labels are others than ours (500,000 labels, 16 million members to learn from), so
it is the order of the methods that a run can agree with, not the figures.
"""

TABLE_3: dict[str, dict[str, float]] = {
    method: dict(zip(("p@1", "p@3", "p@5", "ss@1", "ss@3", "ss@5", "coverage"), row, strict=True))
    for method, row in {
        "CNN+e2e": (0.525, 0.411, 0.348, 0.73, 0.68, 0.65, 0.097),
        "fastText+e2e": (0.575, 0.442, 0.368, 0.76, 0.70, 0.67, 0.158),
        "BERT+e2e": (0.80, 0.655, 0.546, 0.86, 0.81, 0.77, 0.122),
        "fastText+Slice": (0.418, 0.27, 0.21, 0.73, 0.69, 0.67, 0.699),
        "BERT_PT+Slice": (0.403, 0.27, 0.207, 0.73, 0.68, 0.66, 0.760),
        "BERT_FT+Slice": (0.696, 0.50, 0.384, 0.84, 0.78, 0.75, 0.766),
    }.items()
} | {"ACG": {"p@1": 0.567, "repeats@1": 0.993}, "MNSRF": {"p@1": 0.31}}
"""On D2. Of ACG and MNSRF the text tells no more, and not whether MNSRF's figure is of D2 too."""

TABLE_5: dict[str, dict[str, float]] = {
    "fastText+Slice": {"perfect": 0.375, "good": 0.191, "fair": 0.23, "bad": 0.21},
    "BERT_FT+Slice": {"perfect": 0.64, "good": 0.16, "fair": 0.11, "bad": 0.09},
}
"""On D3, by editors; the shares as printed, which for fastText+Slice add up to 1.006."""

PUBLISHED = {"D2": TABLE_3, "D3": TABLE_5}

ORDERS = {("D2", "p@1"): TABLE_3, ("D2", "coverage"): TABLE_3, ("D3", "perfect"): TABLE_5}
"""Figures by which the methods' order is compared, of a data set."""

SAME_FEATURES = (("BERT_FT+Slice", "BERT+e2e"), ("fastText+Slice", "fastText+e2e"))
"""Slice beside the network end to end: the paper's second observation is on their coverage."""
