//! Driver repositories: clone, fetch, build, artifacts.
