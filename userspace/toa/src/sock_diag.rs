//! What a BPF map keeps of the TCP sockets in a network namespace, asked of the kernel by netlink (`sock_diag(7)`,
//! `INET_DIAG_REQ_SK_BPF_STORAGES`, Linux 5.7): no BPF program runs for it, so no policy against tracing forbids it.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    thread,
};

use netlink_packet_core::{
    DecodeError, DoneBuffer, ErrorBuffer, NLA_HEADER_SIZE, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use nix::{
    errno::Errno,
    libc::{AF_INET, AF_INET6, IPPROTO_TCP},
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};
use zerocopy::{Immutable, IntoBytes};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// Bytes of `struct inet_diag_msg`, behind which the attributes of a socket are.
const SOCKET_LEN: usize = 72;
/// `INET_DIAG_REQ_SK_BPF_STORAGES` of `linux/inet_diag.h`, the attribute of a request.
const WANTED_STORAGES: u16 = 2;
/// `SK_DIAG_BPF_STORAGE_REQ_MAP_FD` of `linux/sock_diag.h`, inside of that.
const WANTED_MAP: u16 = 1;
/// `INET_DIAG_SK_BPF_STORAGES`, the attribute of a socket; `SK_DIAG_BPF_STORAGE` inside of that, one for each map; and
/// `SK_DIAG_BPF_STORAGE_MAP_VALUE` inside of that.
const VALUE: [u16; 3] = [20, 1, 3];

/// States in which a socket has storage and both of its ends (`enum` in `net/tcp_states.h`): `ESTABLISHED`, `SYN_RECV`
/// (of a fast open), `FIN_WAIT1`, `FIN_WAIT2`, `CLOSE_WAIT`, `LAST_ACK`, `CLOSING`.
const STATES: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// The kernel packs a dump into messages of at most 32 KiB.
const BUFFER_LEN: usize = 32 << 10;

/// `struct nlmsghdr`, `struct inet_diag_req_v2` and its one attribute, in host order.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Request {
    len: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    family: u8,
    protocol: u8,
    extensions: u8,
    reserved: u8,
    states: u32,
    /// Of one socket; a dump has none.
    id: [u8; 48],
    storages: [u16; 2],
    map: [u16; 2],
    map_fd: i32,
}

impl Request {
    fn new(family: u8, map: BorrowedFd<'_>) -> Self {
        Self {
            len: size_of::<Self>() as u32,
            kind: BY_FAMILY,
            flags: NLM_F_REQUEST | NLM_F_DUMP,
            sequence: 0,
            port: 0,
            family,
            protocol: IPPROTO_TCP as u8,
            extensions: 0,
            reserved: 0,
            states: STATES,
            id: [0; 48],
            storages: [12, WANTED_STORAGES],
            map: [8, WANTED_MAP],
            map_fd: map.as_raw_fd(),
        }
    }
}

/// Hands over the values of `map`, a socket storage, of all connections in a network namespace: once for each, unless
/// connections come and go meanwhile.
///
/// # Errors
/// The namespace cannot be entered; the kernel lists no sockets (`ErrorKind::NotFound`) or refuses to.
pub fn values(namespace: &File, map: BorrowedFd<'_>, mut value: impl FnMut(&[u8])) -> io::Result<()> {
    let socket = socket_in(namespace)?;
    // Dual-stack sockets are in the second list, with IPv4 connections too.
    for family in [AF_INET, AF_INET6] {
        send(socket.as_raw_fd(), Request::new(family as u8, map).as_bytes(), MsgFlags::empty())?;
        receive(&socket, &mut value)?;
    }
    Ok(())
}

/// A netlink socket, which belongs to the namespace of the thread that makes it.
fn socket_in(namespace: &File) -> io::Result<OwnedFd> {
    let make = || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let protocol = SockProtocol::NetlinkSockDiag;
        Ok(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(protocol))?)
    };
    thread::scope(|scope| scope.spawn(make).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads an answer to its end.
fn receive(socket: &OwnedFd, value: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Err(Errno::EINTR) => continue,
            length => length?,
        };
        let messages = buffer.get(..length).ok_or(Errno::EMSGSIZE)?;
        if is_last(messages, value)? {
            return Ok(());
        }
    }
}

