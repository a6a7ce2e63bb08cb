"""A server on loopback: prints its port, answers 200 to POST, ends with its stdin.

    tls_server.py tls CERT KEY [CA [1.2]]    HTTPS; with CA it requires a client's certificate
    tls_server.py plain                      says something in clear before it is asked
    tls_server.py mute                       takes connections and says nothing
"""
import http.server
import socketserver
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        print("received", len(self.rfile.read(size)), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Plain(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"220 mail.example ready\r\n")
        self.request.recv(65536)


class Mute(socketserver.BaseRequestHandler):
    def handle(self):
        while self.request.recv(65536):
            pass


class Quiet:
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class Server(Quiet, http.server.HTTPServer):
    pass


class Raw(Quiet, socketserver.ThreadingTCPServer):
    pass


def tls_server(cert, key, ca=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


if sys.argv[1] == "tls":
    server = tls_server(*sys.argv[2:])
else:
    server = Raw(("127.0.0.1", 0), Plain if sys.argv[1] == "plain" else Mute)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    sys.stdin.read()
except ConnectionResetError:
    pass
