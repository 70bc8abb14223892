//! One signed request and its classified answer.
//!
//! Signature Version 4 (AWS reference guide, "Signing API requests"). Regions and hosts: AWS general reference, "Service endpoints"; IAM has one
//! endpoint for each partition and is signed for that partition's first region.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::keys::Keys;
use super::xml::Node;
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::source::SecretSource;
use crate::webhook::sign::wall_clock;

/// Which of AWS's services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    Iam,
    Sts,
    CloudTrail,
    Kms,
    SecretsManager,
}

/// Where requests go: a region, or an address that stands for all of AWS.
#[derive(Clone)]
pub(crate) struct Cloud {
    context: Context,
    region: String,
    endpoint: Option<Url>,
}

/// A definite answer that is not what was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// AWS's own word: `NoSuchEntity`.
    pub(crate) code: String,
    message: String,
    retry_after: Option<Duration>,
}

/// An answer that is what was asked for.
#[derive(Debug)]
pub(crate) struct Said<T> {
    pub(crate) body: T,
    /// AWS's clock, when it told it.
    pub(crate) date: Option<Timestamp>,
}

/// What a request may end in, besides not being answered.
pub(crate) type Reply<T> = Result<Result<Said<T>, Refusal>, ConnectError>;

impl std::fmt::Debug for Cloud {
    /// Not the context: its environment may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The schema of `region` and `endpoint`.
pub(crate) fn cloud_properties() -> [(&'static str, Value); 2] {
    [
        (
            "region",
            json!({ "type": "string", "minLength": 1, "description": "The region whose endpoints are used: eu-west-1 (us-east-1)" }),
        ),
        (
            "endpoint",
            json!({ "type": "string", "description": "An address that stands for all services of AWS, such as a test server's: https://…" }),
        ),
    ]
}

impl Cloud {
    /// Contacts nobody.
    pub(crate) fn new(
        context: &Context,
        region: Option<String>,
        endpoint: Option<String>,
    ) -> Result<Self, ConfigError> {
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        // It becomes part of a host's name.
        if region.is_empty()
            || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(ConfigError::at("region", "not a region of AWS", "Write it as AWS does: eu-west-1."));
        }
        let endpoint = endpoint.map(|text| address(&text)).transpose()?;
        Ok(Self { context: context.clone(), region, endpoint })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// `aws eu-west-1`.
    pub(crate) fn name(&self) -> String {
        match &self.endpoint {
            None => format!("aws {}", self.region),
            Some(endpoint) => format!("aws {} at {}", self.region, endpoint.as_str().trim_end_matches('/')),
        }
    }

    /// Reads an access key from where a reference points.
    pub(crate) async fn keys(&self, source: &SecretSource) -> Result<Keys, ConnectError> {
        let value = source.resolve(&self.context).await?;
        Keys::of(&value).map_err(|bad| {
            ConnectError::new(source.to_string(), "reading the access key", ConnectErrorKind::Denied, bad.0)
        })
    }

    /// An action of a Query service (IAM, STS), which answers in XML.
    pub(crate) async fn query(
        &self,
        keys: &Keys,
        service: Service,
        what: &'static str,
        parameters: &[(&str, &str)],
    ) -> Reply<Node> {
        let version = if service == Service::Sts { "2011-06-15" } else { "2010-05-08" };
        let pairs = [("Version", version)].into_iter().chain(parameters.iter().copied());
        let form: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let form = form.join("&");
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.send(keys, service, what, &headers, form.into_bytes()).await?;
        let node = Node::parse(&answer.body);
        if (200..300).contains(&answer.status) {
            let body = node.ok_or_else(|| self.odd(what))?;
            return Ok(Ok(Said { body, date: answer.date }));
        }
        let text = |name| node.as_ref().and_then(|node| said(node, name));
        self.refusal(what, &answer, text("Code"), text("Message")).map(Err)
    }

    /// An operation of a JSON 1.1 service (Secrets Manager, CloudTrail, KMS).
    pub(crate) async fn json(
        &self,
        keys: &Keys,
        service: Service,
        what: &'static str,
        operation: &str,
        body: &Value,
    ) -> Reply<Value> {
        let prefix = match service {
            Service::CloudTrail => "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
            // KMS API reference: the name that it had first.
            Service::Kms => "TrentService",
            Service::SecretsManager | Service::Iam | Service::Sts => "secretsmanager",
        };
        let target = format!("{prefix}.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let answer = self.send(keys, service, what, &headers, body.to_string().into_bytes()).await?;
        let mut body = answer.json();
        if (200..300).contains(&answer.status) {
            // Operations of KMS that give nothing answer with an empty body.
            let nothing = service == Service::Kms && matches!(&**answer.body, b"" | b"null");
            if nothing {
                body = json!({});
            }
            if !body.is_object() {
                return Err(self.odd(what));
            }
            return Ok(Ok(Said { body: body.take(), date: answer.date }));
        }
        if body.is_null() {
            // Refusals of the signature come as XML from moto.
            let node = Node::parse(&answer.body);
            let text = |name| node.as_ref().and_then(|node| said(node, name));
            return self.refusal(what, &answer, text("Code"), text("Message")).map(Err);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        // `com.amazonaws.secretsmanager#ResourceNotFoundException` in some, the last part alone in others.
        let code = text("__type").map(|code| code.rsplit('#').next().unwrap_or_default().to_owned());
        self.refusal(what, &answer, code, text("message").or_else(|| text("Message"))).map(Err)
    }

    async fn send(
        &self,
        keys: &Keys,
        service: Service,
        what: &'static str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, ConnectError> {
        let (url, region) = self.place(service);
        let signed = signature(keys, service, &region, &url, headers, &body).map_err(|_e| {
            self.error(what, ConnectErrorKind::Denied, "the request cannot be signed with this access key")
        })?;
        let mut request = self.context.http.request(reqwest::Method::POST, &url)?;
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        self.context.http.send(&self.name(), what, request.body(body)).await
    }

    /// The address and the region that its requests are signed for.
    fn place(&self, service: Service) -> (String, String) {
        let china = self.region.starts_with("cn-");
        let global = match self.region.as_str() {
            _ if china => "cn-north-1",
            region if region.starts_with("us-gov-") => "us-gov-west-1",
            _ => "us-east-1",
        };
        let name = service.name();
        let (host, region) = match (service, global) {
            (Service::Iam, "us-east-1") => ("iam".to_owned(), global),
            (Service::Iam, "us-gov-west-1") => ("iam.us-gov".to_owned(), global),
            (Service::Iam, _) => (format!("iam.{global}"), global),
            // Where the trail of IAM's and the global STS's events is.
            (Service::CloudTrail, _) => (format!("{name}.{global}"), global),
            (Service::Kms | Service::Sts | Service::SecretsManager, _) => {
                (format!("{name}.{}", self.region), self.region.as_str())
            }
        };
        let domain = if china { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = self.endpoint.as_ref().map_or_else(|| format!("https://{host}.{domain}/"), Url::to_string);
        (url, region.to_owned())
    }

    /// An answer of an error status: a refusal when AWS says its code, else not to be trusted.
    fn refusal(
        &self,
        what: &'static str,
        answer: &Answer,
        code: Option<String>,
        message: Option<String>,
    ) -> Result<Refusal, ConnectError> {
        let status = answer.status;
        match code {
            // What failed inside may have been done before.
            _ if status >= 500 => {
                let words = format!("it answered {status} {}", plain(&code.unwrap_or_default()));
                Err(self.error(what, ConnectErrorKind::Lost, words.trim_end()))
            }
            Some(code) if (400..500).contains(&status) => Ok(Refusal {
                code: plain(&code),
                message: plain(&message.unwrap_or_default()),
                retry_after: answer.retry_after,
            }),
            Some(_) | None => {
                let words = format!(
                    "it answered {status} and not as AWS does; is something in between, or `endpoint` wrong?"
                );
                Err(self.error(what, ConnectErrorKind::Unexpected, words))
            }
        }
    }

    /// The same without AWS's words, for a request with a value in it: some of AWS's errors repeat what they were given.
    pub(crate) fn refused_quietly(&self, what: &'static str, refusal: &Refusal, renew: &str) -> ConnectError {
        let quiet = Refusal { message: "(its words are left out)".to_owned(), ..refusal.clone() };
        self.refused(what, &quiet, renew)
    }

    /// What a refusal means for the plan. `renew` says which credential to look at.
    pub(crate) fn refused(&self, what: &'static str, refusal: &Refusal, renew: &str) -> ConnectError {
        let Refusal { code, message, retry_after } = refusal;
        let said = refusal.said();
        // "Common errors" and each operation's own in the API references of IAM, STS, Secrets Manager and CloudTrail.
        let (kind, advice) = match code.as_str() {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "EntityTemporarilyUnmodifiable" => {
                (ConnectErrorKind::Transient { retry_after: *retry_after }, String::new())
            }
            // A new key, for a moment.
            "KMSInternalException" | "DependencyTimeoutException" | "KeyUnavailableException" => {
                (ConnectErrorKind::Lost, String::new())
            }
            "ConcurrentModification" => (ConnectErrorKind::Conflict, String::new()),
            "NoSuchEntity" | "NotFoundException" | "ResourceNotFoundException" => {
                (ConnectErrorKind::Missing, String::new())
            }
            "SignatureDoesNotMatch" | "RequestExpired" | "InvalidSignatureException" if clock(message) => {
                (ConnectErrorKind::Denied, "; this machine's clock is wrong".to_owned())
            }
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "MissingAuthenticationToken"
            | "IncompleteSignature" => {
                (ConnectErrorKind::Denied, format!("; renew what `{renew}` refers to"))
            }
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
                (ConnectErrorKind::Denied, format!("; give `{renew}` the policy of this connector's page"))
            }
            _ => (ConnectErrorKind::Denied, String::new()),
        };
        self.error(what, kind, format!("{said}{advice}"))
    }

    /// A failure of this system.
    pub(crate) fn error(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.name(), what, kind, detail)
    }

    /// For an answer of status 200 that is not what the API reference says.
    pub(crate) fn odd(&self, what: &'static str) -> ConnectError {
        self.error(what, ConnectErrorKind::Unexpected, "the answer is not what AWS gives")
    }
}

impl Refusal {
    /// AWS's code and words.
    pub(crate) fn said(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::CloudTrail => "cloudtrail",
            Self::Kms => "kms",
            Self::SecretsManager => "secretsmanager",
        }
    }
}

/// A part of an error. `ErrorResponse` holds one; some services, and moto, hold a list of one.
fn said(node: &Node, name: &str) -> Option<String> {
    let text = node.text(&["Error", name]).or_else(|| node.text(&["Errors", "Error", name]));
    text.map(str::to_owned)
}

/// AWS refuses signatures that are more than 5 minutes away from its own clock.
fn clock(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("Signature not yet current")
}

/// As AWS's own clients write a form: what RFC 3986 (section 2.3) calls unreserved stays.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// One short line of what AWS said.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// An address that answers for AWS. What it gives may hold new secrets, so it is TLS or this machine.
fn address(text: &str) -> Result<Url, ConfigError> {
    let bad = |why: &str| {
        ConfigError::at(
            "endpoint",
            format!("not an address: {why}"),
            "Write https://HOST, or leave it out for AWS itself.",
        )
    };
    let url = Url::parse(text).map_err(|_e| bad("it cannot be read"))?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(bad("it holds more than scheme, host and port"));
    }
    let here = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        _ => Err(bad("new secrets travel in its answers, and it is not https")),
    }
}

