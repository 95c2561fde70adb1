//! Git repositories made in a test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A work tree with a branch `main`.
pub struct Work {
    pub folder: TempDir,
    repository: git2::Repository,
}

impl Work {
    pub fn new() -> Work {
        let folder = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        let repository = git2::Repository::init_opts(folder.path(), options.initial_head("main")).unwrap();
        Work { folder, repository }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `file:///…`.
    pub fn uri(&self) -> String {
        format!("file://{}", self.path().canonicalize().unwrap().display())
    }

    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Commits everything; returns the hash. The same files in the same order of commits give the same hashes.
    pub fn commit(&self, message: &str) -> String {
        let mut index = self.repository.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = self.repository.find_tree(index.write_tree().unwrap()).unwrap();
        let author =
            git2::Signature::new("Tester", "tester@example.com", &git2::Time::new(1_700_000_000, 0)).unwrap();
        let parent = self.repository.head().ok().and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.repository.commit(Some("HEAD"), &author, &author, message, &tree, &parents).unwrap().to_string()
    }
}
