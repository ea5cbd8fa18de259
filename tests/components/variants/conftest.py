"""A small package, made of two files."""

import pytest

from components.variants.package import write_package


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a package of a variant, other content for another seed."""

    def write(service="ranker", name="full", seed=0, **about):
        model = tmp_path / "made" / f"model-{seed}"
        (model / "weights").mkdir(parents=True, exist_ok=True)
        (model / "weights" / "w.bin").write_bytes(bytes([seed]) * 1000)
        (tmp_path / "made" / "labels.txt").write_text("nurse\n")
        return write_package(
            tmp_path / "packages" / f"{service}-{name}-{seed}",
            {"ranker": model, "labels.txt": tmp_path / "made" / "labels.txt"},
            service=service,
            name=name,
            settings={"embed": {"chunks": 5}},
            lineage={"run": "quickstart-1", "seed": seed},
            metrics={"auc": 0.7},
            **about,
        )

    return write
