//! Certificates, and what listeners and pools do with them.

use model::{
    object::{Certificate, Material, Objects},
    policy::RedirectStatus,
    served::{Action, Redirect, RedirectTo, Tls},
    tls::{Authorities, MemberTls, MemberTrust, ServerCertificate, TlsPolicy},
};
use openssl::hash::MessageDigest;
use tempfile::TempDir;

use super::*;
use crate::pki::tests::{
    issue::{Issued, Order, issue, root, rsa},
    staples,
};

/// [`BASE`] in a directory with certificates that the file may name: `shop` and `other` by a CA of their own, `weak`
/// with a key of 1024 bits, `old` with a signature of SHA-1, `ca`, and `intermediate`, a CA below it.
struct Site {
    directory: TempDir,
}

const CERTIFICATES: &str = "[[certificate]]\nname = 'shop'\ncertificate = 'shop.crt'\nkey = 'shop.key'\n\
    [[certificate]]\nname = 'other'\ncertificate = 'other.crt'\nkey = 'other.key'\n\
    [[certificate]]\nname = 'weak'\ncertificate = 'weak.crt'\nkey = 'weak.key'\n\
    [[certificate]]\nname = 'old'\ncertificate = 'old.crt'\nkey = 'old.key'\n\
    [[certificate]]\nname = 'ca'\nca = 'ca.crt'\n[[certificate]]\nname = 'intermediate'\nca = 'intermediate.crt'\n";

impl Site {
    fn new() -> Self {
        let site = Self { directory: TempDir::new().unwrap() };
        let ca = root("ca");
        site.put("ca", &ca);
        let shop = ca.issue("shop", &["shop.example"]);
        site.put("shop", &shop);
        fs::write(site.directory.path().join("chain.crt"), [shop.pem(), ca.pem()].concat()).unwrap();
        staples::put(site.directory.path(), "shop.ocsp", &ca, &shop);
        site.put("other", &ca.issue("other", &["other.example"]));
        site.put("weak", &issue(&Order { key: rsa(1024), ..Order::default() }, Some(&ca)));
        site.put("old", &issue(&Order { digest: MessageDigest::sha1(), ..Order::default() }, Some(&ca)));
        site.put("intermediate", &issue(&Order { name: "below", ca: true, ..Order::default() }, Some(&ca)));
        site
    }

    fn put(&self, name: &str, issued: &Issued) {
        fs::write(self.directory.path().join(format!("{name}.crt")), issued.pem()).unwrap();
        fs::write(self.directory.path().join(format!("{name}.key")), issued.key_pem()).unwrap();
    }

    /// Loads a file that has the certificates and, for [`BASE`]'s listener and pool, these lines.
    fn load(&self, listener: &str, pool: &str) -> Result<Configuration, ConfigErrors> {
        self.load_text(&format!("{}{CERTIFICATES}", with(listener, pool)))
    }

    fn load_text(&self, text: &str) -> Result<Configuration, ConfigErrors> {
        let path = self.directory.path().join("f.toml");
        fs::write(&path, text).unwrap();
        load(&path)
    }

    /// The reasons, without the directory and the file's name.
    fn said(&self, loaded: Result<Configuration, ConfigErrors>) -> Vec<String> {
        let Err(errors) = loaded else { return Vec::new() };
        let directory = format!("{}/", self.directory.path().display());
        errors.to_string().lines().map(|line| line.replace(&directory, "").replace("f.toml:", "")).collect()
    }
}

/// What a host serves with this file.
fn served(loaded: &Result<Configuration, ConfigErrors>) -> Served {
    flatten(&loaded.as_ref().unwrap().objects, None)
}

/// TLS of the one listener.
fn tls(served: &Served) -> Tls {
    served.listeners.values().next().unwrap().http.as_deref().unwrap().tls.clone().unwrap()
}

/// TLS towards the members of the one pool.
fn members(served: &Served) -> MemberTls {
    pool(served, "web").http.clone().unwrap().member.tls.unwrap()
}

fn material(objects: &Objects, name: &str) -> Material {
    let is_it = |certificate: &&Arc<Certificate>| certificate.meta.name.as_str() == name;
    objects.certificates.values().find(is_it).unwrap().material.clone()
}

fn server(objects: &Objects, name: &str) -> Arc<ServerCertificate> {
    let Material::Server(server) = material(objects, name) else { panic!("{name} is no server's") };
    server
}

