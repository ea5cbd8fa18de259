import pytest

# What makes a run is imported late: the rooms below have nothing to do with it.


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A small run, packaged, its vectors in a store."""
    from tests.serving.run import make_run

    return make_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def server(made, tmp_path_factory):
    """One server of every package."""
    from tests.serving.run import serving

    first = ("suggestions-finetuned", "audience-expanded", "candidates-finetuned")
    packages = sorted(made.packages.iterdir(), key=lambda path: path.name not in first)
    with serving(tmp_path_factory.mktemp("server"), packages, "--store", made.store) as running:
        yield running
