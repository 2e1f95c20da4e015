"""A hub with one small model, a model folder, and processes that download."""

import os

import pytest
from downloads import CONTENT, MODEL
from downloads_in_processes import Nursery
from hub import Hub


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub() as hub:
        hub.serve(MODEL.repo, CONTENT)
        yield hub


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


@pytest.fixture(scope="module")
def nursery():
    if not hasattr(os, "fork"):
        pytest.skip("processes to kill are made with fork")
    with Nursery() as nursery:
        yield nursery
