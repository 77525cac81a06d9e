"""What the sessions of one router share. Wired in `app`, used by `listener` and `session`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from .admission import Admission
from .core.book import SessionBook
from .core.config import RouterConfig
from .core.dialects import Dialect, make_dialect
from .core.events import Events, Refusal
from .core.flow import Scratch
from .core.registry import ReplicaRegistry
from .core.totals import RefusalTotals
from .identity import Identities
from .keeper import Keeper
from .logs import get_logger
from .poller import Poller
from .upstream import Dialler

log = get_logger("trio_router")


@dataclass(frozen=True, slots=True)
class Services:
    """One of each for a router. ``dialects`` by stream path."""

    config: RouterConfig
    registry: ReplicaRegistry
    admission: Admission
    identities: Identities
    book: SessionBook
    poller: Poller
    keeper: Keeper
    dialler: Dialler
    scratch: Scratch
    dialects: dict[str, Dialect]
    events: Events = field(default_factory=Events)


class _Refusals(RefusalTotals):
    """Counts them, and writes one line for each."""

    def refused(self, refusal: Refusal) -> None:
        super().refused(refusal)
        log.info("refused", **{key: value for key, value in asdict(refusal).items() if value not in (None, "")})


def make_services(config: RouterConfig, registry: ReplicaRegistry | None = None) -> Services:
    """Everything that a router needs, nothing of it started."""
    registry = registry or ReplicaRegistry(config)
    poller, keeper = Poller(), Keeper()
    identities = Identities(config, registry)
    book = SessionBook()
    return Services(
        config=config,
        registry=registry,
        admission=Admission(config, registry, identities),
        identities=identities,
        book=book,
        poller=poller,
        keeper=keeper,
        dialler=Dialler(config, poller, keeper),
        scratch=Scratch(),
        dialects={stream.path: make_dialect(stream.dialect or config.dialect) for stream in config.streams},
        events=_Refusals(book),
    )
