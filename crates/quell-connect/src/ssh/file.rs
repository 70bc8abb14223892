//! Files on a host, touched with the rights of whoever could touch them anyway.
//!
//! The account whose key leaked has its home in its hands, and so may a stranger: a link or a file that is put there at the right moment
//! must not make root write elsewhere. So a script goes to the folder first (a folder that is renamed meanwhile stays the same one), and
//! works there by bare names: as root only where nobody but root can write, else as the account that the folder is of.

use super::host::Ran;
use super::remote::{Account, Remote, quoted};
use crate::error::{ConnectError, ConnectErrorKind};

/// A file as it was.
#[derive(Debug)]
pub(super) struct File {
    /// Behind all links.
    pub(super) path: String,
    pub(super) text: String,
    owner: Owner,
    version: String,
}

/// Goes to the folder of `$1`, a file of the account `$2`, and sets `$w` to the account that works there; nothing is whoever we are. `$3`
/// says that it is in the account's home.
const ENTER: &str = "judge() {
    cd -P -- \"$1\" || exit 1
    while :; do
    set -- $(ls -ldn .)
    case $3,$1 in
    0,?????????[tT]*) ;;
    0,?????w*|0,????????w*) echo 'others can write there: chmod go-w'; exit;;
    0,*) ;;
    *) if [ \"$3\" = \"$u\" ]; then echo own; else echo 'it is neither of the account nor of root'; fi; exit;;
    esac
    [ \"$(pwd -P)\" != / ] || exit 0
    cd -P .. || exit 1
    done
}
enter() {
    p=$1 a=$2 w= me=$(id -u) u=$(id -u -- \"$2\") x= y=
    d=${p%/*}
    if [ -d \"${d:-/}\" ]; then x=$(judge \"${d:-/}\") || exit 1; fi
    if [ -e \"$p\" ]; then p=$(readlink -f -- \"$p\") || exit 1; fi
    QUELL_FILE=${p##*/} d=${p%/*} QUELL_FOLDER=
    while [ -n \"$d\" ] && [ ! -d \"$d\" ]; do QUELL_FOLDER=${d##*/}/$QUELL_FOLDER; d=${d%/*}; done
    export QUELL_FILE QUELL_FOLDER
    cd -P -- \"${d:-/}\" || exit 1
    [ \"$me\" = 0 ] || return 0
    y=$(judge .) || exit 1
    if [ -n \"$3\" ] || [ \"$x\" = own ] || [ \"$y\" = own ]; then w=$a; return 0; fi
    if [ -n \"$x$y\" ]; then echo \"the folder of $p, or one above: $x $y\" >&2; exit 1; fi
}
work() {
    if [ -z \"$w\" ]; then sh -s
    elif g=$(id -g -- \"$w\") && setpriv --reuid=\"$u\" --regid=\"$g\" --init-groups true 2>/dev/null; then
    setpriv --reuid=\"$u\" --regid=\"$g\" --init-groups sh -s
    else su -s /bin/sh -c 'sh -s' \"$w\"; fi
}
";

/// Keeps other Quells out of the folder while one writes, and makes a new file there as `$t`. Somebody else's lock is not waited for
/// longer than a write takes: what matters is compared before the new file takes its place.
const LOCK: &str = "i=0
until mkdir ./.quell-lock 2>/dev/null; do
    i=$((i+1))
    [ $i -le 40 ] || break
    if [ -n \"$(find ./.quell-lock -maxdepth 0 -mmin +1 2>/dev/null)\" ]; then rmdir ./.quell-lock; fi
    sleep 0.1
done
t=$(mktemp ./.quell-XXXXXX) || exit 1
trap 'rm -f -- \"$t\"; rmdir ./.quell-lock 2>/dev/null' EXIT
trap 'exit 1' HUP INT PIPE TERM
f=./$QUELL_FILE
";

/// Whose a file is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    name: String,
    home: String,
}

impl Owner {
    /// The administrator's.
    pub(super) fn root() -> Self {
        Self { name: "root".to_owned(), home: String::new() }
    }

    /// Whether a file is in the home, where only the owner works.
    fn keeps(&self, path: &str) -> bool {
        let home = self.home.trim_end_matches('/');
        self.name != "root"
            && !home.is_empty()
            && path.strip_prefix(home).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl From<&Account> for Owner {
    fn from(account: &Account) -> Self {
        Self { name: account.name.clone(), home: account.home.clone() }
    }
}

impl Remote {
    /// Runs a script in the folder of a file, which it finds as `./$QUELL_FILE`.
    async fn beside(
        &self,
        (path, owner): (&str, &Owner),
        script: &str,
        what: &'static str,
    ) -> Result<Ran, ConnectError> {
        let end = self.end_of(script, what)?;
        let script = format!(
            "{ENTER}enter {} {} '{}'\nprintf '%s\\n' \"$p\"\nwork <<'{end}'\n{script}{end}\n",
            quoted(path),
            quoted(&owner.name),
            if owner.keeps(path) { "home" } else { "" }
        );
        self.sh(what, &script).await
    }

    /// The same for a script that must succeed; gives the path behind all links, and what was said.
    async fn beside_ok(
        &self,
        place: (&str, &Owner),
        script: &str,
        what: &'static str,
    ) -> Result<(String, String), ConnectError> {
        let ran = self.beside(place, script, what).await?;
        let said = self.must(ran, what)?;
        match said.split_once('\n') {
            Some((path, said)) if path.starts_with('/') => Ok((path.to_owned(), said.to_owned())),
            Some(_) | None => Err(self.odd(what)),
        }
    }

    /// A file of an account; `None` if there is none.
    pub(super) async fn read(
        &self,
        path: &str,
        owner: &Owner,
        what: &'static str,
    ) -> Result<Option<File>, ConnectError> {
        const SCRIPT: &str = "f=./$QUELL_FOLDER$QUELL_FILE\n\
            if [ ! -e \"$f\" ] && [ ! -L \"$f\" ]; then echo absent; exit 0; fi\n\
            if [ -L \"$f\" ] || [ ! -f \"$f\" ]; then echo \"$f is not a file\" >&2; exit 1; fi\n\
            v=$(cksum < \"$f\") && printf '%s\\n' \"$v\" && cat -- \"$f\"\n";
        let (path, said) = self.beside_ok((path, owner), SCRIPT, what).await?;
        if said == "absent\n" {
            return Ok(None);
        }
        let (version, text) = said.split_once('\n').ok_or_else(|| self.odd(what))?;
        let (version, owner) = (version.to_owned(), owner.clone());
        Ok(Some(File { path, text: text.to_owned(), owner, version }))
    }

    /// Puts another text in the place of a file that is as it was; owner and mode stay.
    pub(super) async fn replace(
        &self,
        before: &File,
        text: &str,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let end = self.end_of(text, what)?;
        let script = format!(
            "{LOCK}cp -p -- \"$f\" \"$t\" && cat > \"$t\" <<'{end}' || exit 1\n{text}{newline}{end}\n\
             sync -- \"$t\" 2>/dev/null\nn=$(cksum < \"$t\") && v=$(cksum < \"$f\") || exit 1\n\
             if [ \"$v\" != {version} ]; then echo changed; exit 0; fi\n\
             mv -f -- \"$t\" \"$f\" && v=$(cksum < \"$f\") || exit 1\n\
             if [ \"$v\" = \"$n\" ]; then echo done; else echo changed; fi\n",
            version = quoted(&before.version),
            newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" },
        );
        match self.beside_ok((&before.path, &before.owner), &script, what).await?.1.trim() {
            "done" => Ok(()),
            "changed" => {
                let why = format!("somebody changed {} meanwhile", before.path);
                Err(self.host.failed(what, ConnectErrorKind::Conflict, why))
            }
            _ => Err(self.odd(what)),
        }
    }

    /// Makes a file that is not there, and its folders, for an account. In a folder of root's it stays root's, for all to read, as `sshd`
    /// reads it as the account.
    pub(super) async fn create(
        &self,
        (path, owner): (&str, &Owner),
        text: &str,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let end = self.end_of(text, what)?;
        let script = format!(
            "if [ \"$(id -u)\" = 0 ]; then m=644; umask 022; else m=600; umask 077; fi\n\
             if [ -n \"$QUELL_FOLDER\" ]; then mkdir -p -- \"./$QUELL_FOLDER\" && cd -- \"./$QUELL_FOLDER\" || exit 1; fi\n\
             {LOCK}cat > \"$t\" <<'{end}' || exit 1\n{text}{end}\n\
             chmod $m -- \"$t\" || exit 1\nsync -- \"$t\" 2>/dev/null\nmv -- \"$t\" \"$f\"\n",
        );
        self.beside_ok((path, owner), &script, what).await.map(drop)
    }

    /// The fingerprints of all keys in a file, as OpenSSH itself reads them; none if there is no file.
    pub(super) async fn fingerprints(
        &self,
        (path, owner): (&str, &Owner),
        what: &'static str,
    ) -> Result<Vec<String>, ConnectError> {
        // A file without keys is a failure to it, which says so.
        const SCRIPT: &str = "f=./$QUELL_FOLDER$QUELL_FILE\n\
            if [ ! -e \"$f\" ]; then exit 0; fi\n\
            said=$(ssh-keygen -l -f \"$f\" 2>&1) && { printf '%s\\n' \"$said\"; exit 0; }\n\
            case $said in *'is not a public key file'*) ;; *) printf '%s\\n' \"$said\" >&2; exit 1;; esac\n";
        let (_, said) = self.beside_ok((path, owner), SCRIPT, what).await?;
        Ok(said.split_whitespace().filter(|word| word.starts_with("SHA256:")).map(str::to_owned).collect())
    }

    /// Those of some files that hold a key. What is no file, such as a pipe, is passed over, as `sshd` does.
    pub(super) async fn holding(
        &self,
        files: &[String],
        fingerprint: &str,
        what: &'static str,
    ) -> Result<Vec<String>, ConnectError> {
        let mut found = Vec::new();
        for some in files.chunks(500) {
            let names: Vec<String> = some.iter().map(|file| quoted(file)).collect();
            let script = format!(
                "for f in {}; do\n  [ -f \"$f\" ] || continue\n\
                 case $(timeout 5 ssh-keygen -l -f \"$f\" 2>/dev/null) in *{}*) printf '%s\\n' \"$f\";; esac\ndone\n:\n",
                names.join(" "),
                quoted(&format!(" {fingerprint} ")),
            );
            found.extend(self.ok(what, &script).await?.lines().map(str::to_owned));
        }
        Ok(found)
    }

    /// Puts a public key into a key revocation list. Whether the list refuses it then, is asked of the list.
    pub(super) async fn revoke_in_krl(
        &self,
        path: &str,
        public_line: &str,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let script = format!(
            "{LOCK}v=$(cksum < \"$f\") && cp -p -- \"$f\" \"$t\" && printf '%s\\n' {key} | ssh-keygen -q -k -u -f \"$t\" - >&2 || exit 1\n\
             sync -- \"$t\" 2>/dev/null\nif [ \"$v\" != \"$(cksum < \"$f\")\" ]; then echo 'somebody changed it meanwhile' >&2; exit 1; fi\n\
             mv -f -- \"$t\" \"$f\"\n",
            key = quoted(public_line),
        );
        self.beside_ok((path, &Owner::root()), &script, what).await.map(drop)
    }

    /// What a file of `RevokedKeys` says of a key.
    pub(super) async fn revoked(
        &self,
        path: &str,
        public_line: &str,
        what: &'static str,
    ) -> Result<Revoked, ConnectError> {
        // The list's magic (OpenSSH, PROTOCOL.krl). `-Q` reads no standard input, and fails for any reason: only its word counts.
        let script = format!(
            "f=./$QUELL_FILE\nif [ -n \"$QUELL_FOLDER\" ] || [ ! -e \"$f\" ]; then echo absent; exit 0; fi\n\
             case $(head -c 6 -- \"$f\" | tr -d '\\0') in SSHKRL) ;; *) echo text; exit 0;; esac\n\
             k=$(mktemp) && printf '%s\\n' {key} > \"$k\" || exit 1\nsaid=$(ssh-keygen -Q -f \"$f\" \"$k\" 2>&1)\nrm -f -- \"$k\"\n\
             case $said in *': REVOKED') echo refused;; *': ok') echo good;; *) printf '%s\\n' \"$said\" >&2; exit 1;; esac\n",
            key = quoted(public_line),
        );
        match self.beside_ok((path, &Owner::root()), &script, what).await?.1.trim() {
            "absent" => Ok(Revoked::Absent),
            "text" => Ok(Revoked::Text),
            "refused" => Ok(Revoked::List(true)),
            "good" => Ok(Revoked::List(false)),
            _ => Err(self.odd(what)),
        }
    }

    /// A line that ends a text in a script, and is not in it.
    fn end_of(&self, text: &str, what: &'static str) -> Result<String, ConnectError> {
        let end = self.host.mark(what)?;
        if text.contains(&end) { Err(self.odd(what)) } else { Ok(end) }
    }
}

/// What is at the place of `RevokedKeys`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Revoked {
    /// Nothing: `sshd` then refuses all keys, or does not look there.
    Absent,
    /// One public key a line.
    Text,
    /// A key revocation list, and whether the key is in it.
    List(bool),
}
