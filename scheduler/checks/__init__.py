"""Checks: what a source is asked for a job's status, and what its reply means. No I/O.

The standard library and jmespath alone, for the poller Lambda carries it too; its runtime has jmespath with boto3.
"""
