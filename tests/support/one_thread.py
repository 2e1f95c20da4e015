"""A fixture for tests that compute with torch; a test file or a conftest.py imports it, and it is in force there."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two spinning threads beside a busy core are ten times slower, and sums keep their order with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
