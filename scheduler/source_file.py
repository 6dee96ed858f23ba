"""The sources that the settings name, checked against the models of AWS: where the file and the SDK meet."""

from scheduler.aws.service_models import ServiceModels
from scheduler.sources.file import Sources, read_entries


def read_sources(value: str | None) -> Sources:
    """Read what SCHEDULER_SOURCES names; none where it is unset. Raises SettingsError with a line for each fault.

    Nothing is asked of anybody: no network and no credentials are needed.
    """
    return read_entries(value, ServiceModels()) if value else Sources()
