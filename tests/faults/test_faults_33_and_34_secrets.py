"""Rows 33, 34 and 52: what breaks lines, and tokens: neither may get out, whoever wrote them where."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.answer_delivery import send_result
from scheduler.core.answers import PendingAnswer, succeed
from scheduler.core.effects import Claim, Heartbeat, Keep, Mark, Release, Send
from scheduler.core.protocol import poll
from scheduler.core.row_reader import read_found, read_row
from scheduler.core.service_calls import CallError
from scheduler.core.states import EndState
from tests.e2e.cloud import COMMAND
from tests.fakes import fixed_policy
from tests.faults.world import POLLER, AddedJob, Daemon, World, until

MODES = {
    "claims": {"SCHEDULER_HOLD_SECONDS": "0"},
    "holds": {"SCHEDULER_HOLD_SECONDS": "3600"},
    "lambda": {"SCHEDULER_MODE": "lambda", "SCHEDULER_LAMBDA_BATCH_SIZE": "50"},
}
STYLES = ["json", "console"]
NASTY = ["two\nlines\r\n", "\x1b[31mred\x1b[0m \x1b[2J", "\"quotes\" 'and' \\", "\u2028 \u202e \x85 \x07"]


def run(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, whatever its exit code."""
    return subprocess.run(
        [COMMAND, *arguments], env=world.environment, capture_output=True, text=True, timeout=60, check=False
    )


def read(daemon: Daemon, path: str) -> str:
    """Read a page of a daemon's, whatever its status."""
    return page(daemon.events("scheduler.started")[0]["http_port"], path)


def page(port: int | str, path: str) -> str:
    url = f"http://127.0.0.1:{port}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bytes(reply.read()).decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.read().decode()


def assert_moves_no_cursor(text: str) -> None:
    assert [character for character in text if not character.isprintable() and character != "\n"] == []


def test_fault_33_line_breaks_ansi_codes_and_quotes_stay_within_one_json_line(world: World) -> None:
    names = [f"job {nasty}" for nasty in NASTY]
    for name in names:
        world.add(name)
    world.add(f"bad {NASTY[0]}{NASTY[1]}", row={"expiresAt": "".join(NASTY)})
    world.aws.functions.add("rude", lambda event: {"error": f"{event['jobId']} {''.join(NASTY)}"})
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="rude", SCHEDULER_INTERVAL_SECONDS="60") as daemon:
        until(lambda: len(daemon.events("poll.check_failed")) == len(names))
        until(lambda: daemon.events("row.quarantined"))
        assert_moves_no_cursor(read(daemon, "readyz"))
        failed = daemon.events("poll.check_failed")
        assert len(daemon.events("row.quarantined")) == 1
    assert sorted(line["job_id"] for line in failed) == sorted(names)
    assert all("".join(NASTY) in line["error"] for line in failed)
    text = world.texts().strip()
    assert text.isascii()
    assert_moves_no_cursor(text)
    assert all(json.loads(line)["event"] for line in text.split("\n"))


@pytest.mark.parametrize("json_", [[], ["--json"]], ids=["people", "json"])
def test_fault_33_no_command_lets_a_job_id_or_an_error_move_the_cursor(world: World, json_: list[str]) -> None:
    job_id = f"job {''.join(NASTY)}"
    world.add(job_id, row={"lastError": "".join(NASTY)})
    world.aws.functions.add("poc-simulated-api", lambda _event: {"error": "".join(NASTY)})
    for command in (["monitor"], ["poll", job_id]):
        done = run(world, *command, *json_)
        assert done.stdout
        assert_moves_no_cursor(done.stdout)
        assert_moves_no_cursor(done.stderr)


def fragments(token: str) -> list[str]:
    """Give parts of a token, of which whatever shows 48 characters of it in a row shows one."""
    return [token[start : start + 24] for start in range(16, len(token) - 24, 24)]


def shown(tokens: dict[str, str], text: str) -> list[str]:
    return [name for name, token in tokens.items() if any(part in text for part in [token, *fragments(token)])]


