"""The simulated day of `python -m bench balance`: the same for the same seed, and honest in its books."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.balance.day import Day
from bench.balance.figures import figures, jain, percentile
from bench.balance.routers import Ours
from bench.balance.run import POLICIES, ROUTERS, SEED, compare, play
from bench.balance.workload import DAY_SECONDS, Arrival, Outage, Workload, draw


def quiet(
    *arrivals: tuple[float, float], capacities: tuple[int, ...] = (1,), outages: tuple[Outage, ...] = ()
) -> Workload:
    """Sessions of different users at (time, seconds); all replicas are there from the beginning."""
    drawn = tuple(Arrival(at, seconds, user) for user, (at, seconds) in enumerate(arrivals))
    return Workload(1, drawn, capacities, (0.0,) * len(capacities), outages)


def day(workload: Workload, name: str = "least_sessions") -> Day:
    played, router = play(workload, name)
    if isinstance(router, Ours):
        assert router.at_rest, "everything was given back"
    return played


@pytest.mark.parametrize("name", ROUTERS)
def test_every_session_is_accounted_for(name: str) -> None:
    workload = draw(400, 10, seed=3)
    assert workload.outages
    played = day(workload, name)
    assert len(played.waits) + played.refused + played.timed_out == 400 + played.broken
    assert all(0 <= wait <= 60 for wait in played.waits)
    assert all(not machine.busy and not machine.lingering for machine in played.machines)


def test_the_same_seed_is_the_same_day() -> None:
    assert draw(300, 8, seed=5) == draw(300, 8, seed=5)
    assert draw(300, 8, seed=5) != draw(300, 8, seed=6)
    one, two = (compare(300, 8, 5, lambda _: None)[1] for _ in range(2))
    assert one == two


def test_two_sessions_on_one_gpu_are_served_one_after_the_other() -> None:
    workload = quiet((100, 30), (110, 10))
    played = day(workload)
    assert played.waits[0] == 0
    assert 20 <= played.waits[1] <= 20 + 8 + 0.25, "its GPU may have had a segment to finish"
    assert played.rejections == 0
    assert day(workload, SEED).refused == 1


def test_who_waits_too_long_is_counted_as_such() -> None:
    played = day(quiet((100, 400), (110, 10)))
    assert (len(played.waits), played.timed_out, played.refused) == (1, 1, 0)


def test_the_seed_sends_everybody_to_the_first() -> None:
    played = day(quiet(*[(100, 50)] * 6, capacities=(2, 2, 2)), SEED)
    assert (len(played.waits), played.refused) == (2, 4)
    assert [machine.busy_seconds for machine in played.machines] == [100, 0, 0]
    assert len(day(quiet(*[(100, 50)] * 6, capacities=(2, 2, 2))).waits) == 6


@pytest.mark.parametrize("name", POLICIES)
def test_a_death_is_not_the_end(name: str) -> None:
    """The session comes back; nobody else is refused, though the router has not noticed yet."""
    outage = Outage(0, 130.0, 400.0)
    played = day(quiet((100, 60), (101, 60), (131, 5), capacities=(1, 3), outages=(outage,)), name)
    assert played.refused == 0
    assert len(played.waits) == 3 + played.broken
    assert played.machines[0].up_seconds == pytest.approx(DAY_SECONDS - 270)


def test_figures() -> None:
    found = figures("x", day(quiet(*[(100, 50)] * 4, capacities=(1, 1))))
    assert found.sessions == 4
    assert found.jain > 0.99
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert [percentile([], 50), percentile([7.0], 1), percentile([1.0, 9.0], 99)] == [0.0, 7.0, 9.0]
    assert jain((1.0, 1.0, 1.0)) == pytest.approx(1.0)
    assert jain((1.0, 0.0, 0.0, 0.0)) == 0.25
    assert jain(()) == 1.0


def test_the_command_writes_a_table_a_json_and_a_plot(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["balance", "--sessions", "200", "--replicas", "5", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for name in ROUTERS:
        assert f"| {name} |" in result.output
    written = json.loads((tmp_path / "balance.json").read_text())
    assert [each["router"] for each in written["routers"]] == list(ROUTERS)
    assert (tmp_path / "balance.svg").read_text().rstrip().endswith("</svg>")
