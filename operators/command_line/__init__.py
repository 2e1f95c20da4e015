"""``blender --command da3`` and ``tools/da3.py``."""
