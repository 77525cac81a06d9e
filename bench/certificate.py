"""The certificate of the TLS scenarios, and what makes their rows fair.

- One self-made certificate (ECDSA P-256, made anew for each run) is given to every router. All speak plain to
  the replica, so a row contains TLS once.
- The load generator offers TLS 1.3 only, of its suites only `TLS_AES_128_GCM_SHA256`, which all must have
  (RFC 8446, section 9.1), and of the groups only X25519. Each session checks the suite that was agreed on.
- It never resumes: every opening is a full handshake. Session tickets are sent as each router's default has
  it. It offers no ALPN, so all speak HTTP/1.1, and verifies no certificate, which costs no router anything.
- The libraries differ, and are part of what is compared: OpenSSL as Python, HAProxy and nginx use it,
  BoringSSL in Envoy, Go's own in Caddy. Sizes of records and buffers are left as in the plain rows.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUITE = "TLS_AES_128_GCM_SHA256"
# Python sets suites of TLS 1.3 from 3.15 on only; OpenSSL's configuration file does it for a whole process.
_OPENSSL_CONFIG = f"""\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Ciphersuites = {SUITE}
Groups = X25519
"""


@dataclass(frozen=True)
class Certificate:
    """PEM files: the chain, its key, both in one; and the OpenSSL configuration of the load generator."""

    chain: Path
    key: Path
    both: Path
    openssl_config: Path


def make(directory: Path) -> Certificate:
    """A certificate for 127.0.0.1, written into `directory`.

    Raises:
        RuntimeError: trustme is not installed.
    """
    try:
        import trustme
    except ImportError as error:
        raise RuntimeError("TLS scenarios need the package trustme (pip install trustme)") from error
    made = Certificate(*(directory / name for name in ("chain.pem", "key.pem", "both.pem", "openssl.cnf")))
    issued = trustme.CA().issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    made.chain.write_bytes(chain)
    made.key.write_bytes(issued.private_key_pem.bytes())
    made.both.write_bytes(chain + issued.private_key_pem.bytes())
    made.openssl_config.write_text(_OPENSSL_CONFIG)
    return made


def client_context() -> ssl.SSLContext:
    """TLS 1.3 only, nothing verified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
