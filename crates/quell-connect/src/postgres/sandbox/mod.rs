//! A small model of a PostgreSQL server on loopback, for drills on a machine without PostgreSQL.
//!
//! It speaks protocol 3.0 with SCRAM-SHA-256 and simple queries, and knows roles, memberships, sessions and exactly
//! the statements that this connector and the drill's consumer send. The connector's tests run the same scenarios
//! against it and against a real server. Modeled after the PostgreSQL 15 documentation (chapters 21, 55 and
//! appendix A), 2026-11.

mod model;
mod wire;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quell_core::secret::SecretValue;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use zeroize::Zeroizing;

use self::model::{Model, Reply, Role};
use self::wire::{Opening, ServerError};
use super::scram::{Exchange, ITERATIONS, SALT_LEN, Verifier};

/// The superuser's name.
const ADMIN: &str = "postgres";

/// What a sandbox starts with.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The only database.
    pub database: &'a str,
    /// A role that owns the objects and cannot log in.
    pub group: Option<&'a str>,
    /// Roles without a password that may not log in yet; members of the group.
    pub roles: &'a [&'a str],
}

/// One running server. It ends, with all its sessions, when this is dropped.
pub struct Sandbox {
    port: u16,
    database: String,
    password: Zeroizing<String>,
    model: Arc<Mutex<Model>>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sandbox {
    /// Starts a server on a free port of 127.0.0.1, inside the current tokio runtime.
    pub async fn start(setup: Setup<'_>) -> io::Result<Self> {
        let password = crate::password::random().map_err(io::Error::other)?;
        let mut model = Model { database: setup.database.to_owned(), ..Model::default() };
        model.roles.insert(
            ADMIN.to_owned(),
            Role {
                superuser: true,
                can_login: true,
                verifier: Some(verifier(&password)?),
                ..Role::default()
            },
        );
        if let Some(group) = setup.group {
            model.roles.insert(group.to_owned(), Role::default());
        }
        for role in setup.roles {
            let member_of = setup.group.map(str::to_owned).into_iter().collect();
            model.roles.insert((*role).to_owned(), Role { member_of, ..Role::default() });
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let model = Arc::new(Mutex::new(model));
        let task = tokio::spawn(accept(listener, Arc::clone(&model)));
        Ok(Self { port, database: setup.database.to_owned(), password, model, task })
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's URL.
    pub fn admin_url(&self) -> SecretValue {
        self.url(ADMIN, &self.password)
    }

    /// A URL for a role with this password.
    pub fn url(&self, role: &str, password: &str) -> SecretValue {
        let encode = crate::dsn::encode;
        let password = Zeroizing::new(encode(password));
        let mut text = Zeroizing::new(format!("postgres://{}:", encode(role)));
        for part in [password.as_str(), "@127.0.0.1:", &self.port.to_string(), "/", &encode(&self.database)] {
            text.push_str(part);
        }
        SecretValue::new(text.as_bytes().to_vec())
    }

    /// Gives a role a password and lets it log in, as `ALTER ROLE … LOGIN PASSWORD …` by the superuser would.
    pub fn set_password(&self, role: &str, password: &SecretValue) -> io::Result<()> {
        let text = password.expose_text().ok_or_else(|| io::Error::other("the password is not UTF-8"))?;
        let verifier = verifier(text)?;
        let mut model = lock(&self.model);
        let role = model.roles.get_mut(role).ok_or_else(|| io::Error::other("there is no such role"))?;
        role.verifier = Some(verifier);
        role.can_login = true;
        Ok(())
    }

    /// The roles of all live sessions, oldest first.
    pub fn sessions(&self) -> Vec<String> {
        lock(&self.model).sessions.values().map(|session| session.role.clone()).collect()
    }
}

fn lock(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
    // The model is whole between statements, and none of them panics.
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_e| io::Error::other("the system gave no randomness"))?;
    Ok(bytes)
}

fn verifier(password: &str) -> io::Result<Verifier> {
    Ok(Verifier::derive(password, &random::<SALT_LEN>()?, ITERATIONS))
}

async fn accept(listener: TcpListener, model: Arc<Mutex<Model>>) {
    // Aborting this task drops the set, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // What a client does wrong ends its own connection only.
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&model)))),
                Err(_) => return,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection, from its first byte to its last.
