"""A replica that stops in the middle of a frame and waits to be killed. A program of its own: it needs no library.

After the first message of a client it sends one whole text frame, one whole binary frame, and half of a third.
"""

from __future__ import annotations

import socket
import sys
import threading

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

WHOLE = bytes(range(256)) * 100
HEAD_END = b"\r\n\r\n"


def serve(connection: socket.socket) -> None:
    with connection:
        head = b""
        while HEAD_END not in head:
            data = connection.recv(65536)
            if not data:
                return
            head += data
        fields = dict(line.lower().split(b": ", 1) for line in head.split(HEAD_END)[0].split(b"\r\n")[1:])
        if b"sec-websocket-key" not in fields:
            status = b"200 OK" if head.startswith(b"GET /health") else b"404 Not Found"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0" + HEAD_END)
            return
        original = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = accept_key(original.partition(b":")[2].strip().decode()).encode()
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(upgrade + b"Sec-WebSocket-Accept: " + accept + HEAD_END)
        connection.recv(65536)
        connection.sendall(Frame(Opcode.TEXT, b'{"type":"gpu_assigned"}').serialize(mask=False))
        connection.sendall(Frame(Opcode.BINARY, WHOLE).serialize(mask=False))
        connection.sendall(Frame(Opcode.BINARY, WHOLE).serialize(mask=False)[: len(WHOLE) // 2])
        say("halfway")
        connection.recv(1)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        say(f"listening on http://127.0.0.1:{listener.getsockname()[1]}")
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
