//! The disk under the data folder is full, or read-only. Nothing is half-written, and when there is space again the
//! same command finishes the job.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::world::{Roles, Servers, World, quell_program, text};

const FREE: &str = "{ approvals: { destructive: 0 } }";

/// A mount that ends with the test.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, args: &[&str]) -> Self {
        let guard = Self(at.to_owned());
        guard.again(args);
        guard
    }

    fn again(&self, args: &[&str]) {
        let output = Command::new("mount").args(args).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "mount {args:?}: {}", text(&output.stderr));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[track_caller]
fn assert_clear_failure(output: &Output) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error:") && said.contains("hint:") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_read_only_data_folder_is_said_and_harms_nothing() {
    let servers = Servers::start();
    let world = World::new(&servers, "rof", Roles::Alternating, FREE);
    let id = world.open("public-repo");
    world.ok(&["plan", &id]);
    let data = world.path("data");
    let chmod = |mode: &str| {
        assert!(Command::new("chmod").args(["-R", mode]).arg(&data).status().unwrap().success());
    };
    // Permissions do not bind root; a read-only mount does.
    let mount = is_root().then(|| {
        let mount = Mount::new(&data, &["--bind", data.to_str().unwrap()]);
        mount.again(&["-o", "remount,bind,ro"]);
        mount
    });
    if mount.is_none() {
        chmod("a-w");
    }
    for args in [["respond", id.as_str()].as_slice(), &["incident", "note", &id, "x"], &["keys", "rotate"]] {
        assert_clear_failure(&world.run(args));
    }
    assert_eq!(
        World::login(&world.old_url).as_deref(),
        Ok("rof_a"),
        "if the ledger cannot be written, nothing acts"
    );
    drop(mount);
    if !is_root() {
        chmod("u+w");
    }
    world.ok(&["ledger", "verify"]);
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
}

/// The limit on the size of a file stops the writes at one place after the other, from the first to the last.
#[test]
fn writes_that_fail_anywhere_in_a_response_lose_nothing() {
    let servers = Servers::start();
    for (name, roles, channel) in [("lim", Roles::Alternating, "public-repo"), ("lis", Roles::Single, "chat")]
    {
        let world = World::new(&servers, name, roles, FREE);
        let id = world.open(channel);
        world.ok(&["plan", &id]);
        let size = std::fs::metadata(world.path("data/quell.db")).unwrap().len() / 1024;
        let mut failed = 0;
        let mut limit = size.min(40);
        loop {
            // Without the signal a write beyond the limit fails as on a full disk.
            let script =
                format!("trap '' XFSZ; ulimit -f {limit}; exec '{}' respond {id}", quell_program().display());
            let mut command = Command::new("bash");
            let output = command
                .args(["-c", &script])
                .current_dir(world.folder.path())
                .env("QUELL_DATA_DIR", world.path("data"))
                .env("QUELL_ACTOR", "ines")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            world.ok(&["ledger", "verify"]);
            if output.status.success() {
                break;
            }
            assert_clear_failure(&output);
            failed += 1;
            limit += 12;
            assert!(limit < 4096, "it never had enough: {}", text(&output.stderr));
        }
        assert!(failed >= 3, "{failed} failures only");
        world.assert_inert(&id, roles);
    }
}

#[test]
fn a_full_disk_is_said_and_the_job_goes_on_when_there_is_space() {
    if !is_root() {
        // Only root may mount; the file-size limit above shows the same without it.
        return;
    }
    let servers = Servers::start();
    let world = World::bare(&servers, "ful", Roles::Alternating, FREE);
    let data = world.path("data");
    std::fs::create_dir(&data).unwrap();
    let mount = Mount::new(&data, &["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"]);
    world.ok(&["init"]);
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let filler = data.join("filler");
    let mut left = 0;
    for keep in [0_usize, 8 << 10, 40 << 10, 90 << 10] {
        // Fill it up, then give back a little.
        let mut content = vec![0; 2 << 20];
        while std::fs::write(&filler, &content).is_err() {
            content.truncate(content.len().saturating_sub(4096));
        }
        content.truncate(content.len().saturating_sub(keep));
        std::fs::write(&filler, &content).unwrap();
        let output = world.run(&["respond", &id]);
        if output.status.success() {
            left += 1;
        } else {
            assert_clear_failure(&output);
            assert!(text(&output.stderr).contains("free space"), "{}", text(&output.stderr));
        }
        std::fs::remove_file(&filler).unwrap();
        world.ok(&["ledger", "verify"]);
    }
    assert!(left < 3, "the disk was never full");
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
    drop(mount);
}
