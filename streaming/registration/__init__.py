"""How chunks lie to each other: similarities, overlaps, loops, pose graph, bundle adjustment."""
