//! One scenario for each kind of credential: it leaks into a real repository, is found there, and is answered on a real system; the
//! same with a crash at every step that speaks to the issuer, and with an issuer whose answers are lost after their effect.

pub(crate) mod approle;
pub(crate) mod aws;
mod azure;
mod azure_password;
mod blob_key;
mod channel;
pub(crate) mod company;
mod consumer;
mod gcp;
mod gcp_key;
mod github;
mod gitlab;
mod jwks;
mod kms;
mod kubernetes;
mod many;
pub(crate) mod mariadb;
mod minisign;
mod oauth;
mod person;
mod pkcs11;
mod pki;
mod quell_token;
pub(crate) mod redis;
mod session_key;
pub(crate) mod ssh;
mod transit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};

use super::world::{private, quell_program, text};
use consumer::Consumer;

/// Steps that speak to the issuer or decide by what it says.
const STEPS: [&str; 7] = ["mint", "install", "probe-new", "store-0", "disable", "sever", "prove"];

/// Recorded and not begun; done and not recorded; recorded.
const PLACES: [&str; 3] = ["after-intent", "after-effect", "after-result"];

/// An order of steps, and the channel of a leak that is answered in it.
pub(crate) type Order = (&'static str, &'static str);
pub(crate) const KILL_FIRST: Order = ("k", "public-repo");
pub(crate) const MAKE_BEFORE_BREAK: Order = ("m", "chat");

/// A session that was opened with a credential.
pub(crate) trait Session: Send {
    /// Whether the other side still answers in it.
    fn is_alive(&mut self) -> bool;
}

/// Opens a session with a value as it stands in the store; `None` when it is refused.
pub(crate) type Door = Arc<dyn Fn(&str) -> Option<Box<dyn Session>> + Send + Sync>;

/// How the store keeps a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// Behind a key of an env file.
    Key,
    /// As a file of its own.
    Whole,
}

impl Kept {
    fn file(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Key => "app.env",
            Self::Whole => "id",
        })
    }

    /// The store in an inventory whose folder has the file in `folder`.
    fn store(self, folder: &str) -> Value {
        let file = self.file(Path::new(folder));
        match self {
            Self::Key => json!({"env_file": {"path": file, "key": "SERVICE_URL"}}),
            Self::Whole => json!({"file": {"path": file}}),
        }
    }

    fn text(self, value: &str) -> String {
        match self {
            Self::Key => format!("# kept\nSERVICE_URL={value}\n"),
            Self::Whole => format!("{value}\n"),
        }
    }

    /// The value in a file, of which everything else must be as it was.
    pub(crate) fn value(self, text: &str) -> &str {
        let prefix = match self {
            Self::Key => "# kept\nSERVICE_URL=",
            Self::Whole => "",
        };
        text.strip_prefix(prefix).and_then(|text| text.strip_suffix('\n')).unwrap()
    }
}

/// A credential of one kind on a running system.
pub(crate) struct Kind {
    /// As in `kind:` of the inventory.
    pub(crate) name: &'static str,
    /// The `issuer:` part; the administrator's URL is in `file:admin.url`.
    pub(crate) issuer: Value,
    /// The `connections:` part, for an issuer that is one of them.
    pub(crate) connections: Value,
    pub(crate) admin: String,
    /// The value that leaks, as it stands in the store.
    pub(crate) old: String,
    pub(crate) kept: Kept,
    pub(crate) door: Door,
}

/// What stands around a credential besides the env file and the service that reads it.
#[derive(Default)]
pub(crate) struct Around {
    /// They hold the value already.
    pub(crate) stores: Vec<Value>,
    pub(crate) consumers: Vec<Value>,
}

struct Place {
    folder: tempfile::TempDir,
    kind: Kind,
    consumer: Consumer,
    /// A stranger's session with the leaked value.
    stranger: Box<dyn Session>,
}

impl Place {
    fn new(kind: Kind) -> Self {
        Self::with(kind, Around::default())
    }

