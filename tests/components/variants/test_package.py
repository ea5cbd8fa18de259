"""A package is what was written, or it is refused."""

import json

import pytest

from components.variants.errors import VariantError
from components.variants.package import open_package, write_package


def test_a_package_says_what_it_is_and_holds_its_parts(package):
    written = package(encoder="v1", dimension=8)
    opened = open_package(written.path)
    assert opened.about == written.about
    assert opened.about.model == "ranker-full"
    assert opened.settings() == {"embed": {"chunks": 5}}
    assert (opened.path / "ranker" / "weights" / "w.bin").stat().st_size == 1000


def test_equal_content_has_an_equal_version_wherever_it_came_from(package, tmp_path):
    one = package().about
    package().path.rename(tmp_path / "elsewhere")
    assert package().about.version == one.version
    assert package(seed=1).about.version != one.version
    assert package(name="other").about.version != one.version
    assert package(parameters={"neighbours": 0}).about.version != one.version


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:500]), "w.bin: damaged: 500 bytes, not"),
        (lambda file: file.write_bytes(b"x" * 1000), "w.bin: damaged: not the content"),
        (lambda file: file.unlink(), "w.bin: missing"),
        (lambda file: (file.parent / "more").write_text(""), "more: not a file of this package"),
    ],
)
def test_a_damaged_package_is_refused_by_the_file_that_is_wrong(package, harm, message):
    path = package().path
    file = path / "ranker" / "weights" / "w.bin"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    open_package(path)
    harm(file)
    with pytest.raises(VariantError, match=message):
        open_package(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": 2}, "format"), ({"service": "search"}, "service"), ({"surprise": 1}, "surprise")],
)
def test_a_description_that_cannot_be_is_refused(package, change, message):
    path = package().path / "variant.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(VariantError, match=message):
        open_package(path.parent)


def test_a_directory_without_description_is_no_package(tmp_path):
    with pytest.raises(VariantError, match="no package"):
        open_package(tmp_path)


def test_a_missing_part_leaves_the_package_before_in_place(package, tmp_path):
    before = package()
    with pytest.raises(VariantError, match="absent: missing"):
        write_package(
            before.path,
            {"part": tmp_path / "absent"},
            service="ranker",
            name="full",
            settings={},
        )
    assert open_package(before.path).about == before.about


def test_a_name_that_kubernetes_would_refuse_is_refused(package):
    with pytest.raises(VariantError, match="variant ranker-No_History: name"):
        package(name="No_History")
