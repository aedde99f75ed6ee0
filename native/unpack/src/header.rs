// SPDX-License-Identifier: Apache-2.0
//! One header block of 512 bytes: POSIX ustar, GNU, star or V7.

use crate::error::{Error, Result};

pub const BLOCK: usize = 512;
pub type Block = [u8; BLOCK];

/// The fields of a header block whose checksum was right.
pub struct Header {
    pub kind: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: i64,
    /// V7 archives have no type of their own for a directory: a trailing slash says it.
    pub is_v7: bool,
}

pub fn is_zero(block: &Block) -> bool {
    block.iter().all(|&byte| byte == 0)
}

pub fn parse(block: &Block) -> Result<Header> {
    check_sum(block)?;
    let posix = &block[257..263] == b"ustar\0";
    let gnu = &block[257..265] == b"ustar  \0";
    let mut name = text(&block[0..100]).to_vec();
    if posix {
        // star keeps times behind a shorter prefix.
        let end = if &block[508..512] == b"tar\0" { 476 } else { 500 };
        let prefix = text(&block[345..end]);
        if !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
    }
    Ok(Header {
        kind: block[156],
        name,
        link: text(&block[157..257]).to_vec(),
        mode: (natural(&block[100..108], "mode")? & 0o7777) as u32,
        uid: natural(&block[108..116], "uid")?,
        gid: natural(&block[116..124], "gid")?,
        size: natural(&block[124..136], "size")?,
        mtime: number(&block[136..148], "mtime")?,
        is_v7: !posix && !gnu,
    })
}

/// The sum of all bytes, the field itself taken as spaces. Some old archivers summed signed bytes.
fn check_sum(block: &Block) -> Result<()> {
    let mut unsigned = 0i64;
    let mut signed = 0i64;
    for (index, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&index) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    let stored = number(&block[148..156], "checksum")?;
    if stored == unsigned || stored == signed {
        return Ok(());
    }
    Err(Error::malformed("a header whose checksum is wrong"))
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

fn natural(field: &[u8], what: &str) -> Result<u64> {
    u64::try_from(number(field, what)?).map_err(|_| Error::malformed(format!("a negative {what}")))
}

/// Octal text, or GNU's base 256 when the first bit is set (two's complement).
fn number(field: &[u8], what: &str) -> Result<i64> {
    if field[0] & 0x80 != 0 {
        return base256(field, what);
    }
    let mut value = 0i64;
    for &digit in text(field).trim_ascii() {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(Error::malformed(format!("a {what} that is no number")));
        }
        // A field has at most twelve digits: 36 bits.
        value = value << 3 | i64::from(digit - b'0');
    }
    Ok(value)
}

fn base256(field: &[u8], what: &str) -> Result<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value = if negative { -1i128 } else { 0 };
    for (index, &byte) in field.iter().enumerate() {
        let byte = if index == 0 && !negative { byte & 0x7f } else { byte };
        value = value << 8 | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| Error::malformed(format!("a {what} that is out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"   644 \0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"\0\0\0\0\0\0\0\0", "mode").unwrap(), 0);
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0", "size").unwrap(), 256);
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe", "mtime").unwrap(), -2);
        assert!(number(b"00x0644\0", "mode").is_err());
        assert!(number(b"-0000644", "mode").is_err());
        assert!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size").is_err());
        assert!(natural(b"\xff\xff\xff\xff\xff\xff\xff\xff", "uid").is_err());
    }

    #[test]
    fn a_wrong_checksum_is_found() {
        let mut block = [0u8; BLOCK];
        block[0] = b'x';
        assert!(parse(&block).is_err());
        block[148..156].copy_from_slice(b"000570\0 ");
        assert!(parse(&block).is_ok());
    }
}
