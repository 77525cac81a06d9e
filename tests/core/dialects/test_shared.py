"""What dialects say together of the replicas that they share."""

from __future__ import annotations

from trio_router.core.config import ReplicaEndpoint, RouterConfig, parse_config
from trio_router.core.dialects import Dialect, Opaque, make_dialect, shared_capacity, shared_probe_path


class Asks(Opaque):
    def __init__(self, path: str | None, capacity: int | None = None) -> None:
        self.probe_path = path
        self.default_capacity = capacity


REPLICAS = (ReplicaEndpoint("http://a"),)


def test_the_smallest_capacity_holds_and_without_one_there_is_no_limit() -> None:
    four, two, none = Asks(None, 4), Asks(None, 2), Asks(None)
    assert shared_capacity([four, none, two]) == 2
    assert shared_capacity([none]) is None
    assert [shared_capacity([make_dialect(name)]) for name in ("fastvideo", "dreamverse", "opaque")] == [1, 1, None]


def test_replicas_are_probed_where_the_first_dialect_says_that_says_so() -> None:
    dialects: list[Dialect] = [Asks(None), Asks("/b"), Asks("/c")]
    assert shared_probe_path(RouterConfig(replicas=REPLICAS), dialects) == "/b"
    assert shared_probe_path(RouterConfig(replicas=REPLICAS), dialects[:1]) == "/health"


def test_a_path_that_was_configured_is_asked_for_even_if_it_is_the_usual_one() -> None:
    text = "router: {replicas: [http://a], health_check: {path: /health}}"
    for config in (RouterConfig(replicas=REPLICAS, health_check_path="/health"), parse_config(text)):
        assert shared_probe_path(config, [Asks("/b")]) == "/health"
    assert shared_probe_path(parse_config("router: {replicas: [http://a]}"), [Asks("/b")]) == "/b"
