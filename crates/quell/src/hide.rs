//! What was given on the command line is not repeated when it may be a value: error messages end up in logs of builds.
//!
//! Whoever gives a value in an argument made a mistake already (process lists show it); to print it once more would make it worse.

use std::ffi::OsString;

use quell_scan::Scanner;

const HIDDEN: &str = "<hidden>";

/// What may be a value, from the longest to the shortest.
pub(crate) struct Hidden {
    /// Anywhere.
    found: Vec<String>,
    /// Where the parser of arguments complains.
    suspects: Vec<String>,
}

impl Hidden {
    /// Looks at the arguments, the program's own name left out.
    pub(crate) fn of(args: impl Iterator<Item = OsString>) -> Self {
        let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
        let kill = args.iter().any(|arg| arg == "kill");
        let mut suspects: Vec<String> = args.iter().flat_map(|arg| values(arg)).collect();
        // What clap repeats of a line with several values is each one by itself.
        suspects.retain(|text| text.chars().count() >= SHORTEST);
        // Where values are at hand, a value may be any word, but not the name of an option.
        let word = |text: &str| plain(text) && (!kill || text.starts_with("--") || text == "kill");
        suspects.retain(|text| !word(text));
        let recognized = recognized(&suspects);
        let mut found: Vec<String> = suspects
            .iter()
            .filter(|text| kill && like_a_token(text) || recognized.contains(text))
            .cloned()
            .collect();
        suspects.retain(|text| kill || text.chars().count() >= LONG || recognized.contains(text));
        for list in [&mut found, &mut suspects] {
            list.sort_by_key(|text| std::cmp::Reverse(text.len()));
            list.dedup();
        }
        Self { found, suspects }
    }

    /// A complaint about the arguments.
    pub(crate) fn in_complaint(&self, text: &str) -> String {
        without(text, &self.suspects)
    }

    /// Any other error.
    pub(crate) fn in_error(&self, text: &str) -> String {
        without(text, &self.found)
    }
}

/// Shorter texts stand in other words, too, and are no values.
const SHORTEST: usize = 4;

/// From here on a word without spaces may be a token.
const LONG: usize = 16;

fn without(text: &str, words: &[String]) -> String {
    words.iter().fold(text.to_owned(), |text, word| text.replace(word.as_str(), HIDDEN))
}

/// What an argument may carry: itself, or what stands after `--name=`, `-n` and `NAME=`.
fn values(arg: &str) -> Vec<String> {
    let mut all = vec![arg.to_owned()];
    all.extend(arg.match_indices('=').filter_map(|(at, _)| arg.get(at + 1..)).map(str::to_owned));
    if let Some(short) = arg.strip_prefix('-').filter(|rest| !rest.starts_with('-')) {
        all.extend(short.char_indices().nth(1).and_then(|(at, _)| short.get(at..)).map(str::to_owned));
    }
    // `--name=value` as a whole holds a name that people want to read.
    if all.len() > 1 {
        all.remove(0);
    }
    all
}

/// Words of the command line: `--even-in-use`, `provider`, `github-token`. Small letters in short words.
fn plain(text: &str) -> bool {
    let words = text.strip_prefix("--").unwrap_or(text);
    words.split(['-', '_']).all(|word| word.len() < LONG && word.chars().all(|c| c.is_ascii_lowercase()))
}

/// As long as a token, no words, made of what tokens are made of, and no place.
fn like_a_token(text: &str) -> bool {
    let place = ["/", "./", "../", "~", "env:", "exec:", "file:", "http:", "https:", "openbao:"];
    text.chars().count() >= LONG
        && !plain(text)
        && !text.chars().any(char::is_whitespace)
        && !place.iter().any(|start| text.starts_with(start))
}

/// Those in which a rule of the scanner finds a secret.
fn recognized(texts: &[String]) -> Vec<String> {
    if texts.is_empty() {
        return Vec::new();
    }
    let (Ok(rules), Ok(key)) = (quell_app::scan::rules(&[]), quell_app::scan::throwaway_key()) else {
        return texts.to_vec();
    };
    let scanner = Scanner::new(&rules, &key).threads(1);
    let holds = |text: &&String| {
        let scanned = scanner.reader("(argument)", &mut text.as_bytes(), &mut |_| {});
        scanned.is_ok_and(|report| !report.findings.is_empty())
    };
    texts.iter().filter(holds).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(args: &[&str]) -> Hidden {
        Hidden::of(args.iter().map(OsString::from))
    }

    #[test]
    fn what_may_be_a_value_is_hidden_and_words_are_not() {
        let token = quell_scan::rule::template::expand("ghp_{alnum:30}{checksum}", 7).unwrap();
        for arg in
            [token.clone(), format!("--kind={token}"), format!("-k{token}"), format!("--set=x={token}")]
        {
            let text = format!("error: unexpected argument '{arg}' found");
            let said = hidden(&["scan", &arg]).in_complaint(&text);
            assert!(!said.contains(&token) && said.contains(HIDDEN), "{said}");
            let said = hidden(&["kill", "-", &arg]).in_error(&format!("there is no provider `{token}`"));
            assert_eq!(said, "there is no provider `<hidden>`");
        }
        // Short ones, where values are given: any of them may be one.
        for value in ["hunter2", "correct-horse", "swordfish"] {
            let text = format!("unexpected argument '{value}' found\n\nUsage: quell kill [OPTIONS] <->");
            let said = hidden(&["kill", "-", value]).in_complaint(&text);
            assert_eq!(said, "unexpected argument '<hidden>' found\n\nUsage: quell kill [OPTIONS] <->");
        }
        for (args, text) in [
            (vec!["kill", "-", "--even-in-usee"], "unexpected argument '--even-in-usee' found"),
            (vec!["provder", "list"], "unrecognized subcommand 'provder'"),
            (vec!["scan", "--jobs", "x1"], "invalid value 'x1' for '--jobs <N>'"),
        ] {
            assert_eq!(hidden(&args).in_complaint(text), text);
        }
        let path = "/srv/quell/providers-2026/acme.yaml: no such file";
        assert_eq!(
            hidden(&["kill", "-", "--providers", "/srv/quell/providers-2026/acme.yaml"]).in_error(path),
            path
        );
        let id = "there is no incident `INC-2026-0001`";
        assert_eq!(hidden(&["respond", "INC-2026-0001"]).in_error(id), id);
    }
}
