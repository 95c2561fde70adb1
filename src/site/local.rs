//! A repository named by a path: a git work tree (or bare repository) on this machine.

use std::path::Path;

/// Where it is and what it has checked out.
pub(super) struct Local {
    /// `file:///…`.
    pub(super) uri: String,
    /// The branch that is checked out; none if HEAD is detached.
    pub(super) branch: Option<String>,
    /// The commit that is checked out.
    pub(super) commit: String,
}

/// Is this a path, rather than `scheme://…` or `user@host:path`?
pub(super) fn is_path(uri: &str) -> bool {
    !uri.contains("://") && !uri.split('/').next().is_some_and(|first| first.contains(':'))
}

/// Looks at the repository at `path`, which may be relative to `folder`.
pub(super) fn open(folder: &Path, path: &str) -> Result<Local, String> {
    let full = folder.join(path);
    let full =
        full.canonicalize().map_err(|cause| format!("there is nothing at {}: {cause}", full.display()))?;
    let refuse = |cause: git2::Error| {
        format!("{} is not a git repository with a commit: {}", full.display(), cause.message())
    };
    let repository = git2::Repository::open(&full).map_err(refuse)?;
    let head = repository.head().map_err(refuse)?;
    let commit = head.peel_to_commit().map_err(refuse)?.id().to_string();
    let branch = head.shorthand().ok().filter(|_| head.is_branch()).map(str::to_owned);
    let uri = url::Url::from_file_path(&full).map_err(|()| format!("{} is not absolute", full.display()))?;
    Ok(Local { uri: uri.into(), branch, commit })
}