/// Reads some messages; whether the last of the answer was among them.
fn is_last(mut messages: &[u8], value: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while !messages.is_empty() {
        let message = NetlinkBuffer::new_checked(messages).map_err(malformed)?;
        match message.message_type() {
            NLMSG_DONE => {
                let code = DoneBuffer::new_checked(message.payload()).map_err(malformed)?.code();
                return failure(code).map_or(Ok(true), Err);
            }
            NLMSG_ERROR => {
                let code = ErrorBuffer::new_checked(message.payload()).map_err(malformed)?.code();
                return failure(code.map_or(0, |code| code.get())).map_or(Ok(true), Err);
            }
            _ => {
                let attributes = message.payload().get(SOCKET_LEN..).ok_or(ErrorKind::UnexpectedEof)?;
                if let Some(found) = inside(attributes, &VALUE).map_err(malformed)? {
                    value(found);
                }
            }
        }
        messages = messages.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The value of the attribute that this path of kinds leads to, from the outermost to the innermost.
fn inside<'a>(attributes: &'a [u8], path: &[u16]) -> Result<Option<&'a [u8]>, DecodeError> {
    let Some((kind, rest)) = path.split_first() else { return Ok(Some(attributes)) };
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == *kind {
            let end = usize::from(attribute.length());
            return inside(&attribute.into_inner()[NLA_HEADER_SIZE..end], rest);
        }
    }
    Ok(None)
}

fn failure(code: i32) -> Option<io::Error> {
    (code < 0).then(|| io::Error::from_raw_os_error(-code))
}

fn malformed(error: DecodeError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of this kind; messages end at a multiple of four bytes.
    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let header = [(16 + payload.len() as u32).to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat();
        let mut message = [&header[..], payload].concat();
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut attribute = [(4 + value.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
        attribute.extend(value);
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        attribute
    }

    /// A socket in whose storage this is, among what the kernel says besides.
    fn socket(value: &[u8]) -> Vec<u8> {
        const NESTED: u16 = 1 << 15;
        let stored = [attribute(2, &[7; 4]), attribute(0, &[]), attribute(3, value)].concat();
        let storages = attribute(20 | NESTED, &attribute(1 | NESTED, &stored));
        message(BY_FAMILY, &[&[0; SOCKET_LEN][..], &attribute(8, &[3]), &storages].concat())
    }

    fn read(messages: &[u8]) -> (io::Result<bool>, Vec<Vec<u8>>) {
        let mut values = Vec::new();
        let ended = is_last(messages, &mut |value| values.push(value.to_vec()));
        (ended, values)
    }

    #[test]
    fn values_are_found_in_what_the_kernel_says() {
        let bare = message(BY_FAMILY, &[&[0; SOCKET_LEN][..], &attribute(8, &[3])].concat());
        let messages = [socket(b"one"), bare, socket(b"three")].concat();
        let (ended, values) = read(&messages);
        assert_eq!((ended.unwrap(), &values), (false, &vec![b"one".to_vec(), b"three".to_vec()]));
        let (ended, values) = read(&[messages, message(NLMSG_DONE, &[0; 4])].concat());
        assert_eq!((ended.unwrap(), values.len()), (true, 2));
    }

    #[test]
    fn an_answer_that_fails_or_is_cut_off_is_no_list() {
        for kind in [NLMSG_DONE, NLMSG_ERROR] {
            let code = (-(Errno::ENOENT as i32)).to_ne_bytes();
            let failed = [&code[..], &[0; 16]].concat();
            assert_eq!(read(&message(kind, &failed)).0.unwrap_err().kind(), ErrorKind::NotFound);
        }
        let whole = socket(b"four");
        for end in 1..whole.len() {
            assert!(read(&whole[..end]).0.is_err(), "{end} of {} bytes", whole.len());
        }
    }
}
