"""A plain proxy in aiohttp, as one writes it to route requests to a model server.

`python benchmarks/peers/aiohttp_proxy.py PORT UPSTREAM_URL`. No experiment, no log: it only passes
requests on, over connections that are kept.
"""

import sys

from aiohttp import ClientSession, TCPConnector, web

HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}


def proxy(upstream: str) -> web.Application:
    app = web.Application()

    async def start(app: web.Application) -> None:
        app["session"] = ClientSession(connector=TCPConnector(limit=0))

    async def stop(app: web.Application) -> None:
        await app["session"].close()

    async def handle(request: web.Request) -> web.Response:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP}
        body = await request.read()
        url = upstream + request.path_qs
        async with app["session"].request(
            request.method, url, data=body, headers=headers
        ) as answer:
            return web.Response(
                body=await answer.read(),
                status=answer.status,
                content_type=answer.content_type,
            )

    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


if __name__ == "__main__":
    port, upstream = sys.argv[1:]
    web.run_app(proxy(upstream), host="127.0.0.1", port=int(port), print=None, access_log=None)
