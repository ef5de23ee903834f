"""Lock-step protocol between a benchmark and its peer: one JSON line per answer on stdout.

`run` executes one timed iteration, `quit` reports peak memory and ends. The driver alternates between
the two sides, so that both see the same state of the machine.
"""

import json
import resource
import sys
import time


def answer(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def serve(iteration, check):
    """iteration() does the timed work; check() returns the numbers that must agree with the other side."""
    answer(ready=True, check=check())
    for line in sys.stdin:
        command = line.strip()
        if command == "run":
            start = time.perf_counter()
            iteration()
            answer(ms=(time.perf_counter() - start) * 1e3)
        elif command == "quit":
            answer(peakRssMb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            return
