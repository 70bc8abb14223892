//! IAM, STS, KMS and Secrets Manager on loopback, with every signature and permission checked as AWS does.
//!
//! moto checks both when `/moto-api/reset-auth` says so (<https://docs.getmoto.org/en/latest/docs/iam.html>). `as_aws.py` beside this file adds
//! what it leaves out, and says what that is. `CloudTrail`'s event history is not there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Server;

/// An access key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    /// `AKIA…`, or `ASIA…` for a session.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// Of a session.
    pub token: Option<String>,
}

/// A running server. It is killed on drop.
#[derive(Debug)]
pub struct Aws {
    server: Server,
    admin: Keys,
}

/// The same server as a client sees it, at its own port or a proxy's.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    port: u16,
}

/// All that is asked here is signed at this moment: moto does not look at its clock.
const DAY: &str = "20261123";
const MOMENT: &str = "20261123T020000Z";

impl Keys {
    /// As `aws configure export-credentials` prints it.
    pub fn json(&self) -> String {
        json!({ "AccessKeyId": self.id, "SecretAccessKey": self.secret, "SessionToken": self.token })
            .to_string()
    }

    /// `ID:SECRET`.
    pub fn pair(&self) -> String {
        format!("{}:{}", self.id, self.secret)
    }

    /// Reads `ID:SECRET`.
    pub fn from_pair(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once(':')?;
        Some(Self { id: id.to_owned(), secret: secret.to_owned(), token: None })
    }
}

impl Aws {
    /// Starts a server with one user, `boss`, who may do everything; nobody else may do anything.
    pub fn start() -> anyhow::Result<Self> {
        let python = crate::python()?;
        let script = include_str!("as_aws.py");
        let server = Server::start_with(&python, &["-c", script])?;
        let nobody = Keys { id: "AKIANOBODYNOBODYNOBO".to_owned(), secret: "none".to_owned(), token: None };
        let mut aws = Self { server, admin: nobody };
        aws.admin = aws.user("boss", &["*"])?;
        aws.caller().post("/moto-api/reset-auth", &[], b"0")?;
        Ok(aws)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        self.server.addr()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The key of `boss`.
    pub fn admin(&self) -> &Keys {
        &self.admin
    }

    /// As a client sees it.
    pub fn caller(&self) -> Caller {
        Caller { port: self.server.port }
    }

    /// Makes a user who may do `actions`, and a key of his.
    pub fn user(&self, name: &str, actions: &[&str]) -> anyhow::Result<Keys> {
        self.iam(&[("Action", "CreateUser"), ("UserName", name)])?;
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        let named = [("Action", "PutUserPolicy"), ("UserName", name), ("PolicyName", "may")];
        self.iam(&[&named[..], &[("PolicyDocument", &policy)]].concat())?;
        self.key(name)
    }

    /// Makes one more key.
    pub fn key(&self, user: &str) -> anyhow::Result<Keys> {
        let answer = self.iam(&[("Action", "CreateAccessKey"), ("UserName", user)])?;
        keys_in(&answer)
    }

    /// Ids and states of a user's keys, in the order in which they were made.
    pub fn keys_of(&self, user: &str) -> anyhow::Result<Vec<(String, String)>> {
        let answer = self.iam(&[("Action", "ListAccessKeys"), ("UserName", user)])?;
        let all = |name| between_all(&answer, name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        Ok(all("AccessKeyId").into_iter().zip(all("Status")).collect())
    }

    /// An action as `boss`; the answer is XML.
    pub fn iam(&self, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let (status, answer) = self.caller().query("iam", &self.admin, parameters)?;
        ensure!(status == 200, "{:?}: {status} {answer}", parameters.first());
        Ok(answer)
    }

    /// An operation of Secrets Manager as `boss`.
    pub fn secrets(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let target = format!("secretsmanager.{operation}");
        let (status, answer) = self.caller().json("secretsmanager", &self.admin, &target, body)?;
        ensure!(status == 200, "{operation}: {status} {answer}");
        Ok(answer)
    }

    /// An operation of KMS as `boss`.
    pub fn kms(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.caller().kms(&self.admin, operation, body)?;
        ensure!(status == 200, "{operation}: {status} {answer}");
        Ok(answer)
    }

    /// Makes a role that a user may assume and that may do `actions`; its ARN.
    pub fn role(&self, name: &str, who: &str, actions: &[&str]) -> anyhow::Result<String> {
        let trust = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": { "AWS": who }, "Action": "sts:AssumeRole" },
        ] });
        let made = self.iam(&[
            ("Action", "CreateRole"),
            ("RoleName", name),
            ("AssumeRolePolicyDocument", &trust.to_string()),
        ])?;
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        let named = [("Action", "PutRolePolicy"), ("RoleName", name), ("PolicyName", "may")];
        self.iam(&[&named[..], &[("PolicyDocument", &policy)]].concat())?;
        between(&made, "Arn").map(str::to_owned).context("no ARN in the answer")
    }
}

