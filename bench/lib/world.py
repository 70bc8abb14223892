"""The systems of a run: a real PostgreSQL, a real OpenBao, secrets in both, consumers that use them."""

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from pgwire import verifier

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
GROUP_OF = "{}_owner"
KEY = "DATABASE_URL"


class Problem(Exception):
    """Nothing can be measured, and why."""


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def until(what, ready, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.02)
    raise Problem(f"{what} does not answer after {seconds} s")


def pg_bin():
    """Of the newest version. Not the `psql` on PATH: Debian's is a script around the real one, and slower."""
    found = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").is_file()]
    if found:
        return max(found, key=lambda p: int(p.parent.name))
    initdb = shutil.which("initdb")
    if not initdb:
        raise Problem("PostgreSQL is not on this machine; run dev/setup")
    return Path(initdb).resolve().parent


def program(name):
    dev = Path(os.environ.get("QUELL_DEV_DIR") or Path.home() / ".cache/quell-dev")
    found = shutil.which(name) or dev / "venv/bin" / name
    if not Path(found).is_file():
        raise Problem(f"`{name}` is not on this machine; run dev/setup")
    return str(found)


class Postgres:
    """A server with PostgreSQL's own settings (fsync on), SCRAM for everybody, and room for many sessions."""

    def __init__(self, folder):
        self.folder, self.bin, self.port, self.process = folder, pg_bin(), free_port(), None
        self.password = secrets.token_hex(16)
        folder.mkdir()
        (folder / "password").write_text(self.password)
        self._own()
        self._as_server(
            ["initdb", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"]
            + ["-D", str(folder / "data"), "--pwfile", str(folder / "password")]
        ).communicate()
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": folder,
            "max_connections": 500,
            "lc_messages": "C",
        }
        flags = [f for k, v in settings.items() for f in ("-c", f"{k}={v}")]
        self.process = self._as_server(["postgres", "-D", str(folder / "data"), *flags])
        until("PostgreSQL", lambda: self.try_psql("SELECT 1").returncode == 0)

    def _own(self):
        self.user = None
        if os.getuid() == 0:
            try:
                entry = pwd.getpwnam("postgres")
            except KeyError:
                raise Problem("there is no user `postgres` to run the server as; run dev/setup") from None
            self.user = (entry.pw_uid, entry.pw_gid)
            for path in (self.folder, self.folder / "password"):
                os.chown(path, *self.user)

    def _as_server(self, command):
        user = {"user": self.user[0], "group": self.user[1], "extra_groups": []} if self.user else {}
        log = open(self.folder / "server.log", "ab")
        return subprocess.Popen(
            [str(self.bin / command[0]), *command[1:]], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user
        )

    def url(self, user, password):
        return f"postgres://{user}:{password}@{HOST}:{self.port}/postgres"

    def psql_command(self, user="postgres"):
        return [str(self.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"] + ["-h", HOST, "-p", str(self.port), "-U", user, "-d", "postgres"]

    def try_psql(self, sql):
        environment = {**os.environ, "PGPASSWORD": self.password}
        return subprocess.run(self.psql_command(), input=sql, env=environment, capture_output=True, text=True, check=False)

    def psql(self, sql):
        done = self.try_psql(sql)
        if done.returncode:
            raise Problem(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)


class OpenBao:
    """The real server in dev mode: in memory, unsealed, KV version 2 at `secret/`."""

    def __init__(self, folder):
        folder.mkdir()
        self.port = free_port()
        self.address = f"http://{HOST}:{self.port}"
        self.token = "bench-" + secrets.token_hex(8)
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "BAO_DEV_ROOT_TOKEN_ID": self.token}
        log = open(folder / "server.log", "wb")
        self.process = subprocess.Popen(
            [program("bao"), "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={HOST}:{self.port}"],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        until("OpenBao", lambda: self.ask("GET", "secret/config"))

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/v1/{path}", data=data, method=method)
        request.add_header("X-Vault-Token", self.token)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
                return json.loads(text) if text else {"ok": True}
        except OSError:
            return None

    def stop(self):
        self.process.kill()
        self.process.wait()


class Secret:
    """Two roles that alternate under a group, a key in OpenBao, a line in an env file, consumers."""

    def __init__(self, world, number, consumers):
        self.world, self.id = world, f"s{number}"
        self.roles = [f"{self.id}_a", f"{self.id}_b"]
        # A folder each: Quell's env_file store locks the folder, and gives up when another write holds the lock.
        self.folder = world.folder / self.id
        self.folder.mkdir()
        self.env_file = self.folder / "app.env"
        self.path = f"apps/{self.id}"
        self.names = [f"c{n}" for n in range(consumers)]
        self.pages = {}
        self.pids = {}
        self.password = secrets.token_hex(32)
        self.current = self.roles[0]

    def sql(self):
        a, b = self.roles
        group = GROUP_OF.format(self.id)
        return (
            f"CREATE ROLE {group} NOLOGIN; CREATE ROLE {a} LOGIN PASSWORD '{verifier(self.password)}';"
            f"CREATE ROLE {b} NOLOGIN; GRANT {group} TO {a}, {b};"
            f"ALTER ROLE {a} SET role TO '{group}'; ALTER ROLE {b} SET role TO '{group}';"
        )

    def url(self):
        return self.world.postgres.url(self.current, self.password)

    def put(self):
        self.write_file()
        if self.world.openbao.ask("POST", f"secret/data/{self.path}", {"data": {KEY: self.url()}}) is None:
            raise Problem("OpenBao does not take the secret")

    def write_file(self):
        part = self.env_file.with_suffix(".part")
        part.write_text(f"{KEY}={self.url()}\n")
        part.chmod(0o600)
        part.rename(self.env_file)

    def read_back(self):
        """After Quell rotated it."""
        url = self.env_file.read_text().strip().split("=", 1)[1]
        self.current, self.password = url.split("//")[1].split("@")[0].split(":")

    def other(self):
        return self.roles[1] if self.current == self.roles[0] else self.roles[0]

    def inventory(self):
        settle = self.world.settle_ms
        issuer = f'admin: "file:admin.url", roles: [{", ".join(self.roles)}], group: {GROUP_OF.format(self.id)}, settle_ms: {settle}'
        lines = [
            f"  - id: {self.id}",
            "    kind: postgres-password",
            "    env: bench",
            "    tier: service",
            f"    issuer: {{ postgres: {{ {issuer} }} }}",
            "    stores:",
            f"      - openbao: {{ mount: secret, path: {self.path}, key: {KEY} }}",
            f"      - env_file: {{ path: {self.id}/{self.env_file.name}, key: {KEY} }}",
            "    consumers:",
        ]
        for name in self.names:
            page = self.pages[name]
            hook = f'http: {{ url: "{page}/reload" }}'
            if name in self.pids:
                hook = f"process: {{ pidfile: {self.id}-{name}.pid, signal: HUP }}"
            lines += [
                f"      - name: {name}",
                f"        reload: {{ {hook} }}",
                f'        observe: {{ http: "{page}/healthz", generation: ".gen", principal: ".principal" }}',
            ]
        return "\n".join(lines)


class World:
    def __init__(self, folder, quell, count, consumers, settle_ms, processes):
        self.folder, self.quell, self.settle_ms = folder, quell, settle_ms
        self.children = []
        folder.chmod(0o755)
        try:
            self.postgres = Postgres(folder / "postgres")
            self.openbao = OpenBao(folder / "openbao")
            self.secrets = [Secret(self, n, consumers) for n in range(count)]
            self.postgres.psql("\n".join(s.sql() for s in self.secrets))
            for secret in self.secrets:
                secret.put()
            (self.start_processes if processes else self.start_together)()
            self.write_inventory()
        except BaseException:
            self.stop()
            raise

    def spawn(self, command):
        self.children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))

    def start_processes(self):
        """One `quell sandbox-consumer` each; the even ones are reloaded over HTTP, the odd ones by SIGHUP."""
        for secret in self.secrets:
            for name in secret.names:
                place = self.folder / f"{secret.id}-{name}"
                port, pid = place.with_suffix(".port"), place.with_suffix(".pid")
                self.spawn([self.quell, "sandbox-consumer", "--env-file", secret.env_file, "--port-file", port, "--pid-file", pid])
        for secret in self.secrets:
            for n, name in enumerate(secret.names):
                place = self.folder / f"{secret.id}-{name}"
                port = until("a consumer", lambda p=place: p.with_suffix(".port").exists() and p.with_suffix(".port").read_text().strip())
                secret.pages[name] = f"http://{HOST}:{port}"
                if n % 2:
                    secret.pids[name] = int(place.with_suffix(".pid").read_text())

    def start_together(self):
        port_file = self.folder / "consumers.port"
        named = [f"{s.id}-{name}={s.env_file}" for s in self.secrets for name in s.names]
        self.spawn([sys.executable, HERE / "consumers.py", port_file, *named])
        port = until("the consumers", lambda: port_file.exists() and port_file.read_text().strip(), 60)
        for secret in self.secrets:
            secret.pages = {name: f"http://{HOST}:{port}/{secret.id}-{name}" for name in secret.names}

    def write_inventory(self):
        for name, text in (("admin.url", self.postgres.url("postgres", self.postgres.password)), ("openbao.token", self.openbao.token)):
            path = self.folder / name
            path.touch(0o600)
            path.write_text(text)
        text = f'connections:\n  openbao: {{ address: "{self.openbao.address}", token: "file:openbao.token" }}\nsecrets:\n'
        text += "\n".join(s.inventory() for s in self.secrets)
        text += "\npolicy:\n  strategy: make-before-break\n  approvals: { destructive: 0 }\n"
        (self.folder / "quell.yaml").write_text(text)

    def stop(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()
        for name in ("openbao", "postgres"):
            if hasattr(self, name):
                getattr(self, name).stop()
