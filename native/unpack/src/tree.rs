// SPDX-License-Identifier: Apache-2.0
//! Entries → files. Everything happens relative to an open parent directory, by one component, without following links.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Gid, Mode, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::dirs::{self, Directories, Directory};
use crate::entry::{Entry, Kind, Metadata};
use crate::error::{Error, Result};
use crate::path;
use crate::source::Source;

const CAPABILITY: &[u8] = b"security.capability";

/// Who we are decides what can be set: an ordinary user's files stay that user's.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    fn is_root(self) -> bool {
        self.uid == 0
    }
}

pub struct Tree {
    directories: Directories,
    owner: Owner,
    /// Extended attributes that were passed over, and device nodes below `dev/`.
    pub passed: u64,
}

impl Tree {
    pub fn new(target: OwnedFd) -> Result<Tree> {
        let owner = Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        // A default ACL on the host's directory would change the mode of everything made below it.
        match fs::fremovexattr(&target, "system.posix_acl_default") {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(errno) => return Err(Error::System("fremovexattr", errno)),
        }
        Ok(Tree { directories: Directories::new(target)?, owner, passed: 0 })
    }

    /// Directories that no entry named.
    pub fn implied(&self) -> u64 {
        self.directories.implied
    }

    pub fn add(&mut self, entry: &Entry, source: &mut Source) -> Result<()> {
        let Entry { path, kind, metadata } = entry;
        match kind {
            Kind::Directory => self.directory(path, metadata),
            Kind::File(size) => self.file(path, *size, metadata, source),
            Kind::Symlink(target) => self.symlink(path, target, metadata),
            Kind::Hardlink(target) => self.hardlink(path, target),
            Kind::Fifo => self.fifo(path, metadata),
            Kind::Passed => {
                self.passed += 1;
                Ok(())
            }
        }
    }

    pub fn finish(&mut self) -> Result<()> {
        self.directories.finish()
    }

    fn directory(&mut self, path: &[u8], metadata: &Metadata) -> Result<()> {
        self.directories.make(path)?;
        let owner = self.owner;
        let directory = self.directories.get(path)?;
        self.passed += set_user_xattrs(directory.as_fd(), metadata)?;
        chown(directory.as_fd(), metadata, owner)?;
        // The owner must be able to fill and to delete what it unpacked; root can anyway.
        let mode = if owner.is_root() { metadata.mode } else { metadata.mode | 0o700 };
        self.directories.settle(path, mode, metadata.mtime)
    }

    /// In the order in which nothing undoes what came before: writing and chown clear the set-id bits and capabilities.
    fn file(&mut self, path: &[u8], size: u64, metadata: &Metadata, source: &mut Source) -> Result<()> {
        let (parent, name) = path::split(path);
        let parent = self.directories.get(parent)?;
        let mode = metadata.mode & 0o777;
        let file = replacing(parent, name, || dirs::create_file(parent, name, mode), "openat2")?;
        source.content(size, |part| write(file.as_fd(), part))?;
        self.passed += set_user_xattrs(file.as_fd(), metadata)?;
        if parent.passes_group || metadata.uid != self.owner.uid || metadata.gid != self.owner.gid {
            chown(file.as_fd(), metadata, self.owner)?;
        }
        if metadata.mode & 0o7000 != 0 {
            fs::fchmod(&file, Mode::from_raw_mode(metadata.mode)).map_err(Error::system("fchmod"))?;
        }
        self.passed += set_capability(file.as_fd(), metadata, self.owner)?;
        dirs::set_times(file.as_fd(), metadata.mtime)
    }

    fn symlink(&mut self, path: &[u8], target: &[u8], metadata: &Metadata) -> Result<()> {
        let (parent, name) = path::split(path);
        let parent = self.directories.get(parent)?;
        replacing(parent, name, || fs::symlinkat(target, parent, name), "symlinkat")?;
        self.passed += metadata.xattrs.len() as u64;
        settle_at(parent, name, metadata, self.owner)
    }

