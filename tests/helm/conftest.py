import pytest

from helm.chart import program


@pytest.fixture(scope="session", autouse=True)
def _programs():
    """Skip what renders where helm and kubectl cannot be had."""
    try:
        for name in ("helm", "kubectl"):
            program(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))
