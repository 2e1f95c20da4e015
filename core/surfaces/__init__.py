"""Meshes: one for each image, or one fused from all."""
