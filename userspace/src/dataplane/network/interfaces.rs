//! The interfaces of the configuration, as the kernel has them.

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp, XdpAttached},
};
use xdp_ebpf::abi;

use super::vlan::{self, Vlan};
use crate::dataplane::tables::Tables;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Index of the interface whose wire it is; its own, but for a VLAN's: see [`vlan::on_its_wire`].
    pub device: u32,
    /// The tags that its frames have on that wire, the outer one first: see [`abi::Interface::tags`].
    pub tags: [u32; 2],
    /// Whether it is a VLAN's.
    pub vlan: Option<Vlan>,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Its MAC; zeros if it has none of six bytes.
    pub mac: [u8; 6],
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// How its XDP program runs, if it has one.
    pub xdp: Option<Mode>,
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

/// Every interface of this network namespace.
///
/// # Errors
/// Netlink fails.
pub async fn all(handle: &Handle) -> Result<Vec<Interface>> {
    let messages: Vec<_> =
        handle.link().get().execute().try_collect().await.context("cannot list interfaces")?;
    Ok(messages.iter().map(from_message).collect())
}

/// The interfaces with these names, in their order.
///
/// # Errors
/// One is not there, or is a VLAN that the data path cannot serve.
pub async fn named(handle: &Handle, names: &[String]) -> Result<Vec<Interface>> {
    let all = all(handle).await?;
    names
        .iter()
        .map(|name| match all.iter().find(|interface| interface.name == *name) {
            Some(interface) => vlan::on_its_wire(interface, &all),
            None => {
                let there: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
                bail!("host.interfaces: there is no interface {name:?}; there are {}", there.join(", "))
            }
        })
        .collect()
}

/// The interfaces whose wires these are, each once: where XDP sits.
///
/// # Errors
/// Netlink fails.
pub async fn wires(handle: &Handle, interfaces: &[Interface]) -> Result<Vec<Interface>> {
    let mut wires = all(handle).await?;
    wires.retain(|wire| interfaces.iter().any(|interface| interface.device == wire.index));
    Ok(wires)
}

/// What a netlink message says about an interface; of a VLAN's, not yet on whose wire it is.
pub fn from_message(message: &LinkMessage) -> Interface {
    let mut interface = Interface {
        name: String::new(),
        index: message.header.index,
        device: message.header.index,
        tags: [0; 2],
        vlan: vlan::from_message(message),
        mtu: 0,
        mac: [0; 6],
        running: message.header.flags.contains(LinkFlags::Up | LinkFlags::Running),
        xdp: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Address(mac) => interface.mac = mac.as_slice().try_into().unwrap_or_default(),
            LinkAttribute::Xdp(attributes) => {
                interface.xdp = attributes.iter().find_map(|attribute| match attribute {
                    LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Hardware) => Some(Mode::Native),
                    LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Mode::Generic),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    interface
}

/// Writes the interfaces into `ek_interface` and `ek_device`. One that has a slot keeps it, because sessions name it;
/// slots of others are cleared.
///
/// # Errors
/// A map cannot be written.
pub fn write(tables: &mut Tables, interfaces: &[Interface]) -> Result<()> {
    let mut slots = Vec::new();
    for slot in tables.interface.iter() {
        slots.push(slot?.index);
    }
    for interface in interfaces {
        if !slots.contains(&interface.index) {
            let free = slots.iter_mut().find(|index| !interfaces.iter().any(|i| i.index == **index));
            *free.context("ek_interface is full")? = interface.index;
        }
    }
    for (slot, index) in (0..).zip(slots) {
        let record = match interfaces.iter().find(|interface| interface.index == index) {
            Some(interface) => {
                tables.device.set(slot, interface.device, None, 0)?;
                abi::Interface {
                    index,
                    device: interface.device,
                    mtu: interface.mtu,
                    tags: interface.tags,
                    mac: interface.mac,
                    ..abi::Interface::default()
                }
            }
            None => abi::Interface::default(),
        };
        tables.interface.set(slot, record, 0)?;
    }
    Ok(())
}
