"""Depth Anything 3 behind the ``Predictor`` protocol. Imports torch: only the worker and the tests may import this."""

from .predictor import DA3Predictor

__all__ = ["DA3Predictor"]
