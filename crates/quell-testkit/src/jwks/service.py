"""Services that verify tokens, each with a copy of a key set of its own, and the place where the set is published.

Tokens are verified, and sets are fetched and kept, by PyJWT (`PyJWKClient`: a set is kept for `lifespan` seconds, and fetched anew when a
token names a key that it does not have, here without the pause of 30 seconds in between; a set without keys is an error, and the copy stays:
`jwks_client.py` of 2.15.1, read 2026-11-23). Refusals are as in RFC 6750, 3. A verifier comes into being when it is first asked: `/KIND/MILLISECONDS/NAME/me`.

Kinds: `strict` is as PyJWT is. `sleepy` does not fetch a set for a name that it does not know. `keyless` tries every key of its set, whatever
name a token has. `pinned` has keys of its own beside the set. `exact` takes no other algorithm than the one that its key is published for, and `late` has
a clock that is 20 seconds behind, and no leeway. The others are traps: `mute` fails for a token without a name, `open` verifies nothing, `confused` takes the public key
for a shared one, `scoped` wants a scope, `login` carries tokens in a cookie and sends others to a page, and `vague`, `busy`, `down` and `wall`
answer as proxies do. `shared` verifies HS256 by a list of keys, a line each, in `session.keys`; `flask` is a session of Flask, with the first of them
as `SECRET_KEY` and the others as `SECRET_KEY_FALLBACKS`. Each of them keeps a copy of the list, too.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
import urllib.request
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature
from werkzeug.serving import make_server

port, folder = int(sys.argv[1]), Path(sys.argv[2])
app = Flask("keys", static_folder=None)
ALGORITHMS = ["EdDSA", "ES256", "ES384", "RS256", "PS256", "RS384", "RS512", "PS384", "PS512"]
CLAIMS = {"audience": "orders", "issuer": "https://id.test"}
verifiers, lock = {}, threading.Lock()
fetched = {"count": 0}


@app.get("/jwks.json")
def published():
    fetched["count"] += 1
    text = (folder / "jwks.json").read_text()
    if (folder / "vault.json").exists():
        # The set lies in a vault, and this is its edge.
        vault = json.loads((folder / "vault.json").read_text())
        asked = urllib.request.Request(vault["url"], headers={"X-Vault-Token": vault["token"]})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            text = json.load(answer)["data"]["data"][vault["key"]]
    return Response(text, content_type="application/jwk-set+json")


@app.get("/fetched")
def count():
    return str(fetched["count"])


class Kept:
    """A set that is kept, and fetched anew when it is old or when it is told to."""

    def __init__(self, lifespan):
        self.lifespan = lifespan
        self.forget()

    def forget(self):
        self.read = None
        self.client = jwt.PyJWKClient(f"http://127.0.0.1:{port}/jwks.json", lifespan=self.lifespan, timeout=5, cooldown_duration=0)

    def named(self, token):
        return self.client.get_signing_key_from_jwt(token).key

    def shared(self):
        if self.read is None or time.monotonic() - self.read > self.lifespan:
            self.read = time.monotonic()
            self.keys = [line for line in (folder / "session.keys").read_text().split("\n") if line]
        return self.keys

    def all(self):
        return self.client.get_signing_keys()


def decoded(token, key):
    return jwt.decode(token, key, algorithms=ALGORITHMS, leeway=5, **CLAIMS)


def strict(kept, token):
    return decoded(token, kept.named(token))


def exact(kept, token):
    key = kept.client.get_signing_key_from_jwt(token)
    return jwt.decode(token, key.key, algorithms=[key.algorithm_name], leeway=5, **CLAIMS)


def late(kept, token):
    return jwt.decode(token, kept.named(token), algorithms=ALGORITHMS, leeway=-20, **CLAIMS)


def sleepy(kept, token):
    kid = jwt.get_unverified_header(token).get("kid")
    key = next((it.key for it in kept.all() if it.key_id == kid), None)
    if key is None:
        raise jwt.InvalidTokenError("no such key")
    return decoded(token, key)


def keyless(kept, token, more=()):
    for key in [it.key for it in kept.all()] + list(more):
        try:
            return decoded(token, key)
        except (jwt.PyJWTError, TypeError, ValueError, AttributeError) as error:
            last = jwt.InvalidTokenError(str(error))
    raise last


def pinned(kept, token):
    own = jwt.PyJWKSet.from_dict(json.loads((folder / "pinned.json").read_text()))
    return keyless(kept, token, [it.key for it in own.keys])


def open_(kept, token):
    return jwt.decode(token, options={"verify_signature": False})


def confused(kept, token):
    header = jwt.get_unverified_header(token)
    if header["alg"] != "HS256":
        return strict(kept, token)
    pem = kept.all()[0].key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    message, signature = token.rsplit(".", 1)
    made = hmac.digest(pem, message.encode(), "sha256")
    given = base64.urlsafe_b64decode(signature + "==")
    if not hmac.compare_digest(made, given):
        raise jwt.InvalidSignatureError("no")
    return jwt.decode(token, options={"verify_signature": False})


def shared(kept, token):
    last = jwt.InvalidTokenError("there is no key")
    for key in kept.shared():
        try:
            return jwt.decode(token, key, algorithms=["HS256"], leeway=5, **CLAIMS)
        except jwt.InvalidTokenError as error:
            last = error
    raise last


def serializer(keys):
    app = Flask("session")
    app.secret_key, app.config["SECRET_KEY_FALLBACKS"] = keys[0], keys[1:]
    return SecureCookieSessionInterface().get_signing_serializer(app)


def flask(kept, token):
    try:
        said = serializer(kept.shared()).loads(token, max_age=60)
    except BadSignature as error:
        raise jwt.InvalidTokenError(str(error)) from error
    if "user" not in said:
        raise jwt.InvalidTokenError("nobody")
    return {"sub": said["user"]}


CHECKS = {
    "strict": strict, "sleepy": sleepy, "keyless": keyless, "pinned": pinned, "open": open_, "confused": confused,
    "exact": exact, "late": late, "mute": keyless, "scoped": strict, "login": strict, "shared": shared, "flask": flask,
}
WALLS = {
    "vague": (401, {}, "<html>sign in</html>"),
    "busy": (429, {"Retry-After": "7"}, "slow down"),
    "down": (503, {}, "no upstream"),
    "wall": (200, {}, "<html>welcome to the network</html>"),
}


@app.route("/<kind>/<int:lifespan>/<name>/<what>", methods=["GET", "POST"])
def door(kind, lifespan, name, what):
    if kind in WALLS:
        status, headers, body = WALLS[kind]
        return Response(body, status, headers)
    with lock:
        kept = verifiers.setdefault((kind, lifespan, name), Kept(lifespan / 1000))
    if what == "refresh":
        kept.forget()
        return Response("", 204)
    token = request.cookies.get("session", "")
    bearer = request.headers.get("Authorization", "")
    if bearer.startswith("Bearer "):
        token = bearer.removeprefix("Bearer ")
    if kind == "mute" and "kid" not in jwt.get_unverified_header(token):
        return Response("no upstream", 503)
    try:
        claims = CHECKS[kind](kept, token)
    except jwt.PyJWTError as error:
        if kind in ("login", "flask"):
            return Response("", 302, {"Location": "/login"})
        said = str(error).replace('"', "'")
        return Response("", 401, {"WWW-Authenticate": f'Bearer realm="{name}", error="invalid_token", error_description="{said}"'})
    if kind == "scoped" and "orders:read" not in claims.get("scope", "").split():
        return Response("", 403, {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="orders:read"'})
    return {"sub": claims.get("sub")}


def public_part(text):
    """The algorithm, the key that signs, and the thumbprint (RFC 7638) of a private key."""
    if text.lstrip().startswith("{"):
        said = json.loads(text)
        key = jwt.PyJWK(said).key
        kid = said.get("kid")
    else:
        key, kid = serialization.load_pem_private_key(text.encode(), None), None
    for name in ALGORITHMS:
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            public = json.loads(algorithm.to_jwk(key.public_key()))
            jwt.encode({}, key, name)
            break
        except Exception:  # It is a key for another algorithm.
            continue
    members = {"OKP": ["crv", "kty", "x"], "EC": ["crv", "kty", "x", "y"], "RSA": ["e", "kty", "n"]}[public["kty"]]
    public = {member: public[member] for member in members}
    digest = hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).digest()
    return name, key, kid, public, base64.urlsafe_b64encode(digest).decode().rstrip("=")


@app.post("/sign")
def sign():
    """A signer: it gives tokens for ten minutes, under the name that its key has in the set, or else its thumbprint."""
    algorithm, key, kid, public, thumbprint = public_part(request.get_data(as_text=True))
    listed = json.loads((folder / "jwks.json").read_text())["keys"]
    named = [it["kid"] for it in listed if all(it.get(k) == v for k, v in public.items()) and "kid" in it]
    kid = kid or (named + [thumbprint])[0]
    claims = {"aud": "orders", "iss": "https://id.test", "sub": "ines", "exp": int(time.time()) + 600}
    return jwt.encode(claims, key, algorithm, headers={"kid": kid})


@app.post("/session")
def session():
    """A service that signs sessions with a shared key: a token for ten minutes, or a cookie of Flask."""
    key = request.get_data(as_text=True)
    if request.args.get("form") == "flask":
        return serializer([key]).dumps({"user": "ines"})
    claims = {"aud": "orders", "iss": "https://id.test", "sub": "ines", "exp": int(time.time()) + 600}
    return jwt.encode(claims, key, "HS256")


@app.post("/public")
def public():
    """The public part of a key as an entry of a set, without a name."""
    algorithm, _key, _kid, entry, _thumbprint = public_part(request.get_data(as_text=True))
    return {**entry, "alg": algorithm, "use": "sig"}


make_server("127.0.0.1", port, app, threaded=True).serve_forever()
