// SPDX-License-Identifier: Apache-2.0
//! The caps on foreign data (SECURITY.md, "Input limits"), in one place so that each has a name.

/// Bytes of the uncompressed archive, and of the compressed one.
pub const ARCHIVE_BYTES: u64 = 20 << 30;
/// Entries, directories that are only implied by a path included.
pub const ENTRIES: u64 = 2_000_000;
/// Bytes of a path; `PATH_MAX` counts the terminating NUL.
pub const PATH_BYTES: usize = 4095;
/// Bytes of one component of a path.
pub const NAME_BYTES: usize = 255;
/// Uncompressed bytes from which on the ratio is watched: small archives of zeros are no bombs.
pub const RATIO_FREE_BYTES: u64 = 100 << 20;
/// Uncompressed bytes for each compressed one.
pub const RATIO: u64 = 200;
/// Bytes of one PAX extended header.
pub const PAX_BYTES: u64 = 1 << 20;
/// Extended attributes of one entry, and bytes of a value (the kernel's `XATTR_SIZE_MAX`).
pub const XATTRS: usize = 64;
pub const XATTR_BYTES: usize = 64 << 10;
/// Open directories that are remembered.
pub const OPEN_DIRECTORIES: usize = 64;
/// Writable private memory of the process (`RLIMIT_DATA`).
pub const MEMORY_BYTES: u64 = 64 << 20;
/// Descriptors: the cache above and a few.
pub const DESCRIPTORS: u64 = 128;
