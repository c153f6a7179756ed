//! A backend that answers what a test says, and a client that reads one answer after the other.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
};

use testbed::Host;

use crate::{balancer::DEADLINE, servers};

/// Serves the backends' port of this host as long as the test runs: each request, without a body, is answered with what
/// `answer` makes of its head and its number on its connection, from 1. Nothing ends the connection.
pub fn serve(host: &Host, answer: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) {
    let (listener, answer) = (servers::listen(host), Arc::new(answer));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut input = BufReader::new(stream.try_clone().unwrap());
                for number in 1.. {
                    let head = head(&mut input);
                    let bytes = if head.is_empty() { Vec::new() } else { answer(&head, number) };
                    // A client that goes ends the thread.
                    if bytes.is_empty() || stream.write_all(&bytes).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// The same where a test says all: `answer` has each connection, on a thread of its own.
pub fn serve_connections(host: &Host, answer: impl Fn(TcpStream) -> Option<()> + Send + Copy + 'static) {
    let listener = servers::listen(host);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
}

/// An answer with this text.
pub fn ok(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

/// An answer as a client reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// With interim ones before it.
    pub statuses: Vec<u16>,
    /// In lower case and order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.statuses.last().copied().unwrap_or(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A client's connection.
pub struct Client {
    stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Client {
    /// Connects from this host.
    pub fn connect(host: &Host, to: SocketAddr) -> Self {
        let stream = host.enter(|| TcpStream::connect(to)).unwrap().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { input: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// Its socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request and reads its answer; an empty one if the connection ends.
    pub fn ask(&mut self, request: &[u8]) -> Answer {
        // It may be refused before all of it is sent.
        let _ = self.stream.write_all(request);
        let mut answer = Answer::default();
        loop {
            let head = head(&mut self.input);
            let Some(status) = head.split(' ').nth(1).and_then(|status| status.parse().ok()) else {
                return answer;
            };
            answer.statuses.push(status);
            answer.headers = headers(&head);
            if status == 101 || status >= 200 {
                break;
            }
        }
        let has_none = request.starts_with(b"HEAD ") || [101, 204, 304].contains(&answer.status());
        if !has_none {
            answer.body = self.body(&answer);
        }
        answer
    }

    fn body(&mut self, answer: &Answer) -> Vec<u8> {
        let mut body = Vec::new();
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut line = String::new();
                self.input.read_line(&mut line).unwrap();
                let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
                if length == 0 {
                    head(&mut self.input);
                    return body;
                }
                let mut chunk = vec![0; length + 2];
                self.input.read_exact(&mut chunk).unwrap();
                body.extend_from_slice(&chunk[..length]);
            }
        }
        match answer.header("content-length") {
            Some(length) => {
                body.resize(length.parse().unwrap(), 0);
                self.input.read_exact(&mut body).unwrap();
            }
            None => drop(self.input.read_to_end(&mut body)),
        }
        body
    }
}

/// A head with the empty line at its end, or what is there before the connection ends.
pub fn head(input: &mut impl BufRead) -> String {
    let mut head = Vec::new();
    while head != b"\r\n" && !head.ends_with(b"\r\n\r\n") {
        if !input.read_until(b'\n', &mut head).is_ok_and(|length| length > 0) {
            break;
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The headers of a head.
pub fn headers(head: &str) -> Vec<(String, String)> {
    let lines = head.lines().skip(1).take_while(|line| !line.is_empty());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let mut headers: Vec<_> =
        pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    headers.sort();
    headers
}