    fn with(kind: Kind, around: Around) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let store = kind.kept.file(path);
        private(&store, &kind.kept.text(&kind.old));
        private(&path.join("admin.url"), &kind.admin);
        let consumer = Consumer::start(store, kind.kept, Arc::clone(&kind.door));
        let at = |what: &str| format!("http://127.0.0.1:{}/{what}", consumer.port());
        let mut stores = vec![kind.kept.store("")];
        stores.extend(around.stores);
        let mut consumers = vec![json!({
            "name": "api",
            "reload": {"http": {"url": at("reload")}},
            "observe": {"http": at("healthz"), "generation": ".gen"},
        })];
        consumers.extend(around.consumers);
        let inventory = json!({
            "connections": kind.connections,
            "secrets": [{
                "id": "orders",
                "kind": kind.name,
                "env": "prod",
                "issuer": kind.issuer,
                "stores": stores,
                "consumers": consumers,
            }],
            "policy": {"approvals": {"destructive": 0}},
        });
        std::fs::write(path.join("quell.yaml"), inventory.to_string()).unwrap();
        let stranger = (kind.door)(&kind.old).expect("the value is good before it is killed");
        let place = Self { folder, kind, consumer, stranger };
        place.ok(&["init"], None);
        place
    }

    fn quell(&self, args: &[&str], failpoint: Option<&str>) -> Output {
        let mut command = Command::new(quell_program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("QUELL_DATA_DIR", self.folder.path().join("data"))
            .env("QUELL_ACTOR", "ines");
        // Where a PKCS#11 module of the tests finds its tokens.
        if let Some(configuration) = std::env::var_os("SOFTHSM2_CONF") {
            command.env("SOFTHSM2_CONF", configuration);
        }
        if let Some(failpoint) = failpoint {
            command.env("QUELL_FAILPOINT", failpoint);
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str], failpoint: Option<&str>) -> String {
        let output = self.quell(args, failpoint);
        assert!(
            output.status.success(),
            "quell {args:?}: {}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        assert!(
            !text(&output.stdout).contains(&self.kind.old) && !text(&output.stderr).contains(&self.kind.old)
        );
        text(&output.stdout)
    }

    /// Finds the value in a repository's history, and opens an incident for it.
    fn leak(&self, channel: &str) -> String {
        let repository = leaky(self.folder.path(), &self.kind.old);
        let found = self.quell(&["scan", "--known", repository.to_str().unwrap(), "--json"], None);
        assert_eq!(found.status.code(), Some(10), "{}\n{}", text(&found.stdout), text(&found.stderr));
        assert!(text(&found.stdout).contains("orders") && !text(&found.stdout).contains(&self.kind.old));
        let opened =
            self.ok(&["incident", "open", "--secret", "orders", "--channel", channel, "--json"], None);
        serde_json::from_str::<Value>(&opened).unwrap()["incident"].as_str().unwrap().to_owned()
    }

    /// The state that every answer must end in.
    #[track_caller]
    fn assert_inert(&mut self, id: &str) {
        assert!((self.kind.door)(&self.kind.old).is_none(), "the old value still opens the door");
        assert!(!self.stranger.is_alive(), "a stranger's session lives on");
        let file = std::fs::read_to_string(self.kind.kept.file(self.folder.path())).unwrap();
        let new = self.kind.kept.value(&file);
        assert_ne!(new, self.kind.old);
        assert!(
            (self.kind.door)(new).is_some_and(|mut it| it.is_alive()),
            "the new value must open the door"
        );
        let (value, healthy) = self.consumer.state();
        assert_eq!((value.as_str(), healthy), (new, true), "the consumer uses the new value");
        let shown: Value = serde_json::from_str(&self.ok(&["incident", "show", id, "--json"], None)).unwrap();
        assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
        self.ok(&["ledger", "verify"], None);
        self.ok(&["evidence", "export", id, "--output", "bundle.tar"], None);
        self.ok(&["evidence", "verify", "bundle.tar"], None);
        let bundle = std::fs::read(self.folder.path().join("bundle.tar")).unwrap();
        for value in [self.kind.old.as_str(), new] {
            assert!(memchr_of(&bundle, value.as_bytes()).is_none(), "a value in the bundle");
        }
    }
}