def everywhere(world: World) -> dict[str, AddedJob]:
    """Add rows whose tokens stand in every place where somebody may have put them."""
    jobs = {
        "ours": world.add("ours", polls=2, row={"heartbeat": True}),
        "foreign": world.add("foreign", polls=2, foreign=True),
        "failing": world.add("failing", fail_with="no paper"),
        "waiting": world.add("waiting", polls=99, row={"intervalSeconds": 3_600}),
    }
    for name in ("attemptCount", "expiresAt", "intervalSeconds", "version", "pendingAnswer"):
        token = world.aws.tokens.waiting()
        wrong: dict[str, Any] = {name: {"S": token}}
        world.put(f"bad-{name}", token, **wrong)
        jobs[f"bad-{name}"] = AddedJob(f"bad-{name}", token)
    for name, held in (("list", {"L": [{"S": "?"}]}), ("map", {"M": {"S": {"S": "?"}}})):
        job = world.add(f"bad-{name}")
        kind = next(iter(held))
        world.change(job, taskToken={kind: [{"S": job.token}]} if kind == "L" else {kind: {"S": {"S": job.token}}})
        jobs[f"bad-{name}"] = job
    for name in ("replied", "raised", "cut", "result"):
        jobs[name] = world.add(name, row={"intervalSeconds": 3_600})
    for name, operation, code in (
        ("closed", "SendTask*", "InvalidToken"),
        ("throttled", "SendTask*", "ThrottlingException"),
        ("refused", "SendTask*", "ValidationException"),
        ("unclaimable", "UpdateItem", "ValidationException"),
        ("unreached", "UpdateItem", "InternalServerError"),
    ):
        jobs[name] = world.add(name, row={"intervalSeconds": 3_600})
        message = f"it is '{jobs[name].token}' that is wrong"
        within = jobs[name].token if operation == "SendTask*" else f'"{name}"'
        world.aws.faults.fail(operation, code=code, message=message, times=3, containing=within)
    return jobs


def crashing(folder: Path, module: str, function: str, token: str, *, where: str = "True") -> dict[str, str]:
    """Give the environment in which a function of ours raises: with a token in its error and in its local variables."""
    # In place of a fault that nobody has found yet.
    (folder / "sitecustomize.py").write_text(
        f"""
import {module} as module

as_it_is = module.{function}

def crashing(first, *others):
    secret = {token}
    result = as_it_is(first, *others)
    if {where}:
        raise RuntimeError("it is '" + secret + "' that broke it")
    return result

module.{function} = crashing
""",
        "utf-8",
    )
    return {"PYTHONPATH": str(folder)}


def crashing_answer(folder: Path) -> dict[str, str]:
    """Give the environment in which the answer of the job "crashing" raises, in a poller of either kind."""
    where = "'crashing' in str(result.parameters)"
    return crashing(folder, "scheduler.core.answer_delivery", "send_call", "first.token.reveal()", where=where)


def order_trouble(world: World, name: str, token: str) -> None:
    """Let what a poll writes and sends after its check fail, with messages that hold the token."""
    message = f"it is '{token}' that is wrong"
    if name in {"unmarkable", "unkept"}:
        world.aws.faults.fail(
            "UpdateItem", code="InternalServerError", message=message, times=None, containing=f'"{name}"'
        )
    if name in {"kept", "unkept"}:
        world.aws.faults.fail("SendTask*", code="ThrottlingException", message=message, times=None, containing=token)


def logged(world: World, *events: str) -> bool:
    """Tell whether all of these events are in the logs, whatever their format."""
    texts = world.texts()
    return all(event in texts for event in events)


def talking_source(world: World, tokens: dict[str, str]) -> Callable[[Any], Any]:
    """Give a source that says the token wherever it says something, and lets trouble begin with the first check."""
    asked: set[str] = set()

    def talkative(event: Any) -> Any:
        name = event["jobId"]
        if name not in asked:
            asked.add(name)
            order_trouble(world, name, tokens[name])
        match name:
            case "replied":
                return {"error": tokens[name]}
            case "cut":
                return {"status": f"what is {tokens[name]} to me?"}
            case "raised":
                raise RuntimeError(tokens[name])
            case "failing":
                return {"status": "FAILED", "reason": "no paper"}
            case "waiting":
                return {"status": "IN_PROGRESS", "data": tokens[name]}
        return {"status": "COMPLETED", "data": tokens[name]}

    return talkative


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("style", STYLES)
def test_fault_34_a_canary_token_is_found_nowhere(
    world: World, tmp_path_factory: pytest.TempPathFactory, style: str, mode: str
) -> None:
    jobs = everywhere(world)
    for name in ("crashing", "unmarkable", "kept", "unkept"):
        jobs[name] = world.add(name, row={"intervalSeconds": 3_600})
    tokens = {name: job.token for name, job in jobs.items()}
    world.aws.functions.add("talkative", talking_source(world, tokens))
    world.environment |= crashing_answer(tmp_path_factory.mktemp("crashing")) | MODES[mode]
    world.environment |= {"SCHEDULER_SOURCE_FUNCTION": "talkative", "SCHEDULER_LOG_FORMAT": style}
    world.install_poller()
    with world.daemon():
        until(lambda: all(row["attemptCount"] for row in world.rows().values() if row.get("status") == "POLLING"))
        events = ["poll.check_failed", "answer.deferred", "scheduler.started", "tick.finished"]
        if mode == "lambda":
            events += ["RuntimeError: it is '<token "]
        else:
            events += ["row.quarantined", "answer.delivered", "answer.closed", "row.unmarked", "poll.crashed"]
        until(lambda: logged(world, *events))
        until(lambda: world.answers(jobs["unmarkable"]) and "pendingAnswer" in world.row("kept"))
        port = re.findall(r"http_port\W+(\d+)", world.texts())[0]
        seen = [page(port, path) for path in ("livez", "readyz", "", "metrics")]
    for name in ("cut", "crashing"):
        world.make_due(name)
    for arguments in (["monitor"], ["check"], ["poll", "cut"], ["poll", "crashing"]):
        done = run(world, *arguments)
        seen += [done.stdout, done.stderr]
    assert "RuntimeError: it is '<token " in seen[-1]
    world.poller_lambda({"jobIds": [*tokens]})
    assert [world.row(name)["status"] for name in ("unmarkable", "kept", "unkept", "crashing")] == ["POLLING"] * 4
    noted = [row["lastError"] for row in world.rows().values() if row.get("lastError")]
    assert any("<token " in error for error in noted)
    assert [shown(tokens, text) for text in (world.texts(), "\n".join(seen), "\n".join(noted))] == [[], [], []]


