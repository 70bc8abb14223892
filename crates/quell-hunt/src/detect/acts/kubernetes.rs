//! Kubernetes.
//!
//! * Verbs and resources: <https://kubernetes.io/docs/reference/access-authn-authz/authorization/>; why some of them mean more than they
//!   say: <https://kubernetes.io/docs/concepts/security/rbac-good-practices/>.
//! * Which of them matter: the ideas of Sigma's rules for Kubernetes (`kubernetes_audit_rolebinding_creation`,
//!   `kubernetes_audit_events_deleted`), Panther's and Elastic's.

use super::Act;

const MAKES: [&str; 5] = ["create", "update", "patch", "post", "put"];

/// Rights, accounts, and what signs client certificates.
const LASTS: [&str; 8] = [
    "certificatesigningrequests",
    "certificatesigningrequests/approval",
    "clusterrolebindings",
    "clusterroles",
    "rolebindings",
    "roles",
    "serviceaccounts",
    "serviceaccounts/token",
];

/// A secret may be a token without an end; the others run again by themselves, or see and change every request.
const MAY_LAST: [&str; 5] = ["cronjobs", "daemonsets", "mutatingwebhookconfigurations", "nodes", "secrets"];

const GUARDS: [&str; 6] = [
    "mutatingwebhookconfigurations",
    "networkpolicies",
    "podsecuritypolicies",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// Shells in other people's pods, and ways around the server's rules.
const RULES: [&str; 6] = [
    "nodes/proxy",
    "pods/attach",
    "pods/ephemeralcontainers",
    "pods/exec",
    "pods/portforward",
    "services/proxy",
];

const REVIEWS: [&str; 3] = ["selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"];

pub(super) fn does(act: Act, verb: &str, kind: &str) -> bool {
    let makes = MAKES.contains(&verb);
    let deletes = matches!(verb, "delete" | "deletecollection");
    match act {
        Act::AsksWho => verb == "create" && REVIEWS.contains(&kind),
        Act::Blinds => deletes && kind == "events",
        Act::Derives => verb == "create" && kind == "serviceaccounts/token",
        Act::Lasts => makes && LASTS.contains(&kind) || matches!(verb, "bind" | "escalate"),
        Act::Looks => verb == "list" || verb == "create" && REVIEWS.contains(&kind),
        Act::MayLast => verb == "create" && MAY_LAST.contains(&kind),
        Act::Pages => verb == "list",
        Act::ReadsSecret => matches!(verb, "get" | "list" | "watch") && kind == "secrets",
        // A websocket makes a shell by `get`.
        Act::Rules => (makes || verb == "get") && RULES.contains(&kind) || verb == "impersonate",
        Act::Unguards => deletes && GUARDS.contains(&kind),
        Act::Clones | Act::Dumps | Act::Fetches => false,
    }
}
