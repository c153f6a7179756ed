//! The interfaces of the configuration, as the kernel has them.

use aya::maps::PerCpuValues;
use futures::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
};
use xdp_ebpf::abi;

pub use super::interface::{Interface, Mode};
use super::vlan;
use crate::dataplane::{
    error::{Context, Result, unfit},
    tables::Tables,
};
use evenkeel_loader::refusal::one_line;

/// Every interface of this network namespace.
///
/// # Errors
/// Netlink fails.
pub async fn all(handle: &Handle) -> Result<Vec<Interface>> {
    let messages: Vec<_> =
        handle.link().get().execute().try_collect().await.context("cannot list interfaces")?;
    Ok(messages.iter().map(from_message).collect())
}

/// Those of `all` with these names, in their order.
///
/// # Errors
/// One is not there, or the data path cannot serve it.
pub fn named(names: &[String], all: &[Interface]) -> Result<Vec<Interface>> {
    names
        .iter()
        .map(|name| match all.iter().find(|interface| interface.name == *name) {
            Some(interface) => usable(interface, all),
            None => {
                let there: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
                unfit!("host.interfaces: there is no interface {name:?}; there are {}", there.join(", "))
            }
        })
        .collect()
}

/// Those of `all` that have these names by now, in their order; one that the data path cannot serve is none. Each of
/// `known` keeps its name as long as it is there, whatever it is called.
pub fn present(names: &[String], known: &[Interface], all: &[Interface]) -> Vec<Interface> {
    let mut present = Vec::new();
    for name in names {
        let before = known.iter().find(|known| known.name == *name);
        let same = before.and_then(|before| all.iter().find(|interface| interface.index == before.index));
        if let Some(interface) = same.or_else(|| all.iter().find(|interface| interface.name == *name)) {
            match usable(interface, all) {
                Ok(interface) => present.push(Interface { name: name.clone(), ..interface }),
                Err(error) => tracing::warn!("{}", one_line(&error)),
            }
        }
    }
    present
}

fn usable(interface: &Interface, all: &[Interface]) -> Result<Interface> {
    if !interface.has_ethernet {
        unfit!(
            "host.interfaces: {} is no Ethernet interface, and the data path reads what comes as Ethernet frames",
            interface.name
        );
    }
    vlan::on_its_wire(interface, all)
}

/// Those of `all` whose wires these are, each once: where XDP sits.
pub fn wires(interfaces: &[Interface], all: &[Interface]) -> Vec<Interface> {
    let is_one = |wire: &&Interface| interfaces.iter().any(|interface| interface.device == wire.index);
    all.iter().filter(is_one).cloned().collect()
}

/// What a netlink message says about an interface; of a VLAN's, not yet on whose wire it is.
pub fn from_message(message: &LinkMessage) -> Interface {
    let mut interface = Interface {
        name: String::new(),
        index: message.header.index,
        device: message.header.index,
        tags: [0; 2],
        vlan: vlan::from_message(message),
        has_ethernet: matches!(
            message.header.link_layer_type,
            LinkLayerType::Ether | LinkLayerType::Loopback
        ),
        mtu: 0,
        mac: [0; 6],
        running: message.header.flags.contains(LinkFlags::Up | LinkFlags::Running),
        xdp: None,
        program: None,
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
                interface.program = attributes.iter().find_map(|attribute| match attribute {
                    LinkXdp::ProgId(id) => Some(*id),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    interface
}

/// Writes the interfaces into `ek_interface` and `ek_device`. One that has a slot keeps it, because sessions name it;
/// slots of others are cleared, and so is that of one that is gone by now.
///
/// # Errors
/// A map cannot be written, or one is gone; all others are written.
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
    let mut failed = Ok(());
    for (slot, index) in (0..).zip(slots) {
        let mut record = abi::Interface::default();
        if let Some(interface) = interfaces.iter().find(|interface| interface.index == index) {
            match tables.device.set(slot, interface.device, None, 0) {
                Ok(()) => record = interface.record(),
                Err(error) => {
                    failed = Err(error).with_context(|| format!("nothing can be sent to {}", interface.name));
                }
            }
        }
        // What was counted is the one's before.
        if tables.interface.get(&slot, 0)?.index != record.index {
            let counts = tables.not_sent.get(&slot, 0)?;
            tables.not_sent.set(slot, PerCpuValues::try_from(vec![0; counts.len()])?, 0)?;
        }
        tables.interface.set(slot, record, 0)?;
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, kind: LinkLayerType) -> Interface {
        let mut message = LinkMessage::default();
        (message.header.index, message.header.link_layer_type) = (index, kind);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        from_message(&message)
    }

    fn ethernet(name: &str, index: u32) -> Interface {
        interface(name, index, LinkLayerType::Ether)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn frames_of_another_kind_are_refused() {
        let all = [ethernet("eth0", 2), interface("tun0", 3, LinkLayerType::None)];
        assert_eq!(named(&names(&["eth0"]), &all).unwrap(), all[..1]);
        let refusal = named(&names(&["eth0", "tun0"]), &all).unwrap_err().to_string();
        assert!(refusal.starts_with("host.interfaces: tun0 is no Ethernet interface"), "{refusal}");
        assert_eq!(present(&names(&["eth0", "tun0"]), &[], &all), all[..1]);
    }

    #[test]
    fn an_interface_is_known_by_its_index_and_comes_back_by_its_name() {
        let (wanted, known) = (names(&["eth0", "eth1"]), [ethernet("eth0", 2), ethernet("eth1", 3)]);
        for (there, expected) in [
            (&[("eth0", 2), ("eth1", 3)][..], &[("eth0", 2), ("eth1", 3)][..]),
            (&[("renamed", 2), ("eth1", 3)], &[("eth0", 2), ("eth1", 3)]),
            (&[("eth1", 3)], &[("eth1", 3)]),
            (&[("eth1", 3), ("eth0", 9)], &[("eth0", 9), ("eth1", 3)]),
        ] {
            let all: Vec<_> = there.iter().map(|&(name, index)| ethernet(name, index)).collect();
            let present = present(&wanted, &known, &all);
            let found: Vec<_> = present.iter().map(|found| (found.name.as_str(), found.index)).collect();
            assert_eq!(found, expected);
        }
    }
}
