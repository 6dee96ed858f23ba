"""Requests of AWS's APIs: an entry's parameters with jobs put into them, for one job or for many at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.checks.spec import AskAws
from scheduler.checks.templates import JobRef, UnfitJobError, fill_data, placeholders
from scheduler.core.check_replies import Unanswered

_JOB_ID = "jobId"


@dataclass(frozen=True, slots=True)
class AwsCall:
    """One request, with botocore's names of service and operation."""

    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the jobs that it asks for: their `places` among those to be asked, and what each goes by in it."""

    call: AwsCall
    places: tuple[int, ...]
    names: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests that ask for some jobs, and what is said of those that cannot be asked for, by their places."""

    asked: list[Asked]
    unfit: dict[int, Unanswered]


class AwsRequests:
    """Makes the requests of one source."""

    def __init__(self, ask: AskAws) -> None:
        """Take how to ask. Raises ValueError for a placeholder that is none, and for a batch with no list of ids."""
        self._ask = ask
        placeholders(ask.parameters)
        if ask.batch and (fault := batch_fault(ask.parameters)):
            raise ValueError(fault)

    def planned(self, jobs: Sequence[JobRef]) -> Plan:
        """Give the requests that ask for these jobs.

        Jobs of one batch have the same parameters but for the ids: those whose inputs make them differ are in another.
        An id that is there more than once is asked for once.
        """
        groups: dict[str, list[tuple[int, JobRef, Any]]] = {}
        unfit: dict[int, Unanswered] = {}
        for place, job in enumerate(jobs):
            try:
                parameters = fill_data(self._ask.parameters, job)
                key = self._key(parameters, job, place)
            except (UnfitJobError, RecursionError) as error:
                unfit[place] = Unanswered(f"this job cannot be asked for: {error}")
                continue
            groups.setdefault(key, []).append((place, job, parameters))
        return Plan([asked for group in groups.values() for asked in self._asked(group)], unfit)

    def _key(self, parameters: Any, job: JobRef, place: int) -> str:
        """Give what the jobs of one request have in common."""
        if not self._ask.batch:
            return str(place)
        return json.dumps(_filled(self._ask.parameters, [job], _nothing, parameters), sort_keys=True, default=repr)

    def _asked(self, group: list[tuple[int, JobRef, Any]]) -> list[Asked]:
        if not self._ask.batch:
            return [self._request((place,), ({job.job_id},), made) for place, job, made in group]
        most = max(self._ask.batch.most, 1)
        # The jobs of one id go together, so that a part holds so many ids at most and not so many jobs.
        by_id: dict[str, list[tuple[int, JobRef, Any]]] = {}
        for each in group:
            by_id.setdefault(each[1].job_id, []).append(each)
        ids = list(by_id)
        return [
            self._batch([each for job_id in ids[start : start + most] for each in by_id[job_id]])
            for start in range(0, len(ids), most)
        ]

    def _batch(self, part: list[tuple[int, JobRef, Any]]) -> Asked:
        spliced: list[list[Any]] = []

        def splice(element: Any, jobs: Sequence[JobRef]) -> list[Any]:
            made = [fill_data(element, job) for job in jobs]
            spliced.append(made)
            unique: list[Any] = []
            seen: set[str] = set()
            for each in made:
                text = json.dumps(each, sort_keys=True, default=repr)
                if text not in seen:
                    seen.add(text)
                    unique.append(each)
            return unique

        jobs = [job for _, job, _ in part]
        parameters = _filled(self._ask.parameters, jobs, splice, part[0][2])
        names = [{job.job_id} for job in jobs]
        for made in spliced:
            for known, each in zip(names, made, strict=True):
                if isinstance(each, str):
                    known.add(each)
        return self._request(tuple(place for place, _, _ in part), tuple(names), parameters)

    def _request(self, places: tuple[int, ...], names: Sequence[set[str]], parameters: Any) -> Asked:
        call = AwsCall(self._ask.service, self._ask.operation, parameters)
        return Asked(call, places, tuple(map(frozenset, names)))


def batch_fault(parameters: Mapping[str, Any]) -> str | None:
    """Say why these parameters cannot ask for many jobs at once; None where they can."""
    lists, elsewhere = _count(parameters)
    if lists != 1 or elsewhere:
        return "a batch takes exactly one list with {jobId} in it, and {jobId} nowhere else"
    return None


def _count(value: Any) -> tuple[int, int]:
    """Count the lists whose own elements hold {jobId}, and the times that it stands elsewhere."""
    match value:
        case Mapping():
            counts = [_count(held) for held in value.values()]
        case list() | tuple():
            counts = [_count(held) for held in value]
            if any(_is_place(held) for held in value):
                of_others = [_count(held) for held in value if not _is_place(held)]
                taking = sum(_is_place(held) for held in value)
                return 1 + sum(one for one, _ in of_others), taking - 1 + sum(other for _, other in of_others)
        case _:
            return 0, int(_JOB_ID in placeholders(value))
    return sum(one for one, _ in counts), sum(other for _, other in counts)


def _is_place(element: Any) -> bool:
    """Tell whether an element of a list is to be there once for each job: no list within it is."""
    return _JOB_ID in placeholders(element) and _count(element)[0] == 0


def _nothing(element: Any, jobs: Sequence[JobRef]) -> list[Any]:
    del element, jobs
    return []


def _filled(template: Any, jobs: Sequence[JobRef], splice: Any, filled: Any) -> Any:
    """Give parameters as they are `filled` for one job, with the list that takes ids made by `splice`."""
    match template:
        case Mapping():
            return {key: _filled(held, jobs, splice, filled[key]) for key, held in template.items()}
        case list() | tuple():
            made: list[Any] = []
            for held, of_one in zip(template, filled, strict=True):
                made += splice(held, jobs) if _is_place(held) else [_filled(held, jobs, splice, of_one)]
            return made
    return filled
