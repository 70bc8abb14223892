"""moto's server, and what AWS does that moto (5.2.5) leaves out.

* A key that is not active is unknown (moto looks only for its id).
* `aws:TokenIssueTime`: a deny of older sessions holds for sessions that are older, and for no long-term key (moto takes any condition of a
  policy to be unmet, and denies everything then).
* A key of KMS that is disabled, or about to be deleted, neither opens nor wraps anything (KMS developer guide, "Key states").
* The account of a key stands in its id, so that AWS tells it of deleted keys and of strangers' (moto says the caller's for what it does not know).

Nothing is added that refuses more than AWS would, nor anything that accepts more.
"""

import base64
import json
import sys
from datetime import datetime, timezone

from moto import server
from moto.core.exceptions import JsonRESTError
from moto.iam import access_control
from moto.iam.models import Policy
from moto.iam.utils import ACCOUNT_OFFSET, AWS_ROLE_ALPHABET
from moto.kms.models import KmsBackend
from moto.sts.models import AssumedRole, STSBackend

KEY = "aws:TokenIssueTime"

of_user = access_control.IAMUserAccessKey
of_session = access_control.AssumedRoleAccessKey


def only_active(init=of_user.__init__):
    def wrapped(self, account_id, partition, access_key_id, headers):
        init(self, account_id, partition, access_key_id, headers)
        for user in self.backend.list_users("/", None, None):
            for key in user.access_keys:
                if key.access_key_id == access_key_id and key.status != "Active":
                    raise access_control.CreateAccessKeyFailure(reason="InvalidId")

    return wrapped


def remembers_its_begin(init=AssumedRole.__init__):
    def wrapped(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.issued = datetime.now(timezone.utc)

    return wrapped


def document(policy):
    if isinstance(policy, Policy):
        policy = next(version.document for version in policy.versions if version.is_default)
    if isinstance(policy, dict) and "policy_document" in policy:
        policy = policy["policy_document"]
    return json.loads(policy) if isinstance(policy, str) else policy


def holds(condition, issued):
    if issued is None or set(condition) != {"DateLessThan"} or set(condition["DateLessThan"]) != {KEY}:
        return False
    return issued < datetime.fromisoformat(condition["DateLessThan"][KEY].replace("Z", "+00:00"))


def resolved(policies, issued):
    for policy in policies:
        json_policy = document(policy)
        statements = json_policy["Statement"]
        kept = []
        for statement in statements if isinstance(statements, list) else [statements]:
            condition = statement.get("Condition")
            if condition and KEY in json.dumps(condition):
                if not holds(condition, issued):
                    continue
                statement = {name: value for name, value in statement.items() if name != "Condition"}
            kept.append(statement)
        yield json.dumps({**json_policy, "Statement": kept})


def of_the_user(collect=of_user.collect_policies):
    return lambda self: list(resolved(collect(self), None))


def of_the_session(collect=of_session.collect_policies):
    def wrapped(self):
        roles = access_control.sts_backends[self.account_id][self.partition].assumed_roles
        issued = next(role.issued for role in roles if role.access_key_id == self._access_key_id)
        return list(resolved(collect(self), issued))

    return wrapped


def account_in_the_id(self, access_key_id):
    half = int.from_bytes(base64.b32decode(access_key_id[4:12]), "big") - ACCOUNT_OFFSET
    odd = access_key_id[12] in AWS_ROLE_ALPHABET[16:]
    return {"Account": f"{2 * half + odd:012}"}


def must_be_on(key):
    if key.key_state == "PendingDeletion":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if key.key_state != "Enabled":
        raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")


def opens_when_on(decrypt=KmsBackend.decrypt):
    def wrapped(self, *args, **kwargs):
        plaintext, arn = decrypt(self, *args, **kwargs)
        must_be_on(next(key for key in self.keys.values() if key.arn == arn))
        return plaintext, arn

    return wrapped


def wraps_when_on(encrypt=KmsBackend.encrypt):
    def wrapped(self, key_id, *args, **kwargs):
        must_be_on(self.keys[self.any_id_to_key_id(key_id)])
        return encrypt(self, key_id, *args, **kwargs)

    return wrapped


KmsBackend.decrypt = opens_when_on()
KmsBackend.encrypt = wraps_when_on()
STSBackend.get_access_key_info = account_in_the_id
of_user.__init__ = only_active()
of_user.collect_policies = of_the_user()
AssumedRole.__init__ = remembers_its_begin()
of_session.collect_policies = of_the_session()
server.main(sys.argv[1:])
