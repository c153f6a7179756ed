//! A backend that takes requests apart by the letter of RFC 9112, and says what was wrong with the first that is not: a
//! byte too many or too few of one request is the beginning of another client's.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    sync::{Arc, Mutex},
    thread,
};

use testbed::Host;

use crate::servers;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it came.
    Whole,
    /// The connection ended first.
    Cut,
    /// This is no request.
    Wrong(String),
}

/// A request as the backend saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of its connection, from 0.
    pub connection: usize,
    /// What was asked for.
    pub target: String,
    /// Its body as far as it came.
    pub body: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// The backend, as long as the test runs.
#[derive(Clone, Default)]
pub struct Strict(Arc<Mutex<Vec<Seen>>>);

impl Strict {
    /// Serves the backends' port of this host; every request that is whole is answered with `ok`.
    pub fn start(host: &Host) -> Self {
        let (listener, strict) = (servers::listen(host), Self::default());
        let all = strict.clone();
        thread::spawn(move || {
            for (connection, mut stream) in listener.incoming().flatten().enumerate() {
                let all = all.clone();
                thread::spawn(move || {
                    let mut input = BufReader::new(stream.try_clone().unwrap());
                    loop {
                        let mut seen =
                            Seen { connection, target: String::new(), body: Vec::new(), end: End::Whole };
                        let end = read(&mut input, &mut seen);
                        let is_idle = seen.target.is_empty();
                        match end {
                            Ok(()) => {}
                            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                                seen.end = End::Wrong(error.to_string());
                            }
                            // A kept connection may end.
                            Err(_) if is_idle => return,
                            Err(_) => seen.end = End::Cut,
                        }
                        let is_whole = seen.end == End::Whole;
                        all.0.lock().unwrap().push(seen);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        if !is_whole || stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        strict
    }

    /// What was asked for with this target.
    pub fn seen(&self, target: &str) -> Vec<Seen> {
        self.0.lock().unwrap().iter().filter(|seen| seen.target == target).cloned().collect()
    }

    /// What was no request.
    pub fn wrong(&self) -> Vec<Seen> {
        self.0.lock().unwrap().iter().filter(|seen| matches!(seen.end, End::Wrong(_))).cloned().collect()
    }
}

fn wrong<T>(what: &str, bytes: &[u8]) -> io::Result<T> {
    let text = format!("{what}: {}", bytes.escape_ascii());
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// A line that ends with CR LF and has no other control character, without that end.
fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(65_536).read_until(b'\n', &mut line)?;
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return if line.ends_with(b"\n") {
            wrong("a line", &line)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        };
    };
    if text.iter().any(|byte| byte.is_ascii_control()) {
        return wrong("a line", text);
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn read(input: &mut impl BufRead, seen: &mut Seen) -> io::Result<()> {
    let first = line(input)?;
    let words: Vec<_> = first.split(' ').collect();
    match words[..] {
        [method, target, "HTTP/1.1"]
            if !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase()) =>
        {
            target.clone_into(&mut seen.target);
        }
        _ => return wrong("a request's line", first.as_bytes()),
    }
    let (mut length, mut is_chunked, mut hosts) = (None, false, 0);
    loop {
        let field = line(input)?;
        if field.is_empty() {
            break;
        }
        let Some((name, value)) = field.split_once(": ") else { return wrong("a field", field.as_bytes()) };
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "content-length" if length.is_none() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                length = value.parse::<usize>().ok();
            }
            "transfer-encoding" if !is_chunked && value == "chunked" => is_chunked = true,
            "content-length" | "transfer-encoding" => return wrong("framing", field.as_bytes()),
            _ => {}
        }
    }
    if hosts != 1 || (is_chunked && length.is_some()) {
        return wrong("a head", first.as_bytes());
    }
    if !is_chunked {
        return take(input, length.unwrap_or(0), &mut seen.body);
    }
    loop {
        let size = line(input)?;
        let is_size = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(count) = usize::from_str_radix(&size, 16).ok().filter(|_| is_size) else {
            return wrong("a chunk's size", size.as_bytes());
        };
        take(input, count, &mut seen.body)?;
        let end = line(input)?;
        if !end.is_empty() {
            return wrong("behind a chunk", end.as_bytes());
        }
        if count == 0 {
            return Ok(());
        }
    }
}

/// Appends so many bytes, or those that come before the end.
fn take(input: &mut impl BufRead, count: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let taken = input.take(count as u64).read_to_end(body)?;
    if taken < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
