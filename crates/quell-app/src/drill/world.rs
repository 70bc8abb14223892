//! A whole company on loopback: a repository with a planted leak, an issuer, a store, two consumers.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use quell_connect::context::Context;
use quell_connect::http::Client;
use quell_connect::{openbao, postgres};
use quell_core::secret::SecretValue;
use serde_json::json;
use tokio::process::{Child, Command};

use super::{CONSUMER_START, git};
use crate::AppError;
use crate::clock::now;

const DATABASE: &str = "decoy";
const GROUP: &str = "decoy_owner";
const ROLES: [&str; 2] = ["decoy_a", "decoy_b"];

/// The sandbox. Dropping it ends its servers and consumers and removes its folder, which holds decoy values in clear.
#[derive(Debug)]
pub struct World {
    /// The repository with the leak.
    pub repository: PathBuf,
    /// The inventory.
    pub inventory: PathBuf,
    folder: PathBuf,
    _postgres: postgres::sandbox::Sandbox,
    _openbao: openbao::sandbox::Sandbox,
    _consumers: Vec<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        // Nobody can be told; what is left are decoys of a sandbox that is gone.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl World {
    /// Starts everything in a new folder.
    pub async fn start(folder: &Path, program: &Path) -> Result<Self, AppError> {
        let io = |e| AppError::io(folder, e);
        std::fs::create_dir(folder).map_err(io)?;
        let setup = postgres::sandbox::Setup { database: DATABASE, group: Some(GROUP), roles: &ROLES };
        let issuer = postgres::sandbox::Sandbox::start(setup).await.map_err(io)?;
        let store = openbao::sandbox::Sandbox::start().await.map_err(io)?;
        let mut random = [0_u8; 24];
        getrandom::fill(&mut random).map_err(|e| AppError::Usage(format!("no randomness: {e}")))?;
        let password = SecretValue::from_text(hex::encode(random));
        issuer.set_password("decoy_a", &password).map_err(io)?;
        let url = issuer.url("decoy_a", password.expose_text().unwrap_or_default());
        write_secret(&folder.join("admin.url"), issuer.admin_url().expose()).map_err(io)?;
        write_secret(&folder.join("openbao.token"), store.token().as_bytes()).map_err(io)?;
        let env_line = [b"DATABASE_URL=".as_slice(), url.expose(), b"\n"].concat();
        write_secret(&folder.join("worker.env"), &env_line).map_err(io)?;

        let repository = folder.join("repository");
        std::fs::create_dir(&repository).map_err(io)?;
        let readme: &[u8] = b"# decoy\n";
        let commits: [git::Commit<'_>; 2] = [
            ("add configuration", &[("README.md", readme), ("app.env", &env_line)]),
            ("remove configuration", &[("README.md", readme)]),
        ];
        // Leaked yesterday, "removed" a minute later: it is in the history all the same.
        git::write(&repository, &commits, now().as_second() - 86_400).map_err(io)?;

        fill_store(folder, &store, &url).await?;
        let mut consumers = Vec::new();
        let mut ports = Vec::new();
        for name in ["api", "worker"] {
            consumers.push(consumer(folder, program, name)?);
            ports.push(port_of(folder, name).await?);
        }
        let inventory = folder.join("quell.yaml");
        std::fs::write(&inventory, inventory_text(&store, &ports)).map_err(io)?;
        Ok(Self {
            repository,
            inventory,
            folder: folder.to_owned(),
            _postgres: issuer,
            _openbao: store,
            _consumers: consumers,
        })
    }

    /// Ends everything.
    pub fn stop(self) {
        drop(self);
    }
}

fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

async fn fill_store(
    folder: &Path,
    store: &openbao::sandbox::Sandbox,
    url: &SecretValue,
) -> Result<(), AppError> {
    let mut context = Context::new(folder.to_owned(), Client::new(CONSUMER_START, None)?);
    let connection = json!({"address": store.addr(), "token": "file:openbao.token"});
    context.connections = std::sync::Arc::new([("openbao".to_owned(), connection)].into());
    let config = json!({"mount": "kv", "path": "apps/decoy", "key": "DATABASE_URL"});
    let build = quell_connect::find("openbao")
        .and_then(|d| d.store)
        .ok_or_else(|| AppError::Usage("no store".to_owned()))?;
    let kv =
        build(&config, &context).map_err(|source| AppError::Config { place: "drill".to_owned(), source })?;
    let outcome = kv.write(url).await;
    if outcome.is_applied() {
        Ok(())
    } else {
        Err(AppError::Evidence(format!("the sandbox store refused: {outcome:?}")))
    }
}

fn consumer(folder: &Path, program: &Path, name: &str) -> Result<Child, AppError> {
    let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    Command::new(program)
        .arg("sandbox-consumer")
        .arg("--env-file")
        .arg(folder.join("worker.env"))
        .arg("--port-file")
        .arg(file("port"))
        .arg("--pid-file")
        .arg(file("pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| AppError::io(program, e))
}

async fn port_of(folder: &Path, name: &str) -> Result<u16, AppError> {
    let path = folder.join(format!("{name}.port"));
    let read = async {
        loop {
            if let Some(port) = std::fs::read_to_string(&path).ok().and_then(|t| t.trim().parse().ok()) {
                return port;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CONSUMER_START, read)
        .await
        .map_err(|_e| AppError::Evidence(format!("the sandbox consumer `{name}` did not start")))
}

fn inventory_text(store: &openbao::sandbox::Sandbox, ports: &[u16]) -> String {
    let port = |i: usize| ports.get(i).copied().unwrap_or(0);
    let address = store.addr();
    let (api, worker) = (port(0), port(1));
    format!(
        r#"# The inventory of a drill. Everything in it lives on loopback and is gone when the drill ends.
connections:
  openbao: {{ address: "{address}", token: "file:openbao.token" }}
secrets:
  - id: decoy-db
    kind: postgres-password
    env: drill
    tier: service
    issuer:
      postgres: {{ admin: "file:admin.url", roles: [decoy_a, decoy_b], group: {GROUP}, settle_ms: 200 }}
    stores:
      - openbao: {{ mount: kv, path: apps/decoy, key: DATABASE_URL }}
      - env_file: {{ path: worker.env, key: DATABASE_URL }}
    consumers:
      - name: api
        reload: {{ http: {{ url: "http://127.0.0.1:{api}/reload" }} }}
        observe: {{ http: "http://127.0.0.1:{api}/healthz", generation: ".gen", principal: ".principal" }}
      - name: worker
        reload: {{ process: {{ pidfile: worker.pid, signal: HUP }} }}
        observe: {{ http: "http://127.0.0.1:{worker}/healthz", generation: ".gen", principal: ".principal" }}
    grants:
      - {{ resource: "postgres:decoy", access: write, data: [personal] }}
policy:
  approvals: {{ destructive: 1, pre_approved: [drill] }}
"#
    )
}
