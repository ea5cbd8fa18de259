"""What the report says about candidate selection."""

from components.evaluation.candidates_section import candidates_section


def row(method, published=None):
    figures = {"auc": 0.85, "auc_low": 0.83, "auc_high": 0.87}
    figures |= {"f1": 0.2, "f1_low": 0.1, "f1_high": 0.3}
    counts = {"pairs": 3000, "applied": 60, "members": 50, "retrieved": 4820.0}
    shares = {"precision": 0.1, "recall": 0.3, "recall_100": 0.2, "recall_500": 0.6}
    beside = {"published_auc_percent": published, "published_f1_percent": published}
    return {"method": method} | figures | counts | shares | beside


def difference(method, published):
    figures = {"difference": 0.016, "low": 0.009, "high": 0.022, "percent": 1.87}
    return {
        "method": method,
        "against": "baseline",
        "measure": "auc",
        "published": published,
    } | figures


def test_variants_stand_with_intervals_and_published_differences():
    ours = "baseline + BERT_FT entities + SANNS"
    tables = {
        "candidates": [row("baseline"), row(ours, 3.85), row("baseline + views")],
        "candidates_differences": [difference(ours, 3.85), difference("baseline + views", None)],
    }
    section = candidates_section(tables)
    variants, differences = section.tables
    assert variants.rows[1][:3] == [ours, ".850 [.830, .870]", ".200 [.100, .300]"]
    assert variants.ours == [ours]
    assert variants.floors == ["baseline + views"]
    assert differences.rows[0][2:] == ["AUC", ".016 [.009, .022]", "+1.87%", "+3.85%"]
    assert differences.rows[1][-1] == ""
    assert "3,000 pairs of 50 test members" in section.text
