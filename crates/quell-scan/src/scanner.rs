//! The entry: a rule set and a key, then paths and streams.

use std::io::Read;
use std::path::Path;

use quell_core::secret::{FingerprintKey, SecretValue};

use crate::collect::{Collector, Sighting};
use crate::engine::KeywordEngine;
use crate::hit::Keep;
use crate::known::Known;
use crate::stream::{Also, Searcher};
use crate::tree::More;
use crate::unpack::{Input, Limits};
use crate::{
    Progress, Received, Recovered, Report, RuleSet, ScanError, Selection, Staged, Visibility, git, tree,
};

/// Scans paths and streams with one rule set and one fingerprint key.
#[derive(Debug)]
pub struct Scanner<'a> {
    rules: &'a RuleSet,
    key: &'a FingerprintKey,
    engine: KeywordEngine<'a>,
    ignore_allow_comments: bool,
    also: Also<'a>,
    incremental: bool,
    threads: Option<usize>,
    limits: Limits,
}

impl<'a> Scanner<'a> {
    /// A scanner over these rules.
    pub fn new(rules: &'a RuleSet, key: &'a FingerprintKey) -> Self {
        Self {
            rules,
            key,
            engine: KeywordEngine::new(rules),
            incremental: true,
            threads: None,
            limits: Limits::default(),
            ignore_allow_comments: false,
            also: Also::default(),
        }
    }

    /// Whether the objects of a pack are searched where they differ from what they are stored as a change of (as is
    /// usual), or all in full. What is found is the same; a full search takes several times as long.
    pub fn incremental(self, incremental: bool) -> Self {
        Self { incremental, ..self }
    }

