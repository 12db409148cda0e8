"""Looking over what a server would rely on."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from yurt.app.cluster import consul_settings, nomad_settings
from yurt.outbound.discovery import look_over
from yurt.outbound.engines.nomad import Doctor
from yurt.ports import Finding
from yurt.settings import Settings

CALLBACK = "/healthz"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_REQUEST_MAY_TAKE_S = 5.0


async def examine(settings: Settings) -> AsyncGenerator[Finding, None]:
    """What there is to say of the engine of these settings, and of what finds its web servers.

    Where no server listens yet, a stand-in answers in its place while the cluster is looked over.

    Raises:
        ClusterRefused: a file that the settings name cannot be read.
    """
    host, port = settings.listen
    url = settings.public_url or f"http://{settings.listen}"
    doctor = Doctor(nomad_settings(settings, "doctor", url, "0" * 64), CALLBACK)
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(OSError):  # the server itself listens there
            stand_in = await asyncio.start_server(_answer, host, port)
            stack.push_async_callback(stand_in.wait_closed)
            stack.callback(stand_in.close)
        async with contextlib.aclosing(doctor.examine()) as findings:
            async for finding in findings:
                yield finding
    if (consul := consul_settings(settings, "doctor")) is None:
        yield Finding("Consul", "No --consul-address: functions that answer HTTP are refused.")
    else:
        async with contextlib.aclosing(look_over(consul)) as findings:
            async for finding in findings:
                yield finding


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_REQUEST_MAY_TAKE_S):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_ANSWER)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        pass  # whoever asked has gone
    finally:
        writer.close()
