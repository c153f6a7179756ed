//! One interface, as the kernel has it.

use xdp_ebpf::abi;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Index of the interface whose wire it is; its own, but for a VLAN's: see `interfaces`.
    pub device: u32,
    /// The tags that its frames have on that wire, the outer one first: see [`abi::Interface::tags`].
    pub tags: [u32; 2],
    /// Whether it is a VLAN's.
    pub vlan: Option<Vlan>,
    /// Whether its frames begin as Ethernet's do.
    pub has_ethernet: bool,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Its MAC; zeros if it has none of six bytes.
    pub mac: [u8; 6],
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// How its XDP program runs, if it has one.
    pub xdp: Option<Mode>,
    /// The program's id.
    pub program: Option<u32>,
}

impl Interface {
    /// What the data path is to know of it.
    pub fn record(&self) -> abi::Interface {
        abi::Interface {
            index: self.index,
            device: self.device,
            mtu: self.mtu,
            tags: self.tags,
            mac: self.mac,
            ..abi::Interface::default()
        }
    }
}

/// What makes an interface a VLAN's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Index of the interface below it.
    pub parent: u32,
    /// EtherType (high 16 bits) and VLAN.
    pub tag: u32,
}

/// How an interface runs its XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's stack, behind the driver: slower.
    Generic,
}

impl Mode {
    /// As `status` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Native => "native",
            Mode::Generic => "generic",
        }
    }
}
