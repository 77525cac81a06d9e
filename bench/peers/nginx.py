"""nginx, one worker, with the WebSocket set-up of its manual. It copies bytes after the upgrade.

The buffer of an upgraded connection is `proxy_buffer_size`, one page by default; a larger one trades memory
of every idle session (it is not given back) for fewer system calls. The default is what people run, and is
kept; with 64 KiB (`nginx_64k`, only when asked for) a pushed GiB costs half.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.peers.base import Launch, Peer, find_binary, first_line, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from bench.certificate import Certificate

_CONFIG = """\
daemon off;
worker_processes 1;
pid {workdir}/nginx.pid;
error_log {workdir}/nginx-error.log crit;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {workdir}/body;
    proxy_temp_path {workdir}/proxy;
    fastcgi_temp_path {workdir}/fastcgi;
    uwsgi_temp_path {workdir}/uwsgi;
    scgi_temp_path {workdir}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{port}{ssl} backlog=4096;
{tls}        location / {{
            proxy_pass http://127.0.0.1:{replica_port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
{buffers}            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"""
_TLS = """\
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
"""
_LARGE = """\
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            proxy_busy_buffers_size 64k;
"""
_INSTALL = "apt-get install nginx-light"


def version() -> str:
    return first_line([find_binary("nginx", _INSTALL), "-v"])


def prepare(workdir: Path, port: int, replica_port: int, certificate: Certificate | None, buffers: str = "") -> Launch:
    ssl, tls = "", ""
    if certificate is not None:
        ssl, tls = " ssl", _TLS.format(chain=certificate.chain, key=certificate.key)
    config = _CONFIG.format(workdir=workdir, port=port, replica_port=replica_port, buffers=buffers, ssl=ssl, tls=tls)
    path = write_config(workdir, "nginx.conf", config)
    log = str(workdir / "nginx-error.log")
    return Launch([find_binary("nginx", _INSTALL), "-p", str(workdir), "-e", log, "-c", str(path)], config)


PEER = Peer("nginx", "nginx", version, prepare, "#2ca02c")
PEER_64K = Peer("nginx_64k", "nginx, 64 KiB buffers", version, partial(prepare, buffers=_LARGE), "#98df8a")
