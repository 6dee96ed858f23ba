"""callback-scheduler: polls the slow jobs that Step Functions workflows wait for, and answers the waiting tasks."""

__version__ = "0.1.0"
