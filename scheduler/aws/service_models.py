"""Checking sources against botocore's models of the services: no network, no credentials, no session."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.loaders import create_loader
from botocore.model import ListShape, OperationModel, OperationNotFoundError, ServiceModel
from botocore.model import Shape as ModelShape

from scheduler.aws.model_readings import check_reading
from scheduler.aws.model_shapes import check_parameters, output_shape
from scheduler.aws.waiters import botocore_waiter
from scheduler.checks.findings import Findings, meant
from scheduler.checks.shapes import Anything, ListOf, PathError, Shape, shape_at

_JOB = "{jobId}"


class ServiceModels:
    """The models of the services that are named, each read once: the largest, of EC2, takes a tenth of a second."""

    def __init__(self) -> None:
        self._loader = create_loader()
        self._model = cache(self._read)

    def check(self, entry: Mapping[str, Any], *, lenient: bool = False) -> Findings:
        """Check an expanded entry that asks an AWS API. `lenient` is for what botocore's own waiters say.

        A list of statuses that names one which is not in the model is a fault, for it is nearly always misspelt, and
        its jobs would wait for ever. A status newer than the model can be had with a path that is not decided here,
        such as `to_string(Status)`.
        """
        found = Findings()
        operation = self._operation(entry["aws"], found)
        if operation is None:
            return found
        check_parameters(entry["aws"].get("parameters", {}), operation.input_shape, "aws.parameters", found)
        data: Shape | None = output_shape(operation.output_shape)
        if batch := entry["aws"].get("batch"):
            data = _item_of(batch, output_shape(operation.output_shape), found)
            _check_ids(entry["aws"].get("parameters", {}), operation.input_shape, batch, found)
        if data is not None:
            check_reading(entry, data, found)
        if lenient:
            # The job of nobody here: a waiter that is wrong is told, and no reason not to start.
            kept = [each for each in found.faults if each.key.startswith("aws.")]
            found.warnings += [each for each in found.faults if each not in kept]
            found.faults = kept
        return found

    def waiter(self, waiter: Mapping[str, Any], found: Findings) -> dict[str, Any] | None:
        """Give the entry that one of botocore's own waiters stands for, or note why there is none."""
        service = waiter["service"]
        if self._service(service, "waiter", found) is None:
            return None
        try:
            waiters = self._loader.load_service_model(service, "waiters-2")["waiters"]
        except (DataNotFoundError, UnknownServiceError):
            waiters = {}
        if waiter["name"] not in waiters:
            known = f"botocore has no such waiter of {service}, but {', '.join(sorted(waiters)) or 'none'}"
            found.fault("waiter.name", known + meant(waiter["name"], waiters))
            return None
        return botocore_waiter(waiter, waiters[waiter["name"]])

    def _operation(self, aws: Mapping[str, Any], found: Findings) -> OperationModel | None:
        model = self._service(aws["service"], "aws", found)
        if model is None:
            return None
        name = aws["operation"]
        try:
            return model.operation_model(name)
        except OperationNotFoundError:
            known = f"{aws['service']} has no operation {name!r}"
            found.fault("aws.operation", known + meant(name.replace("_", ""), model.operation_names))
            return None

    def _service(self, service: str, key: str, found: Findings) -> ServiceModel | None:
        try:
            return self._model(service)
        except (DataNotFoundError, UnknownServiceError):
            services = self._loader.list_available_services("service-2")
            found.fault(f"{key}.service", f"botocore has no service {service!r}" + meant(service, services))
            return None

    def _read(self, service: str) -> ServiceModel:
        return ServiceModel(self._loader.load_service_model(service, "service-2"), service)


def _item_of(batch: Mapping[str, Any], output: Shape, found: Findings) -> Shape | None:
    """Give the shape of a job's own item; None where it cannot be found."""
    try:
        items = shape_at(batch["items"], output)
    except PathError as error:
        found.fault("aws.batch.items", str(error))
        return None
    if not isinstance(items, ListOf | Anything):
        found.fault("aws.batch.items", "it must find a list, with an item for each job")
        return None
    item = items.item if isinstance(items, ListOf) else items
    try:
        shape_at(batch["id"], item)
    except PathError as error:
        found.fault("aws.batch.id", str(error))
    return item


def _check_ids(given: Mapping[str, Any], shape: ModelShape | None, batch: Mapping[str, Any], found: Findings) -> None:
    lists = list(_id_lists(given, shape))
    if len(lists) != 1:
        wanted = f"a batch needs exactly one list with {_JOB} in it, for the ids; there are {len(lists)}"
        found.fault("aws.parameters", wanted)
        return
    most = lists[0].metadata.get("max") if lists[0] else None
    if most is not None and batch.get("most", most) > most:
        found.fault("aws.batch.most", f"the operation takes at most {most} ids")


def _id_lists(given: Any, shape: ModelShape | None) -> Iterator[ModelShape | None]:
    if isinstance(given, list) and any(_is_place(each) for each in given):
        yield shape
    elif isinstance(given, Mapping):
        members: Mapping[str, ModelShape] = getattr(shape, "members", {})
        for name, each in given.items():
            yield from _id_lists(each, members.get(name))
    elif isinstance(given, list):
        member = shape.member if isinstance(shape, ListShape) else None
        for each in given:
            yield from _id_lists(each, member)


def _is_place(element: Any) -> bool:
    """Whether an element of a list is to be there once for each job."""
    if isinstance(element, Mapping):
        return any(_is_place(each) for each in element.values())
    return isinstance(element, str) and _JOB in element
