//! What carries a listener's connections, and what it answers at Layer 4 when nobody takes them.

/// Transport protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP. A UDP and a TCP listener may have the same port.
    Udp,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// IANA's number.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    /// The one with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }
}

/// What the sender of a TCP segment hears that belongs to no session and opens none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutSession {
    /// A reset: its connection is not there, and it need not wait.
    #[default]
    Reset,
    /// Nothing: another host may own the session.
    Drop,
}

impl WithoutSession {
    /// Every one.
    pub const ALL: [WithoutSession; 2] = [WithoutSession::Reset, WithoutSession::Drop];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            WithoutSession::Reset => "reset",
            WithoutSession::Drop => "drop",
        }
    }
}

/// What becomes of the TCP sessions of a member that goes down, or of the connections on which Layer 7 speaks to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDown {
    /// They stay: it may still serve them, or again.
    #[default]
    Keep,
    /// Both ends get a reset.
    Reset,
}

impl OnDown {
    /// Every one.
    pub const ALL: [OnDown; 2] = [OnDown::Keep, OnDown::Reset];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            OnDown::Keep => "keep",
            OnDown::Reset => "reset",
        }
    }
}

/// What a client hears that wants a new connection while no member takes any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// Nothing: it tries again.
    #[default]
    Drop,
    /// A TCP reset: it gives up at once. Only of TCP listeners.
    Reset,
}

impl WhenDown {
    /// Every one.
    pub const ALL: [WhenDown; 2] = [WhenDown::Drop, WhenDown::Reset];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            WhenDown::Drop => "drop",
            WhenDown::Reset => "reset",
        }
    }
}
