"""Native programs are found where they are, or a person is told how to get them."""

import re
import subprocess

import pytest

from serving.local import binaries
from serving.local.binaries import BinaryError, binary, unpack


@pytest.mark.parametrize("name", ["nginx", "redis-server", "redis-cli", "wrk"])
def test_what_serving_needs_is_here_and_starts(name):
    version = subprocess.run([binary(name), "-v"], capture_output=True, text=True)
    assert re.search(r"\d+\.\d+\.\d+", version.stdout + version.stderr)


def test_a_program_on_the_path_comes_first(tmp_path, monkeypatch):
    own = tmp_path / "nginx"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary("nginx") == own


def test_one_that_make_unpacked_is_found(tmp_path, monkeypatch):
    launcher = tmp_path / "bin" / "redis-server"
    launcher.parent.mkdir()
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binaries, "_SYSTEM", ())
    monkeypatch.setattr(binaries, "NATIVE", tmp_path)
    assert binary("redis-server") == launcher


def test_a_program_that_is_nowhere_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "_SYSTEM", ())
    monkeypatch.setattr(binaries, "NATIVE", tmp_path)
    with pytest.raises(BinaryError, match="redis-cli: not on this machine.*redis-tools"):
        binary("redis-cli")
    with pytest.raises(BinaryError, match="no apt-get"):
        unpack(["redis-cli"], tmp_path)


def test_nothing_is_unpacked_where_nothing_is_missing(tmp_path):
    assert unpack(["nginx"], tmp_path / "native") == []
    assert not (tmp_path / "native").exists()
