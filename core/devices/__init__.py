"""What computes: which graphics cards the driver tells of, which device torch can really use, and in which precision."""
