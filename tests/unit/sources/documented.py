"""What the presets take from AWS's documentation, for the models do not have it; each with its place there."""

LIFE_CYCLE_OF_A_TASK = {
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "DELETED",
}
"""All but STOPPED, of which the preset makes words of its own."""

ENDS_OF_A_SNAPSHOT = {"available", "failed", "deleting", "deleted", "incompatible-restore", "incompatible-parameters"}

REPLICATION_TASK = {
    "creating",
    "deleting",
    "failed",
    "failed-move",
    "modifying",
    "moving",
    "ready",
    "running",
    "starting",
    "stopped",
    "stopping",
    "testing",
}

STOP_REASONS = {
    f"Stop Reason {reason}"
    for reason in (
        "NORMAL",
        "RECOVERABLE_ERROR",
        "FATAL_ERROR",
        "FULL_LOAD_ONLY_FINISHED",
        "STOPPED_AFTER_FULL_LOAD",
        "STOPPED_AFTER_CACHED_EVENTS",
        "EXPRESS_LICENSE_LIMITS_REACHED",
        "STOPPED_AFTER_DDL_APPLY",
        "STOPPED_DUE_TO_LOW_MEMORY",
        "STOPPED_DUE_TO_LOW_DISK",
        "STOPPED_AT_SERVER_TIME",
        "STOPPED_AT_COMMIT_TIME",
        "RECONFIGURATION_RESTART",
        "RECYCLE_TASK",
    )
}

STATUSES = {
    # Developer guide of ECS, "Amazon ECS task lifecycle".
    "ecs-task": LIFE_CYCLE_OF_A_TASK,
    # API reference of DMS, ReplicationTask: Status and StopReason.
    "dms-replication-task": REPLICATION_TASK | STOP_REASONS,
    # The ends are those of the SDKs' waiters DBSnapshotAvailable and DBClusterSnapshotAvailable; `creating` is in the
    # examples of create-db-snapshot and copy-db-snapshot in the CLI's reference. AWS documents no more; `copying` of a
    # cluster's snapshot is what Terraform's provider waits out.
    "rds-snapshot": ENDS_OF_A_SNAPSHOT | {"creating"},
    "rds-cluster-snapshot": ENDS_OF_A_SNAPSHOT | {"creating", "copying"},
    # API reference of RDS, ExportTask: Status.
    "rds-export-task": {"CANCELED", "CANCELING", "COMPLETE", "FAILED", "IN_PROGRESS", "STARTING"},
}
"""The statuses of presets whose models have no enum for them."""

ERRORS = {
    # Common errors of CloudFormation's API reference: what it says of a stack that does not exist.
    ("cloudformation", "ValidationError"),
    # Waiters TrainingJobCompletedOrStopped and its like in the SDKs take this for a job that does not exist.
    ("sagemaker", "ValidationException"),
    # User guide of S3, "Troubleshooting S3 Batch Operations": NoSuchJobException, and the message "No such job".
    ("s3control", "NoSuchJob"),
    ("s3control", "NoSuchJobException"),
}
"""Codes of jobs that do not exist, by their service, which the models do not name for the operation."""
