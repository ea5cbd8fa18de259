"""The simulated A/B tests in a report."""

from components.evaluation.online_section import online_section

ROW = {
    "use": "Notifications",
    "treatment": "expanded",
    "control": "exact",
    "days": 14,
    "requests": 50742,
    "clicks": 2.25,
    "clicks_low": -0.5,
    "clicks_high": 5.0,
    "applies": 10.0,
    "applies_low": 4.0,
    "applies_high": 16.0,
    "pch": None,
    "published_applies": 0.43,
    "published_pch": 1.45,
}


def test_each_treatment_stands_beside_the_papers_lifts():
    section = online_section({"online": [ROW]})
    (table,) = section.tables
    assert table.rows[0] == [
        "Notifications",
        "expanded",
        "exact",
        "+2.2 [−0.5, +5.0]",
        "+10.0 [+4.0, +16.0]",
        "too few",
        "+0.43",
        "+1.45",
    ]
    assert "50,742 requests" in section.text
