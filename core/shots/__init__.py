"""What a shot is told beside its scene: the points that were followed, what a smoothed path costs, where the sun stands."""