    /// Threads that search at the same time; as many as there are cores unless said otherwise.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads.max(1)), ..self }
    }

    /// How deep archives in archives are unpacked (4 unless said otherwise); 0 unpacks none. What is not unpacked is said.
    pub fn archive_depth(mut self, depth: u32) -> Self {
        self.limits.depth = depth;
        self
    }

    /// Whether what a comment such as `quell:allow` excepts is a finding all the same, with a note.
    pub fn ignore_allow_comments(mut self, ignore: bool) -> Self {
        self.ignore_allow_comments = ignore;
        self
    }

    /// Findings carry a second fingerprint, under the key of a baseline file.
    pub fn with_baseline_key(mut self, key: &'a FingerprintKey) -> Self {
        self.also.baseline_key = Some(key);
        self
    }

    /// Looks for these values, too. Findings name the rule [`crate::known::RULE`].
    pub fn with_known(mut self, known: &'a Known) -> Self {
        self.also.known = Some(known);
        self
    }

    /// Scans a file, a folder, or a git repository (working tree and whole history, unreachable commits too).
    pub fn path(&self, path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, ScanError> {
        let mut all = self.collector(None, progress);
        self.everything(path, Keep::Nothing, &mut all)?;
        Ok(all.finish().0)
    }

    /// Scans what chosen commits of the repository at or above `path` introduced, and their messages.
    ///
    /// With [`Selection::is_everything`] this is [`Scanner::path`]. A revision that names nothing is an error.
    pub fn selected(
        &self,
        path: &Path,
        selection: &Selection,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, ScanError> {
        if selection.is_everything() {
            return self.path(path, progress);
        }
        let repository = git::discover_above(path)?;
        let mut all = self.collector(None, progress);
        git::scan_selected(&repository, selection, &self.searcher(Keep::Nothing), &mut all)?;
        Ok(all.finish().0)
    }

    /// Scans what is staged in the repository at or above `path` and not in `HEAD`: what a commit would add.
    ///
    /// The contents are the blobs that the index names, not the files. Secrets that `HEAD` has at the same path are left
    /// out. Nothing is written. A report that is not [`Report::complete`] must stop a commit.
    pub fn staged(
        &self,
        path: &Path,
        staged: &Staged,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, ScanError> {
        let repository = git::discover_above(path)?;
        let mut all = self.collector(None, progress);
        git::scan_staged(&repository, staged, &self.searcher(Keep::Nothing), &mut all)?;
        Ok(all.finish().0)
    }

    /// Scans what a push would bring into the repository at `path`. A report that is not [`Report::complete`] must stop it.
    pub fn received(
        &self,
        path: &Path,
        received: &Received,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, ScanError> {
        let repository = git::discover_above(path)?;
        let mut all = self.collector(None, progress);
        git::scan_received(&repository, received, &self.searcher(Keep::Nothing), &mut all)?;
        Ok(all.finish().0)
    }

    /// Scans the files of a folder only, even when it is a repository.
    pub fn tree(&self, folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, ScanError> {
        std::fs::read_dir(folder).map_err(|error| ScanError::read(folder, error))?;
        let mut all = self.collector(None, progress);
        tree::scan(folder, More::default(), &self.searcher(Keep::Nothing), &mut all);
        Ok(all.finish().0)
    }

    /// Scans a stream of any length; `name` stands in for its path.
    pub fn reader(
        &self,
        name: &str,
        reader: &mut dyn Read,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, ScanError> {
        let mut all = self.collector(None, progress);
        let sighting = Sighting { path: name, commit: None, visibility: Visibility::Current };
        let outcome = all.unpack(Input::Reader(reader), &self.searcher(Keep::Nothing), &sighting);
        all.report.files = 1;
        if let Some(error) = outcome.error {
            if outcome.bytes == 0 {
                return Err(ScanError::read(name, error));
            }
            all.report.skip(name, format!("reading stopped after {} bytes: {error}", outcome.bytes));
        }
        Ok(all.finish().0)
    }

    /// Scans `path` again and returns the secret of one finding: for a URL, the whole URL.
    pub fn recover(&self, path: &Path, finding_id: &str) -> Result<Option<SecretValue>, ScanError> {
        Ok(self.recover_parts(path, finding_id)?.map(|recovered| recovered.secret))
    }

    /// The same with the password and the user of a URL apart.
    pub fn recover_parts(&self, path: &Path, finding_id: &str) -> Result<Option<Recovered>, ScanError> {
        let mut quiet = |_progress: Progress| {};
        let mut all = self.collector(Some(finding_id), &mut quiet);
        self.everything(path, Keep::Values, &mut all)?;
        Ok(all.finish().1)
    }

    fn collector<'c>(
        &'c self,
        wanted: Option<&'c str>,
        progress: &'c mut dyn FnMut(Progress),
    ) -> Collector<'c> {
        let mut all = Collector::new(self.rules, wanted, progress);
        all.key = Some(self.key);
        // A value is recovered wherever it is, allowed or not.
        all.ignore_allow_comments = self.ignore_allow_comments || wanted.is_some();
        all
    }

    fn searcher(&self, keep: Keep) -> Searcher<'_> {
        let usual = Searcher::new(&self.engine, self.key, keep);
        Searcher {
            incremental: self.incremental,
            threads: self.threads.unwrap_or(usual.threads),
            also: self.also,
            limits: self.limits,
            ..usual
        }
    }

    fn everything(&self, path: &Path, keep: Keep, all: &mut Collector<'_>) -> Result<(), ScanError> {
        let searcher = self.searcher(keep);
        let kind = std::fs::metadata(path).map_err(|error| ScanError::read(path, error))?;
        if !kind.is_dir() {
            return tree::file(path, &searcher, all);
        }
        std::fs::read_dir(path).map_err(|error| ScanError::read(path, error))?;
        match git::discover(path)? {
            None => tree::scan(path, More { histories: true, ..More::default() }, &searcher, all),
            Some(repository) => {
                if let Some(work_tree) = &repository.work_tree {
                    let tracked = git::tracked(&repository, work_tree, all);
                    tree::scan(work_tree, More { tracked, histories: true }, &searcher, all);
                } else {
                    tree::configuration(&repository.git_dir, &searcher, all);
                }
                git::scan(&repository, &searcher, all)?;
            }
        }
        Ok(())
    }
}

/// Scans `path` again and returns the secret of one finding.
pub fn recover(
    path: &Path,
    rules: &RuleSet,
    key: &FingerprintKey,
    finding_id: &str,
) -> Result<Option<SecretValue>, ScanError> {
    Scanner::new(rules, key).recover(path, finding_id)
}
