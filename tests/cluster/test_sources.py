"""Where the source of Kubernetes comes from: the machine's own lists, in either form."""

from tests.cluster.kubernetes_source import source_lists


def test_lists_of_one_line_an_entry_become_lists_of_sources(tmp_path):
    (tmp_path / "sources.list").write_text(
        "# main\n"
        "deb [signed-by=/usr/share/keyrings/a.gpg] mirror://one stable main contrib\n"
        "deb-src mirror://one stable main\n"
        "#deb mirror://two stable main\n"
    )
    assert dict(source_lists(tmp_path)) == {
        "sources.list": (
            "deb-src [signed-by=/usr/share/keyrings/a.gpg] mirror://one stable main contrib\n"
        )
    }


def test_stanzas_become_stanzas_of_sources_and_those_switched_off_stay_so(tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(
        "Types: deb deb-src\nURIs: mirror://one\nSuites: stable\nSigned-By: /a.gpg\n"
        "\n"
        "Types: deb-src\nURIs: mirror://two\nSuites: stable\n"
        "\n"
        "Enabled: no\nTypes: deb\nURIs: mirror://three\nSuites: stable\n"
    )
    assert dict(source_lists(tmp_path)) == {
        "debian.sources": (
            "Types: deb-src\nURIs: mirror://one\nSuites: stable\nSigned-By: /a.gpg\n"
        )
    }


def test_a_list_of_other_files_is_left_alone(tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "other.sources.disabled").write_text("Types: deb\nURIs: mirror://one\n")
    assert dict(source_lists(tmp_path)) == {}
