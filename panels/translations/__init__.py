"""The panel's words in other languages than English; ``tests/blender/panels/test_translations.py`` says what is missing."""
