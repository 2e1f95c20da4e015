"""The catalogues of models, where their files are, and how these come here."""