@pytest.mark.parametrize("batch", ["1", "2"])
@pytest.mark.parametrize("style", STYLES)
def test_fault_52_a_crash_in_the_daemon_of_lambda_mode_shows_no_token(
    world: World, tmp_path_factory: pytest.TempPathFactory, style: str, batch: str
) -> None:
    jobs = {name: world.add(name) for name in ("one", "two")}
    world.aws.functions.add(POLLER, lambda _event: {"results": [{"status": "IN_PROGRESS"}] * 2})
    settings = crashing(
        tmp_path_factory.mktemp("crashing"),
        "scheduler.engine.lambda_polling",
        "about",
        "first.token.reveal()",
    )
    settings |= {"SCHEDULER_MODE": "lambda", "SCHEDULER_LAMBDA_BATCH_SIZE": batch, "SCHEDULER_LOG_FORMAT": style}
    with world.daemon(**settings) as daemon:
        until(lambda: logged(world, "poll.crashed", "tick.finished"))
        assert daemon.process.poll() is None
    texts = world.texts()
    assert "RuntimeError: it is '<token " in texts
    assert shown({name: job.token for name, job in jobs.items()}, texts) == []


@pytest.mark.parametrize("style", STYLES)
def test_fault_52_a_crash_while_a_row_is_set_aside_shows_nothing_that_the_row_holds(
    world: World, tmp_path_factory: pytest.TempPathFactory, style: str
) -> None:
    token = world.aws.tokens.waiting()
    world.put("bad", token, expiresAt={"S": token})
    settings = crashing(
        tmp_path_factory.mktemp("crashing"),
        "scheduler.core.row_writes",
        "write_call",
        "first.fault.held['S'] if hasattr(first, 'fault') else ''",
        where="secret",
    )
    with world.daemon(**settings, SCHEDULER_LOG_FORMAT=style):
        until(lambda: logged(world, "poll.crashed"))
    texts = world.texts()
    assert "RuntimeError" in texts
    assert shown({"bad": token}, texts) == []


def test_fault_34_nothing_that_holds_a_token_shows_it() -> None:
    token = "AQ-canary-" + "0123456789abcdef" * 8
    item: Any = {
        "jobId": {"S": "job-1"},
        "taskToken": {"S": token},
        "expiresAt": {"S": "2099-01-01T00:00:00Z"},
        "attemptCount": {"N": "0"},
        "maxAttempts": {"N": "1"},
    }
    row, answer = read_row(item), succeed({"jobId": "job-1"})
    bad = [read_found({**item, name: {"S": token}}) for name in ("expiresAt", "attemptCount", "pendingAnswer")]
    refused = send_result(Send(row.token, answer), CallError("InvalidToken", f"Invalid Token: '{token}'"))
    things = [
        row,
        row.token,
        *bad,
        *(getattr(one, "fault", one) for one in bad),
        Claim(row, "claim-1", 0, 1, 2),
        Send(row.token, answer),
        Heartbeat(row.token),
        Keep(row, PendingAnswer(answer), 1, "why"),
        Release(row, 1, None),
        Mark(row, EndState.FAILED, 1),
        refused,
        poll(row, fixed_policy(), 0, 0),
    ]
    assert shown({"canary": token}, "\n".join(f"{thing} {thing!r}" for thing in things)) == []
