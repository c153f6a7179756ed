//! What becomes of a packet: every outcome has a name, and every name a counter.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares the counted events once: the enum, the record of counters that `bpftool` shows by name, and the list
/// that userspace prints.
macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident => $variant:ident in $class:ident,)+) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Event { $($(#[doc = $doc])+ $variant,)+ }

        /// The counters of one CPU, one per [`Event`] and in its order.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Counters { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Event {
            /// Every event, in the order of [`Counters`].
            pub const ALL: &[Event] = &[$(Event::$variant,)+];

            /// The event with this number.
            #[inline(always)]
            pub const fn from_u32(number: u32) -> Option<Event> {
                match number {
                    $(n if n == Event::$variant as u32 => Some(Event::$variant),)+
                    _ => None,
                }
            }

            /// The counter's name, as in [`Counters`], in `evenkeel counters` and in `bpftool map dump`.
            pub const fn name(self) -> &'static str {
                match self { $(Event::$variant => stringify!($name),)+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Event::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What it did to the packet.
            #[inline(always)]
            pub const fn class(self) -> Class {
                match self { $(Event::$variant => Class::$class,)+ }
            }
        }
    };
}

/// What an [`Event`] means for the packet it was counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It went up to the host's own network stack, untouched.
    Pass,
    /// It was dropped.
    Drop,
    /// Nothing: it was counted on its way.
    Note,
}

events! {
    /// Neither IPv4 nor IPv6 (ARP, …).
    pass_not_ip => PassNotIp in Pass,
    /// For an address that is neither a VIP nor a local address.
    pass_not_ours => PassNotOurs in Pass,
    /// For another host's MAC: a switch that floods, or an interface that takes in everything.
    pass_other_mac => PassOtherMac in Pass,
    /// For a listener of Layer 7.
    pass_layer7 => PassLayer7 in Pass,
    /// For a VIP, and neither TCP nor UDP (other ICMP, for instance).
    pass_vip_other => PassVipOther in Pass,
    /// For a local address, and not TCP or UDP to one of the local ports.
    pass_local_other => PassLocalOther in Pass,
    /// UDP, a SYN or a reset for a local address and port that no session owns, or TCP that a socket of this host is for.
    pass_no_session => PassNoSession in Pass,
    /// Shorter than its own headers say, or headers that contradict each other.
    drop_malformed => DropMalformed in Drop,
    /// IPv6 extension headers: too many, in an order that is not handled, or for another node on the way.
    drop_extension => DropExtension in Drop,
    /// A fragment whose first one did not come before it, that lies over the first one, or whose client and backend
    /// are of two families.
    drop_fragment => DropFragment in Drop,
    /// An ICMP error that quotes a packet which its receiver cannot have sent, or a later fragment.
    drop_icmp => DropIcmp in Drop,
    /// An ICMP error that asks a backend for smaller packets to a client than min_path_mtu.
    drop_path_mtu => DropPathMtu in Drop,
    /// The time to live is used up.
    drop_ttl => DropTtl in Drop,
    /// TCP or UDP for a VIP's port that no listener has.
    drop_no_listener => DropNoListener in Drop,
    /// The listener's access list denies this client, from the first packet or since it was changed.
    drop_denied => DropDenied in Drop,
    /// A TCP segment that belongs to no session and does not open one, where a reset may not answer it.
    drop_no_session => DropNoSession in Drop,
    /// A datagram of a session whose member was removed; the client's next one goes to another member.
    drop_member_removed => DropMemberRemoved in Drop,
    /// The pool has no member that takes new connections.
    drop_no_member => DropNoMember in Drop,
    /// The listener has as many connections as it may (max_connections).
    drop_connection_limit => DropConnectionLimit in Drop,
    /// The listener has as many half-open connections of the client's /24 or /64 as it may (max_half_open).
    drop_half_open_limit => DropHalfOpenLimit in Drop,
    /// More new connections than the listener may take in a second (max_connections_per_second).
    drop_rate_limit => DropRateLimit in Drop,
    /// The load balancer has used up its bandwidth (bandwidth_mbit).
    drop_bandwidth => DropBandwidth in Drop,
    /// All local ports towards the member are in use, and towards the others that were tried: add local addresses.
    drop_no_port => DropNoPort in Drop,
    /// The session table has no room for this flow: raise max_sessions.
    drop_table_full => DropTableFull in Drop,
    /// Another CPU took the same slot or port for a session at the same moment; the client asks again.
    drop_race => DropRace in Drop,
    /// A port from the ring was still in use; should never count.
    drop_port_busy => DropPortBusy in Drop,
    /// There is no route to the backend or back to the client, or net.ipv4.conf.lo.forwarding (net.ipv6… of IPv6) is off.
    drop_no_route => DropNoRoute in Drop,
    /// The next hop's MAC is not known (yet).
    drop_no_neighbour => DropNoNeighbour in Drop,
    /// The route leads through an interface that is not in the configuration, or no longer.
    drop_interface => DropInterface in Drop,
    /// The packet is larger than the MTU of the interface it has to leave by, and its sender is not told: IPv4 without
    /// DF, a fragment, or an ICMP error.
    drop_over_mtu => DropOverMtu in Drop,
    /// The kernel could not send a frame by the interface that it was to leave by, which is down or takes less by now.
    drop_not_sent => DropNotSent in Drop,
    /// There is no room in front of the frame for an IPv6 header in the place of an IPv4 one, or for VLAN tags.
    drop_no_headroom => DropNoHeadroom in Drop,
    /// An IPv4 datagram without a checksum for an IPv6 backend, or from one: IPv6 demands it (RFC 8200, 8.1).
    drop_no_checksum => DropNoChecksum in Drop,
    /// A map lookup that cannot fail did; should never count.
    drop_internal => DropInternal in Drop,
    /// The pool has no member that takes new connections, and the client got a reset (when_down).
    reset_no_member => ResetNoMember in Note,
    /// A TCP segment without a session was answered with a reset (without_session).
    reset_no_session => ResetNoSession in Note,
    /// A TCP segment of a session that the balancer has ended was answered with a reset.
    reset_cut => ResetCut in Note,
    /// A session was opened.
    session_opened => SessionOpened in Note,
    /// A new SYN took over the tuple of a session that was closed.
    session_reopened => SessionReopened in Note,
    /// A reset or a FIN that does not fit what its receiver has acknowledged: it went on and moved nothing.
    out_of_window => OutOfWindow in Note,
    /// A member to which no local port was left was passed over, and another one got the session.
    member_passed_over => MemberPassedOver in Note,
    /// A client's segment got the TOA option.
    toa_inserted => ToaInserted in Note,
    /// A client's segment went on without TOA: a fragment, over the MTU, or no headroom in front.
    toa_no_room => ToaNoRoom in Note,
    /// Options were overwritten in a client's segment: they could pass for TOA, or (in a SYN) would take its room.
    toa_stripped => ToaStripped in Note,
    /// A ping of a VIP was answered.
    echo_answered => EchoAnswered in Note,
    /// An ICMP error about a session went on to the client or the backend, rewritten.
    icmp_translated => IcmpTranslated in Note,
    /// The sender of a packet that was too large for the way out was told so, with the size that fits.
    icmp_too_big => IcmpTooBig in Note,
    /// A later fragment followed the first one.
    fragment_forwarded => FragmentForwarded in Note,
    /// A half looked for its next hop again after a change of routes or neighbours.
    next_hop_renewed => NextHopRenewed in Note,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Back out of the interface it came in by.
    Tx,
    /// Out of the interface in this slot of `ek_interface`.
    Redirect(u8),
    /// The same, once the frame has the interface's VLAN tags. Only inside of [`crate::pipeline`].
    Tag(u8),
    /// Back to who sent it, with the VLAN tags that it came with. Only inside of [`crate::pipeline`].
    Reply,
    /// Up to the host's network stack, into the void or back as an answer, with the reason.
    Stop(Event),
}

