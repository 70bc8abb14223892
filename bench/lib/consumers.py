"""Many consumers in one process, for runs in which a process each would measure the scheduler of a small machine.

Each still does what a consumer does: it reads its env file, holds a PostgreSQL session that is really logged in,
and on reload opens a session with the new value before it closes the old one.

    consumers.py PORT_FILE NAME=ENV_FILE …

`GET /NAME/healthz` answers {"status", "gen", "principal"}; `POST /NAME/reload` reads the file again.
"""

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pgwire import Session


class Consumer:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.generation = 0
        self.session = None
        self.principal = None
        self.reload()

    def reload(self):
        with self.lock:
            with open(self.path, encoding="utf-8") as file:
                url = file.read().strip().split("=", 1)[1]
            session = Session(url)
            self.principal = session.ask("SELECT session_user")
            old, self.session = self.session, session
            self.generation += 1
            if old:
                old.close()

    def health(self):
        return {"status": "ok", "gen": self.generation, "principal": self.principal}


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    consumers = {}

    def answer(self, status, body):
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        self.wfile.write(head.encode() + text)

    def handle_named(self, verb):
        _, name, what = (self.path.split("/") + ["", ""])[:3]
        consumer = self.consumers.get(name)
        if consumer is None or what != verb:
            return self.answer(404, {})
        if verb == "reload":
            try:
                consumer.reload()
            except OSError:
                return self.answer(503, {"status": "failing"})
        return self.answer(200, consumer.health())

    def do_GET(self):
        self.handle_named("healthz")

    def do_POST(self):
        self.handle_named("reload")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


def main():
    port_file, *named = sys.argv[1:]
    Page.consumers = {name: Consumer(path) for name, path in (pair.split("=", 1) for pair in named)}
    server = Server(("127.0.0.1", 0), Page)
    with open(port_file + ".part", "w", encoding="utf-8") as file:
        file.write(f"{server.server_address[1]}\n")
    os.rename(port_file + ".part", port_file)
    server.serve_forever()


main()
