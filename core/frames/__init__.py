"""From an input to upright pictures: folders, stills, videos, and their processed size."""
