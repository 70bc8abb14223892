//! The text of a hook: POSIX sh, one screen, refusing whenever it cannot check.
//!
//! Its second line says in JSON how it was made. Making it again from that line and comparing shows any change by hand.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Hook;
use crate::AppError;

/// The version of the script.
const FORMAT: u32 = 1;
const MARK: &str = "# quell-gate ";

/// What a hook is made from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Script {
    /// Which hook.
    pub hook: Hook,
    /// The quell to call; when it is gone, the one on the PATH.
    pub quell: PathBuf,
    /// Rule files in place of the built-in rules.
    pub rules: Vec<PathBuf>,
}

#[derive(Deserialize, Serialize)]
struct Made {
    format: u32,
    gate: String,
    quell: String,
    rules: Vec<String>,
}

/// What a file in the place of a hook is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Known {
    /// A hook of ours, as we made it.
    Ours(Script),
    /// A hook of ours that somebody changed.
    Changed,
    /// A hook of ours, made by another version.
    OtherVersion,
    /// Not a hook of ours.
    Foreign,
}

impl Script {
    /// The script. Paths must be UTF-8 without line breaks, since they stand in it.
    pub fn text(&self) -> Result<String, AppError> {
        let quell = plain(&self.quell)?;
        let rules = self.rules.iter().map(|path| plain(path)).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<String> = rules.iter().map(|path| format!(" --rules {}", quoted(path))).collect();
        let options = options.concat();
        let gate = self.hook.word();
        let made = Made { format: FORMAT, gate: gate.to_owned(), quell: quell.clone(), rules };
        let made = serde_json::to_string(&made).map_err(|error| AppError::Usage(error.to_string()))?;
        let what = match self.hook {
            Hook::PreCommit => "commit",
            Hook::PrePush | Hook::PreReceive => "push",
        };
        // Both hooks of a push read the same lines, so they are kept. They hold names and ids of refs, nothing else.
        let (keep, feed) = match self.hook {
            Hook::PreCommit => ("", ""),
            Hook::PrePush | Hook::PreReceive => (
                "lines=$(cat) || refuse 'the lines that git gives could not be read'\n",
                "printf '%s\\n' \"$lines\" | ",
            ),
        };
        let remote = if self.hook == Hook::PrePush { " --remote=\"$1\"" } else { "" };
        let fallback = quoted(&quell);
        Ok(format!(
            r#"#!/bin/sh
{MARK}{made}
# Made by `quell gate install {gate}`. It refuses whenever it cannot check. `quell gate status` notices changes by hand.
refuse() {{
  printf 'quell: %s\n' "$1" >&2
  exit 1
}}
{keep}# A hook that was here before, kept by `--chain`.
if [ -x "$0.before-quell" ]; then
  {feed}"$0.before-quell" "$@" || exit $?
fi
quell={fallback}
if [ ! -f "$quell" ] || [ ! -x "$quell" ]; then
  quell=$(command -v quell) || refuse '{what} refused: nothing was checked, since quell was not found; install it again, or `quell gate uninstall {gate}`'
fi
# An empty file is a program that does nothing and says that all went well.
case $("$quell" --version 2>/dev/null) in
'quell '*) ;;
*) refuse "{what} refused: nothing was checked, since $quell is no quell that works; install it again" ;;
esac
code=0
{feed}"$quell" gate run {gate}{remote}{options} || code=$?
case $code in
0) exit 0 ;;
10) refuse '{what} refused: it would leak what is listed above' ;;
11) refuse '{what} refused: not everything could be read, see above; nobody knows what is in the rest' ;;
*) refuse "{what} refused: nothing is known about it, since quell ended with code $code" ;;
esac
"#
        ))
    }
}

/// What this text is.
pub fn recognise(text: &str) -> Known {
    let Some(made) = text.lines().nth(1).and_then(|line| line.strip_prefix(MARK)) else {
        return Known::Foreign;
    };
    let Ok(made) = serde_json::from_str::<Made>(made) else { return Known::Changed };
    if made.format != FORMAT {
        return Known::OtherVersion;
    }
    let Some(hook) = Hook::ALL.into_iter().find(|hook| hook.word() == made.gate) else {
        return Known::Changed;
    };
    let rules = made.rules.into_iter().map(PathBuf::from).collect();
    let script = Script { hook, quell: PathBuf::from(made.quell), rules };
    if script.text().is_ok_and(|same| same == text) { Known::Ours(script) } else { Known::Changed }
}

fn plain(path: &Path) -> Result<String, AppError> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        let words = "the path is not plain text, which a hook needs; use another one";
        AppError::Usage(format!("{}: {words}", path.display()))
    })
}

/// A word for sh: between single quotes nothing means anything but the quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(hook: Hook) -> Script {
        Script {
            hook,
            quell: PathBuf::from("/opt/it's here/quell"),
            rules: vec![PathBuf::from("/etc/$(rules).toml")],
        }
    }

    #[test]
    fn a_script_is_recognised_and_any_change_is_seen() {
        for hook in Hook::ALL {
            let text = script(hook).text().unwrap();
            assert_eq!(recognise(&text), Known::Ours(script(hook)));
            for line in 2..text.lines().count() {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.remove(line);
                assert_eq!(recognise(&(lines.join("\n") + "\n")), Known::Changed, "line {line} of {hook:?}");
            }
            let other = text.replacen("\"format\":1", "\"format\":9", 1);
            assert_eq!(recognise(&other), Known::OtherVersion);
        }
        assert_eq!(recognise("#!/bin/sh\nexit 0\n"), Known::Foreign);
        assert_eq!(recognise(""), Known::Foreign);
        assert_eq!(recognise("#!/bin/sh\n# quell-gate nonsense\nexit 0\n"), Known::Changed);
    }

    #[test]
    fn paths_are_words_and_nothing_else() {
        let text = script(Hook::PreCommit).text().unwrap();
        assert!(text.contains(r"quell='/opt/it'\''s here/quell'"), "{text}");
        assert!(text.contains(" --rules '/etc/$(rules).toml'"), "{text}");
        let odd = Script { quell: PathBuf::from("/a\nb"), ..script(Hook::PreCommit) };
        assert!(odd.text().is_err());
    }
}