async fn serve(stream: TcpStream, model: Arc<Mutex<Model>>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let (user, database) = loop {
        match wire::read_opening(&mut reader).await? {
            Opening::Encryption => writer.write_all(b"N").await?,
            Opening::Cancel => return Ok(()),
            Opening::Startup { user, database } => break (user, database),
        }
    };
    if !authenticate(&mut reader, &mut writer, &user, &model).await? {
        let message = format!("password authentication failed for user \"{user}\"");
        return writer.write_all(&ServerError::new("28P01", message, "auth_failed").message("FATAL")).await;
    }
    let end = Arc::new(Notify::new());
    let admitted = lock(&model).admit(&user, &database, Arc::clone(&end));
    let pid = match admitted {
        Ok(pid) => pid,
        Err(error) => return writer.write_all(&error.message("FATAL")).await,
    };
    // Leaves the list however the connection ends.
    let _listed = Listed { pid, model: Arc::clone(&model) };
    let mut greeting = Vec::new();
    for (name, value) in [("server_version", model::VERSION), ("client_encoding", "UTF8")] {
        greeting.extend(wire::parameter(name, value));
    }
    greeting.extend(wire::key_data(pid));
    greeting.extend(wire::ready());
    writer.write_all(&greeting).await?;
    loop {
        tokio::select! {
            () = end.notified() => {
                let message = "terminating connection due to administrator command";
                let error = ServerError::new("57P01", message, "ProcessInterrupts");
                return writer.write_all(&error.message("FATAL")).await;
            }
            message = wire::read_message(&mut reader) => match message? {
                (b'Q', body) => writer.write_all(&answer(&model, pid, &wire::text(&body))).await?,
                (b'X', _) => return Ok(()),
                _ => {
                    let error = ServerError::new("0A000", "the sandbox knows simple queries only", "PostgresMain");
                    return writer.write_all(&error.message("FATAL")).await;
                }
            },
        }
    }
}

/// A session's place in the model.
struct Listed {
    pid: i32,
    model: Arc<Mutex<Model>>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.model).sessions.remove(&self.pid);
    }
}

fn answer(model: &Mutex<Model>, pid: i32, script: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match lock(model).run(pid, script) {
        Ok(replies) => {
            for reply in replies {
                match reply {
                    Reply::Done(tag) => bytes.extend(wire::complete(tag)),
                    Reply::Rows(rows) => {
                        bytes.extend(wire::rows(rows.first().map_or(0, Vec::len), &rows));
                        bytes.extend(wire::complete(&format!("SELECT {}", rows.len())));
                    }
                }
            }
        }
        Err(error) => bytes.extend(error.message("ERROR")),
    }
    bytes.extend(wire::ready());
    bytes
}

/// The server's half of SCRAM-SHA-256 (55.3). A role that is missing or has no password fails as a wrong password
/// does, at the same point, so that nobody learns which it was.
async fn authenticate(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    user: &str,
    model: &Mutex<Model>,
) -> io::Result<bool> {
    let stored = lock(model).roles.get(user).and_then(|role| role.verifier.clone());
    let known = stored.is_some();
    let verifier = match stored {
        Some(verifier) => verifier,
        None => verifier(&crate::password::random().map_err(io::Error::other)?)?,
    };
    writer.write_all(&wire::authentication(10, b"SCRAM-SHA-256\0\0")).await?;
    let Some(first) = wire::sasl_initial(&expect_password(reader).await?) else { return Ok(false) };
    let nonce = hex::encode(random::<18>()?);
    let Ok(exchange) = Exchange::begin(&first, verifier, &nonce) else { return Ok(false) };
    writer.write_all(&wire::authentication(11, exchange.server_first().as_bytes())).await?;
    let last = String::from_utf8_lossy(&expect_password(reader).await?).into_owned();
    match exchange.finish(&last) {
        Ok(message) if known => {
            writer.write_all(&wire::authentication(12, message.as_bytes())).await?;
            writer.write_all(&wire::authentication(0, b"")).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

async fn expect_password(reader: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    match wire::read_message(reader).await? {
        (b'p', body) => Ok(body),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a password message was expected")),
    }
}
