"""``rtcsend`` that writes down, at its end, which modules it has imported, one in a line.

::

    IMPORTED_FILE=modules.txt python -m tests.e2e.imported receive …

A module that waits for somebody to use it, or stands in for another, does not count.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

from rtcsend.cli.start import run

if __name__ == "__main__":
    try:
        run()
    finally:
        names = [name for name, module in sys.modules.items() if type(module) is ModuleType]
        Path(os.environ["IMPORTED_FILE"]).write_text("\n".join(names))
