//! TLS certificates: the contract, openssl's word beside ours, a list that is made at intervals, a handshake.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quell_connect::conformance::{self, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::Probe;
use quell_core::secret::Credential;
use quell_testkit::openbao::Server;
use serde_json::{Value, json};

use crate::proxy::{Fault, Proxy};
use crate::{context, failed, issuer, policy, reason, retryable, unknown, value};

const NAME: &str = "a.example.test";

/// An authority at `pki/` with the role `web`.
fn start() -> Server {
    let server = Server::start().unwrap();
    authority(&server, "pki");
    server
}

fn authority(server: &Server, mount: &str) {
    server.request("POST", &format!("sys/mounts/{mount}"), &json!({ "type": "pki" })).unwrap();
    let root = json!({ "common_name": "Test Authority", "ttl": "700h", "key_type": "ec" });
    server.request("POST", &format!("{mount}/root/generate/internal"), &root).unwrap();
    let role =
        json!({ "allowed_domains": "example.test", "allow_subdomains": true, "key_type": "ec", "ttl": "1h" });
    server.request("POST", &format!("{mount}/roles/web"), &role).unwrap();
}

/// Certificate and key, and the serial number.
fn bundle(server: &Server, mount: &str) -> (String, String) {
    let made =
        server.request("POST", &format!("{mount}/issue/web"), &json!({ "common_name": NAME })).unwrap();
    let text = |name: &str| made["data"][name].as_str().unwrap().to_owned();
    (format!("{}\n{}\n", text("certificate"), text("private_key")), text("serial_number"))
}

fn pem(server: &Server, what: &str) -> String {
    let answer = server.request("GET", &format!("pki/cert/{what}"), &Value::Null).unwrap();
    answer["data"]["certificate"].as_str().unwrap().to_owned()
}

fn config() -> Value {
    json!({ "pki": { "mount": "pki", "role": "web", "common_name": NAME, "control": "env:CONTROL" } })
}

fn with_control(server: &Server, addr: &str, token: &str) -> Box<dyn Issuer> {
    let mut ctx = context(addr, token);
    let mut environment = (*ctx.environment).clone();
    environment.insert("CONTROL".to_owned(), bundle(server, "pki").0);
    ctx.environment = environment.into();
    issuer(&ctx, &config())
}

fn refused(probe: &Probe) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == "revoked")
}

fn accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

