"""The replicas and what is known of each: what sessions, probes and operators report. Nothing here waits, so no lock.

Only the registry changes a `Replica`, here and in its bases: `replica_set` (which replicas exist) and `choice` (which one
gets a session). Reports come in (probes, dials, ends of sessions), a slot goes out. Each method decides and changes in
one call.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.balancing import PolicyFactory
from trio_router.core.replicas.choice import ReplicaChoice
from trio_router.core.replicas.choice import Slot as Slot
from trio_router.core.replicas.choice import serves as serves
from trio_router.core.replicas.failures import last_few
from trio_router.core.replicas.health import ReplicaStatus, Thresholds
from trio_router.core.replicas.replica import FULL_SECONDS, AdminState, Lingering, Replica, Report
from trio_router.core.replicas.replica_set import ReplicaDiff

#: A replica that refused this many different clients in a row, while another one accepted one, is `refusing`.
REFUSED_CLIENTS: Final = 3
#: How long an upgrade that another replica accepted counts, in seconds before the first of the refusals.
ACCEPTED_SECONDS: Final = 60.0


class ReplicaRegistry(ReplicaChoice):
    """All replicas in the order of the configuration.

    ``config`` is a `RouterConfig` or the endpoints alone (then with the defaults). ``policies`` are balancing policies by
    name, beside the router's own. ``default_capacity`` is how many sessions a replica serves at once while it has not said
    so (None: without a limit); which number is right depends on the dialect.

    Two callbacks are called without waiting: ``on_capacity`` whenever a slot may have become
    free (whoever keeps a line of waiters looks at it then), ``on_loss`` whenever a replica may have become unusable.

    Raises:
        ValueError: without any replica, or for a policy that nobody knows.
    """

    def __init__(
        self,
        config: RouterConfig | Sequence[ReplicaEndpoint],
        *,
        rng: random.Random | None = None,
        policies: Mapping[str, PolicyFactory] | None = None,
        default_capacity: int | None = 1,
    ) -> None:
        if not isinstance(config, RouterConfig):
            if not config:
                raise ValueError("a registry needs at least one replica")
            config = RouterConfig(replicas=tuple(config))
        super().__init__(config, rng=rng, policies=policies, default_capacity=default_capacity)
        self.thresholds = Thresholds(config.failure_threshold, config.recovery_threshold)
        self.on_capacity: Callable[[], None] = lambda: None
        self.on_loss: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        states = ", ".join(f"{r.label}={r.health.status}:{r.taken}" for r in self.replicas)
        return f"<ReplicaRegistry {states}>"

    # What a session reports

    def slot_connected(self, slot: Slot, *, now: float) -> None:
        """The connection of this slot stands: from now on the replica's reports can count it."""
        if not slot.released:
            slot.replica.connected_since[slot.number] = slot.replica.changed_at = now
            slot.replica.suspected = False

    def release(self, slot: Slot, *, now: float, linger: bool = False, linger_seconds: float = 0.0) -> None:
        """Give the slot back, exactly once; a second call does nothing.

        ``linger``: the replica may still be busy with what the session had begun. If it reports on itself, the slot
        stays taken until a report that was asked for after now says otherwise. If it reports nothing, the slot stays
        taken for ``linger_seconds``, with or without ``linger``.
        """
        if slot.released:
            return
        slot.released = True
        replica = slot.replica
        del replica.held_since[slot.number]
        replica.connected_since.pop(slot.number, None)
        replica.changed_at = now
        if replica.report is not None and replica.report.busy is not None:
            if linger:
                replica.lingering.append(Lingering(now, slot.key))
        elif linger_seconds > 0:
            until = now + linger_seconds
            replica.lingering.append(Lingering(now, slot.key, until=until))
            replica.first_over_at = min(replica.first_over_at, until)
        if replica.removing and not replica.held:
            self._drop(replica)
        self.on_capacity()

    def session_opened(self, replica: Replica) -> None:
        """A session passed the commit point there: resets the failed attempts, but not the sessions lost after commit."""
        replica.sessions_total += 1
        replica.failures.clear()
        replica.doubts.clear()
        if not replica.lost_after_commit:
            replica.ejections = 0

    def session_ended(self, replica: Replica) -> None:
        """A session that had opened there ended without a failure of the replica: its lost sessions are reset."""
        replica.deaths.clear()
        replica.lost_after_commit = False
        replica.ejections = 0

    def session_rejected(self, replica: Replica, *, now: float) -> None:
        """It is up but full: not chosen for `FULL_SECONDS`, unless it reports capacity."""
        replica.full_until = now + FULL_SECONDS

    def session_failed(
        self, replica: Replica, error: str, *, now: float, opened: bool = False, client: str | None = None
    ) -> bool:
        """An attempt failed, or the replica died under a session (``opened``: after its commit point).

        ``client`` is the client's address if the failure may be the client's doing, None if it cannot be. Failures of one
        client alone only make the replica degraded: tried last, and probed at once. With a second client's they count.

        Returns whether its status changed.
        """
        self._note(replica, now)
        replica.failures_total += 1
        streak = replica.deaths if opened else replica.failures
        streak.add(client)
        replica.lost_after_commit |= opened
        counted = replica.doubts.add(client)
        # Failed sessions may not take the last usable replica away: only its own probes can mark it as down.
        last = not self._others_usable(replica, now)
        changed = replica.health.failed(self.thresholds, error, spare=last, times=counted)
        if streak.count >= self.config.ejection.failures:
            self._eject(replica, now)
        self._restore_ejected(now)
        self.on_loss()
        return changed

    def suspect(self, replica: Replica, error: str, *, now: float) -> None:
        """It failed an attempt, and it is not clear yet whose fault that was: it is tried last and probed at once."""
        self._note(replica, now)
        replica.suspected = True
        replica.health.failed(self.thresholds, error, times=0)
        self.on_loss()

    def suspect_dial(self, replica: Replica, error: str, *, now: float, client: str | None = None) -> None:
        """A dial timed out: the replica is tried last and probed at once, until a probe is good or a connection stands.

        That alone takes no replica out of service: the handshake is part of a dial, and a client can hold that up. With
        ``client``, its address, timeouts of different clients in a row count towards ejection as failures do.
        """
        self._note(replica, now)
        replica.failures_total += 1
        replica.suspected = True
        replica.health.failed(self.thresholds, error, times=0)
        if client is not None:
            replica.failures.add(client)
            if replica.failures.count >= self.config.ejection.failures:
                self._eject(replica, now)
        self._restore_ejected(now)
        self.on_loss()

    def request_refused(self, replica: Replica, status: int, *, now: float, client: str) -> tuple[Replica, ...]:
        """It answered an upgrade with ``status`` (4xx). Returns the replicas whose ``refusing`` changed.

        One that gives such an answer to `REFUSED_CLIENTS` different clients in a row while another replica accepts, or
        accepted lately, is ``refusing``: tried last until it accepts somebody, recovers, or is ordered to be ready.
        """
        if not replica.refused_clients:
            replica.refused_since = now
        replica.refused_clients = last_few(replica.refused_clients, client, REFUSED_CLIENTS)
        replica.health.last_error = f"answered upgrades with HTTP {status}"
        return self._update_refusing()

    def request_accepted(self, replica: Replica, *, now: float) -> tuple[Replica, ...]:
        """It accepted an upgrade. Returns the replicas whose ``refusing`` changed: it may show up another one."""
        replica.accepted_at = now
        changed = self._clear_refusals(replica)
        return changed + self._update_refusing()

    # What the health loop reports

    def probe_succeeded(
        self,
        replica: Replica,
        *,
        latency_ms: float | None,
        wall: float,
        now: float,
        report: Report | None = None,
        remark: str | None = None,
    ) -> bool:
        """A good probe; ``report`` is what else the replica said of itself. Returns whether its status changed.

        ``remark``: why something in it could not be used. It is the replica's ``last_error`` then.
        """
        self._note(replica, now)
        before = replica.health.status
        changed = replica.health.succeeded(self.thresholds, latency_ms=latency_ms, wall=wall, remark=remark)
        replica.suspected = False
        replica.doubts.clear()
        if changed:
            replica.recovered_at = now if before is ReplicaStatus.UNHEALTHY else None
            self._clear_refusals(replica)
        if report is not None:
            replica.apply_report(report)
        if report is None or report.busy is None:
            replica.forget_lingering(now)  # without reports they would never be freed
        self._restore_ejected(now)
        if not replica.usable(now):
            self.on_loss()
        self.on_capacity()
        return changed

    def probe_failed(self, replica: Replica, error: str, *, now: float) -> bool:
        """A bad probe. Returns whether its status changed."""
        self._note(replica, now)
        changed = replica.health.failed(self.thresholds, error)
        self._restore_ejected(now)
        self.on_loss()
        return changed

    def record_success(
        self,
        replica: Replica | str,
        *,
        latency_ms: float,
        recovery_threshold: int | None = None,
        wall: float = 0.0,
        now: float = 0.0,
    ) -> bool:
        """FastVideo's name for a good probe of a replica, or of its URL. Nothing is awaited.

        ``wall`` is Unix seconds for ``last_ok_at``, ``now`` the clock of all other calls; ``recovery_threshold`` replaces
        the configured one for this call.

        Raises:
            KeyError: no replica has this URL.
        """
        with self._threshold(recovery=recovery_threshold):
            return self.probe_succeeded(self._find(replica), latency_ms=latency_ms, wall=wall, now=now)

    def record_failure(
        self, replica: Replica | str, *, reason: str, failure_threshold: int | None = None, now: float = 0.0
    ) -> bool:
        """FastVideo's name for a bad probe; see `record_success`."""
        with self._threshold(failure=failure_threshold):
            return self.probe_failed(self._find(replica), reason, now=now)

    # What operators order

    def set_admin_state(self, replica: Replica, state: AdminState, *, now: float) -> None:
        """Set the state that an operator ordered. READY also clears ``refusing``."""
        self._note(replica, now)
        if state is AdminState.READY:
            self._clear_refusals(replica)
            if replica.admin is not state:
                replica.usable_until = now  # an outage does not begin before the replica was ordered to be ready
        replica.admin = state
        self._restore_ejected(now)
        self.on_loss()
        self.on_capacity()

    def apply(self, endpoints: Sequence[ReplicaEndpoint], *, now: float) -> ReplicaDiff:
        """Make ``endpoints`` the replicas. The URL is the identity: a replica whose other keys changed keeps its record.

        Added ones are UNKNOWN until their first good probe. Removed ones get no new sessions; those with open sessions
        stay listed, ``removing``, until the last of them gives its slot back.

        Raises:
            ValueError: for an empty list, or two of the same URL or name. Nothing has changed then.
        """
        return self.reconfigure(self.config, endpoints, now=now)

    def reconfigure(
        self, config: RouterConfig, endpoints: Sequence[ReplicaEndpoint] | None = None, *, now: float
    ) -> ReplicaDiff:
        """Go by ``config`` from now on (thresholds, ejection, slow start, balance), and make ``endpoints``, or the replicas
        that it lists, the replicas: see `apply`.

        Raises:
            ValueError: as `apply`, or for a policy that nobody knows. Nothing has changed then.
        """
        if endpoints is not None:
            checked = RouterConfig(**{**dict(config), "replicas": tuple(endpoints)})
            config = config.model_copy(update={"replicas": checked.replicas})  # which keys were given stays known
        self.policy(config.balance)  # raises if nobody knows it
        self.config = config
        self.thresholds = Thresholds(config.failure_threshold, config.recovery_threshold)
        for replica in self.replicas:
            replica.slow_start_seconds = config.slow_start_seconds
        diff = self._exchange(self.config.replicas, now=now)
        for replica in diff.removed:
            self._forget(replica)
        self._restore_ejected(now)
        self.on_replicas_changed()
        self.on_loss()
        self.on_capacity()
        return diff

    def _find(self, replica: Replica | str) -> Replica:
        if isinstance(replica, Replica):
            return replica
        found = self.get(replica)
        if found is None:
            raise KeyError(replica)
        return found

    @contextlib.contextmanager
    def _threshold(self, *, failure: int | None = None, recovery: int | None = None) -> Iterator[None]:
        kept = self.thresholds
        self.thresholds = Thresholds(failure or kept.failure, recovery or kept.recovery)
        try:
            yield
        finally:
            self.thresholds = kept

    def _note(self, replica: Replica, now: float) -> None:
        """To be called before any change: until ``now`` it was usable, if it was."""
        self._begin(now)
        if replica.usable(now):
            replica.usable_until = max(replica.usable_until, now)

    def _others_usable(self, replica: Replica, now: float) -> bool:
        return any(other.usable(now) for other in self.replicas if other is not replica)

    def _update_refusing(self) -> tuple[Replica, ...]:
        changed = []
        for replica in self.replicas:
            if replica.refusing or len(replica.refused_clients) < REFUSED_CLIENTS:
                continue
            since = replica.refused_since - ACCEPTED_SECONDS
            if any(other.accepted_at >= since for other in self.replicas if other is not replica):
                replica.refusing = True
                changed.append(replica)
        return tuple(changed)

    def _clear_refusals(self, replica: Replica) -> tuple[Replica, ...]:
        changed = (replica,) if replica.refusing else ()
        replica.refusing, replica.refused_clients, replica.refused_since = False, (), math.inf
        return changed

    def _eject(self, replica: Replica, now: float) -> None:
        if not self._others_usable(replica, now):
            return  # the last one: a bad replica is better than none
        rule = self.config.ejection
        replica.ejections += 1
        replica.failures.clear()
        replica.deaths.clear()
        replica.ejected_until = now + min(rule.base_seconds * replica.ejections, rule.max_seconds)

    def _restore_ejected(self, now: float) -> None:
        """Take ejected replicas back when no other is left."""
        if any(replica.usable(now) for replica in self.replicas):
            return
        ejected = [r for r in self.replicas if r.schedulable and not r.warming]
        for replica in ejected:
            replica.ejected_until = now
        if ejected:
            self.on_capacity()
