//! Reading a mirror: revisions, commits, names, files. Everything here blocks, and sees the mirror as it was at the
//! moment of the call.

use std::collections::{BinaryHeap, HashSet};
use std::path::Path;

use git2::{ObjectType, Oid, Repository, Tree};
use serde::Serialize;

use super::{Error, Result};

/// The remote's HEAD at the last fetch, kept apart from the mirror's own.
pub(super) const REMOTE_HEAD: &str = "refs/headend/HEAD";

/// A commit, for people to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Full hash.
    pub hash: String,
    /// First line of the message.
    pub subject: String,
    pub author: String,
    /// When it was committed: `2026-03-01T12:00:00Z`.
    pub date: String,
}

/// An open mirror.
pub(super) struct Reader {
    pub(super) repository: Repository,
    /// The address, for errors.
    pub(super) remote: String,
    /// The source's branch.
    pub(super) branch: String,
}

impl Reader {
    /// The commit a revision stands for. Neither `HEAD~3` nor `:/text`: only names and hashes.
    pub(super) fn resolve(&self, revision: &str) -> Result<String> {
        let id = if revision.is_empty() || revision == "HEAD" {
            self.head(&self.branch)?
        } else {
            self.find(revision)?
        };
        Ok(id.to_string())
    }

    /// The commit at the head of a branch; empty or `HEAD`: the one the remote had checked out.
    pub(super) fn head(&self, branch: &str) -> Result<Oid> {
        let name = match branch {
            "" | "HEAD" => REMOTE_HEAD.to_owned(),
            branch => format!("refs/heads/{branch}"),
        };
        self.peeled(&name).ok_or_else(|| {
            let mut known = self.names("refs/heads/").unwrap_or_default();
            let more = known.len().saturating_sub(8);
            known.truncate(8);
            let mut known =
                if known.is_empty() { "none at all: it is empty".to_owned() } else { known.join(", ") };
            if more > 0 {
                known.push_str(&format!(" and {more} more"));
            }
            Error::NoSuchBranch { remote: self.remote.clone(), branch: branch.to_owned(), known }
        })
    }

    fn peeled(&self, reference: &str) -> Option<Oid> {
        let commit = self.repository.find_reference(reference).ok()?.peel_to_commit().ok()?;
        Some(commit.id())
    }

    fn find(&self, revision: &str) -> Result<Oid> {
        let missing = |why: &str| Error::NoSuchCommit {
            remote: self.remote.clone(),
            revision: revision.to_owned(),
            why: why.to_owned(),
        };
        let hexadecimal = revision.len() <= 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !(hexadecimal && revision.len() == 40) {
            for space in ["refs/heads/", "refs/tags/"] {
                if let Some(id) = self.peeled(&format!("{space}{revision}")) {
                    return Ok(id);
                }
            }
        }
        if !hexadecimal {
            return Err(missing("no branch or tag has that name"));
        }
        if revision.len() < 4 {
            return Err(missing("an abbreviated hash has at least 4 digits"));
        }
        let found = self.repository.find_object_by_prefix(revision, None);
        match found.and_then(|object| object.peel(ObjectType::Commit)) {
            Ok(commit) => Ok(commit.id()),
            Err(error) if error.code() == git2::ErrorCode::Ambiguous => {
                Err(missing("several objects begin with that; give more digits"))
            }
            Err(_) => Err(missing("it is not in the history that was fetched")),
        }
    }

