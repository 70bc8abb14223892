#!/usr/bin/env python3
"""A service for the tutorial: holds one PostgreSQL session with the URL in orders.env, and says on /healthz who it is.
SIGHUP makes it read the file again. Standard library and psql only. Usage: orders.py PORT"""
import http.server, json, os, pathlib, signal, subprocess, sys, threading, urllib.parse

here = pathlib.Path(__file__).resolve().parent
state = {"status": "failing", "gen": 0, "principal": None}
session = None


def connect(_signal=None, _frame=None):
    """Opens the new session first and closes the old one after: no request goes without a database."""
    global session
    line = next(l for l in (here / "orders.env").read_text().splitlines() if l.startswith("DATABASE_URL="))
    url = urllib.parse.urlsplit(line.split("=", 1)[1].strip("'\""))
    env = {**os.environ, "PGHOST": url.hostname, "PGPORT": str(url.port), "PGUSER": url.username,
           "PGPASSWORD": urllib.parse.unquote(url.password), "PGDATABASE": url.path[1:], "PGAPPNAME": "orders"}
    new = subprocess.Popen(["psql", "-qAt"], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        new.stdin.write("SELECT session_user;\n")
        new.stdin.flush()
        who = new.stdout.readline().strip()
    except BrokenPipeError:
        who = ""
    if not who:
        state["status"] = "failing"
        return
    old, session = session, new
    state.update(status="ok", gen=state["gen"] + 1, principal=who)
    if old:
        old.terminate()
        old.wait()


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        dead = session is None or session.poll() is not None
        body = json.dumps({**state, "status": "failing" if dead else state["status"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


connect()
signal.signal(signal.SIGHUP, connect)
(here / "orders.pid").write_text(f"{os.getpid()}\n")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Health)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    signal.pause()
