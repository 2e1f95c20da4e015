"""What the tests of DA3 share."""

from one_thread import one_thread  # noqa: F401  # a fixture
