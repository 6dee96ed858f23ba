"""`python -m tests.http_jobs [PORT]`: the service by itself, for a look or for another process."""

import sys
import threading

from tests.http_jobs.server import HttpJobs

if __name__ == "__main__":
    with HttpJobs.running(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as service:
        sys.stdout.write(f"{service.url}\n")
        sys.stdout.flush()
        threading.Event().wait()
