"""A configuration file: YAML with one top-level ``router:`` block. Finds every mistake at once, each with its path.

Accepts the files of FastVideo's router unchanged. Locations in the file belong to `nodes`, ``${NAME}`` to
`substitution`, the file's own shape to `shape`; this module combines them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trio_router.core.config.doubtful import doubts
from trio_router.core.config.hints import unknown_key, unknown_top_key
from trio_router.core.config.messages import Complaint, duplicate_urls
from trio_router.core.config.models import RouterConfig
from trio_router.core.config.nodes import Document
from trio_router.core.config.secret_files import ReadFile, SecretFiles
from trio_router.core.config.shape import BLOCKS, HEALTH_CHECK, IN_FILE, dotted
from trio_router.core.config.substitution import Substitution
from trio_router.core.errors import ConfigError, Place, Problem

__all__ = ["HEALTH_CHECK", "ConfigFile", "parse_config", "read_config"]


@dataclass(frozen=True)
class ConfigFile:
    """A good file: its configuration, and the warnings about it."""

    config: RouterConfig
    warnings: tuple[Problem, ...]
    #: Line and column of the value at a location of the file.
    place: Callable[[tuple[str | int, ...]], Place | None]


def parse_config(
    text: str,
    *,
    source: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    policies: Collection[str] = (),
    dialects: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
    read_file: ReadFile | None = None,
) -> RouterConfig:
    """Read a configuration from YAML text: `read_config` without the warnings.

    ``policies`` and ``dialects`` are names that are accepted beside the router's own: those that the program gives to
    `Router`.

    Raises:
        ConfigError: with one problem for every mistake, in the order of the file.
    """
    return read_config(
        text,
        source=source,
        overrides=overrides,
        policies=policies,
        dialects=dialects,
        environ=environ,
        read_file=read_file,
    ).config


def read_config(
    text: str,
    *,
    source: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    policies: Collection[str] = (),
    dialects: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
    read_file: ReadFile | None = None,
) -> ConfigFile:
    """Read a configuration from YAML text.

    Args:
        source: the file's name, for messages.
        overrides: replace top-level keys of the ``router:`` block.
        policies, dialects: names that ``balance`` and ``dialect`` may have beside the router's own.
        environ: the variables that ``${NAME}`` may name; none if it is not given.
        read_file: reads what ``secret_file`` names; without it that key is a mistake.

    Raises:
        ConfigError: with one problem for every mistake, in the order of the file.
    """
    return _Reading(text, source, dict(overrides or {}), {"policies": policies, "dialects": dialects}).result(
        environ or {}, read_file
    )


class _Reading:
    """One file while it is being read."""

    def __init__(
        self, text: str, source: str | None, overrides: dict[str, Any], known: Mapping[str, Collection[str]]
    ) -> None:
        self._source = source
        self._known = known  # names of policies and dialects beside the router's own
        self._overrides = overrides
        self._document = Document(text, source)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._told: set[tuple[str | int, ...]] = set()

    def result(self, environ: Mapping[str, str], read_file: ReadFile | None) -> ConfigFile:
        block = self._router_block(environ)
        secrets = SecretFiles(read_file)
        block = secrets.resolve({**block, **self._overrides}, ("router",))
        self._tell(secrets.problems)
        values = self._model_shape(block)
        try:
            config = RouterConfig.model_validate(values, context=self._known)
        except ValidationError as exc:
            self._tell_errors(exc, values, secrets)
        if self._problems:
            raise ConfigError(_in_order(self._problems), source=self._source, warnings=self._warnings)
        for location, text in doubts(config):
            self._warnings.append(self._problem(location, text))
        return ConfigFile(config, tuple(_in_order(self._warnings)), self._place)

    def _router_block(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """The values of the ``router:`` block, with variables replaced."""
        substitution = Substitution(environ)
        self._document.change(substitution.document)
        raw = self._document.value()
        self._tell({at: text for at, text in substitution.problems.items() if not _ignored(at)})
        for at, text in substitution.warnings.items():
            if not _ignored(at):
                self._warnings.append(self._problem(at, text))
        if not isinstance(raw, dict) or "router" not in raw:
            problem = Problem("router: missing; the file must have a top-level 'router:' block")
            raise ConfigError([*self._problems, problem], source=self._source)
        for key in raw:
            if key != "router" and not _ignored((key,)):
                self._tell({(key,): unknown_top_key(key)}, of_key=True)
        block = raw["router"]
        if not isinstance(block, dict):
            self._tell({("router",): "must be a block of keys"})
            raise ConfigError(_in_order(self._problems), source=self._source)
        return block

    def _model_shape(self, block: dict[str, Any]) -> dict[str, Any]:
        """Convert the file's shape to the model's: ``health_check`` becomes flat fields, which the file itself must not use."""
        values = {key: value for key, value in block.items() if key != "health_check"}
        # A block whose keys are all commented out is an empty block, not a null.
        values = {key: {} if value is None and key in BLOCKS else value for key, value in values.items()}
        for field in [key for key in values if key in IN_FILE]:
            self._tell({("router", field): f"write it as router.{'.'.join(IN_FILE[field])}"}, of_key=True)
            del values[field]
        if isinstance(values.get("replicas"), list):
            values["replicas"] = [{"url": item} if isinstance(item, str) else item for item in values["replicas"]]
        checks = block.get("health_check")
        if checks is not None and not isinstance(checks, dict):
            self._tell({("router", "health_check"): "must be a block of keys"})
            return values
        for key, value in (checks or {}).items():
            if key in HEALTH_CHECK:
                values[HEALTH_CHECK[key]] = value
            else:
                location = ("router", "health_check", key)
                self._tell({location: unknown_key(location)}, of_key=True)
        return values

    def _tell_errors(self, exc: ValidationError, values: dict[str, Any], secrets: SecretFiles) -> None:
        known = set(self._told)
        for error in exc.errors(include_url=False):
            complaint = Complaint.of(error, values, from_files=secrets.read)
            # One mistake is reported once: an unset variable is also not a number.
            if any(complaint.location[: len(told)] == told for told in known):
                continue
            place = self._place(complaint.stands_at, of_key=complaint.of_key)
            self._problems.append(Problem(f"{dotted(complaint.location)}: {complaint.text}", place))
        if not any("Duplicate" in problem.text for problem in self._problems):
            self._tell(duplicate_urls(values.get("replicas")))

    def _tell(self, problems: Mapping[tuple[str | int, ...], str], *, of_key: bool = False) -> None:
        for location, text in problems.items():
            self._problems.append(self._problem(location, text, of_key=of_key))
            self._told.add(location)

    def _problem(self, location: tuple[str | int, ...], text: str, *, of_key: bool = False) -> Problem:
        return Problem(f"{dotted(location)}: {text}", self._place(location, of_key=of_key))

    def _place(self, location: tuple[str | int, ...], *, of_key: bool = False) -> Place | None:
        """Line and column, or None for what does not come from the file."""
        if len(location) > 1 and location[1] in self._overrides:
            return None
        return self._document.place(location, of_key=of_key)


def _ignored(location: tuple[str | int, ...]) -> bool:
    """Whether it stands under a top-level key that exists for its anchors only."""
    return bool(location) and str(location[0]).startswith("x-")


def _in_order(problems: list[Problem]) -> list[Problem]:
    """In the order of the file; what has no place in it comes first."""
    return sorted(problems, key=lambda problem: problem.place or (0, 0))
