"""Programs that the installer starts by path, in the Python that they are about. They import nothing of the add-on."""
