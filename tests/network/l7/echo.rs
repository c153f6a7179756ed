//! A backend that says what it was asked: its name, the head of the request as it came, and a digest of the body.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use testbed::Host;

use crate::balancer::{BACKEND_PORT, Family};

/// Runs as long as the test.
#[derive(Clone)]
pub struct Echo {
    requests: Arc<AtomicUsize>,
}

impl Echo {
    /// Starts one on the backends' port of this host.
    pub fn start(host: &Host) -> Self {
        Self::start_at(host, Family::V4)
    }

    /// The same at its address of this family.
    pub fn start_at(host: &Host, family: Family) -> Self {
        let address = (family.address_of(host), BACKEND_PORT);
        let listener = host.enter(|| TcpListener::bind(address)).unwrap().unwrap();
        let name = host.name().to_owned();
        let echo = Self { requests: Arc::default() };
        let kept = echo.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (name, echo) = (name.clone(), kept.clone());
                // A client that goes ends the thread.
                thread::spawn(move || drop(echo.serve(&name, stream)));
            }
        });
        echo
    }

    /// Requests so far, heads at least.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn serve(&self, name: &str, mut stream: TcpStream) -> std::io::Result<()> {
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(head) = head(&mut input)? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            if head.contains("/hang-up") {
                return stream.shutdown(Shutdown::Both);
            }
            if head.to_ascii_lowercase().contains("\nupgrade: websocket\r\n") {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                stream.write_all(answer.as_bytes())?;
                std::io::copy(&mut input, &mut stream)?;
                return stream.shutdown(Shutdown::Write);
            }
            let body = body(&head, &mut input)?;
            let sum: u64 = body.iter().map(|&byte| u64::from(byte)).sum();
            let text = format!("{name}\n{head}body of {} bytes, sum {sum}\n", body.len());
            let sent = if head.starts_with("HEAD ") { "" } else { &text };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sent}", text.len());
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

/// With the empty line at its end; `None` at the end of the connection.
fn head(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn body(head: &str, input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    input.read_exact(&mut body)?;
    if head.contains("transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            input.read_exact(&mut chunk)?;
            if length == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }
    Ok(body)
}