/// A value that stands in the store and works, but that this issuer does not know as such: nothing is called done, and the store is left alone.
pub(crate) fn is_not_believed(kind: &Kind, why: &str) {
    for (order, channel) in [KILL_FIRST, MAKE_BEFORE_BREAK] {
        let kind = Kind {
            issuer: kind.issuer.clone(),
            connections: kind.connections.clone(),
            admin: kind.admin.clone(),
            old: kind.old.clone(),
            door: Arc::clone(&kind.door),
            ..*kind
        };
        let place = Place::new(kind);
        let id = place.leak(channel);
        let answered = place.quell(&["respond", &id], None);
        let said = text(&answered.stderr);
        assert!(!answered.status.success() && said.contains(why), "{order}: {said}");
        assert!(!said.contains(&place.kind.old) && !said.contains("canary"), "{order}: {said}");
        let shown: Value =
            serde_json::from_str(&place.ok(&["incident", "show", &id, "--json"], None)).unwrap();
        assert_eq!(shown["secrets"][0]["inert"], false, "{shown}");
        let file = std::fs::read_to_string(place.kind.kept.file(place.folder.path())).unwrap();
        assert_eq!(place.kind.kept.value(&file), place.kind.old, "{order}");
        assert!((place.kind.door)(&place.kind.old).is_some(), "{order}");
    }
}

/// What leaked is a URL to another server, where it works; the store's value is this issuer's. That one is killed, and nothing is proven of the other.
pub(crate) fn is_not_taken_for_another(kind: Kind, stranger: &str) {
    let place = Place::new(kind);
    let file = place.folder.path().join("leaked");
    private(&file, stranger);
    let args = [
        "incident",
        "open",
        "--secret",
        "orders",
        "--channel",
        KILL_FIRST.1,
        "--value-file",
        "leaked",
        "--json",
    ];
    let opened: Value = serde_json::from_str(&place.ok(&args, None)).unwrap();
    let id = opened["incident"].as_str().unwrap();
    let answered = place.quell(&["respond", id], None);
    let said = text(&answered.stderr);
    assert!(!answered.status.success() && said.contains("leads to another address"), "{said}");
    let shown: Value = serde_json::from_str(&place.ok(&["incident", "show", id, "--json"], None)).unwrap();
    assert_eq!(shown["secrets"][0]["inert"], false, "{shown}");
    assert!((place.kind.door)(&place.kind.old).is_none() && (place.kind.door)(stranger).is_some());
}

/// The issuer is down when the incident is looked at, and back when it is told to refuse the value: it then finds it and takes it away, which
/// shows that it was valid. `up` makes it answer or not.
pub(crate) fn is_found_when_the_issuer_is_back(kind: Kind, mut up: impl FnMut(bool)) {
    let mut place = Place::new(kind);
    let id = place.leak(KILL_FIRST.1);
    up(false);
    let killed = place.quell(&["respond", &id], Some("orders.capture:after-result"));
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    up(true);
    place.ok(&["respond", &id], None);
    place.assert_inert(&id);
    let shown = place.ok(&["incident", "show", &id, "--json"], None);
    assert!(shown.contains("unmet") && !shown.contains("ever seen to be valid"), "{shown}");
}

fn memchr_of(bytes: &[u8], value: &[u8]) -> Option<usize> {
    bytes.windows(value.len()).position(|window| window == value)
}

