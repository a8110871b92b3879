"""A few of the faults of `make faults`, long enough for a request without a deadline to hang."""

from pathlib import Path

import pytest

from tests.faults import schedule

SOME = ("PostgreSQL accepts and says nothing", "PostgreSQL is killed", "Valkey sends 20 bytes a second")


@pytest.mark.faults
@pytest.mark.alone
def test_answers_come_in_time_or_say_when_to_try_again_and_nothing_acknowledged_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder: Path = tmp_path_factory.mktemp("faults")
    troubles = [trouble for trouble in schedule.ALL if str(trouble) in SOME]
    assert len(troubles) == len(SOME)
    with schedule.Scene(folder) as scene:
        report = schedule.run(scene, troubles, before=4, lasting=6, watch=1, log=print)
    assert report.broken == [], report.table()
