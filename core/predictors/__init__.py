"""What stands behind ``Predictor``: DA3's networks, and structure from motion with stereo."""