impl Caller {
    /// At another port, such as a proxy's.
    pub fn at(port: u16) -> Self {
        Self { port }
    }

    /// An action of IAM or STS: its status and XML.
    pub fn query(
        self,
        service: &str,
        keys: &Keys,
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<(u16, String)> {
        let version = if service == "sts" { "2011-06-15" } else { "2010-05-08" };
        let pairs = parameters.iter().copied().chain([("Version", version)]);
        let form: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        self.signed(service, keys, &headers, form.join("&").as_bytes())
    }

    /// An operation of KMS: its status and JSON.
    pub fn kms(self, keys: &Keys, operation: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        self.json("kms", keys, &format!("TrentService.{operation}"), body)
    }

    fn json(self, service: &str, keys: &Keys, target: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let (status, answer) = self.signed(service, keys, &headers, body.to_string().as_bytes())?;
        Ok((status, serde_json::from_str(&answer).unwrap_or_default()))
    }

    /// Who a key is: the ARN, or AWS's code when it is refused.
    pub fn who(self, keys: &Keys) -> anyhow::Result<Result<String, String>> {
        let (status, answer) = self.query("sts", keys, &[("Action", "GetCallerIdentity")])?;
        let name = if status == 200 { "Arn" } else { "Code" };
        let text = between(&answer, name).with_context(|| format!("{status} {answer}"))?.to_owned();
        Ok(if status == 200 { Ok(text) } else { Err(text) })
    }

    /// A session of a role.
    pub fn assume(self, keys: &Keys, role: &str) -> anyhow::Result<Keys> {
        let parameters = [("Action", "AssumeRole"), ("RoleArn", role), ("RoleSessionName", "test")];
        let (status, answer) = self.query("sts", keys, &parameters)?;
        ensure!(status == 200, "AssumeRole: {status} {answer}");
        let token = between(&answer, "SessionToken").map(str::to_owned);
        Ok(Keys { token, ..keys_in(&answer)? })
    }

    /// Signature Version 4 by hand, so that the product's is tested against another one.
    fn signed(
        self,
        service: &str,
        keys: &Keys,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<(u16, String)> {
        let host = format!("127.0.0.1:{}", self.port);
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        all.extend([("host", host.as_str()), ("x-amz-date", MOMENT)]);
        all.extend(keys.token.as_deref().map(|token| ("x-amz-security-token", token)));
        all.sort_unstable();
        let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: Vec<String> = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let lines = lines.concat();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex::encode(Sha256::digest(body)));
        let scope = format!("{DAY}/us-east-1/{service}/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{MOMENT}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let mut key = format!("AWS4{}", keys.secret).into_bytes();
        for part in [DAY, "us-east-1", service, "aws4_request", &text] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let (id, signature) = (&keys.id, hex::encode(&key));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        all.retain(|(name, _)| *name != "host");
        all.push(("authorization", &authorization));
        self.post("/", &all, body)
    }

    fn post(self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        let (port, length) = (self.port, body.len());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.context("no status in the answer")?, body.to_owned()))
    }
}

fn keys_in(answer: &str) -> anyhow::Result<Keys> {
    let text =
        |name| between(answer, name).map(str::to_owned).with_context(|| format!("no {name} in the answer"));
    Ok(Keys { id: text("AccessKeyId")?, secret: text("SecretAccessKey")?, token: None })
}

fn between<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    between_all(answer, name).first().copied()
}

fn between_all<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    answer.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(text, _)| text).collect()
}

/// RFC 3986, section 2.3.
fn encoded(text: &str) -> String {
    let one = |byte: u8| {
        let keeps = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if keeps { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(one).collect()
}
