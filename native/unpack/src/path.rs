// SPDX-License-Identifier: Apache-2.0
//! Names in archives → paths below the target: components joined by single slashes, no `.`, no `..`, no leading slash.

use crate::error::{Error, Result};
use crate::limits;

/// The normal form of a name. The target itself is the empty path.
///
/// A leading slash is dropped: builders of images do write absolute names and mean the image's root. `..` is refused
/// even where it would stay inside: no archiver needs it.
pub fn normal(name: &[u8]) -> Result<Vec<u8>> {
    if name.is_empty() {
        return Err(Error::malformed("an empty name"));
    }
    if name.contains(&0) {
        return Err(Error::malformed("a name with a NUL byte"));
    }
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(Error::refused("a name with \"..\"")),
            _ if component.len() > limits::NAME_BYTES => {
                return Err(Error::limit(format!("a name component of {} bytes", component.len())));
            }
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    if path.len() > limits::PATH_BYTES {
        return Err(Error::limit(format!("a path of {} bytes", path.len())));
    }
    Ok(path)
}

/// The path of the parent directory and the last component.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Whether a path names something below `dev/`, which podfast always mounts over.
pub fn is_below_dev(path: &[u8]) -> bool {
    path.starts_with(b"dev/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_relative_paths() {
        for (name, path) in [("./", ""), ("/", ""), ("a//b/./c/", "a/b/c"), ("/etc/x", "etc/x"), ("...", "...")] {
            assert_eq!(normal(name.as_bytes()).unwrap(), path.as_bytes(), "{name}");
        }
    }

    #[test]
    fn dangerous_names_are_refused() {
        for name in ["", "..", "a/../b", "/..", "a\0b", "../../etc/passwd"] {
            assert!(normal(name.as_bytes()).is_err(), "{name}");
        }
        assert!(normal(&[b'x'; 256]).is_err());
        assert!(normal(&b"y/".repeat(2049)).is_err());
    }

    #[test]
    fn the_last_component_is_split_off() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
    }
}
