//! VLAN devices: on whose wire they are, and which tags their frames have there.
//!
//! XDP sees a frame before the kernel takes its tags off, so it sits on the wire's own device, and the data path puts the
//! tags on itself. A driver must leave them in the frame, too (`ethtool -K DEVICE rxvlan off txvlan off`). Proved by
//! messages made up in tests alone: not with a device of a kernel that has them.

use rtnetlink::packet_route::link::{InfoData, InfoVlan, LinkAttribute, LinkInfo, LinkMessage};

use super::interface::{Interface, Vlan};
use crate::dataplane::error::{Context, Result, unfit};

/// EtherType of a tag if the message names none (IEEE 802.1Q).
const TAG: u16 = 0x8100;

/// What a netlink message says of a VLAN; `None` for any other interface.
pub fn from_message(message: &LinkMessage) -> Option<Vlan> {
    let (mut parent, mut of_vlan) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                of_vlan = infos.iter().find_map(|info| match info {
                    LinkInfo::Data(InfoData::Vlan(of_vlan)) => Some(of_vlan),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let (mut id, mut protocol) = (None, TAG);
    for info in of_vlan? {
        match info {
            InfoVlan::Id(number) => id = Some(*number),
            InfoVlan::Protocol(ethertype) => protocol = (*ethertype).into(),
            _ => {}
        }
    }
    Some(Vlan { parent: parent?, tag: u32::from(protocol) << 16 | u32::from(id?) })
}

/// The interface with the wire that it is on, its own or one of `all`, and the tags that it has there.
///
/// # Errors
/// It is on an interface that is not there, or a VLAN in a VLAN in a VLAN.
pub fn on_its_wire(interface: &Interface, all: &[Interface]) -> Result<Interface> {
    let (mut below, mut tags) = (interface, [0; 2]);
    while let Some(Vlan { parent, tag }) = below.vlan {
        let [outer, 0] = tags else {
            unfit!("host.interfaces: {} has more than two VLAN tags", interface.name);
        };
        tags = [tag, outer];
        below = all.iter().find(|other| other.index == parent).with_context(|| {
            format!("host.interfaces: {} is a VLAN of an interface in another namespace", interface.name)
        })?;
    }
    Ok(Interface { device: below.index, tags, ..interface.clone() })
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::{InfoKind, VlanProtocol};

    use super::{super::interfaces, *};

    fn message(index: u32, vlan: Option<(u32, u16, VlanProtocol)>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::IfName(format!("eth{index}")));
        if let Some((parent, id, protocol)) = vlan {
            let data = vec![InfoVlan::Protocol(protocol), InfoVlan::Id(id)];
            message.attributes.extend([
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Vlan),
                    LinkInfo::Data(InfoData::Vlan(data)),
                ]),
                LinkAttribute::Link(parent),
            ]);
        }
        message
    }

    #[test]
    fn a_vlan_is_found_on_its_wire() {
        let all = [
            message(2, None),
            message(3, Some((2, 100, VlanProtocol::Ieee8021Ad))),
            message(4, Some((3, 7, VlanProtocol::Ieee8021Q))),
            message(5, Some((4, 8, VlanProtocol::Ieee8021Q))),
            message(6, Some((99, 9, VlanProtocol::Ieee8021Q))),
        ]
        .map(|message| interfaces::from_message(&message));
        let found = |n: usize| on_its_wire(&all[n], &all).map(|found| (found.device, found.tags));
        assert_eq!(found(0).unwrap(), (2, [0, 0]));
        assert_eq!(found(1).unwrap(), (2, [0x88A8_0064, 0]));
        assert_eq!(found(2).unwrap(), (2, [0x88A8_0064, 0x8100_0007]), "the outer one first");
        assert!(found(3).unwrap_err().to_string().contains("more than two"));
        assert!(found(4).unwrap_err().to_string().contains("another namespace"));
    }

    #[test]
    fn a_veth_is_no_vlan_although_it_has_a_link() {
        let mut veth = message(7, None);
        veth.attributes.push(LinkAttribute::Link(8));
        veth.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]));
        assert_eq!(from_message(&veth), None);
    }
}
