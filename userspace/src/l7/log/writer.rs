//! The thread that writes access logs. It takes what has gathered and writes it at once, so that a busy log costs one
//! system call for many lines and a quiet one shows a line immediately.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::Receiver,
    },
};

/// How much of one file is gathered before it is written.
const BATCH: usize = 256 * 1024;

/// What the thread and those who write to it share, beside the messages.
#[derive(Default)]
pub(super) struct Waiting {
    /// Bytes of the lines that wait.
    pub(super) bytes: AtomicUsize,
    /// Whether the files are to be opened again.
    pub(super) reopen: AtomicBool,
}

/// What the thread is told.
pub(super) enum Message {
    /// A line for a file, newline included.
    Line(Arc<LogFile>, Vec<u8>),
    /// There is something else to do.
    Wake,
    /// Write what there is and end.
    Stop,
}

/// A file that logs go to.
pub(super) struct LogFile {
    path: PathBuf,
    /// Records that are lost.
    pub(super) dropped: AtomicU64,
    /// Only the writer uses it.
    output: Mutex<Output>,
}

struct Output {
    file: File,
    batch: Vec<u8>,
    /// Whether the last write failed.
    failing: bool,
    /// Whether that left the file within a line.
    torn: bool,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let output = Output { file: append_to(path)?, batch: Vec::new(), failing: false, torn: false };
        Ok(Self { path: path.into(), dropped: AtomicU64::new(0), output: Mutex::new(output) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn add(&self, line: &[u8]) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.batch.extend(line);
        if output.batch.len() >= BATCH {
            self.write(&mut output);
        }
    }

    fn flush(&self) {
        self.write(&mut self.output.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn reopen(&self) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut output);
        match append_to(&self.path) {
            Ok(file) => (output.file, output.torn) = (file, false),
            Err(error) => tracing::warn!("{error}; its lines go on to the file that was open"),
        }
    }

    fn write(&self, output: &mut Output) {
        if output.batch.is_empty() {
            return;
        }
        if output.torn {
            output.batch.insert(0, b'\n');
        }
        let (written, result) = write_all(&mut output.file, &output.batch);
        if written > 0 {
            output.torn = output.batch[written - 1] != b'\n';
        }
        if let Err(error) = &result {
            let lost = output.batch[written..].iter().filter(|&&byte| byte == b'\n').count();
            self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
            if !output.failing {
                let path = self.path.display();
                tracing::warn!("cannot write to access log {path}: {error}; lines are lost until it can");
            }
        }
        output.failing = result.is_err();
        output.batch.clear();
    }
}

/// Writes as much as it can, and says how much that was.
fn write_all(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot open access log {}: {error}", path.display()))
    })
}

/// All files that are open, by path.
pub(super) type Files = Mutex<BTreeMap<PathBuf, Weak<LogFile>>>;

/// Writes until it is told to stop.
pub(super) fn run(receiver: &Receiver<Message>, queue: &Waiting, files: &Files) {
    let mut touched: Vec<Arc<LogFile>> = Vec::new();
    let mut running = true;
    while running && let Ok(first) = receiver.recv() {
        for message in std::iter::once(first).chain(receiver.try_iter()) {
            if queue.reopen.swap(false, Ordering::Acquire) {
                let files = files.lock().unwrap_or_else(PoisonError::into_inner);
                files.values().filter_map(Weak::upgrade).for_each(|file| file.reopen());
            }
            match message {
                Message::Line(file, line) => {
                    queue.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                    file.add(&line);
                    if !touched.iter().any(|other| Arc::ptr_eq(other, &file)) {
                        touched.push(file);
                    }
                }
                Message::Wake => {}
                Message::Stop => {
                    running = false;
                    break;
                }
            }
        }
        touched.drain(..).for_each(|file| file.flush());
    }
}
