// SPDX-License-Identifier: Apache-2.0
//! podfast-unpack FD: unpacks the tar archive on standard input, plain or gzip, into the directory open as FD.
//!
//! Prints one line of JSON and exits 0, or 1 with `error` and the `entry` it is about:
//! `{"entries": N, "bytes": N, "sha256": "…", "passed": N, "landlock": N}`. `sha256` and `bytes` are of the uncompressed archive.
//!
//!     main      the order of things          path    names → relative paths
//!     confine   what is given up first       dirs    open directories below the target
//!     source    bytes, inflated and hashed   tree    entries → files
//!     header    one block                    limits  every cap
//!     pax       extended headers             error   every failure
//!     entry     headers → entries

mod confine;
mod dirs;
mod entry;
mod error;
mod header;
mod limits;
mod path;
mod pax;
mod source;
mod tree;

use std::fmt::Write as _;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use error::{Error, Result};
use source::{Source, Summary};
use tree::Tree;

struct Report {
    entries: u64,
    passed: u64,
    landlock: u32,
    summary: Summary,
}

fn main() -> ExitCode {
    let mut name = None;
    let (line, code) = match run(&mut name) {
        Ok(report) => (success(&report), ExitCode::SUCCESS),
        Err(error) => (failure(&error, name.as_deref()), ExitCode::FAILURE),
    };
    println!("{line}");
    code
}

fn run(name: &mut Option<Vec<u8>>) -> Result<Report> {
    let target = target()?;
    let landlock = confine::enter(target.as_fd())?;
    let mut source = Source::start(std::io::stdin())?;
    confine::seal()?;
    let mut tree = Tree::new(target)?;
    let mut entries = 0;
    while let Some(entry) = entry::next(&mut source, name)? {
        tree.add(&entry, &mut source)?;
        entries += 1;
        if entries + tree.implied() > limits::ENTRIES {
            return Err(Error::limit(format!("more than {} entries", limits::ENTRIES)));
        }
        *name = None;
    }
    let summary = source.finish()?;
    tree.finish()?;
    Ok(Report { entries, passed: tree.passed, landlock, summary })
}

fn target() -> Result<OwnedFd> {
    let usage = || Error::Usage("podfast-unpack FD <archive (FD: the directory to fill, open and inherited)");
    let mut arguments = std::env::args_os().skip(1);
    let (Some(number), None) = (arguments.next(), arguments.next()) else {
        return Err(usage());
    };
    let fd = number.to_str().and_then(|text| text.parse().ok()).filter(|&fd: &i32| fd > 2).ok_or_else(usage)?;
    // SAFETY: asks only whether the number is an open descriptor.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(usage());
    }
    // SAFETY: the descriptor is open, was inherited for us, and this is the only place that takes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn success(report: &Report) -> String {
    let Report { entries, passed, landlock, summary } = report;
    let mut digest = String::with_capacity(64);
    for byte in summary.digest {
        // Writing to a string does not fail.
        let _ = write!(digest, "{byte:02x}");
    }
    let bytes = summary.bytes;
    format!(
        r#"{{"entries": {entries}, "bytes": {bytes}, "sha256": "{digest}", "passed": {passed}, "landlock": {landlock}}}"#
    )
}

fn failure(error: &Error, name: Option<&[u8]>) -> String {
    let entry = name.map_or("null".into(), |name| quote(&String::from_utf8_lossy(name)));
    format!(r#"{{"error": {}, "entry": {entry}}}"#, quote(&error.to_string()))
}

/// A JSON string. Names come from the archive: anything may be in them.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_ascii() {
        assert_eq!(quote("a\"\\\n\u{e9}\u{1f600}\u{7f}"), r#""a\"\\\u000a\u00e9\ud83d\ude00\u007f""#);
    }

    #[test]
    fn a_failure_names_its_entry() {
        assert_eq!(failure(&Error::refused("x"), Some(b"a\xff")), r#"{"error": "refused: x", "entry": "a\ufffd"}"#);
    }
}