    /// Names of references below a prefix, without it, sorted.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let failed = |error: git2::Error| Error::git(format!("listing the names of {}", self.remote), &error);
        let mut names = Vec::new();
        for reference in self.repository.references_glob(&format!("{prefix}*")).map_err(failed)? {
            let reference = reference.map_err(failed)?;
            if let Some(name) = reference.name().ok().and_then(|name| name.strip_prefix(prefix)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn default_branch(&self) -> Result<String> {
        let head = self.repository.find_reference("HEAD").ok();
        let target = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten());
        match target.and_then(|target| target.strip_prefix("refs/heads/")) {
            Some(branch) if self.peeled(&format!("refs/heads/{branch}")).is_some() => Ok(branch.to_owned()),
            _ => Err(Error::NoSuchBranch {
                remote: self.remote.clone(),
                branch: "HEAD".to_owned(),
                known: "no branch checked out".to_owned(),
            }),
        }
    }

    pub(super) fn commits(&self, branch: &str, path: Option<&str>, limit: usize) -> Result<Vec<Commit>> {
        let failed =
            |error: git2::Error| Error::git(format!("reading the history of {}", self.remote), &error);
        let start = match branch {
            "" => self.head(&self.branch)?,
            branch => self.head(branch).or_else(|error| self.find(branch).map_err(|_| error))?,
        };
        let path = path.map(folder_of).filter(|path| !path.is_empty());
        // Newest first. A walk of our own, because a mirror of a shallow history (a checkout of continuous
        // integration) lacks the parents of its oldest commits.
        let mut next = BinaryHeap::new();
        let mut seen = HashSet::from([start]);
        let first = self.repository.find_commit(start).map_err(failed)?;
        next.push((first.time().seconds(), std::cmp::Reverse(0usize), start));
        let mut commits = Vec::new();
        while let Some((_, _, id)) = next.pop() {
            if commits.len() >= limit {
                break;
            }
            let commit = self.repository.find_commit(id).map_err(failed)?;
            for parent in commit.parent_ids() {
                let Ok(parent) = self.repository.find_commit(parent) else { continue };
                if seen.insert(parent.id()) {
                    // Of the same second: the one that was met first.
                    next.push((parent.time().seconds(), std::cmp::Reverse(seen.len()), parent.id()));
                }
            }
            if let Some(path) = path
                && !touches(&commit, Path::new(path))
            {
                continue;
            }
            commits.push(Commit {
                hash: commit.id().to_string(),
                subject: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
                author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
                date: date(commit.time().seconds()),
            });
        }
        Ok(commits)
    }

    /// The tree of a revision, and its commit's hash.
    pub(super) fn tree(&self, revision: &str) -> Result<(String, Tree<'_>)> {
        let hash = self.resolve(revision)?;
        let failed =
            |error: git2::Error| Error::git(format!("reading commit {hash} of {}", self.remote), &error);
        let id = Oid::from_str(&hash).map_err(failed)?;
        let tree = self.repository.find_commit(id).and_then(|commit| commit.tree()).map_err(failed)?;
        Ok((hash, tree))
    }

    /// Contents of a file of a tree, if there is one of that path.
    pub(super) fn file(&self, tree: &Tree<'_>, path: &str) -> Option<Vec<u8>> {
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = self.repository.find_blob(entry.id()).ok()?;
        Some(blob.content().to_vec())
    }

    pub(super) fn readme(&self, revision: &str, file_name: &str) -> Result<String> {
        let (commit, tree) = self.tree(revision)?;
        let folder = folder_of(file_name);
        let inside = if folder.is_empty() {
            Some(tree)
        } else {
            let entry = tree.get_path(Path::new(folder)).ok();
            entry.and_then(|entry| self.repository.find_tree(entry.id()).ok())
        };
        let text = inside.and_then(|tree| {
            let is_readme = |name: &str| matches!(name, "readme.md" | "readme" | "readme.txt");
            let entry = tree
                .iter()
                .find(|entry| entry.name().is_ok_and(|name| is_readme(&name.to_ascii_lowercase())))?;
            let blob = self.repository.find_blob(entry.id()).ok()?;
            Some(String::from_utf8_lossy(blob.content()).into_owned())
        });
        text.ok_or_else(|| Error::NoSuchFile {
            remote: self.remote.clone(),
            commit,
            path: if folder.is_empty() { "README.md".to_owned() } else { format!("{folder}/README.md") },
        })
    }
}

/// The folder of the package whose Cargo.toml this is; any other path as it is.
pub(super) fn folder_of(file_name: &str) -> &str {
    let path = file_name.trim_matches('/');
    match path.strip_suffix("Cargo.toml") {
        Some("") => "",
        Some(folder) if folder.ends_with('/') => folder.trim_end_matches('/'),
        _ => path,
    }
}

/// Whether a commit differs from each of its parents at that path.
fn touches(commit: &git2::Commit<'_>, path: &Path) -> bool {
    let at = |commit: &git2::Commit<'_>| {
        let tree = commit.tree().ok()?;
        let entry = tree.get_path(path).ok()?;
        Some(entry.id())
    };
    let here = at(commit);
    // Of a shallow history's oldest commits the parents are missing: they count as if they had none.
    let mut parents = commit.parents().peekable();
    match parents.peek() {
        None => here.is_some(),
        Some(_) => parents.all(|parent| at(&parent) != here),
    }
}

/// Seconds since 1970 as `2026-03-01T12:00:00Z`.
fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days of the proleptic Gregorian calendar, in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_772_366_400, "2026-03-01T12:00:00Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(super::date(seconds), text);
        }
    }

    #[test]
    fn folder_of_a_package() {
        assert_eq!(super::folder_of("pjlink/Cargo.toml"), "pjlink");
        assert_eq!(super::folder_of("Cargo.toml"), "");
        assert_eq!(super::folder_of("a/b/"), "a/b");
        assert_eq!(super::folder_of("a/NotCargo.toml"), "a/NotCargo.toml");
    }
}
