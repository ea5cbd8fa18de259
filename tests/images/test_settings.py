"""What the builds learn from this machine: its pip configuration and its Debian mirror."""

import configparser

import pytest

from tests.images.base import parse_suites
from tests.images.errors import ImageError
from tests.images.pip import PipSettings


def config_of(settings, folder):
    settings.secrets(folder)
    config = configparser.RawConfigParser()
    config.read(folder / "pip.conf")
    return config


def test_the_environment_overrules_the_files(tmp_path):
    listed = ":env:.timeout='60'\nglobal.timeout='15'\ninstall.no-deps='1'\n"
    config = config_of(PipSettings.parse(listed), tmp_path)
    assert config["global"]["timeout"] == "60"
    assert config["install"]["no-deps"] == "1"


def test_folders_that_pip_reads_are_mounted(tmp_path):
    for name in ("wheels", "mirror/simple"):
        (tmp_path / name).mkdir(parents=True)
    listed = (
        f"global.find-links='{tmp_path}/wheels {tmp_path}/absent'\n"
        f"global.extra-index-url='https://packages.example/simple file://{tmp_path}/mirror/simple'"
    )
    settings = PipSettings.parse(listed)
    assert settings.folders == [tmp_path / "mirror", tmp_path / "wheels"]
    assert config_of(settings, tmp_path)["global"]["extra-index-url"].splitlines() == [
        "https://packages.example/simple",
        f"file://{tmp_path}/mirror/simple",
    ]


def test_the_certificate_authority_becomes_a_secret(tmp_path):
    settings = PipSettings.parse("global.cert='/etc/site/ca.crt'")
    assert "id=ca,src=/etc/site/ca.crt" in settings.secrets(tmp_path)
    assert config_of(settings, tmp_path)["global"]["cert"] == "/run/secrets/ca"


def test_what_concerns_this_machine_alone_stays_here():
    settings = PipSettings.parse("global.cache-dir='/home/me/pip'\n:env:.target='/home/me/there'")
    assert settings.options == {}


def test_the_release_comes_first_and_other_origins_not_at_all():
    listed = """\
http://mirror.example/debian-security/ bookworm-security Debian
http://mirror.example/debian/ bookworm Debian
http://mirror.example/debian/ bookworm-updates Debian
http://other.example/apt/ bookworm Other
http://other.example/apt/ stable Other
"""
    assert [str(suite) for suite in parse_suites(listed)] == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
        "deb http://mirror.example/debian-security/ bookworm-security main",
    ]


def test_a_machine_of_another_release_is_told_to_name_a_base():
    with pytest.raises(ImageError, match="--base NAME"):
        parse_suites("http://mirror.example/ubuntu/ noble Ubuntu\n")