/// An outcome, or the event with which a packet ends, in one register with no bit left open. Of an enum the compiler
/// leaves a payload that does not count unset, and the verifier refuses a program that so much as moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(u64);

impl Code {
    const TX: u64 = 1;
    const REDIRECT: u64 = 2;
    const TAG: u64 = 3;
    const REPLY: u64 = 4;

    /// [`Outcome::Reply`].
    pub const ANSWER: Self = Self(Self::REPLY << 32);

    /// A packet that ends.
    #[inline(always)]
    pub const fn stop(event: Event) -> Self {
        Self(event as u64)
    }

    /// As a function of the program returns it.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// See [`Code::number`].
    #[inline(always)]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Whether the packet leaves for somebody else than who sent it.
    #[inline(always)]
    pub const fn goes_on(self) -> bool {
        matches!(self.0 >> 32, Self::TX | Self::REDIRECT | Self::TAG)
    }

    /// Whether the packet ends with this event.
    #[inline(always)]
    pub const fn is_stop(self, event: Event) -> bool {
        self.0 == event as u64
    }

    /// What it says.
    #[inline(always)]
    pub const fn outcome(self) -> Outcome {
        match (self.0 >> 32, self.0 as u32) {
            (Self::TX, _) => Outcome::Tx,
            (Self::REDIRECT, slot) => Outcome::Redirect(slot as u8),
            (Self::TAG, slot) => Outcome::Tag(slot as u8),
            (Self::REPLY, _) => Outcome::Reply,
            (_, event) => Outcome::Stop(match Event::from_u32(event) {
                Some(event) => event,
                None => Event::DropInternal,
            }),
        }
    }
}

impl From<Outcome> for Code {
    #[inline(always)]
    fn from(outcome: Outcome) -> Self {
        Self(match outcome {
            Outcome::Tx => Self::TX << 32,
            Outcome::Redirect(slot) => Self::REDIRECT << 32 | u64::from(slot),
            Outcome::Tag(slot) => Self::TAG << 32 | u64::from(slot),
            Outcome::Reply => Self::REPLY << 32,
            Outcome::Stop(event) => event as u64,
        })
    }
}

impl From<Result<Outcome, Event>> for Code {
    #[inline(always)]
    fn from(result: Result<Outcome, Event>) -> Self {
        result.map_or_else(Self::stop, Self::from)
    }
}

/// The XDP action: the values of `enum xdp_action` in `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// `XDP_DROP`.
    Drop = 1,
    /// `XDP_PASS`.
    Pass = 2,
    /// `XDP_TX`.
    Tx = 3,
    /// `XDP_REDIRECT`.
    Redirect = 4,
}

impl Event {
    /// The action for a packet that ends here.
    #[inline(always)]
    pub const fn action(self) -> Action {
        match self.class() {
            Class::Pass => Action::Pass,
            Class::Drop | Class::Note => Action::Drop,
        }
    }
}
