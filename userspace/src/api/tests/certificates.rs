//! Certificates and the listeners that end TLS with them.

use model::object::{Listener, Service, Source, Tls};
use serde_json::{Value, json};

use super::{World, id, subnet};
use crate::pki::tests::issue::{Issued, root};

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).unwrap()
}

fn server(issued: &Issued) -> Value {
    json!({ "name": "a", "certificate": text(issued.pem()), "private_key": text(issued.key_pem()) })
}

async fn make(world: &World, body: Value) -> Value {
    let (status, made) = world.ask("POST", "certificates", Some(&body)).await;
    assert_eq!(status, 201, "{made}");
    made
}

/// What would be served of the API's HTTPS listener.
fn tls(world: &World) -> Option<Tls> {
    let objects = world.served();
    let is_api = |listener: &&std::sync::Arc<Listener>| listener.meta.source == Source::Api;
    match &objects.listeners.values().find(is_api)?.service {
        Service::Https { tls, .. } => Some(tls.clone()),
        _ => None,
    }
}

async fn listener(world: &World) -> Value {
    let shop = json!({ "name": "shop", "vip_subnet_id": subnet(world).await });
    let shop = id(&world.make("loadbalancers", "loadbalancer", shop).await);
    json!({ "loadbalancer_id": shop, "protocol": "TERMINATED_HTTPS", "protocol_port": 443 })
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_and_its_key_never() {
    let world = World::new();
    let ca = root("ca");
    let (one, other) = (ca.issue("a", &["a.example", "*.b.example"]), ca.issue("b", &["b.example"]));
    let good = server(&one);
    let with = |changes: Value| {
        let mut body = good.clone();
        changes.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let key = text(one.key_pem());
    let key_line = key.lines().nth(1).unwrap();
    let refused = [
        (with(json!({ "private_key": text(other.key_pem()) })), "key"),
        (with(json!({ "private_key": null })), "private_key"),
        (with(json!({ "private_key": [key] })), "private_key"),
        (with(json!({ "private_key": "x".repeat(300_000) })), "private_key"),
        (with(json!({ "private_key": key.replace('\n', "") })), "private_key"),
        (with(json!({ "certificate": format!("{key}{}", text(one.pem())) })), "certificates are shown"),
        (with(json!({ "certificate": key })), "certificates are shown"),
        (with(json!({ "certificate": "" })), "certificate"),
        (with(json!({ "certificate": null })), "certificate"),
        (with(json!({ "certificate": "no PEM" })), "certificate"),
        (with(json!({ "domain": "c.example" })), "is for *.b.example, a.example"),
        (with(json!({ "domain": "c.c.b.example" })), "is for"),
        (with(json!({ "domain": "a b" })), "domain"),
        (with(json!({ "type": "other" })), "type"),
        (with(json!({ "type": "client" })), "private_key"),
        (with(json!({ "admin_state_up": false })), "admin_state_up"),
        (with(json!({ "nobody": 1 })), "nobody"),
        (json!({ "type": "client", "certificate": text(one.pem()) }), "certificate"),
        (json!({ "certificate": good }), "certificate"),
        (json!({}), "certificate"),
        (json!([key]), "certificate"),
        (json!(key), "certificate"),
    ];
    let mut said = Vec::new();
    for (body, words) in refused {
        let (status, answer) = world.ask("POST", "certificates", Some(&body)).await;
        let text = answer["faultstring"].as_str().unwrap();
        assert!(status == 400 && text.contains(words), "{words}: {status} {text}");
        said.push(answer);
    }
    assert!(world.served().certificates.is_empty());
    for domain in ["a.example", "C.b.example", "*.b.example"] {
        let made = make(&world, with(json!({ "domain": domain }))).await;
        assert_eq!(made["domain"], domain.to_lowercase());
        assert!(made["expire_time"].as_str().unwrap().starts_with("20"), "{made}");
        said.push(made);
    }
    let made = make(&world, json!({ "name": "ca", "type": "client", "certificate": text(ca.pem()) })).await;
    said.extend([world.get("certificates").await, world.get(&format!("certificates/{}", id(&made))).await]);
    // A PUT that is right, and one that is not.
    let path = format!("certificates/{}", id(&said[said.len() - 3]));
    for body in [server(&other), json!({ "private_key": key })] {
        said.push(world.ask("PUT", &path, Some(&body)).await.1);
    }
    said.push(world.get("traces").await);
    let said = format!("{said:?}");
    assert!(said.contains("update certificate") && !said.contains(key_line), "a key is shown");
    // Nor does the file have it.
    let rows = world.shared.with_store(|store| store.list()).unwrap();
    assert_eq!(rows.iter().filter(|row| row.secret.is_some()).count(), 3);
    for file in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(world.directory.path().join(file)).unwrap();
        assert!(!bytes.windows(key_line.len()).any(|part| part == key_line.as_bytes()), "{file}");
    }
    assert_eq!(world.after_a_start(), world.served());
}

#[tokio::test]
async fn listeners_serve_the_certificates_that_they_name() {
    let world = World::new();
    let ca = root("ca");
    let one = id(&make(&world, server(&ca.issue("a", &["a.example"]))).await);
    let two = id(&make(&world, server(&ca.issue("b", &["b.example"]))).await);
    let trusted = json!({ "type": "client", "certificate": text(ca.pem()) });
    let trusted = id(&make(&world, trusted).await);
    let body = listener(&world).await;
    let with = |changes: Value| {
        let mut body = body.clone();
        changes.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    for (changes, words) in [
        (json!({}), "default_tls_container_ref"),
        (json!({ "default_tls_container_ref": "a" }), "id of a certificate"),
        (json!({ "default_tls_container_ref": trusted }), "server is needed"),
        (json!({ "default_tls_container_ref": one, "client_ca_tls_container_ref": one }), "client is needed"),
        (json!({ "default_tls_container_ref": one, "client_authentication": "MANDATORY" }), "client_ca"),
        (json!({ "default_tls_container_ref": one, "client_authentication": "OPTIONAL" }), "ot supported"),
        (json!({ "default_tls_container_ref": one, "tls_versions": ["TLSv1"] }), "TLSv1.2 TLSv1.3"),
        (json!({ "default_tls_container_ref": one, "tls_versions": [] }), "TLSv1.2 TLSv1.3"),
        (json!({ "default_tls_container_ref": one, "tls_versions": ["SSLv3", "TLSv1.3"] }), "tls_versions"),
        (json!({ "default_tls_container_ref": one, "alpn_protocols": ["h2"] }), "http/1.1"),
        (json!({ "default_tls_container_ref": one, "tls_ciphers": "ALL:aNULL" }), "\"ALL\" cannot be chosen"),
        (json!({ "default_tls_container_ref": one, "tls_ciphers": "" }), "TLS 1.2"),
        (json!({ "default_tls_container_ref": one, "tls_ciphers": "TLS_AES_128_GCM_SHA256" }), "TLS 1.2"),
        (
            json!({ "default_tls_container_ref": one, "tls_ciphers": "AES128-SHA", "tls_versions": ["TLSv1.3"] }),
            "TLSv1.2",
        ),
        (json!({ "default_tls_container_ref": one, "alpn_protocols": ["h3", "http/1.1"] }), "h3"),
    ] {
        let (status, said) =
            world.ask("POST", "listeners", Some(&json!({ "listener": with(changes.clone()) }))).await;
        let text = said["faultstring"].as_str().unwrap();
        assert!(status == 400 && text.contains(words), "{changes}: {status} {text}");
    }
    assert_eq!(tls(&world), None);
    // A reference may be what a key manager would have.
    let url = format!("https://keys.example/v1/containers/{one}/");
    let made = with(json!({ "default_tls_container_ref": url, "sni_container_refs": [two, one] }));
    let made = world.make("listeners", "listener", made).await;
    assert_eq!(made["default_tls_container_ref"], url);
    assert_eq!(made["tls_versions"], json!(["TLSv1.2", "TLSv1.3"]));
    let served = tls(&world).unwrap();
    let ids: Vec<String> = served.certificates.iter().map(ToString::to_string).collect();
    assert_eq!((ids, served.http2, served.client_ca), (vec![one.clone(), two.clone()], true, None));
    let path = format!("listeners/{}", id(&made));
    let change = json!({
        "client_ca_tls_container_ref": trusted, "client_authentication": "MANDATORY",
        "tls_versions": ["TLSv1.3"], "alpn_protocols": ["http/1.1"], "sni_container_refs": null,
    });
    assert_eq!(world.ask("PUT", &path, Some(&json!({ "listener": change }))).await.0, 200);
    let served = tls(&world).unwrap();
    assert_eq!(served.client_ca.map(|ca| ca.to_string()), Some(trusted.clone()));
    assert_eq!((served.policy.name(), served.http2, served.certificates.len()), ("modern", false, 1));
    let ciphers = json!({ "tls_versions": null, "tls_ciphers": "AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256" });
    assert_eq!(world.ask("PUT", &path, Some(&json!({ "listener": ciphers }))).await.0, 200);
    let served = tls(&world).unwrap().ciphers.unwrap();
    assert_eq!(
        (served.older(), served.newer()),
        ("AES256-GCM-SHA384".into(), "TLS_AES_128_GCM_SHA256".into())
    );
    for (used, expected) in [(&one, 409), (&trusted, 409), (&two, 204)] {
        let (status, said) = world.ask("DELETE", &format!("certificates/{used}"), None).await;
        assert_eq!(status, expected, "{said}");
        assert!(
            expected == 204 || said["faultstring"].as_str().unwrap().contains(&id(&made)),
            "by whom: {said}"
        );
    }
    // Another one in its place is served by who names it.
    let before = world.served().certificates;
    let (status, said) =
        world.ask("PUT", &format!("certificates/{one}"), Some(&server(&ca.issue("c", &["c.example"])))).await;
    assert_eq!(status, 200, "{said}");
    assert_ne!(world.served().certificates, before);
    assert_eq!(world.after_a_start(), world.served());

    // A plain listener sends its clients there, and keeps it from being deleted.
    let plain = with(json!({ "protocol": "HTTP", "protocol_port": 80 }));
    let plain = id(&world.make("listeners", "listener", plain).await);
    let policy = json!({
        "listener_id": plain, "action": "REDIRECT_TO_LISTENER", "redirect_listener_id": id(&made),
        "rules": [{ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/" }],
    });
    world.make("l7policies", "l7policy", policy).await;
    let policies = |world: &World| {
        world.served().listeners.values().map(|it| it.http().map_or(0, |it| it.policies.len())).sum::<usize>()
    };
    assert_eq!(policies(&world), 1);
    assert_eq!(world.ask("DELETE", &path, None).await.0, 409);
    for (is_on, expected) in [(false, 0), (true, 1)] {
        let body = json!({ "listener": { "admin_state_up": is_on } });
        assert_eq!(world.ask("PUT", &path, Some(&body)).await.0, 200);
        assert_eq!(policies(&world), expected, "it leads to what is served only");
        assert_eq!(world.after_a_start(), world.served());
    }
}
