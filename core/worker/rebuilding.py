"""What a ``rebuild`` request does in the worker: a kept run with other settings, without the model."""
