//! A consumer that serves TLS: which certificate it shows in a handshake.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Observe, Seen};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::x509;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "tls",
    summary: "Shakes hands with a TLS server and tells the serial number of its certificate",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: Some(build),
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let observe = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["tls"],
        "properties": { "tls": {
            "type": "object",
            "additionalProperties": false,
            "required": ["address", "ca_file"],
            "properties": {
                "address": text("Host and port: a.example.com:443"),
                "name": text("The name that the certificate must be for; without it the host of the address"),
                "ca_file": text("PEM file with the authority that must have issued it"),
            },
        } },
    });
    vec![("observe", observe)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    tls: Server,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    address: String,
    name: Option<String>,
    ca_file: String,
}

#[derive(Debug)]
struct Handshake {
    server: Server,
    name: ServerName<'static>,
    context: Context,
}

const WHAT: &str = "shaking hands";

fn build(config: &Value, context: &Context) -> Result<Box<dyn Observe>, ConfigError> {
    let Config { tls: server } = ConfigError::parse(config)?;
    let bad = |why: &str| ConfigError::at("tls.address", why, "use HOST:PORT, such as a.example.com:443");
    let (host, port) = server.address.rsplit_once(':').ok_or_else(|| bad("there is no port"))?;
    port.parse::<u16>().map_err(|_e| bad("the port is no number"))?;
    let name = server.name.as_deref().unwrap_or_else(|| host.trim_matches(['[', ']'])).to_owned();
    let name = ServerName::try_from(name).map_err(|_e| {
        ConfigError::at("tls.name", "not a name of a host", "name it, such as a.example.com")
    })?;
    Ok(Box::new(Handshake { server, name, context: context.clone() }))
}

impl Handshake {
    fn failed(&self, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(format!("tls {}", self.server.address), WHAT, kind, detail)
    }

    fn settings(&self) -> Result<ClientConfig, ConnectError> {
        let path = self.context.path(&self.server.ca_file);
        let denied = |why: String| {
            self.failed(ConnectErrorKind::Denied, format!("`ca_file` {}: {why}", self.server.ca_file))
        };
        let pem = std::fs::read(path).map_err(|error| denied(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&pem) {
            let authority = authority.map_err(|error| denied(error.to_string()))?;
            roots.add(authority).map_err(|error| denied(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(denied("there is no certificate in it".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| denied(error.to_string()))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// The serial of the certificate that the server shows; an error when no client would take it.
    async fn serial(&self) -> Result<String, ConnectError> {
        let settings = Arc::new(self.settings()?);
        let (name, address, limit) =
            (self.name.clone(), self.server.address.clone(), self.context.call_limit);
        let shaken = tokio::task::spawn_blocking(move || shake(&address, name, settings, limit)).await;
        match shaken {
            Ok(Ok(serial)) => Ok(serial),
            Ok(Err(error)) => {
                let kind = if error.kind() == std::io::ErrorKind::ConnectionRefused {
                    ConnectErrorKind::Unreachable
                } else if error.kind() == std::io::ErrorKind::InvalidData {
                    // The library's own verdict on what was shown.
                    ConnectErrorKind::Denied
                } else {
                    ConnectErrorKind::Lost
                };
                Err(self.failed(kind, error.to_string()))
            }
            Err(ended) => Err(self.failed(ConnectErrorKind::Lost, ended.to_string())),
        }
    }
}

fn shake(
    address: &str,
    name: ServerName<'static>,
    settings: Arc<ClientConfig>,
    limit: Duration,
) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind};
    let mut places = address.to_socket_addrs()?;
    let place = places.next().ok_or_else(|| Error::new(ErrorKind::NotFound, "the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&place, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut connection = ClientConnection::new(settings, name).map_err(Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let shown = connection.peer_certificates().and_then(|shown| shown.first());
    let serial = shown.and_then(|shown| x509::serial(shown));
    connection.send_close_notify();
    // Goodbye: the answer was read already.
    drop(connection.complete_io(&mut stream));
    serial.ok_or_else(|| Error::other("the server showed no certificate with a serial number"))
}

#[async_trait]
impl Observe for Handshake {
    fn target(&self) -> String {
        format!("TLS handshake with {}", self.server.address)
    }

    async fn check(&self) -> Vec<Check> {
        let seen = self.context.within(|| self.target(), WHAT, self.serial()).await;
        let (ok, detail) = match seen {
            Ok(serial) => (true, format!("it shows the certificate {serial}")),
            Err(error) => (false, error.detail),
        };
        vec![Check { what: self.target(), ok, detail }]
    }

    async fn see(&self) -> Result<Seen, ConnectError> {
        let serial = self.context.within(|| self.target(), WHAT, self.serial()).await?;
        Ok(Seen { generation: Some(serial.clone()), principal: Some(serial), healthy: true, why: None })
    }
}
