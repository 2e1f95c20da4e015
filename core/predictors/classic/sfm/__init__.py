"""Structure from motion: cameras and sparse points, found by COLMAP in processes of their own."""
