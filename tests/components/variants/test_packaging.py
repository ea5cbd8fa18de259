"""What a run offers of candidate selection."""

import json

import pytest

from components.variants.names import FASTTEXT, FINETUNED
from components.variants.packaging import CANDIDATES, Origin, package_candidates, packages_below


@pytest.fixture
def run(tmp_path):
    """Directories of a run, as the steps leave them."""
    for name in ("encoder", "vectors", "slices", "examples", "candidates"):
        (tmp_path / name).mkdir()
    (tmp_path / "encoder" / "weights").write_text("w")
    (tmp_path / "vectors" / "vectors.json").write_text('{"encoder": "e1", "dimension": 4}')
    (tmp_path / "slices" / "chosen.json").write_text('{"D2": "one", "D1-new": "two"}')
    (tmp_path / "slices" / "one").write_text("s")
    (tmp_path / "examples" / "labels.parquet").write_text("l")
    return tmp_path


def packaged(run):
    def both(part):
        return {FINETUNED: run / part, FASTTEXT: run / part}

    return package_candidates(
        run / "variants",
        run / "candidates",
        both("encoder"),
        both("vectors"),
        both("slices"),
        run / "examples",
        Origin({"embed": {}}, {"run": "r"}),
    )


def test_a_run_without_candidates_offers_none(run):
    assert packaged(run) == []
    assert packages_below(run / "variants") == []


def test_each_variant_has_its_figures_and_the_baseline_reads_no_vectors(run):
    rows = [
        {"method": method, "auc": 0.5 + number / 10, "f1": 0.1}
        for number, method in enumerate(CANDIDATES.values())
    ]
    (run / "candidates" / "measured.json").write_text(json.dumps({"rows": rows}))
    for name in CANDIDATES:
        (run / "candidates" / name).mkdir()
        (run / "candidates" / name / "about.json").write_text(name)
    control, *others = [package.about for package in packaged(run)]
    assert (control.model, control.dataset, control.encoder) == ("candidates-baseline", None, None)
    assert list(control.files) == ["candidates/about.json", "settings.json"]
    assert control.metrics == {"auc": 0.5, "f1": 0.1}
    for about in others:
        assert (about.dataset, about.encoder, about.dimension) == (about.name, "e1", 4)
        assert {"encoder/weights", "examples/labels.parquet", "slices/any"} < set(about.files)
    assert [path.name for path in packages_below(run / "variants")] == list(CANDIDATES)
