"""The terminal of mnist-arch: commands, tables, live displays and exit codes."""

import time

STARTED = time.perf_counter()
"""When this process started, as near as the module that is imported first can tell, in seconds."""
