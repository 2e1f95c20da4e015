"""The ground: one plane of the whole scene, under everything."""
