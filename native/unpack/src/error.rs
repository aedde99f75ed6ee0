// SPDX-License-Identifier: Apache-2.0
//! The one error of this program. Its text is what a person reads, so it says what is wrong and never a type's name.

use std::fmt;

use rustix::io::Errno;

#[derive(Debug)]
pub enum Error {
    /// The program was not called as it must be.
    Usage(&'static str),
    /// Reading the archive failed.
    Read(std::io::Error),
    /// The compressed stream is damaged, ends early, or is of a kind that is not known here.
    Stream(String),
    /// The archive ends in the middle of an entry, or without its end mark.
    Truncated(&'static str),
    /// A header that no honest archiver writes.
    Malformed(String),
    /// Well-formed, and refused.
    Refused(String),
    /// A cap of `limits` was passed.
    Limit(String),
    /// A system call failed.
    System(&'static str, Errno),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: the failed call by its name.
    pub fn system(call: &'static str) -> impl FnOnce(Errno) -> Error {
        move |errno| Error::System(call, errno)
    }

    pub fn malformed(what: impl Into<String>) -> Error {
        Error::Malformed(what.into())
    }

    pub fn refused(what: impl Into<String>) -> Error {
        Error::Refused(what.into())
    }

    pub fn limit(what: impl Into<String>) -> Error {
        Error::Limit(what.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) => write!(out, "usage: {what}"),
            Error::Read(error) => write!(out, "reading the archive: {error}"),
            Error::Stream(what) => write!(out, "compressed stream: {what}"),
            Error::Truncated(where_) => write!(out, "the archive is truncated: it ends {where_}"),
            Error::Malformed(what) => write!(out, "malformed archive: {what}"),
            Error::Refused(what) => write!(out, "refused: {what}"),
            Error::Limit(what) => write!(out, "over the limit: {what}"),
            Error::System(call, errno) => write!(out, "{call}: {}", std::io::Error::from(*errno)),
        }
    }
}