    fn fifo(&mut self, path: &[u8], metadata: &Metadata) -> Result<()> {
        let (parent, name) = path::split(path);
        let parent = self.directories.get(parent)?;
        let mode = Mode::from_raw_mode(metadata.mode & 0o777);
        replacing(parent, name, || fs::mknodat(parent, name, fs::FileType::Fifo, mode, 0), "mknodat")?;
        self.passed += metadata.xattrs.len() as u64;
        settle_at(parent, name, metadata, self.owner)
    }

    fn hardlink(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        if path == target {
            return Err(Error::refused("a hard link to itself"));
        }
        let (old_parent, old_name) = path::split(target);
        // The second look-up may push the first out of the cache, hence a descriptor of our own.
        let old_parent = self.directories.get(old_parent)?.as_fd().try_clone_to_owned().map_err(Error::Read)?;
        let (parent, name) = path::split(path);
        let parent = self.directories.get(parent)?;
        let link = || fs::linkat(&old_parent, old_name, parent, name, AtFlags::empty());
        match replacing(parent, name, link, "linkat") {
            Err(Error::System(_, Errno::NOENT)) => Err(Error::refused("a hard link to what is not there")),
            Err(Error::System(_, Errno::PERM)) => Err(Error::refused("a hard link to a directory")),
            other => other,
        }
    }
}

/// Runs `make`; where something is in its way, that goes first, and is never written through: it may be a hard link.
fn replacing<T>(
    parent: &Directory,
    name: &[u8],
    mut make: impl FnMut() -> rustix::io::Result<T>,
    call: &'static str,
) -> Result<T> {
    match make() {
        Err(Errno::EXIST) => {}
        other => return other.map_err(Error::system(call)),
    }
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => make().map_err(Error::system(call)),
        Err(Errno::ISDIR | Errno::PERM) => Err(Error::refused("something else where the archive has a directory")),
        Err(errno) => Err(Error::System("unlinkat", errno)),
    }
}

fn write(file: BorrowedFd<'_>, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        match rustix::io::write(file, data) {
            Ok(length) => data = &data[length..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::System("write", errno)),
        }
    }
    Ok(())
}

fn chown(fd: BorrowedFd<'_>, metadata: &Metadata, owner: Owner) -> Result<()> {
    if !owner.is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
    fs::fchown(fd, Some(uid), Some(gid)).map_err(Error::system("fchown"))
}

/// Owner and times of what cannot be opened.
fn settle_at(parent: &Directory, name: &[u8], metadata: &Metadata, owner: Owner) -> Result<()> {
    if owner.is_root() {
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::system("fchownat"))?;
    }
    let times = Timestamps { last_access: metadata.mtime, last_modification: metadata.mtime };
    fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::system("utimensat"))
}

/// Sets `user.*`; others but `security.capability` belong to the host that packed. The answer counts what was passed over.
fn set_user_xattrs(fd: BorrowedFd<'_>, metadata: &Metadata) -> Result<u64> {
    let mut passed = 0;
    for (name, value) in &metadata.xattrs {
        // The overlay file system would take these as orders: redirect, opaque, whiteout.
        if name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.") {
            return Err(Error::refused("an extended attribute that is an order to overlayfs"));
        }
        if name.starts_with(b"user.") {
            match fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::NOTSUP) => passed += 1,
                Err(errno) => return Err(Error::System("fsetxattr", errno)),
            }
        } else if name != CAPABILITY {
            passed += 1;
        }
    }
    Ok(passed)
}

fn set_capability(fd: BorrowedFd<'_>, metadata: &Metadata, owner: Owner) -> Result<u64> {
    let Some((name, value)) = metadata.xattrs.iter().find(|(name, _)| name == CAPABILITY) else {
        return Ok(0);
    };
    match fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
        Ok(()) => Ok(0),
        Err(Errno::PERM) if !owner.is_root() => Ok(1),
        Err(errno) => Err(Error::System("fsetxattr", errno)),
    }
}
