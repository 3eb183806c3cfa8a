# SPDX-License-Identifier: GPL-2.0-only
"""serve_selectors.py PORT: HTTP, the same file for every request, by callbacks of
selectors.DefaultSelector."""

import pathlib
import selectors
import socket
import sys

PAGE = pathlib.Path("/srv/page").read_bytes()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
selector = selectors.DefaultSelector()


class Connection:
    """Reads requests; while there is something to write, it does nothing else."""

    def __init__(self, sock):
        self.sock = sock
        self.request = self.answer = b""
        sock.setblocking(False)
        selector.register(sock, READ, self.read)

    def close(self):
        """Also when the client resets."""
        selector.unregister(self.sock)
        self.sock.close()

    def read(self):
        """Some of a request."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.close()
            return
        self.request += data
        if b"\r\n\r\n" in self.request:
            self.request = self.request.split(b"\r\n\r\n", 1)[1]
            self.answer = ANSWER
            self.write()

    def write(self):
        """As much as the socket takes."""
        try:
            self.answer = self.answer[self.sock.send(self.answer):]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            return
        selector.modify(self.sock, WRITE if self.answer else READ,
                        self.write if self.answer else self.read)


def main():
    """All of it."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    listener.setblocking(False)
    selector.register(listener, READ, lambda: Connection(listener.accept()[0]))
    while True:
        for key, _ in selector.select():
            key.data()


main()
