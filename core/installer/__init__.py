"""What `core/installer/environment.py` is made of: uv, the programs it runs, torch builds, lock files, quick removal.

Standard library only: it runs in Blender's Python.
"""
