//! The list of connections: an iterator over the sockets' storage, in all network namespaces. Pinned, it is a text
//! file that any program can read: a line `CLIENT via BALANCER to LOCAL` per connection.

use core::ffi::{CStr, c_void};

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_printf};
use xdp_ebpf::receiver::{Connection, Endpoint};

/// `struct bpf_iter_meta`: where the output goes.
#[repr(C)]
pub struct Meta {
    seq: *mut seq_file,
}

/// `struct bpf_iter__bpf_sk_storage_map`: pointers, each in eight bytes.
#[repr(C)]
pub struct Context {
    meta: *const Meta,
    map: *const c_void,
    socket: *const c_void,
    /// Null at the end of the list.
    value: *const Connection,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub fn ek_toa_list(ctx: *const Context) -> i32 {
    // SAFETY: the kernel hands over a context of this type; its pointers are checked by the verifier.
    let (seq, connection) = unsafe { ((*(*ctx).meta).seq, (*ctx).value.as_ref()) };
    if let Some(connection) = connection {
        print(seq, c"%pI4:%u via ", c"[%pI6]:%u via ", &connection.client);
        print(seq, c"%pI4:%u to ", c"[%pI6]:%u to ", &connection.balancer);
        print(seq, c"%pI4:%u\n", c"[%pI6]:%u\n", &connection.local);
    }
    0
}

#[inline(always)]
fn print(seq: *mut seq_file, v4: &CStr, v6: &CStr, endpoint: &Endpoint) {
    let (format, address) = match endpoint.as_v4() {
        Some(_) => (v4, &raw const endpoint.address.bytes[12]),
        None => (v6, &raw const endpoint.address.bytes[0]),
    };
    let arguments = [address as u64, u64::from(endpoint.port)];
    // SAFETY: the format names two arguments: a pointer to an address and a number.
    unsafe {
        bpf_seq_printf(
            seq,
            format.as_ptr().cast(),
            format.count_bytes() as u32 + 1,
            arguments.as_ptr().cast(),
            size_of_val(&arguments) as u32,
        );
    }
}
