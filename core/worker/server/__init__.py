"""The side of the models: the server and the jobs that it does. Runs in the worker's environment."""
