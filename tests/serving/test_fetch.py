"""What a consumer's pod brings along before it starts."""

from components.variants.package import write_package
from components.variants.registry import register
from serving import fetch
from tests.components.variants.test_registry import bucket, registry

__all__ = ["bucket", "registry"]  # fixtures: a folder, and a bucket of a real server


def test_a_package_is_fetched_from_where_registration_put_it_and_once(registry, tmp_path, capsys):
    (tmp_path / "part").write_text("content")
    package = write_package(
        tmp_path / "made",
        {"part": tmp_path / "part"},
        service="suggestions",
        name="vectors",
        settings={},
    )
    register(package.path, registry)
    target = tmp_path / "fetched"
    wanted = ["package", registry, "suggestions-vectors", "--to", str(target)]
    assert fetch.main(wanted) == 0
    assert package.about.version in capsys.readouterr().out
    before = (target / "part").stat().st_mtime_ns
    assert fetch.main(wanted) == 0
    assert (target / "part").stat().st_mtime_ns == before, "the same version is not fetched again"
    assert fetch.main([*wanted[:2], "suggestions-other", *wanted[3:]]) == 1
    assert "no variant suggestions-other is registered" in capsys.readouterr().err


def test_a_run_is_fetched_whole_or_not_at_all(tmp_path, capsys):
    for step in fetch.OF_A_RUN:
        (tmp_path / "run" / step).mkdir(parents=True)
        (tmp_path / "run" / step / "rows").write_text(step)
    assert fetch.main(["run", str(tmp_path / "run"), "--to", str(tmp_path / "snapshot")]) == 0
    assert (tmp_path / "snapshot" / "tokens" / "rows").read_text() == "tokens"
    (tmp_path / "run" / "vectors" / "rows").unlink()
    (tmp_path / "run" / "vectors").rmdir()
    assert fetch.main(["run", str(tmp_path / "run"), "--to", str(tmp_path / "other")]) == 1
    assert "run/vectors: is not there" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