fn authorities(objects: &Objects, name: &str) -> Arc<Authorities> {
    let Material::Authorities(authorities) = material(objects, name) else { panic!("{name} is no CA") };
    authorities
}

fn with(listener: &str, pool: &str) -> String {
    BASE.replace("port = 80\n", &format!("port = 443\nprotocol = 'https'\n{listener}\n"))
        .replace("algorithm = \"weighted-round-robin\"\n", &format!("{pool}\n"))
}

#[test]
fn what_is_not_said_has_a_default() {
    let loaded =
        Site::new().load("certificates = 'shop'", "protocol = 'https'\ntls.server_name = 'Backend.example'");
    let model = served(&loaded);
    let shop = server(&loaded.unwrap().objects, "shop");
    let tls = tls(&model);
    assert_eq!((tls.certificates, tls.default_certificate), (vec![shop.clone()], shop));
    assert_eq!((tls.http2, tls.client_ca, tls.policy), (true, None, TlsPolicy::Intermediate));
    let tls = members(&model);
    assert_eq!(
        (tls.server_name().unwrap().as_str(), tls.verify()),
        ("backend.example", &MemberTrust::System)
    );
}

#[test]
fn everything_can_be_said() {
    let site = Site::new();
    let listener = "certificates = ['shop', 'other']\ndefault_certificate = 'other'\nclient_ca = 'intermediate'\n\
                    tls_policy = 'tls-1-2-fs'\nhttp2 = false";
    let pool = "protocol = 'https'\ntls = { server_name = 'b.example', ca = 'ca' }";
    let loaded = site.load(listener, pool);
    let model = served(&loaded);
    let objects = loaded.unwrap().objects;
    let offered = tls(&model);
    let [shop, other] = ["shop", "other"].map(|name| server(&objects, name));
    assert_eq!(offered.certificates, [shop, other.clone()]);
    assert_eq!((offered.default_certificate, offered.http2), (other, false));
    let intermediate = authorities(&objects, "intermediate");
    assert_eq!((offered.client_ca, offered.policy), (Some(intermediate), TlsPolicy::Tls12ForwardSecrecy));
    assert_eq!(*members(&model).verify(), MemberTrust::Authorities(authorities(&objects, "ca")));

    let unverified = site.load("certificates = 'shop'", "protocol = 'https'\ntls.verify = false");
    let members = members(&served(&unverified));
    assert_eq!((members.server_name(), members.verify()), (None, &MemberTrust::Anyone));

    for policy in TlsPolicy::ALL {
        let model = site
            .load(&format!("certificates = 'shop'\ntls_policy = {:?}", policy.name()), "protocol = 'http'");
        assert_eq!(tls(&served(&model)).policy, policy);
    }
}

#[test]
fn a_changed_file_is_a_changed_listener() {
    let site = Site::new();
    let load = || served(&site.load("certificates = 'shop'", "protocol = 'http'")).listeners;
    let before = load();
    assert_eq!(load(), before);
    site.put("shop", &root("ca").issue("shop", &["shop.example"]));
    assert_ne!(load(), before);
}

/// A response that was fetched again is a change, too.
#[test]
fn a_certificate_may_have_what_its_issuer_says_of_it() {
    let site = Site::new();
    let load = || {
        let table = "[[certificate]]\nname = 'shop'\ncertificate = 'chain.crt'\nkey = 'shop.key'\nocsp = 'shop.ocsp'\n";
        let model = site.load_text(&format!("{}{table}", with("certificates = 'shop'", "protocol = 'http'")));
        tls(&served(&model)).certificates[0].staple.clone().unwrap()
    };
    let before = load();
    assert_eq!(load(), before);
    let [ca, shop] = ["ca", "shop"].map(|name| Issued::read(site.directory.path(), name));
    staples::put(site.directory.path(), "shop.ocsp", &ca, &shop);
    assert_ne!(load(), before);
}

