"""Fault 40: Step Functions of another region or account knows none of our tokens."""

from tests.faults.world import World, until


def test_fault_40_at_most_ten_rows_are_closed_and_the_others_keep_their_answers(world: World) -> None:
    elsewhere = world.aws.faults.fail("SendTask*", code="InvalidToken", message="Invalid Token", times=None)
    jobs = [world.add(f"job-{number:02}") for number in range(50)]
    with world.daemon() as daemon:
        until(lambda: all("pendingAnswer" in row or row["status"] == "CLOSED" for row in world.rows().values()))
        until(lambda: daemon.readiness()[0] == 503)
        assert "answers: Step Functions knows none of our task tokens" in daemon.readiness()[1]["reason"]
        closed = [job for job in jobs if world.row(job)["status"] == "CLOSED"]
        assert len(closed) == 10
        # One is tried now and then, and not all of them again and again.
        met = elsewhere.met
        world.ticks(daemon, more=10)
        assert elsewhere.met - met <= 1
        elsewhere.cancel()
        kept = [job for job in jobs if job not in closed]
        rows = [world.ended(job, 120) for job in kept]
        until(lambda: daemon.readiness()[0] == 200)
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert {tuple(world.answers(job)) for job in kept} == {("SendTaskSuccess",)}
    assert {world.aws.jobs.checks(job.job_id) for job in kept} == {1}
    assert len([line for line in daemon.events("trouble.began") if line["part"] == "answers"]) == 1


def test_fault_40_a_taken_answer_lets_unknown_tokens_close_rows_again(world: World) -> None:
    for number in range(25):
        world.aws.faults.fail("SendTask*", code="InvalidToken", times=None, containing=f"stale-{number:02}")
    with world.daemon():
        for number in range(25):
            stale = world.add(f"stale-{number:02}")
            assert world.ended(stale)["status"] == "CLOSED"
            if number % 9 == 8:
                assert world.ended(world.add(f"good-{number:02}"))["status"] == "COMPLETED"


def test_fault_40_a_row_of_another_region_is_left_alone_with_a_warning(world: World) -> None:
    away = world.add("away", row={"executionId": "arn:aws:states:eu-central-1:000000000000:execution:flow:run"})
    untouched = world.item(away)
    with world.daemon() as daemon:
        assert world.ended(world.add("here"))["status"] == "COMPLETED"
        world.ticks(daemon, more=5)
        assert daemon.readiness()[0] == 200
    assert world.item(away) == untouched
    assert world.aws.jobs.checks("away") == 0
    (line,) = daemon.events("row.left_alone")
    assert (line["level"], line["job_id"]) == ("warning", "away")
    assert line["error"] == "its execution is in region eu-central-1, and this is us-east-1"
