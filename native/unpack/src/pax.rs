// SPDX-License-Identifier: Apache-2.0
//! PAX extended headers: records of the form `length keyword=value\n`.

use rustix::fs::Timespec;

use crate::error::{Error, Result};
use crate::limits;

/// What a header says about the entry that follows it.
#[derive(Default)]
pub struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Timespec>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extended {
    /// A global header may carry comments (git writes one); one that would change entries is refused.
    pub fn is_empty(&self) -> bool {
        let Extended { path, link, size, uid, gid, mtime, xattrs } = self;
        path.is_none()
            && link.is_none()
            && size.is_none()
            && uid.is_none()
            && gid.is_none()
            && mtime.is_none()
            && xattrs.is_empty()
    }
}

pub fn parse(mut data: &[u8]) -> Result<Extended> {
    let mut extended = Extended::default();
    while !data.is_empty() {
        let (keyword, value, rest) = record(data)?;
        apply(&mut extended, keyword, value)?;
        data = rest;
    }
    Ok(extended)
}

fn record(data: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let bad = || Error::malformed("a PAX record that does not parse");
    let space = data.iter().take(8).position(|&byte| byte == b' ').ok_or_else(bad)?;
    let length = usize::try_from(decimal(&data[..space]).ok_or_else(bad)?).map_err(|_| bad())?;
    if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
        return Err(bad());
    }
    let body = &data[space + 1..length - 1];
    let equals = body.iter().position(|&byte| byte == b'=').ok_or_else(bad)?;
    Ok((&body[..equals], &body[equals + 1..], &data[length..]))
}

fn apply(extended: &mut Extended, keyword: &[u8], value: &[u8]) -> Result<()> {
    let number = || decimal(value).ok_or_else(|| Error::malformed("a PAX number that does not parse"));
    match keyword {
        b"path" => extended.path = Some(value.to_vec()),
        b"linkpath" => extended.link = Some(value.to_vec()),
        b"size" => extended.size = Some(number()?),
        b"uid" => extended.uid = Some(number()?),
        b"gid" => extended.gid = Some(number()?),
        b"mtime" => {
            extended.mtime = Some(time(value).ok_or_else(|| Error::malformed("a PAX time that does not parse"))?)
        }
        _ if keyword.starts_with(b"GNU.sparse.") => {
            return Err(Error::refused("a sparse file: make the archive without --sparse"));
        }
        _ => {
            if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
                add_xattr(extended, name, value)?;
            }
        }
    }
    Ok(())
}

fn add_xattr(extended: &mut Extended, name: &[u8], value: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > limits::NAME_BYTES || name.contains(&0) {
        return Err(Error::malformed("an extended attribute whose name is no name"));
    }
    if value.len() > limits::XATTR_BYTES {
        return Err(Error::limit(format!("an extended attribute of {} bytes", value.len())));
    }
    if extended.xattrs.len() == limits::XATTRS {
        return Err(Error::limit(format!("more than {} extended attributes", limits::XATTRS)));
    }
    extended.xattrs.push((name.to_vec(), value.to_vec()));
    Ok(())
}

fn decimal(text: &[u8]) -> Option<u64> {
    // `parse` would take a plus sign.
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with a fraction, perhaps negative; digits behind the ninth are cut off.
fn time(text: &[u8]) -> Option<Timespec> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds = 0i64;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for index in 0..9 {
            nanoseconds = nanoseconds * 10 + i64::from(fraction.get(index).map_or(0, |digit| digit - b'0'));
        }
    }
    Some(match (negative, nanoseconds) {
        (false, _) => Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        (true, 0) => Timespec { tv_sec: -seconds, tv_nsec: 0 },
        (true, _) => Timespec { tv_sec: -seconds - 1, tv_nsec: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let extended = parse(b"12 path=a/b\n20 mtime=1.25000000\n29 SCHILY.xattr.user.k=v\n1\n2\n").unwrap();
        assert_eq!(extended.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(extended.mtime.map(|time| (time.tv_sec, time.tv_nsec)), Some((1, 250_000_000)));
        assert_eq!(extended.xattrs, [(b"user.k".to_vec(), b"v\n1\n2".to_vec())]);
    }

    #[test]
    fn lying_lengths_are_found() {
        for data in
            [&b"99 path=a\n"[..], b"0 path=a\n", b"x path=a\n", b"11 path=a/b", b"7 path\n", b"+9 path=a\n", b"3 \n"]
        {
            assert!(parse(data).is_err(), "{}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn times_before_the_epoch_round_down() {
        assert_eq!(time(b"-1.5").map(|time| (time.tv_sec, time.tv_nsec)), Some((-2, 500_000_000)));
        assert_eq!(time(b"-3").map(|time| (time.tv_sec, time.tv_nsec)), Some((-3, 0)));
        assert!(time(b"1.x").is_none());
        assert!(time(b"").is_none());
    }
}
