"""360-degree panoramas among the photographs."""
