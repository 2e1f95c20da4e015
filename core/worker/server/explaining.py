"""What went wrong, as a sentence for the person. Standard library only."""

from __future__ import annotations

import errno
import tempfile

from ...errors import DA3Error
from ...files.windows import RUNTIME, lacks_runtime
from ...memory import is_out_of_memory


def explained(error: BaseException) -> str:
    """One sentence on an exception, whatever it is."""
    text = " ".join(str(error).split())
    if isinstance(error, DA3Error):
        return text
    if isinstance(error, ModuleNotFoundError):
        return f"The worker's environment is not whole: {error.name} is missing. Install the dependencies again"
    if lacks_runtime(text):
        return RUNTIME
    if is_out_of_memory(error):
        return "Out of memory: lower the Batch Size or the Process Resolution, or choose a smaller model"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or f"{tempfile.gettempdir()} (TMPDIR) or the output folder"
        return f"The disk is full at {where}: free some space and run again"
    return f"Unexpected error in the worker: {type(error).__name__}: {text[:300]}"
