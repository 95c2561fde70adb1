//! Where a repository comes from: its address, the branch, and how to sign in. Addresses are parsed once, here;
//! everything that is printed comes from [`Remote`]'s `Display`, which knows no user information.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::{Error, Result};
use crate::secrets::Secret;

/// A repository as its user configured it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Id of the repository, `repo-…`: names its folders on disk.
    pub id: String,
    /// A folder (`/path`, `file:///path`), or an address of scheme http, https, git or ssh, or `user@host:path`.
    pub uri: String,
    /// The branch that is followed. Empty or `HEAD`: the one the remote has checked out.
    pub branch: String,
    /// Drivers are looked for in this folder of the repository; none: in all of it.
    pub root: Option<String>,
    pub credentials: Credentials,
}

/// How to sign in to a remote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    pub username: Option<String>,
    /// Password or token; with `key`, the passphrase of the key.
    pub password: Option<Secret>,
    /// Private key in OpenSSH or PEM form.
    pub key: Option<Secret>,
}

/// A parsed address.
#[derive(Clone, PartialEq)]
pub(super) enum Remote {
    Folder(PathBuf),
    /// `base` carries no user information.
    Http {
        base: Url,
    },
    Git {
        host: String,
        port: u16,
        path: String,
    },
    Ssh {
        host: String,
        port: u16,
        path: String,
    },
}

/// A remote and how to sign in to it. User information in the address counts where the credentials are silent.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) remote: Remote,
    pub(super) credentials: Credentials,
}

impl Source {
    /// Parses the address.
    pub(super) fn peer(&self) -> Result<Peer> {
        let uri = self.uri.trim();
        let refuse = |why: &str| Error::Uri { uri: without_user(uri), why: why.to_owned() };
        if uri.is_empty() {
            return Err(refuse("it is empty"));
        }
        if uri.contains(['\n', '\r', '\0']) {
            return Err(refuse("it holds a control character"));
        }
        let mut credentials = self.credentials.clone();
        let blank = |text: &String| text.is_empty();
        credentials.username.take_if(|name| blank(name));
        credentials.password.take_if(|secret| secret.is_empty());
        credentials.key.take_if(|secret| secret.expose().trim().is_empty());
        if !uri.contains("://") {
            return match scp_like(uri) {
                Some((user, host, path)) => {
                    credentials.username = credentials.username.or(user);
                    let remote = Remote::Ssh { host, port: 22, path };
                    Ok(Peer { remote, credentials })
                }
                None => Ok(Peer { remote: Remote::Folder(PathBuf::from(uri)), credentials }),
            };
        }
        let mut url = Url::parse(uri).map_err(|error| refuse(&error.to_string()))?;
        if !url.username().is_empty() {
            let name = percent_decode(url.username());
            credentials.username.get_or_insert(name);
        }
        if let Some(password) = url.password() {
            let password = Secret::new(percent_decode(password));
            credentials.password.get_or_insert(password);
        }
        let host = || match url.host_str() {
            Some(host) if !host.is_empty() => Ok(host.trim_matches(['[', ']']).to_owned()),
            _ => Err(refuse("it names no host")),
        };
        let path = || match url.path() {
            "" | "/" => Err(refuse("it names no repository on that host")),
            path => Ok(percent_decode(path)),
        };
        let remote = match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(path) => Remote::Folder(path),
                Err(()) => return Err(refuse("a file address has no host: file:///path")),
            },
            "http" | "https" => {
                host()?;
                // Neither can fail on an address that has a host.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.set_fragment(None);
                Remote::Http { base: url }
            }
            "git" => Remote::Git { host: host()?, port: url.port().unwrap_or(9418), path: path()? },
            "ssh" | "git+ssh" | "ssh+git" => {
                let path = path()?;
                // ssh://host/~user/repo is relative to that user's home.
                let path = path.strip_prefix("/~").map(|rest| format!("~{rest}")).unwrap_or(path);
                Remote::Ssh { host: host()?, port: url.port().unwrap_or(22), path }
            }
            other => {
                return Err(refuse(&format!(
                    "scheme {other:?} is unknown; use a folder, http, https, ssh or git"
                )));
            }
        };
        Ok(Peer { remote, credentials })
    }
}

/// `user@host:path` or `host:path`, as `git clone` and `scp` take it.
fn scp_like(uri: &str) -> Option<(Option<String>, String, String)> {
    let (head, path) = uri.split_once(':')?;
    // A slash before the colon: a folder whose name has a colon.
    if head.contains('/') || head.is_empty() || path.is_empty() {
        return None;
    }
    let (user, host) = match head.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, head),
    };
    Some((user, host.trim_matches(['[', ']']).to_owned(), path.to_owned()))
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let decoded = match (byte, after) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).map(|(high, low)| ((high * 16 + low) as u8, tail))
            }
            _ => None,
        };
        let (byte, after) = decoded.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The address with everything between the scheme and the last `@` of the host left out.
fn without_user(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").map_or(("", uri), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host}{path}")
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: Option<u16>, path: &str| {
            let slash = if path.starts_with('/') { "" } else { "/" };
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            write!(f, "{scheme}://{open}{host}{close}")?;
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
            write!(f, "{slash}{path}")
        };
        match self {
            Remote::Folder(path) => write!(f, "{}", path.display()),
            Remote::Http { base } => {
                // A query may hold a token.
                let mut base = base.clone();
                base.set_query(None);
                write!(f, "{base}")
            }
            Remote::Git { host, port, path } => place(f, "git", host, (*port != 9418).then_some(*port), path),
            Remote::Ssh { host, port, path } => place(f, "ssh", host, (*port != 22).then_some(*port), path),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Peer> {
        Source { uri: uri.into(), ..Source::default() }.peer()
    }

    #[test]
    fn addresses_of_every_kind() {
        for (uri, printed) in [
            ("/srv/drivers", "/srv/drivers"),
            ("file:///srv/my%20drivers", "/srv/my drivers"),
            ("https://bob:hunter2@git.example.com/a/b.git?token=hunter2", "https://git.example.com/a/b.git"),
            ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
            ("git://host/a", "git://host/a"),
            ("ssh://git:hunter2@host:2222/a/b", "ssh://host:2222/a/b"),
            ("ssh://host/~bob/b", "ssh://host/~bob/b"),
            ("git@host.example:a/b.git", "ssh://host.example/a/b.git"),
            ("ssh://[::1]:22/a", "ssh://[::1]/a"),
            ("./odd:name", "./odd:name"),
        ] {
            assert_eq!(parse(uri).unwrap().remote.to_string(), printed, "{uri}");
        }
    }

    #[test]
    fn user_information_counts_where_credentials_are_silent() {
        let peer = parse("https://bob:p%40ss@host/a").unwrap();
        assert_eq!(peer.credentials.username.as_deref(), Some("bob"));
        assert_eq!(peer.credentials.password.unwrap().expose(), "p@ss");
        let mut source = Source { uri: "https://bob:old@host/a".into(), ..Source::default() };
        source.credentials.password = Some(Secret::new("new"));
        assert_eq!(source.peer().unwrap().credentials.password.unwrap().expose(), "new");
    }

    #[test]
    fn refusals_hold_no_password() {
        for uri in [
            "ftp://bob:hunter2@host/a",
            "https://bob:hunter2@",
            "ssh://bob:hunter2@host",
            "http://bob:hunter2@host:99999/a",
            "",
        ] {
            let text = parse(uri).err().unwrap().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
        let shown =
            format!("{:?}", Credentials { password: Some(Secret::new("hunter2")), ..Default::default() });
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
