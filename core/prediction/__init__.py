"""What a model says and what asks it: Prediction, Predictor, passes, batching, memory, filters."""
