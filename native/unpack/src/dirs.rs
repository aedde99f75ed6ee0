// SPDX-License-Identifier: Apache-2.0
//! Open directories below the target, by path: the only way by which anything there is reached.
//!
//! The cache is small and forgets. It can, because a directory carries its own record: its modification time is read when
//! it is opened and put back when it leaves the cache, so that memory stays the same for two million directories.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::limits;
use crate::path;

/// Nothing that an archive made may lead anywhere: no link is followed, no mount crossed, no way leads up.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// What an implied directory gets: the archive says nothing, and the same archive must give the same tree.
const IMPLIED_MODE: u32 = 0o755;
const IMPLIED_MTIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

pub struct Directory {
    fd: OwnedFd,
    /// What the archive wants, against what our own work in it leaves behind.
    mtime: Timespec,
    /// New entries get this directory's group instead of ours.
    pub passes_group: bool,
    used: u64,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub struct Directories {
    root: Directory,
    open: HashMap<Vec<u8>, Directory>,
    clock: u64,
    /// Directories made because a path implied them.
    pub implied: u64,
}

impl Directories {
    pub fn new(target: OwnedFd) -> Result<Directories> {
        let root = Directory { mtime: IMPLIED_MTIME, ..opened(target, 0)? };
        Ok(Directories { root, open: HashMap::new(), clock: 0, implied: 0 })
    }

    /// The directory at `path`; it and its parents are made where they are missing.
    pub fn get(&mut self, path: &[u8]) -> Result<&Directory> {
        self.get_mut(path).map(|directory| &*directory)
    }

    fn get_mut(&mut self, path: &[u8]) -> Result<&mut Directory> {
        if path.is_empty() {
            return Ok(&mut self.root);
        }
        self.clock += 1;
        if !self.open.contains_key(path) {
            let fd = self.open_or_imply(path)?;
            self.remember(path, fd)?;
        }
        match self.open.get_mut(path) {
            Some(directory) => {
                directory.used = self.clock;
                Ok(directory)
            }
            None => Err(Error::System("openat2", Errno::NOENT)),
        }
    }

    fn open_or_imply(&mut self, path: &[u8]) -> Result<OwnedFd> {
        match open_below(self.root.as_fd(), path) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(not_a_directory),
        }
        let (parent, name) = path::split(path);
        let parent = self.get(parent)?;
        fs::mkdirat(parent, name, Mode::from_raw_mode(IMPLIED_MODE)).map_err(Error::system("mkdirat"))?;
        let fd = open_below(parent.as_fd(), name).map_err(not_a_directory)?;
        fs::fchmod(&fd, Mode::from_raw_mode(IMPLIED_MODE)).map_err(Error::system("fchmod"))?;
        set_times(fd.as_fd(), IMPLIED_MTIME)?;
        self.implied += 1;
        Ok(fd)
    }

    fn remember(&mut self, path: &[u8], fd: OwnedFd) -> Result<()> {
        if self.open.len() >= limits::OPEN_DIRECTORIES {
            let oldest = self.open.iter().min_by_key(|(_, directory)| directory.used).map(|(path, _)| path.clone());
            if let Some(directory) = oldest.and_then(|path| self.open.remove(&path)) {
                set_times(directory.as_fd(), directory.mtime)?;
            }
        }
        let directory = opened(fd, self.clock)?;
        self.open.insert(path.to_vec(), directory);
        Ok(())
    }

    /// Makes the directory that an entry names, or takes the one that is there. Whether it was made is the answer.
    pub fn make(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = path::split(path);
        if path.is_empty() {
            return Ok(());
        }
        match fs::mkdirat(self.get(parent)?, name, Mode::RWXU) {
            // Whether it is a directory that exists there shows when it is opened.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::System("mkdirat", errno)),
        }
    }

    /// Says what a directory is to be like once everything in it has been made.
    pub fn settle(&mut self, path: &[u8], mode: u32, mtime: Timespec) -> Result<()> {
        let directory = self.get_mut(path)?;
        fs::fchmod(&*directory, Mode::from_raw_mode(mode)).map_err(Error::system("fchmod"))?;
        directory.mtime = mtime;
        directory.passes_group = mode & 0o2000 != 0;
        Ok(())
    }

    /// Puts the times of everything that is still open in place.
    pub fn finish(&mut self) -> Result<()> {
        for (_, directory) in self.open.drain() {
            set_times(directory.as_fd(), directory.mtime)?;
        }
        set_times(self.root.as_fd(), self.root.mtime)
    }
}

fn open_below(directory: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    // Without NOFOLLOW, which would make a link at the end look like any other thing that is no directory.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat2(directory, path, flags, Mode::empty(), RESOLVE)
}

/// Makes a regular file that was not there before.
pub fn create_file(directory: &Directory, name: &[u8], mode: u32) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat2(directory, name, flags, Mode::from_raw_mode(mode), RESOLVE)
}

/// `openat2` answers in errno what an archive is up to.
fn not_a_directory(errno: Errno) -> Error {
    match errno {
        Errno::LOOP => Error::refused("a path that leads through a symbolic link"),
        Errno::NOTDIR => Error::refused("a directory where the archive has something else"),
        Errno::XDEV => Error::refused("a path that leads out of the target"),
        _ => Error::System("openat2", errno),
    }
}

fn opened(fd: OwnedFd, used: u64) -> Result<Directory> {
    let stat = fs::fstat(&fd).map_err(Error::system("fstat"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::Usage("the target is no directory"));
    }
    let mtime = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Ok(Directory { fd, mtime, passes_group: stat.st_mode & 0o2000 != 0, used })
}

pub fn set_times(fd: BorrowedFd<'_>, mtime: Timespec) -> Result<()> {
    fs::futimens(fd, &Timestamps { last_access: mtime, last_modification: mtime }).map_err(Error::system("futimens"))
}
