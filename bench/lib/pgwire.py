"""As much of PostgreSQL's protocol as a consumer needs: log in by SCRAM-SHA-256, ask one question.

PostgreSQL 15 documentation, chapter 55; RFC 5802 and RFC 7677. Values are ASCII.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
from urllib.parse import unquote, urlsplit

ITERATIONS = 4096


def _mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def verifier(password):
    """What `ALTER ROLE … PASSWORD` takes in place of the password, so that no server log ever has it."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    server = _mac(salted, b"Server Key")
    salt, stored, server = (base64.b64encode(b).decode() for b in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"


class Session:
    """A session that is logged in. Raises OSError when it cannot be had."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._password = unquote(parts.password)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = self._socket.makefile("rb")
        pairs = {"user": unquote(parts.username), "database": parts.path[1:], "application_name": "bench"}
        body = b"".join(f"{k}\0{v}\0".encode() for k, v in pairs.items()) + b"\0"
        body = struct.pack("!I", 196608) + body
        self._socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self._log_in()

    def _send(self, kind, body):
        self._socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def _next(self):
        head = self._read.read(5)
        if len(head) < 5:
            raise ConnectionError("the server closed the session")
        body = self._read.read(struct.unpack("!I", head[1:])[0] - 4)
        if head[:1] == b"E":
            raise ConnectionError(body.replace(b"\0", b" ").decode())
        return head[:1], body

    def _log_in(self):
        bare = "n=,r=" + base64.b64encode(os.urandom(18)).decode()
        while True:
            kind, body = self._next()
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            asked = struct.unpack("!I", body[:4])[0]
            if asked == 10:
                first = ("n,," + bare).encode()
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
            elif asked == 11:
                said = body[4:].decode()
                given = dict(pair.split("=", 1) for pair in said.split(","))
                salt = base64.b64decode(given["s"])
                salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, int(given["i"]))
                key = _mac(salted, b"Client Key")
                last = "c=biws,r=" + given["r"]
                signature = _mac(hashlib.sha256(key).digest(), f"{bare},{said},{last}".encode())
                proof = bytes(a ^ b for a, b in zip(key, signature))
                self._send(b"p", f"{last},p={base64.b64encode(proof).decode()}".encode())

    def ask(self, sql):
        """The first cell of the answer."""
        self._send(b"Q", sql.encode() + b"\0")
        cell = None
        while True:
            kind, body = self._next()
            if kind == b"D" and cell is None:
                length = struct.unpack("!I", body[2:6])[0]
                cell = body[6 : 6 + length].decode()
            elif kind == b"Z":
                return cell

    def close(self):
        try:
            self._send(b"X", b"")
        except OSError:
            pass
        self._read.close()
        self._socket.close()
