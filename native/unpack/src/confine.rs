// SPDX-License-Identifier: Apache-2.0
//! What this program gives up before it reads the first byte: a hostile archive that takes it over gets a process that can
//! write below one directory, and nothing else.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{Error, Result};
use crate::limits;

/// For owners, for directories of other owners, for modes and times, and for `security.capability`.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Gives up all that unpacking into `target` does not need. Returns the version of Landlock in force, 0 for none.
pub fn enter(target: BorrowedFd<'_>) -> Result<u32> {
    close_others(target)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Error::system("prctl"))?;
    rustix::thread::set_no_new_privs(true).map_err(Error::system("prctl"))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    limit(Resource::Core, 0)?;
    limit(Resource::Data, limits::MEMORY_BYTES)?;
    limit(Resource::Nofile, limits::DESCRIPTORS)?;
    limit(Resource::Fsize, limits::ARCHIVE_BYTES)?;
    drop_capabilities()?;
    landlock::restrict(target)
}

/// No further process or thread: to be called when the reading thread runs.
pub fn seal() -> Result<()> {
    limit(Resource::Nproc, 0)
}

fn limit(resource: Resource, value: u64) -> Result<()> {
    // A limit that the caller set lower stays.
    let now = rustix::process::getrlimit(resource);
    let value = now.maximum.map_or(value, |maximum| maximum.min(value));
    rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .map_err(Error::system("setrlimit"))
}

fn drop_capabilities() -> Result<()> {
    let have = rustix::thread::capabilities(None).map_err(Error::system("capget"))?;
    let keep = have.permitted & CAPABILITIES;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(Error::system("capset"))
}

fn close_others(target: BorrowedFd<'_>) -> Result<()> {
    let target = target.as_raw_fd();
    if target < 3 {
        return Err(Error::Usage("the target's descriptor must be above 2"));
    }
    if target > 3 {
        close_range(3, target - 1)?;
    }
    close_range(target + 1, i32::MAX)
}

fn close_range(first: i32, last: i32) -> Result<()> {
    // SAFETY: the call takes three integers. Rust owns no descriptor in the range yet: this runs before anything is opened.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(Error::System("close_range", last_error())) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

mod landlock {
    //! The three system calls of Landlock (landlock(7)); glibc has no wrappers.

    use super::{AsRawFd, BorrowedFd, Error, Result, last_error};

    const CREATE_RULESET_VERSION: u32 = 1;
    const RULE_PATH_BENEATH: i32 = 1;

    const WRITE_FILE: u64 = 1 << 1;
    const READ_DIR: u64 = 1 << 3;
    const REMOVE_FILE: u64 = 1 << 5;
    const MAKE_DIR: u64 = 1 << 7;
    const MAKE_REG: u64 = 1 << 8;
    const MAKE_FIFO: u64 = 1 << 10;
    const MAKE_SYM: u64 = 1 << 12;
    const REFER: u64 = 1 << 13;
    const TRUNCATE: u64 = 1 << 14;
    const ALLOWED: u64 =
        WRITE_FILE | READ_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE;

    #[repr(C)]
    struct RulesetAttr {
        access_fs: u64,
        access_net: u64,
        scoped: u64,
    }

    #[repr(C, packed)]
    struct PathBeneathAttr {
        access: u64,
        parent_fd: i32,
    }

    /// Every right that a version knows is handled, and so refused unless allowed.
    fn ruleset(version: u32) -> (RulesetAttr, usize) {
        let (rights, size) = match version {
            0 | 1 => (13, 8),
            2 => (14, 8),
            3 => (15, 8),
            4 => (15, 16),
            5 => (16, 16),
            _ => (16, 24),
        };
        let access_fs = (1 << rights) - 1;
        (RulesetAttr { access_fs, access_net: 3, scoped: 3 }, size)
    }

    /// Returns the version in force; 0 where the kernel has no Landlock, which the other barriers have to make up for.
    pub fn restrict(target: BorrowedFd<'_>) -> Result<u32> {
        // SAFETY: asks for the version; with this flag the kernel wants no attributes and reads no memory.
        let version =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, CREATE_RULESET_VERSION) };
        let Ok(version @ 1..) = u32::try_from(version) else {
            return Ok(0);
        };
        let (attr, size) = ruleset(version);
        // SAFETY: `attr` is laid out as the kernel's struct and lives through the call; `size` is at most its size.
        let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0) };
        check("landlock_create_ruleset", fd)?;
        let rule = PathBeneathAttr { access: ALLOWED & attr.access_fs, parent_fd: target.as_raw_fd() };
        // SAFETY: `rule` is laid out as the kernel's packed struct and lives through the call.
        let added = unsafe { libc::syscall(libc::SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &raw const rule, 0) };
        check("landlock_add_rule", added)?;
        // SAFETY: takes a descriptor and flags.
        let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd, 0) };
        check("landlock_restrict_self", restricted)?;
        // SAFETY: `fd` was made above, and nobody else owns it.
        let closed = unsafe { libc::syscall(libc::SYS_close, fd) };
        check("close", closed)?;
        Ok(version)
    }

    fn check(call: &'static str, result: libc::c_long) -> Result<()> {
        if result >= 0 { Ok(()) } else { Err(Error::System(call, last_error())) }
    }
}
