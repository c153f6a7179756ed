//! Access logs: one line per request and load balancer, written by a thread of their own. The request path hands over
//! a finished line and goes on; if there is no room for it, it is dropped and counted.
//!
//! ```text
//! record   what is known of a request
//!   → line or json   as one line, its bytes made harmless by escape
//!   → writer   to the file
//! ```

mod escape;
mod json;
mod line;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt, io,
    sync::{
        Arc, PoisonError, Weak,
        atomic::Ordering,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use model::edge::{AccessLog, LogFormat};

pub use self::record::{Attempt, Record, TlsRecord};
use self::writer::{Files, LogFile, Message, Waiting};
use super::threads::give_up_privileges;

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 16_384;
/// Bytes of them.
const QUEUE_BYTES: usize = 16 << 20;

/// All access logs of this process and the thread that writes them. Dropping it writes what waits.
pub struct Logs {
    queue: Queue,
    files: Arc<Files>,
    thread: Option<JoinHandle<()>>,
}

/// The way to the writer.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Message>,
    waiting: Arc<Waiting>,
}

impl Logs {
    /// Starts the thread.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_LINES);
        let queue = Queue { sender, waiting: Arc::default() };
        let files: Arc<Files> = Arc::default();
        let (waiting, all) = (queue.waiting.clone(), files.clone());
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            give_up_privileges();
            writer::run(&receiver, &waiting, &all);
        })?;
        Ok(Self { queue, files, thread: Some(thread) })
    }

    /// Opens a log, which is made if it is not there. Those with the same path share the file.
    ///
    /// # Errors
    /// The file cannot be opened; the error names it.
    pub fn open(&self, settings: &AccessLog) -> io::Result<Log> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, file| file.strong_count() > 0);
        let path = settings.path.as_path();
        let file = match files.get(path).and_then(Weak::upgrade) {
            Some(file) => file,
            None => {
                let file = Arc::new(LogFile::open(path)?);
                files.insert(path.to_owned(), Arc::downgrade(&file));
                file
            }
        };
        Ok(Log { file, format: settings.format, queue: self.queue.clone() })
    }

    /// Opens all files again by their paths, for those that were moved away. Lines that come later go there.
    pub fn reopen(&self) {
        self.queue.waiting.reopen.store(true, Ordering::Release);
        // Only so that it happens now; a full queue has the writer awake.
        let _ = self.queue.sender.try_send(Message::Wake);
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if self.queue.sender.send(Message::Stop).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// One load balancer's access log.
#[derive(Clone)]
pub struct Log {
    file: Arc<LogFile>,
    format: LogFormat,
    queue: Queue,
}

impl Log {
    /// Writes a record down, or counts it as dropped. Does not wait.
    pub fn write(&self, record: &Record<'_>) {
        let mut text = Vec::with_capacity(640);
        match self.format {
            LogFormat::Line => line::write(record, &mut text),
            LogFormat::Json => json::write(record, &mut text),
        }
        let length = text.len();
        let waiting = self.queue.waiting.bytes.fetch_add(length, Ordering::Relaxed);
        let sent = waiting + length <= QUEUE_BYTES
            && self.queue.sender.try_send(Message::Line(self.file.clone(), text)).is_ok();
        if !sent {
            self.queue.waiting.bytes.fetch_sub(length, Ordering::Relaxed);
            self.file.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many records its file has lost: the writer or the disk was too slow, or the disk full.
    pub fn dropped(&self) -> u64 {
        self.file.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.file.path())
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