/// What openssl says of a certificate, with the authority's list of this moment.
fn openssl(server: &Server, bundle: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca.pem", &pem(server, "ca"));
    write("crl.pem", &pem(server, "crl"));
    write("leaf.pem", bundle);
    let output = Command::new("openssl")
        .args(["verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", "leaf.pem"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn the_contract_is_kept_with_the_policy_of_the_page_and_openssl_agrees() {
    let server = start();
    let token = server.token_with("documented", &policy(4)).unwrap();
    let issuer = with_control(&server, &server.addr(), &token);
    let (old, serial) = bundle(&server, "pki");
    let old = issuer.identify(&value(&old)).unwrap();
    assert_eq!(old.principal, serial, "the serial number is the server's");
    assert!(openssl(&server, old.value.expose_text().unwrap()).ends_with("leaf.pem: OK\n"));
    conformance::issuer(&*issuer, &old).await.unwrap();
    let said = openssl(&server, old.value.expose_text().unwrap());
    assert!(said.contains("certificate revoked"), "{said}");
    // What the successor is: for the name, and of the authority.
    let chosen = issuer.choose(Some(&old), "tag").await.unwrap();
    let new = issuer.perform(IssuerOp::Install { new: &chosen }).await.minted.unwrap();
    assert!(openssl(&server, new.value.expose_text().unwrap()).ends_with("leaf.pem: OK\n"));
    let log = std::fs::read_to_string(server.audit_log()).unwrap();
    assert!(!log.contains("PRIVATE KEY"), "a key in the audit log");
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    let server = start();
    let (old, _) = bundle(&server, "pki");
    conformance::hung(Duration::from_secs(5), |address| {
        let mut ctx = context(&format!("http://{address}"), "t");
        ctx.call_limit = Duration::from_millis(300);
        ctx.environment = std::sync::Arc::new(
            [("TOKEN".to_owned(), "t".to_owned()), ("CONTROL".to_owned(), old.clone())].into(),
        );
        let issuer = issuer(&ctx, &config());
        let old = issuer.identify(&value(&old)).unwrap();
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_list_that_is_made_at_intervals_is_made_at_once() {
    let server = start();
    let crl = json!({ "auto_rebuild": true, "auto_rebuild_grace_period": "12h", "expiry": "72h" });
    server.request("POST", "pki/config/crl", &crl).unwrap();
    let (old, serial) = bundle(&server, "pki");
    let issuer = with_control(&server, &server.addr(), server.root_token());
    let old = issuer.identify(&value(&old)).unwrap();
    // Somebody revoked it; the list does not have it yet, and neither has a client.
    server.request("POST", "pki/revoke", &json!({ "serial_number": serial })).unwrap();
    assert!(accepted(&issuer.probe(&old).await), "the trap: revoked is not yet refused");
    assert_eq!(retryable(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome), Some(true));
    let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(done.is_applied(), "{done:?}");
    assert!(refused(&issuer.probe(&old).await));
}

#[tokio::test]
async fn what_cannot_be_judged_is_no_proof() {
    let server = start();
    authority(&server, "other");
    let issuer = with_control(&server, &server.addr(), server.root_token());
    let (foreign, _) = bundle(&server, "other");
    let foreign = issuer.identify(&value(&foreign)).unwrap();
    let Probe::Inconclusive { reason: why } = issuer.probe(&foreign).await else {
        panic!("of another authority")
    };
    assert!(!why.contains("PRIVATE"), "{why}");
    let outcome = issuer.perform(IssuerOp::Disable { old: &foreign }).await.outcome;
    assert!(!outcome.is_applied(), "{outcome:?}");
    // Without its key it is not revoked, and a key without it is nobody's.
    let (whole, _) = bundle(&server, "pki");
    let (leaf, key) = whole.split_once("-----BEGIN EC").unwrap();
    let leaf = issuer.identify(&value(leaf)).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &leaf }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("no private key"), "{outcome:?}");
    let key = format!("-----BEGIN EC{key}");
    assert!(issuer.identify(&value(&key)).unwrap_err().detail.contains("no certificate"));
    // Somebody else's key does not revoke it.
    let (other, _) = bundle(&server, "pki");
    let (_, other_key) = other.split_once("-----BEGIN EC").unwrap();
    let mixed = format!("{}-----BEGIN EC{other_key}", leaf.value.expose_text().unwrap());
    let mixed = issuer.identify(&value(&mixed)).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &mixed }).await.outcome;
    assert!(!outcome.is_applied() && !format!("{outcome:?}").contains("PRIVATE KEY"), "{outcome:?}");
    assert!(accepted(&issuer.probe(&mixed).await));

    let nothing = server.token_with("nothing", "path \"kv/x\" { capabilities = [\"read\"] }").unwrap();
    let powerless = with_control(&server, &server.addr(), &nothing);
    let missing = failed(&powerless.check().await).join("\n");
    for path in ["pki/issue/web", "pki/revoke-with-key", "pki/crl/rotate"] {
        assert!(missing.contains(&format!("on `{path}`")), "{missing}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_for_that_and_cannot_be_a_successor() {
    let server = start();
    let issuer = with_control(&server, &server.addr(), server.root_token());
    let body = json!({ "common_name": NAME, "ttl": "1s" });
    let made = server.request("POST", "pki/issue/web", &body).unwrap();
    let text = |name: &str| made["data"][name].as_str().unwrap();
    let short = format!("{}\n{}", text("certificate"), text("private_key"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let short = issuer.identify(&value(&short)).unwrap();
    let probe = issuer.probe(&short).await;
    assert!(matches!(&probe, Probe::Refused { code, .. } if code == "expired"), "{probe:?}");
    let outcome = issuer.observe(IssuerOp::Install { new: &short }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert_eq!(issuer.sessions(&short, None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_lost_answer_is_found_on_the_list() {
    let server = start();
    let lost = Proxy::start(server.port(), "revoke-with-key", Fault::DropAnswer, 1).await;
    let issuer = with_control(&server, &lost.addr, server.root_token());
    let old = issuer.identify(&value(&bundle(&server, "pki").0)).unwrap();
    let disable = IssuerOp::Disable { old: &old };
    assert!(unknown(&issuer.perform(disable).await.outcome));
    assert!(issuer.observe(disable).await.outcome.is_applied());
    assert!(issuer.perform(disable).await.outcome.is_applied());
    let lost = Proxy::start(server.port(), "issue/web", Fault::DropAnswer, 1).await;
    let issuer = crate::issuer(
        &context(&lost.addr, server.root_token()),
        &json!({ "pki": { "mount": "pki", "role": "web", "common_name": NAME } }),
    );
    let new = Credential { principal: "tag".to_owned(), value: value("") };
    assert!(unknown(&issuer.perform(IssuerOp::Install { new: &new }).await.outcome));
    assert_eq!(retryable(&issuer.observe(IssuerOp::Install { new: &new }).await.outcome), Some(true));
}

/// A server that shows one certificate. It is killed on drop.
struct Shown(Child);

impl Shown {
    fn start(folder: &Path, port: u16, bundle: &str) -> Self {
        std::fs::write(folder.join("served.pem"), bundle).unwrap();
        let accept = format!("127.0.0.1:{port}");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &accept, "-cert", "served.pem", "-key", "served.pem", "-www"]);
        let quiet =
            command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_handshake_tells_which_certificate_a_server_shows() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem(&server, "ca")).unwrap();
    let ctx = context("http://127.0.0.1:1", "t");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let build = |name: &str, ca: &Path| {
        let config =
            json!({ "tls": { "address": format!("127.0.0.1:{port}"), "name": name, "ca_file": ca } });
        quell_connect::tls::CONNECTOR.observe.unwrap()(&config, &ctx).unwrap()
    };
    let observe = build(NAME, &ca);
    conformance::observe(&*observe, &[]).await.unwrap_err();
    let (old, new) = (bundle(&server, "pki"), bundle(&server, "pki"));
    let seen = async |wanted: &str| {
        for _ in 0..100 {
            match observe.see().await {
                Ok(seen) if seen.generation.as_deref() == Some(wanted) => return seen,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("{wanted} is not shown")
    };
    let shown = Shown::start(folder.path(), port, &old.0);
    let first = seen(&old.1).await;
    assert!(first.healthy && first.principal == first.generation);
    conformance::observe(&*observe, &[]).await.unwrap();
    assert!(build("b.example.test", &ca).see().await.unwrap_err().detail.contains("not valid for name"));
    drop(shown);
    assert!(observe.see().await.unwrap_err().detail.contains("refused"));
    let _shown = Shown::start(folder.path(), port, &new.0);
    seen(&new.1).await;
    authority(&server, "other");
    let other = server.request("GET", "other/cert/ca", &Value::Null).unwrap();
    let foreign = folder.path().join("foreign.pem");
    std::fs::write(&foreign, other["data"]["certificate"].as_str().unwrap()).unwrap();
    let error = build(NAME, &foreign).see().await.unwrap_err();
    assert!(error.detail.contains("invalid peer certificate"), "{error}");
    assert!(build(NAME, Path::new("absent.pem")).see().await.unwrap_err().detail.contains("absent.pem"));
}
