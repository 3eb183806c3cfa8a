# SPDX-License-Identifier: GPL-2.0-only
"""serve_asyncio.py PORT: HTTP, the same file for every request."""

import asyncio
import pathlib
import sys

PAGE = pathlib.Path("/srv/page").read_bytes()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE


async def serve(reader, writer):
    """One connection."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        writer.close()


async def main():
    """All of it."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
