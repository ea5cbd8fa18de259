"""This machine's pip configuration, for the builds: they take packages from where it takes them."""

import ast
import configparser
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_AUTHORITY = "/run/secrets/ca"
_OURS = ("cache-dir", "log", "target", "prefix", "require-virtualenv", "user")


class PipSettings(NamedTuple):
    """What a build needs of the machine's configuration.

    Attributes:
        options: by section, what goes into the build's pip.conf.
        folders: directories that it names: package folders, and indexes in files.
        authority: file of certificates that the indexes are trusted by; None without one.
    """

    options: dict[str, dict[str, str]]
    folders: list[Path]
    authority: Path | None

    @classmethod
    def of_this_machine(cls) -> "PipSettings":
        """Read what `pip config` knows: files and environment."""
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            check=True,
        )
        return cls.parse(listed.stdout)

    @classmethod
    def parse(cls, listed: str) -> "PipSettings":
        """Parse the lines of `pip config list`."""
        options: dict[str, dict[str, str]] = defaultdict(dict)
        folders, authority = [], None
        # The environment's come last, for they take precedence over the files'.
        for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
            name, _, quoted = line.partition("=")
            section, _, key = name.rpartition(".")
            value = str(ast.literal_eval(quoted))
            if key in _OURS:
                continue
            if key == "cert":
                authority, value = Path(value), _AUTHORITY
            options["global" if section == ":env:" else section][key] = value
        for values in options.values():
            for key in ("index-url", "extra-index-url", "find-links"):
                folders += [found for word in values.get(key, "").split() for found in _local(word)]
        return cls(dict(options), sorted(set(folders)), authority)

    def secrets(self, folder: Path) -> list[str]:
        """Write pip.conf into a folder, and return the options that hand it to a build."""
        config = configparser.RawConfigParser()
        for section, values in self.options.items():
            # A list's words go on lines of their own, as pip writes them.
            config[section] = {key: "\n".join(value.split()) for key, value in values.items()}
        with (folder / "pip.conf").open("w") as file:
            config.write(file)
        secrets = ["--secret", f"id=pip,src={folder / 'pip.conf'}"]
        if self.authority is not None:
            secrets += ["--secret", f"id=ca,src={self.authority}"]
        return secrets


def _local(place: str) -> list[Path]:
    """Return the directory that a place names, if it is on this machine."""
    url = urlsplit(place)
    if url.scheme == "file":
        # The files of an index in files lie beside its pages.
        path = Path(unquote(url.path)).parent
    elif url.scheme == "":
        path = Path(place).expanduser()
    else:
        return []
    return [path] if path.is_dir() else []
