"""The networks of ``features_process.py``, made fast: ALIKED and LightGlue."""