#[test]
fn refused_at_listeners_and_pools() {
    let site = Site::new();
    let http = "protocol = 'http'";
    let shop = "certificates = 'shop'";
    for (listener, pool, expected) in [
        ("", http, "11: load_balancer.listener.certificates: missing; it has no default"),
        (
            "certificates = []",
            http,
            "15: load_balancer.listener.certificates: the list is empty; put at least one into it",
        ),
        (
            "certificates = ['nobody']",
            http,
            r#"15: load_balancer.listener.certificates: no certificate is named "nobody"; write [[certificate]] with this name, or name another"#,
        ),
        (
            "certificates = ['shop', 'shop']",
            http,
            r#"15: load_balancer.listener.certificates: "shop" is in the list already; name each certificate once"#,
        ),
        (
            "certificates = 'ca'",
            http,
            r#"15: load_balancer.listener.certificates: certificate "ca" is a CA, which no server can use; name one with "certificate" and "key""#,
        ),
        (
            "certificates = 'shop'\nclient_ca = 'shop'",
            http,
            r#"16: load_balancer.listener.client_ca: certificate "shop" is a server's certificate, which can issue none; name one with "ca""#,
        ),
        (
            "certificates = 'shop'\ndefault_certificate = 'other'",
            http,
            r#"16: load_balancer.listener.default_certificate: "other" is not in "certificates"; add it there, or name one of them"#,
        ),
        (
            "certificates = 'shop'\ntls_policy = 'modem'",
            http,
            r#"16: load_balancer.listener.tls_policy: "modem" is no TLS policy; use "intermediate", "modern", "tls-1-0", "tls-1-1", "tls-1-2", "tls-1-2-strict", "tls-1-2-fs", "tls-1-2-fs-with-1-3" or "tls-1-0-with-1-3""#,
        ),
        (
            "certificates = 'shop'\nhttp2 = 1",
            http,
            "16: load_balancer.listener.http2: a whole number does not belong here; use true or false",
        ),
        (
            "certificates = 'weak'",
            http,
            r#"11: load_balancer.listener.certificates: certificate "weak" does not go with policy "intermediate": ee key too small; use a key of 2048 bits or more (RSA) and SHA-256 signatures, or a policy that takes others, such as tls_policy = "tls-1-0-with-1-3""#,
        ),
        (
            "certificates = 'old'",
            http,
            r#"11: load_balancer.listener.certificates: certificate "old" does not go with policy "intermediate": ca md too weak; use a key of 2048 bits or more (RSA) and SHA-256 signatures, or a policy that takes others, such as tls_policy = "tls-1-0-with-1-3""#,
        ),
        ("certificates = ['weak', 'old']\ntls_policy = 'tls-1-0'", http, ""),
        (
            shop,
            "protocol = 'http'\ntls.verify = false",
            r#"20: pool.tls: only a pool with protocol = "https" has this"#,
        ),
        (
            shop,
            "protocol = 'https'",
            "17: pool.tls.server_name: missing; give the name that the members' certificates are for, or verify = \
             false to trust any certificate",
        ),
        (
            shop,
            "protocol = 'https'\ntls = { verify = false, ca = 'ca' }",
            "20: pool.tls.ca: with verify = false no certificate is compared with it; leave one of the two out",
        ),
        (
            shop,
            "protocol = 'https'\ntls = { server_name = '192.0.2.1' }",
            r#"20: pool.tls.server_name: "192.0.2.1" is not a DNS name; use one such as "backend.example" that the members' certificates are for"#,
        ),
        (
            shop,
            "protocol = 'https'\ntls = { server_name = 'b.example', ca = 'intermediate' }",
            r#"20: pool.tls.ca: certificate "intermediate" has no root, which is a CA's certificate that it issued itself; add it to the file"#,
        ),
    ] {
        let expected = if expected.is_empty() { vec![] } else { vec![expected] };
        assert_eq!(site.said(site.load(listener, pool)), expected, "{listener} {pool}");
    }
}

