"""The floor: what aiohttp itself takes for a small POST. Run as a program; prints its port."""

import asyncio
import sys

import uvloop
from aiohttp import web


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), headers={"Content-Type": "application/json"})


async def main() -> None:
    """Serve until standard input ends."""
    app = web.Application()
    app.router.add_post("/v1/functions/{function_id}/invocations", _echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