/// A repository that held the value once, as the git program makes it.
fn leaky(folder: &Path, value: &str) -> PathBuf {
    let repository = folder.join("repository");
    std::fs::create_dir(&repository).unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ines", "-c", "user.email=ines@example.com"]).args(args);
        let output = command
            .current_dir(&repository)
            .env("HOME", folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
    };
    git(&["init", "-q", "-b", "main"]);
    std::fs::write(repository.join("settings.env"), format!("SERVICE_URL={value}\n")).unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "settings"]);
    git(&["rm", "-q", "settings.env"]);
    git(&["commit", "-q", "-m", "remove settings"]);
    repository
}

/// The whole way, in both orders.
pub(crate) fn is_answered(make: impl Fn(&str) -> Kind) {
    is_answered_in(|name| (make(name), Around::default()));
}

/// The same with more stores, which [`Kind::old`] was written to, and more consumers.
pub(crate) fn is_answered_in(make: impl Fn(&str) -> (Kind, Around)) {
    for (name, channel, strategy) in
        [("kf", "public-repo", "kill-first"), ("mb", "chat", "make-before-break")]
    {
        let (kind, around) = make(name);
        let mut place = Place::with(kind, around);
        let id = place.leak(channel);
        place.ok(&["respond", &id], None);
        let shown: Value =
            serde_json::from_str(&place.ok(&["incident", "show", &id, "--json"], None)).unwrap();
        assert_eq!(shown["strategy"], strategy);
        place.assert_inert(&id);
    }
}

/// SIGKILL at every boundary of the steps that speak to the issuer.
pub(crate) fn survives_crashes(make: impl Fn(&str) -> Kind) {
    survives_crashes_at(&STEPS, make);
}

/// The same for an issuer that has some of the steps only.
pub(crate) fn survives_crashes_at(steps: &[&str], make: impl Fn(&str) -> Kind) {
    for order in [KILL_FIRST, MAKE_BEFORE_BREAK] {
        survives_crashes_in(order, steps, &make);
    }
}

/// The same in one order, for an issuer that takes long.
pub(crate) fn survives_crashes_in(order: Order, steps: &[&str], make: impl Fn(&str) -> Kind) {
    survives_crashes_around(order, steps, |name| (make(name), Around::default()));
}

/// The same with what stands around.
pub(crate) fn survives_crashes_around(
    (name, channel): Order,
    steps: &[&str],
    make: impl Fn(&str) -> (Kind, Around),
) {
    for (n, step) in steps.iter().enumerate() {
        for (m, at) in PLACES.into_iter().enumerate() {
            let (kind, around) = make(&format!("{name}{n}{m}"));
            let mut place = Place::with(kind, around);
            let id = place.leak(channel);
            let failpoint = format!("orders.{step}:{at}");
            let killed = place.quell(&["respond", &id], Some(&failpoint));
            assert_eq!(killed.status.code(), None, "{failpoint} was not reached: {}", text(&killed.stderr));
            place.ok(&["ledger", "verify"], None);
            place.ok(&["respond", &id], None);
            place.assert_inert(&id);
        }
    }
}

/// The answer to one of these requests is lost, after its effect; the next command finds what was done.
pub(crate) fn survives_lost_answers(requests: &[&str], make: impl Fn(&str, u16) -> Kind, upstream: u16) {
    survives_lost_answers_around(requests, |name, port| (make(name, port), Around::default()), upstream);
}

/// The same with what stands around.
pub(crate) fn survives_lost_answers_around(
    requests: &[&str],
    make: impl Fn(&str, u16) -> (Kind, Around),
    upstream: u16,
) {
    use quell_connect::conformance::Fault;
    for (n, request) in requests.iter().enumerate() {
        let proxy = super::fault::Proxy::to(upstream);
        let (kind, around) = make(&format!("l{n}"), proxy.port());
        let mut place = Place::with(kind, around);
        let id = place.leak("chat");
        proxy.once(Fault::DropAnswerTo(request.as_bytes().to_vec()));
        let first = place.quell(&["respond", &id], None);
        assert_eq!(proxy.struck(), 1, "{request} was not sent: {}", text(&first.stderr));
        if !first.status.success() {
            place.ok(&["respond", &id], None);
        }
        place.assert_inert(&id);
    }
}
