"""TLS contexts, made from the files that the configuration names. No other module reads them.

Both contexts offer HTTP/1.1 only: WebSocket over HTTP/2 (RFC 8441) is another handshake.
"""

from __future__ import annotations

import ssl

from trio_router.core.config import RouterConfig
from trio_router.core.errors import StartError


def client_tls(config: RouterConfig) -> ssl.SSLContext | None:
    """The context of the stream port, or None without ``tls.certificate``.

    Raises:
        StartError: a file cannot be read, or is no certificate or key.
    """
    files = config.tls
    if files.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.certificate, files.key)
    except OSError as exc:
        raise StartError(
            f"cannot use tls.certificate {files.certificate} with tls.key {files.key}: {_why(exc)}"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def replica_tls(config: RouterConfig) -> ssl.SSLContext:
    """The context that https replicas are verified with.

    Raises:
        StartError: the CA file cannot be read, or holds no certificates.
    """
    try:
        context = ssl.create_default_context(cafile=config.tls.replica_ca_file)
    except OSError as exc:
        raise StartError(f"cannot use tls.replica_ca_file {config.tls.replica_ca_file}: {_why(exc)}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _why(exc: OSError) -> str:
    """The reason as text. OpenSSL's own message names a place in its source code."""
    return "not a PEM file of that kind" if isinstance(exc, ssl.SSLError) else exc.strerror or str(exc)
