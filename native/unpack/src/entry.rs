// SPDX-License-Identifier: Apache-2.0
//! Headers → entries: long names and PAX headers are joined with the header they describe, contradictions are refused.

use rustix::fs::Timespec;

use crate::error::{Error, Result};
use crate::header::{self, Header};
use crate::limits;
use crate::path;
use crate::pax::{self, Extended};
use crate::source::Source;

pub enum Kind {
    Directory,
    /// With the size of the content that follows in the source.
    File(u64),
    Symlink(Vec<u8>),
    /// To a path below the target.
    Hardlink(Vec<u8>),
    Fifo,
    /// A device node below `dev/`: passed over, podfast's own `/dev` lies over it.
    Passed,
}

pub struct Metadata {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Timespec,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

pub struct Entry {
    pub path: Vec<u8>,
    pub kind: Kind,
    pub metadata: Metadata,
}

/// What came before an entry's own header.
#[derive(Default)]
struct Before {
    pax: Option<Extended>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// The next entry, or nothing at the end mark. `name` is set as soon as it is known, so that an error can tell it.
pub fn next(source: &mut Source, name: &mut Option<Vec<u8>>) -> Result<Option<Entry>> {
    let mut before = Before::default();
    loop {
        let Some(block) = source.block()? else {
            return Err(Error::Truncated("without its end mark"));
        };
        if header::is_zero(&block) {
            return end(source, &before).map(|()| None);
        }
        let header = header::parse(&block)?;
        match header.kind {
            b'x' => set(&mut before.pax, pax::parse(&long(source, &header, limits::PAX_BYTES)?)?)?,
            b'L' => set(&mut before.long_name, long_text(source, &header)?)?,
            b'K' => set(&mut before.long_link, long_text(source, &header)?)?,
            b'g' => global(&long(source, &header, limits::PAX_BYTES)?)?,
            _ => return join(header, before, name).map(Some),
        }
    }
}

/// The end mark is two zero blocks; a single one right at the end of the stream is taken, as tar does.
fn end(source: &mut Source, before: &Before) -> Result<()> {
    if before.pax.is_some() || before.long_name.is_some() || before.long_link.is_some() {
        return Err(Error::malformed("an extended header without an entry"));
    }
    match source.block()? {
        Some(block) if !header::is_zero(&block) => Err(Error::malformed("a zero block between entries")),
        _ => Ok(()),
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::malformed("two extended headers of one kind for one entry")),
    }
}

fn global(data: &[u8]) -> Result<()> {
    if pax::parse(data)?.is_empty() {
        return Ok(());
    }
    Err(Error::refused("a global PAX header that would change entries"))
}

/// The content of an extended header. The cap comes before the memory.
fn long(source: &mut Source, header: &Header, limit: u64) -> Result<Vec<u8>> {
    if header.size > limit {
        return Err(Error::limit(format!("an extended header of {} bytes", header.size)));
    }
    let mut data = Vec::new();
    source.content(header.size, |part| {
        data.extend_from_slice(part);
        Ok(())
    })?;
    Ok(data)
}

/// A GNU long name: text with an ending NUL.
fn long_text(source: &mut Source, header: &Header) -> Result<Vec<u8>> {
    let mut text = long(source, header, limits::PATH_BYTES as u64 + 1)?;
    if text.last() == Some(&0) {
        text.pop();
    }
    Ok(text)
}

fn join(header: Header, before: Before, name: &mut Option<Vec<u8>>) -> Result<Entry> {
    let pax = before.pax.unwrap_or_default();
    let raw_name = one(pax.path, before.long_name, header.name, "names")?;
    *name = Some(raw_name.clone());
    let link = one(pax.link, before.long_link, header.link, "link targets")?;
    let path = path::normal(&raw_name)?;
    let size = pax.size.unwrap_or(header.size);
    let is_v7_directory = header.is_v7 && raw_name.last() == Some(&b'/');
    let kind = kind(header.kind, size, &path, link, is_v7_directory)?;
    check_place(&path, &kind)?;
    let metadata = Metadata {
        mode: header.mode,
        uid: id(pax.uid.unwrap_or(header.uid), "uid")?,
        gid: id(pax.gid.unwrap_or(header.gid), "gid")?,
        mtime: pax.mtime.unwrap_or(Timespec { tv_sec: header.mtime, tv_nsec: 0 }),
        xattrs: pax.xattrs,
    };
    Ok(Entry { path, kind, metadata })
}

/// The value of the extended headers before the short one. PAX and GNU headers for one entry come from no archiver.
fn one(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, short: Vec<u8>, what: &str) -> Result<Vec<u8>> {
    match (pax, gnu) {
        (Some(_), Some(_)) => Err(Error::refused(format!("PAX and GNU headers that give two {what} to one entry"))),
        (Some(long), None) | (None, Some(long)) => Ok(long),
        (None, None) => Ok(short),
    }
}

fn kind(code: u8, size: u64, path: &[u8], link: Vec<u8>, is_v7_directory: bool) -> Result<Kind> {
    let kind = match code {
        b'0' | 0 if is_v7_directory => Kind::Directory,
        b'0' | 0 | b'7' => return file(size),
        // Some archivers give the file's size here; no content follows, all readers agree.
        b'1' => return Ok(Kind::Hardlink(link_path(&link)?)),
        b'2' => Kind::Symlink(symlink_target(link)?),
        b'3' | b'4' if path::is_below_dev(path) => Kind::Passed,
        b'3' | b'4' => return Err(Error::refused("a device node outside /dev")),
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'S' => return Err(Error::refused("a sparse file: make the archive without --sparse")),
        other => return Err(Error::refused(format!("an entry of type {:?}", char::from(other)))),
    };
    if size != 0 {
        return Err(Error::malformed("content where an entry of its type has none"));
    }
    Ok(kind)
}

fn file(size: u64) -> Result<Kind> {
    if size > limits::ARCHIVE_BYTES {
        return Err(Error::limit(format!("a file of {size} bytes")));
    }
    Ok(Kind::File(size))
}

fn link_path(link: &[u8]) -> Result<Vec<u8>> {
    let path = path::normal(link)?;
    if path.is_empty() {
        return Err(Error::refused("a hard link to the root"));
    }
    Ok(path)
}

/// The target is text for whoever follows it, inside a container; it is never followed here.
fn symlink_target(link: Vec<u8>) -> Result<Vec<u8>> {
    if link.is_empty() || link.contains(&0) {
        return Err(Error::malformed("a symbolic link whose target is no path"));
    }
    if link.len() > limits::PATH_BYTES {
        return Err(Error::limit(format!("a link target of {} bytes", link.len())));
    }
    Ok(link)
}

fn check_place(path: &[u8], kind: &Kind) -> Result<()> {
    if path.is_empty() && !matches!(kind, Kind::Directory) {
        return Err(Error::refused("a root that is no directory"));
    }
    // In a layer these names are orders to whoever stacks it. A root file system has no use for them.
    if path.split(|&byte| byte == b'/').any(|component| component.starts_with(b".wh.")) {
        return Err(Error::refused("a whiteout"));
    }
    Ok(())
}

/// The last value would mean "leave as it is" to chown.
fn id(value: u64, what: &str) -> Result<u32> {
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::malformed(format!("a {what} of {value}"))),
    }
}
