"""The sample scenes: built in code, rendered with Cycles, their ground truth measured by ray casting.

Development only; runs in an environment with ``bpy`` 5.0, numpy and Pillow. Start it with ``tools/make_samples.py``.
"""
