//! What is asked of people at a terminal, and what their answers do.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::world::{Roles, Servers, World, text};

/// Runs a program at a terminal of its own, presses keys when it asks, and prints its exit status, whether the terminal was without echo
/// meanwhile, whether it is as it was, and what was shown.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, select, subprocess, sys, termios, time
question, keys = sys.argv[1].encode(), sys.argv[2].encode()
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
def own():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
child = subprocess.Popen(sys.argv[3:], stdin=slave, stdout=slave, stderr=slave, preexec_fn=own)
seen = b""
def read(seconds):
    global seen
    ready = select.select([master], [], [], seconds)[0]
    if ready:
        seen += os.read(master, 4096)
    return bool(ready)
while question not in seen:
    if not read(30):
        sys.exit("it did not ask: %r" % seen)
quiet = not termios.tcgetattr(slave)[3] & termios.ECHO
os.write(master, keys)
while child.poll() is None:
    read(0.05)
while read(0.05):
    pass
after = termios.tcgetattr(slave)
print(json.dumps({"status": child.returncode, "quiet": quiet, "restored": after == before, "seen": seen.decode()}))
"#;

/// Runs a command at a terminal of its own and presses the keys when it asks. Its exit status, and what was shown.
pub(crate) fn at_terminal(command: &Command, question: &str, keys: &str) -> Value {
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL, question, keys]).arg(command.get_program()).args(command.get_args());
    // Only what the command itself is given; it finds Python with the path.
    python.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    python.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    python.current_dir(command.get_current_dir().unwrap());
    let output = python.stdin(Stdio::null()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// What was shown.
fn seen(asked: &Value) -> &str {
    asked["seen"].as_str().unwrap()
}

#[test]
fn a_notice_is_shown_and_sent_as_shown_to_whoever_types_its_name() {
    let servers = Servers::start();
    let world = World::bare(&servers, "typed", Roles::Single, "{}");
    let board = world.path("board.jsonl");
    let channels = format!("channels: {{ board: {{ log: {{ path: {} }} }} }}\npolicy:", board.display());
    world.edit("policy:", &channels);
    world.ok(&["init"]);
    let id = world.open("chat");
    world.ok(&["notice", "draft", &id, "update"]);
    let hash = world.json(&["notice", "show", &id, "N1"])["sha256"].as_str().unwrap().to_owned();
    world.ok(&["notice", "edit", &id, "N1", "--title", "Where it stands", "--seen", &hash]);
    let send = world.quell(&["notice", "send", &id, "N1", "--channel", "board"]);

    let refused = at_terminal(&send, "anything else to stop: ", "no\r");
    assert_eq!(refused["status"], 0, "{refused}");
    assert!(seen(&refused).contains("Where it") && seen(&refused).contains("nothing was sent"), "{refused}");
    assert!(!board.exists());
    let sent = at_terminal(&send, "Type N1 to send it", "N1\r");
    assert_eq!(sent["status"], 0, "{sent}");
    assert_eq!(std::fs::read_to_string(&board).unwrap().lines().count(), 1, "{sent}");
    let again = at_terminal(&world.quell(&["notice", "show", &id, "N1"]), "sent", "");
    assert!(seen(&again).contains("board"), "{again}");
}

#[test]
fn a_response_goes_on_when_somebody_types_its_name_and_not_otherwise() {
    let servers = Servers::start();
    let world = World::new(&servers, "asked", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let respond = world.quell(&["respond", &id]);
    let stopped = at_terminal(&respond, "anything else to stop: ", "yes\r");
    assert_eq!(stopped["status"], 4, "{stopped}");
    assert!(seen(&stopped).contains("cannot be taken back"), "what it does is said first: {stopped}");
    let approved = |id: &str| world.ok(&["incident", "timeline", id]).contains("approved");
    assert!(!approved(&id));
    let done = at_terminal(&respond, "anything else to stop: ", &format!("{id}\r"));
    assert_eq!(done["status"], 0, "{done}");
    assert!(approved(&id));
    world.assert_inert(&id, Roles::Alternating);
}
