"""`python -m scheduler` is the command `callback-scheduler`."""

from scheduler.cli import main

if __name__ == "__main__":
    main()
