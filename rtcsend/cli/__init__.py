"""The command line: options in, events out, and errors as two sentences and an exit code."""