#[test]
fn refused_certificates() {
    let site = Site::new();
    fs::write(site.directory.path().join("large"), vec![b'a'; (1 << 20) + 1]).unwrap();
    for (table, expected) in [
        (
            "name = 'a'",
            r#"22: certificate: has neither "certificate" and "key", which a server needs, nor "ca""#,
        ),
        ("name = 'a'\ncertificate = 'shop.crt'", "22: certificate.key: missing; it has no default"),
        ("name = 'a'\nkey = 'shop.key'", "22: certificate.certificate: missing; it has no default"),
        (
            "name = 'a'\nca = 'ca.crt'\nkey = 'ca.key'",
            r#"25: certificate.key: a CA has "ca" alone; leave this out, or "ca" if it is a server's"#,
        ),
        (
            "name = 'a'\nca = 'none.crt'",
            r#"24: certificate.ca: "none.crt" cannot be read: No such file or directory (os error 2)"#,
        ),
        (
            "name = 'a'\nca = '/dev/zero'",
            r#"24: certificate.ca: "/dev/zero" cannot be read: not a file; name one"#,
        ),
        (
            "name = 'a'\nca = 'large'",
            r#"24: certificate.ca: "large" cannot be read: larger than 1 MiB, so no file of certificates; name another"#,
        ),
        (
            "name = 'a'\ncertificate = 'shop.crt'\nkey = 'other.key'",
            r#"24: certificate.certificate: "shop.crt": the private key does not belong to CN=shop; name the key that this certificate was made for"#,
        ),
        (
            "name = 'a'\ncertificate = 'shop.key'\nkey = 'shop.key'",
            r#"24: certificate.certificate: "shop.key": has no certificate; a block that begins with -----BEGIN CERTIFICATE----- belongs there"#,
        ),
        (
            "name = 'a'\nca = 'ca.key'",
            r#"24: certificate.ca: "ca.key": has a private key on line 1; keep a CA's key elsewhere, here its certificate is enough"#,
        ),
        (
            "name = 'a'\ncertificate = 'chain.crt'\nkey = 'shop.key'\nocsp = 'ca.crt'",
            r#"26: certificate.ocsp: "ca.crt": not an OCSP response in DER, as `openssl ocsp -respout FILE` writes it"#,
        ),
        (
            "name = 'a'\nca = 'ca.crt'\nocsp = 'none'",
            r#"25: certificate.ocsp: a CA has "ca" alone; leave this out, or "ca" if it is a server's"#,
        ),
        (
            "name = 'a'\nca = 'ca.crt'\n[[certificate]]\nname = 'a'\nca = 'ca.crt'",
            r#"26: certificate.name: "a" is taken on line 23; give each its own name"#,
        ),
    ] {
        assert_eq!(
            site.said(site.load_text(&format!("{BASE}[[certificate]]\n{table}\n"))),
            [expected],
            "{table}"
        );
    }
}

/// Whoever is told what is wrong with the certificate need not read that nobody has its name.
#[test]
fn a_refused_certificate_is_reported_once() {
    let site = Site::new();
    let text = with("certificates = 'bad'\nclient_ca = 'worse'", "protocol = 'http'");
    let tables = "[[certificate]]\nname = 'bad'\ncertificate = 'shop.crt'\nkey = 'shop.crt'\n\
                  [[certificate]]\nname = 'worse'\nca = 'shop.crt'\n";
    let said = site.said(site.load_text(&format!("{text}{tables}")));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("certificate.key") && said[1].contains("certificate.ca"), "{said:?}");
}

/// The listeners may stand in any order.
#[test]
fn http_is_redirected_to_https() {
    let site = Site::new();
    let http = |lines: &str| {
        let plain =
            format!("[[load_balancer.listener]]\nname = 'plain'\nport = 80\nprotocol = 'http'\n{lines}\n");
        let text = with("certificates = 'shop'", "protocol = 'http'").replace("port = 443", "port = 8443");
        text.replacen("[[load_balancer.listener]]", &format!("{plain}[[load_balancer.listener]]"), 1)
    };
    let load = |lines: &str| site.load_text(&format!("{}{CERTIFICATES}", http(lines)));
    let policy = "[[load_balancer.listener.policy]]\nname = 'p'\ndomain = 'a'\nredirect";
    for (lines, status) in [
        ("redirect = { listener = 'web' }", 301),
        ("redirect = { listener = 'web', status = 308 }", 308),
        (&format!("{policy} = {{ listener = 'web', status = 302 }}"), 302),
    ] {
        let model = served(&load(lines));
        let plain = model.listeners.into_values().find(|l| l.name.as_str() == "plain").unwrap();
        let http = plain.http.clone().unwrap();
        let found = http.redirect.clone().or_else(|| match http.policies.first()?.action.clone() {
            Action::Redirect(redirect) => Some(redirect),
            _ => None,
        });
        let to = RedirectTo::Listener(Port::literal(8443));
        let status = RedirectStatus::new(status).unwrap();
        assert_eq!(found, Some(Redirect { status, to }), "{lines}");
    }

    let both_ways = http("redirect = { listener = 'web' }")
        .replace("certificates = 'shop'", "certificates = 'shop'\nredirect = { listener = 'plain' }");
    let said = site.said(site.load_text(&format!("{both_ways}{CERTIFICATES}")));
    assert!(
        said.iter().any(|line| line.contains("listener.redirect: only an HTTP listener can be redirected")),
        "{said:?}"
    );
}
