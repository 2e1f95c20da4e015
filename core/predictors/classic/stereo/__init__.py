"""Multi-view stereo: depth and confidence of every view, from cameras that are known."""
