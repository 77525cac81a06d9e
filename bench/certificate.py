"""The certificate of the TLS scenarios, and what makes their rows fair.

One self-made certificate (ECDSA P-256, made anew for each run) is given to every router; all speak plain to the
replica. The load generator offers TLS 1.3 only, and of its suites only `TLS_AES_128_GCM_SHA256`, which all must have
(RFC 8446, section 9.1); each session checks that this is what was agreed. It never resumes: every opening is a full
handshake. Session tickets are sent as each router's default has it. HTTP/1.1 everywhere, no ALPN is offered.
The libraries differ and are part of what is compared: Python's, HAProxy's and nginx's OpenSSL, Envoy's BoringSSL, Go's.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUITE = "TLS_AES_128_GCM_SHA256"
# Python sets suites of TLS 1.3 from 3.15 on only; OpenSSL's own configuration file does it for the whole process.
_OPENSSL_CONFIG = f"""\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Ciphersuites = {SUITE}
"""
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files: chain, key, and both in one; and the OpenSSL configuration of the load generator."""

    chain: Path
    key: Path
    both: Path
    openssl_config: Path


def make(directory: Path) -> Certificate:
    """A certificate for 127.0.0.1 in `directory`.

    Raises:
        RuntimeError: the program `openssl` is missing or fails.
    """
    made = Certificate(*(directory / name for name in ("chain.pem", "key.pem", "both.pem", "openssl.cnf")))
    program = shutil.which("openssl")
    if program is None:
        raise RuntimeError("TLS scenarios need the program openssl (apt-get install openssl)")
    argv = [
        program,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    argv += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-out", str(made.chain), "-keyout", str(made.key)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl made no certificate: {done.stderr[-300:]}")
    made.both.write_text(made.chain.read_text() + made.key.read_text())
    made.openssl_config.write_text(_OPENSSL_CONFIG)
    return made


def client_context() -> ssl.SSLContext:
    """TLS 1.3 only; the certificate is not verified, which costs the load generator and no router."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
