//! A way to the listener that takes longer: a relay delays what passes, and holds all of it meanwhile, so that nothing but
//! the ends keeps the rate down.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use testbed::Host;

/// Where `to` is found by a way that adds so much to a round trip, from the same host.
pub fn start(client: &Host, to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = client.enter(|| TcpListener::bind((client.address(), 0))).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let connect = client.enter(|| TcpStream::connect(to)).unwrap().unwrap();
    thread::spawn(move || {
        let (from, _) = listener.accept().unwrap();
        pass_on(from.try_clone().unwrap(), connect.try_clone().unwrap(), delay / 2);
        pass_on(connect, from, delay / 2);
    });
    address
}

/// Passes on what comes from `from` to `to`, so much later.
fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (late, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (at, piece) in pieces {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                return;
            }
        }
        // The other end knows by that, too.
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let _ = late.send((Instant::now() + delay, buffer[..count].to_vec()));
        }
    });
}
