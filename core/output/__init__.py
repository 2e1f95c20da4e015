"""What leaves the worker: arrays for Blender, files for the person, runs that are kept."""
