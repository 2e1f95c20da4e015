"""Which packages are installed, asked without importing them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Version of each that is there, by name."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # not there is an answer too
    return found
