"""Secrets: from a file of their own, and never shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from trio_router.core.config import file_shape, parse_config
from trio_router.core.errors import ConfigError

SECRET = "a secret of some length"


def affinity(block: str, files: Mapping[str, Any]) -> tuple[str, Callable[[str], str]]:
    def read(path: str) -> str:
        found: str | Exception = files.get(path, FileNotFoundError(2, "No such file or directory"))
        if isinstance(found, Exception):
            raise found
        return found

    return f"router:\n  replicas: [http://a]\n  affinity: {{cookie: c, {block}}}\n", read


def secret(block: str, **files: Any) -> str | None:
    text, read = affinity(block, files)
    return parse_config(text, read_file=read).affinity.secret


def problem(block: str, **files: Any) -> str:
    text, read = affinity(block, files)
    with pytest.raises(ConfigError) as caught:
        parse_config(text, read_file=read)
    (found,) = caught.value.found
    return found.line()


def test_a_secret_is_read_from_its_file_without_the_last_newline() -> None:
    for text in (SECRET, f"{SECRET}\n", f"{SECRET}\r\n"):
        assert secret("secret_file: key", key=text) == SECRET
    assert secret("secret_file: key", key=f" {SECRET} ") == f" {SECRET} "
    assert secret("secret_file:") is None
    assert secret(f"secret_file: , secret: {SECRET}") == SECRET
    assert secret("secret_file: key, secret: ", key=SECRET) == SECRET


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("secret_file: none", "router.affinity.secret_file: cannot read none: No such file or directory"),
        ("secret_file: broken", "router.affinity.secret_file: cannot read broken: it is odd"),
        ("secret_file: binary", "router.affinity.secret_file: cannot read binary: 'utf-8' codec can't decode"),
        (f"secret_file: key, secret: {SECRET}", "router.affinity.secret_file: give secret or secret_file, not both"),
        ("secret_file: [a]", "router.affinity.secret_file: must be the path of a file (got ['a'])"),
        ("secret_file: short", "router.affinity.secret_file: String should have at least 16 characters"),
        ("secret: '***'", "router.affinity.secret: *** stands for a secret that was hidden; write the secret itself"),
        ("secret_fil: key", "router.affinity.secret_fil: unknown key; did you mean 'secret_file'?"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_mistake_with_its_line(block: str, words: str) -> None:
    wrong = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    found = problem(block, key=SECRET, short="hunter2", broken=OSError("it is odd"), binary=wrong)
    place, _, text = found.partition(": ")
    assert place.startswith("line 3, column ")
    assert text.startswith(words)
    assert "hunter2" not in found


def test_without_files_it_says_so() -> None:
    text, _ = affinity("secret_file: key", {})
    with pytest.raises(ConfigError, match="secret_file: files cannot be read here; give secret itself"):
        parse_config(text)


def test_a_key_of_that_name_elsewhere_is_unknown() -> None:
    with pytest.raises(
        ConfigError, match=r"router\.secret_file: unknown key; did you mean router\.affinity\.secret_file"
    ):
        parse_config("router: {secret_file: key, replicas: [http://a]}", read_file=str)
    with pytest.raises(ConfigError, match=r"router\.affinityy: unknown key"):
        parse_config("router: {affinityy: {secret_file: key}, replicas: [http://a]}", read_file=str)


def test_what_is_shown_is_a_file_again_but_for_its_secrets() -> None:
    text = """
    router:
      port: 1
      replicas: [http://a, {url: http://b, max_sessions: 2, presets: [wan]}]
      health_check: {path: /a$$b, interval_seconds: 1m}
      streams: [{path: '/v1/$${x}'}]
      timeouts: {close_seconds: 200ms}
    """
    config = parse_config(text)
    assert parse_config(yaml.safe_dump(file_shape(config))) == config
    hidden = file_shape(parse_config(f"router: {{replicas: [http://a], affinity: {{secret: {SECRET}}}}}"))
    assert hidden["router"]["affinity"]["secret"] == "***"
    assert SECRET not in str(hidden)
    with pytest.raises(ConfigError, match="stands for a secret that was hidden"):
        parse_config(yaml.safe_dump(hidden))
