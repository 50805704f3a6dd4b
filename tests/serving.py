"""A server on loopback, for tests of what misbehaving servers do."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]):
    """Serve requests by a handler, one thread each; yield ``host:port``."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{httpd.server_port}"
        finally:
            httpd.shutdown()
            thread.join()


def send(handler, data: bytes, status: int = 200, **headers) -> None:
    """Answer with the data, or with the head alone; ``Content_Type`` means Content-Type."""
    handler.send_response(status)
    for key, value in ({"Content_Length": str(len(data))} | headers).items():
        handler.send_header(key.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)
