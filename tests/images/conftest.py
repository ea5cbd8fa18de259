import os
import re
import signal
import subprocess
from contextlib import contextmanager

import pytest

from tests.images.build import CACHE, build, size, version
from tests.images.engines import find_engine
from tests.images.errors import ImageError


@pytest.fixture(scope="session")
def engine():
    """What builds images here; without it there is nothing to test."""
    try:
        return find_engine(CACHE)
    except ImageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def train_image(engine):
    with engine.open(build(engine, "train")) as image:
        yield image


@pytest.fixture(scope="session")
def serve_image(engine):
    with engine.open(build(engine, "serve")) as image:
        yield image


@pytest.fixture
def gigabytes(capsys):
    """Print how large an image is, where a person sees it."""

    def say(name, image):
        found = size(image.root) / 1e9
        with capsys.disabled():
            print(f"\n{name}: {found:.2f} GB")
        return found

    return say


@pytest.fixture
def shared(tmp_path):
    """A directory that the images' user may write to, as a mounted volume is."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def check_config(config):
    """Hold an image's configuration to what every image of ours says of itself."""
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/bin/tini", "-s", "--"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == version()
    commit = labels["org.opencontainers.image.revision"]
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?|unknown", commit)
    for name in ("title", "description", "source"):
        assert labels[f"org.opencontainers.image.{name}"]


def run(image, *words, seconds=120, **more):
    """Run words in an image to their end."""
    told = image.command(*words, **more)
    return subprocess.run(told, capture_output=True, text=True, timeout=seconds)


@contextmanager
def running(image, *words, log, **more):
    """Run words in an image until SIGTERM, which must end them in order."""
    with log.open("wb") as out:
        process = subprocess.Popen(image.command(*words, **more), stdout=out, stderr=out)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
