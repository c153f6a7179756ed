//! `[[load_balancer.listener]]`.

use std::sync::Arc;

use model::{
    id::kind,
    object::{AccessList, AccessListId, Listener, Meta, Service},
    served::WhenDown,
    value::Port,
};

use super::{
    access,
    document::{Shape, Table, Value},
    draft::Draft,
    http, meta,
    names::{Named, Names, unknown},
    policy, scalar, tls,
};

/// What stands in its table.
pub(super) const LISTENER: Shape = Shape {
    path: "load_balancer.listener",
    keys: &[
        "name",
        "protocol",
        "port",
        "pool",
        "idle_timeout",
        "allow",
        "deny",
        "max_connections",
        "max_connections_per_second",
        "when_down",
        "http2",
        "certificates",
        "default_certificate",
        "client_ca",
        "tls_policy",
        "head_timeout",
        "connect_timeout",
        "read_timeout",
        "write_timeout",
        "tunnel_timeout",
        "limits",
        "forwarded",
        "proxy_protocol_from",
        "policy",
        "policy_order",
        "redirect",
        "description",
        "tags",
    ],
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
    Http,
    Https,
}

const PROTOCOLS: [(&str, Protocol); 4] =
    [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("http", Protocol::Http), ("https", Protocol::Https)];

/// Reads a listener of a load balancer into the draft; `siblings` are all of that.
pub(super) fn read<'a>(
    table: &Table<'a>,
    load_balancer: &Named<kind::LoadBalancer>,
    named: Named<kind::Listener>,
    siblings: &Names<kind::Listener>,
    draft: &mut Draft<'a>,
) {
    let key = [&*load_balancer.key, &*named.key];
    let id = named.id;
    let meta = meta::read(table, named.name);
    let protocol = match table.get("protocol") {
        Some(value) => scalar::supported(value, &PROTOCOLS),
        None => Some(Protocol::Tcp),
    };
    let port = table.require("port").and_then(|value| value.number::<Port>());
    let default_pool = table.get("pool").map(|value| draft.pools.refer(value).unwrap_or_else(unknown));
    let idle_timeout = table.get("idle_timeout").and_then(scalar::seconds);
    let access_list = access::read(table).map(|access| {
        let id = AccessListId::of_names(&key);
        draft.places.stand(id, table);
        let list = AccessList { meta: Meta::default(), access };
        draft.objects.access_lists.insert(id, Arc::new(list));
        id
    });
    let max_connections = table.get("max_connections").and_then(|value| value.number());
    let max_connections_per_second = table.get("max_connections_per_second").and_then(|value| value.number());
    // What it may say depends on what it speaks.
    let Some(protocol) = protocol else { return };
    let when_down = table.get("when_down").map(|value| when_down(value, protocol)).unwrap_or_default();
    match protocol {
        Protocol::Tcp | Protocol::Udp => {
            table.refuse_each(&tls::LISTENER_KEYS, "only an HTTPS listener has this");
            table.refuse_each(&["http2"], "only an HTTP or HTTPS listener has this");
        }
        Protocol::Http => table.refuse_each(&tls::LISTENER_KEYS, "only an HTTPS listener has this"),
        Protocol::Https => {}
    }
    let service = match protocol {
        Protocol::Tcp | Protocol::Udp => {
            http::refuse_in_listener(table);
            table.refuse_each(&policy::LISTENER_KEYS, "only an HTTP or HTTPS listener has this");
            if protocol == Protocol::Tcp { Service::Tcp { when_down } } else { Service::Udp }
        }
        Protocol::Http | Protocol::Https => {
            let mut http = http::listener(table);
            http.policies = policy::read(table, key, siblings, draft);
            let redirect = policy::redirect(table, siblings);
            if protocol == Protocol::Http {
                let http2 = table.get("http2").and_then(|value| value.boolean());
                http.edge.cleartext_http2 = http2.unwrap_or(false);
                Service::Http { http, redirect }
            } else {
                let reason =
                    "only an HTTP listener can be redirected; use a policy with path = { prefix = \"/\" }";
                table.refuse_each(&["redirect"], reason);
                Service::Https { http, tls: tls::listener(table, id, draft) }
            }
        }
    };
    if port.is_none() {
        draft.places.doubt(id);
    }
    let usual = match protocol {
        Protocol::Tcp | Protocol::Udp => Listener::IDLE_TIMEOUT,
        Protocol::Http | Protocol::Https => Listener::HTTP_IDLE_TIMEOUT,
    };
    let listener = Listener {
        meta,
        load_balancer: load_balancer.id,
        port: port.unwrap_or(Port::literal(1)),
        service,
        default_pool,
        idle_timeout: idle_timeout.unwrap_or(usual),
        access_list,
        max_connections,
        max_connections_per_second,
    };
    draft.objects.listeners.insert(id, Arc::new(listener));
}

fn when_down(value: Value<'_>, protocol: Protocol) -> WhenDown {
    let words = WhenDown::ALL.map(|when_down| (when_down.name(), when_down));
    let Some(when_down) = scalar::word(value, "is not something to do", &words) else {
        return WhenDown::default();
    };
    match protocol {
        Protocol::Http | Protocol::Https => {
            value.refuse("an HTTP client is told so by status 503; leave it out");
        }
        Protocol::Udp if when_down == WhenDown::Reset => {
            value.refuse("UDP knows no reset; use \"drop\" or leave it out");
        }
        Protocol::Tcp | Protocol::Udp => {}
    }
    when_down
}
