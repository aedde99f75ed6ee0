// SPDX-License-Identifier: Apache-2.0
//! The archive as a stream of uncompressed bytes. Reading, inflating and hashing run in a thread of their own, so that
//! they overlap with the file system calls of the unpacking thread; a bounded channel of recycled buffers joins them.

use std::cell::Cell;
use std::io::{BufReader, Cursor, Read};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::header::{BLOCK, Block};
use crate::limits;

const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 8;
const STACK: usize = 512 << 10;

enum Message {
    Data(Vec<u8>),
    End(Summary),
    Failed(Error),
}

/// What is known of the archive once every byte has been read.
pub struct Summary {
    pub bytes: u64,
    /// Of the uncompressed archive: the layer's diff id.
    pub digest: [u8; 32],
}

/// The unpacking thread's end.
pub struct Source {
    messages: Receiver<Message>,
    spent: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    position: usize,
    summary: Option<Summary>,
}

impl Source {
    /// Starts the reading thread. What confines a thread must be in force before; the new thread inherits it.
    pub fn start(input: impl Read + Send + 'static) -> Result<Source> {
        let (sender, messages) = sync_channel(CHUNKS);
        let (spent, recycled) = channel();
        std::thread::Builder::new()
            .name("inflate".into())
            .stack_size(STACK)
            .spawn(move || {
                let last = match pump(input, &sender, &recycled) {
                    Ok(summary) => Message::End(summary),
                    Err(error) => Message::Failed(error),
                };
                // Nobody listens any more when the unpacking thread failed first.
                let _ = sender.send(last);
            })
            .map_err(Error::Read)?;
        Ok(Source { messages, spent, chunk: Vec::new(), position: 0, summary: None })
    }

    /// At most `limit` of the next bytes; empty at the end of the archive.
    pub fn some(&mut self, limit: u64) -> Result<&[u8]> {
        while self.position == self.chunk.len() && self.summary.is_none() {
            self.advance()?;
        }
        let available = self.chunk.len() - self.position;
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(available);
        let start = self.position;
        self.position += length;
        Ok(&self.chunk[start..start + length])
    }

    fn advance(&mut self) -> Result<()> {
        let spent = std::mem::take(&mut self.chunk);
        let _ = self.spent.send(spent);
        self.position = 0;
        match self.messages.recv() {
            Ok(Message::Data(chunk)) => self.chunk = chunk,
            Ok(Message::End(summary)) => self.summary = Some(summary),
            Ok(Message::Failed(error)) => return Err(error),
            Err(_) => return Err(Error::Stream("the reading thread ended".into())),
        }
        Ok(())
    }

    /// The next block, or nothing at the end of the archive.
    pub fn block(&mut self) -> Result<Option<Block>> {
        let mut block = [0u8; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let part = self.some((BLOCK - filled) as u64)?;
            if part.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(Error::Truncated("inside a block")) };
            }
            block[filled..filled + part.len()].copy_from_slice(part);
            filled += part.len();
        }
        Ok(Some(block))
    }

    /// Hands the `size` bytes of an entry's content to `sink`, and passes over the padding behind them.
    pub fn content(&mut self, size: u64, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let part = self.some(left)?;
            if part.is_empty() {
                return Err(Error::Truncated("inside an entry"));
            }
            left -= part.len() as u64;
            sink(part)?;
        }
        let mut padding = size.next_multiple_of(BLOCK as u64) - size;
        while padding > 0 {
            let part = self.some(padding)?.len() as u64;
            if part == 0 {
                return Err(Error::Truncated("inside an entry's padding"));
            }
            padding -= part;
        }
        Ok(())
    }

    /// Reads on to the end behind the end mark, where there may be nothing but zeros.
    pub fn finish(mut self) -> Result<Summary> {
        loop {
            let part = self.some(u64::MAX)?;
            if part.iter().any(|&byte| byte != 0) {
                return Err(Error::refused("data behind the end of the archive"));
            }
            if let Some(summary) = self.summary {
                return Ok(summary);
            }
        }
    }
}

/// Counts what the decompressor takes in: the denominator of the ratio.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}

fn pump(mut input: impl Read, sender: &SyncSender<Message>, recycled: &Receiver<Vec<u8>>) -> Result<Summary> {
    let mut magic = Vec::new();
    input.by_ref().take(6).read_to_end(&mut magic).map_err(Error::Read)?;
    let is_gzip = recognise(&magic)?;
    let count = Rc::new(Cell::new(0));
    let counted = Counted { inner: Cursor::new(magic).chain(input), count: Rc::clone(&count) };
    let buffered = BufReader::with_capacity(CHUNK, counted);
    if is_gzip {
        forward(MultiGzDecoder::new(buffered), Some(&count), sender, recycled)
    } else {
        forward(buffered, None, sender, recycled)
    }
}

/// Whether the stream is gzip; what is neither gzip nor plain is named.
fn recognise(magic: &[u8]) -> Result<bool> {
    let other = match magic {
        [] => return Err(Error::Truncated("before its first byte")),
        [0x1f, 0x8b, ..] => return Ok(true),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [b'P', b'K', 3, 4, ..] => "zip",
        _ => return Ok(false),
    };
    Err(Error::Stream(format!("{other} is not supported; plain and gzip archives are")))
}

fn forward(
    mut from: impl Read,
    compressed: Option<&Cell<u64>>,
    sender: &SyncSender<Message>,
    recycled: &Receiver<Vec<u8>>,
) -> Result<Summary> {
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    loop {
        let mut chunk = recycled.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let length = fill(&mut from, &mut chunk).map_err(|error| match compressed {
            Some(_) => inflate_error(error),
            None => Error::Read(error),
        })?;
        if length == 0 {
            return Ok(Summary { bytes, digest: hash.finalize().into() });
        }
        chunk.truncate(length);
        bytes += length as u64;
        watch(bytes, compressed)?;
        hash.update(&chunk);
        if sender.send(Message::Data(chunk)).is_err() {
            return Err(Error::Stream("the unpacking thread ended".into()));
        }
    }
}

fn fill(from: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match from.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn inflate_error(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Truncated("inside the gzip stream"),
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => Error::Stream(format!("gzip: {error}")),
        _ => Error::Read(error),
    }
}

fn watch(bytes: u64, compressed: Option<&Cell<u64>>) -> Result<()> {
    if bytes > limits::ARCHIVE_BYTES {
        return Err(Error::limit(format!("an archive of more than {} GiB", limits::ARCHIVE_BYTES >> 30)));
    }
    let Some(compressed) = compressed else { return Ok(()) };
    if compressed.get() > limits::ARCHIVE_BYTES {
        return Err(Error::limit(format!("a compressed archive of more than {} GiB", limits::ARCHIVE_BYTES >> 30)));
    }
    if bytes > limits::RATIO_FREE_BYTES && bytes / limits::RATIO > compressed.get() {
        return Err(Error::limit(format!("more than {} bytes for each compressed one", limits::RATIO)));
    }
    Ok(())
}
