"""What tests of the baselines share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Compute in one thread: steps of a few words lose time to every further one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
