"""An HTTP proxy on loopback: prints its port, ends with its stdin, and takes every name for loopback.

    proxy_server.py [USER:PASSWORD]

Prints "METHOD TARGET" of each request, and " header NAME" for each header of it that begins with X-.
"""
import base64
import http.server
import select
import socket
import sys
import threading
import urllib.parse

WANTED = "Basic " + base64.b64encode(sys.argv[1].encode()).decode() if len(sys.argv) > 1 else None


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def is_allowed(self):
        seen = "".join(" header " + name for name in self.headers if name.startswith("X-"))
        print(self.command, self.path + seen, flush=True)
        if WANTED is None or self.headers.get("Proxy-Authorization") == WANTED:
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="way out"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_CONNECT(self):
        if not self.is_allowed():
            return
        there = socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2])))
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        ends = {self.connection: there, there: self.connection}
        while True:
            for ready in select.select(list(ends), [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    there.close()
                    self.close_connection = True
                    return
                ends[ready].sendall(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.is_allowed():
            return
        url = urllib.parse.urlsplit(self.path)
        there = socket.create_connection(("127.0.0.1", url.port))
        head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        there.sendall(head.encode() + body)
        status = int(there.makefile("rb").readline().split()[1])
        there.close()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Proxy)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    sys.stdin.read()
except ConnectionResetError:
    pass
