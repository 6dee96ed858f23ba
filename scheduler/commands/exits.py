"""The exit codes of every command; 0 is for what was done."""

FAILED = 1
BAD_USAGE = 2