/// The headers that carry the signature.
fn signature(
    keys: &Keys,
    service: Service,
    region: &str,
    url: &str,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Result<Vec<(String, String)>, Box<dyn std::error::Error + Send + Sync>> {
    let token = keys.token.as_ref().map(|token| token.as_str().to_owned());
    let identity = Credentials::new(&keys.id, keys.secret.as_str(), token, None, "quell").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service.name())
        .time(SystemTime::from(wall_clock()))
        .settings(SigningSettings::default())
        .build()?
        .into();
    let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body))?;
    let (instructions, _signature) = sign(request, &parameters)?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(region: &str, endpoint: Option<&str>) -> Result<Cloud, ConfigError> {
        let http = crate::http::Client::new(Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        Cloud::new(&context, Some(region.to_owned()), endpoint.map(str::to_owned))
    }

    #[test]
    fn each_partition_has_its_hosts() {
        let place = |region: &str, service| cloud(region, None).unwrap().place(service);
        for (region, service, host, signed) in [
            ("eu-west-1", Service::Iam, "iam.amazonaws.com", "us-east-1"),
            ("eu-west-1", Service::Sts, "sts.eu-west-1.amazonaws.com", "eu-west-1"),
            ("eu-west-1", Service::CloudTrail, "cloudtrail.us-east-1.amazonaws.com", "us-east-1"),
            ("eu-west-1", Service::SecretsManager, "secretsmanager.eu-west-1.amazonaws.com", "eu-west-1"),
            ("us-gov-east-1", Service::Iam, "iam.us-gov.amazonaws.com", "us-gov-west-1"),
            ("cn-northwest-1", Service::Iam, "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("cn-northwest-1", Service::Sts, "sts.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ] {
            assert_eq!(place(region, service), (format!("https://{host}/"), signed.to_owned()));
        }
        let ours = cloud("eu-west-1", Some("http://127.0.0.1:5000")).unwrap();
        assert_eq!(ours.place(Service::Iam), ("http://127.0.0.1:5000/".to_owned(), "us-east-1".to_owned()));
    }

    #[test]
    fn regions_and_endpoints_that_cannot_be_are_refused() {
        for region in ["", "EU", "a.b", "x/y", "u@h"] {
            assert_eq!(cloud(region, None).unwrap_err().key.as_deref(), Some("region"));
        }
        for endpoint in
            ["http://aws.example", "ftp://127.0.0.1", "x", "https://u:hunter2@h", "https://h/?a=b"]
        {
            let error = cloud("eu-west-1", Some(endpoint)).unwrap_err();
            assert_eq!(error.key.as_deref(), Some("endpoint"));
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn codes_mean_something_for_the_plan() {
        let cloud = cloud("eu-west-1", None).unwrap();
        let said = |code: &str, message: &str| {
            let retry_after = Some(Duration::from_secs(3));
            let refusal = Refusal { code: code.to_owned(), message: message.to_owned(), retry_after };
            cloud.refused("doing it", &refusal, "admin")
        };
        let transient = ConnectErrorKind::Transient { retry_after: Some(Duration::from_secs(3)) };
        assert_eq!(said("Throttling", "Rate exceeded").kind, transient);
        assert_eq!(said("NoSuchEntity", "").kind, ConnectErrorKind::Missing);
        assert_eq!(said("ConcurrentModification", "").kind, ConnectErrorKind::Conflict);
        assert!(said("ExpiredToken", "").detail.contains("renew what `admin` refers to"));
        assert!(said("AccessDenied", "").detail.contains("the policy of this connector's page"));
        assert!(said("SignatureDoesNotMatch", "Signature expired: …").detail.contains("clock is wrong"));
        assert_eq!(said("SomethingNew", "").kind, ConnectErrorKind::Denied);
    }
}
