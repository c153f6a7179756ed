//! What clients see of a Pingora application behind our handshakes: curl and `openssl s_client` over a Unix socket.

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::Arc,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::Response;
use model::{
    served::Tls,
    tls::{ServerCertificate, TlsPolicy},
};
use pingora::{
    apps::{
        ServerApp,
        http_app::{HttpServer, ServeHttp},
    },
    protocols::{http::ServerSession, l4::stream::Stream},
};
use tempfile::TempDir;
use tokio::{net::UnixListener, runtime::Runtime, sync::watch};

use crate::{
    l7::tls::{Acceptor, Profile, ProfileError, ServerName},
    pki::{
        self,
        tests::issue::{Issued, Order, issue, root, rsa},
    },
};

/// Answers with the name that the client asked for in its handshake.
struct Echo;

#[async_trait]
impl ServeHttp for Echo {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let digest = session.digest().and_then(|digest| digest.ssl_digest.clone()).unwrap();
        let name = digest.extension.get::<ServerName>().map_or("-", |name| &name.0);
        let body = format!("asked for {name}\n").into_bytes();
        Response::builder().header("content-length", body.len()).body(body).unwrap()
    }
}

/// A listener, and a directory for what its clients need.
pub(super) struct Site {
    profile: Arc<ArcSwap<Profile>>,
    directory: TempDir,
    runtime: Option<Runtime>,
}

impl Site {
    pub(super) fn start(tls: &Tls) -> Self {
        let profile = Arc::new(ArcSwap::from_pointee(Profile::new(tls).unwrap()));
        let current = Arc::clone(&profile);
        let acceptor = Arc::new(Acceptor::new(move || Some(current.load_full())).unwrap());
        let directory = TempDir::new().unwrap();
        let runtime = Runtime::new().unwrap();
        let inside = runtime.enter();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        drop(inside);
        runtime.spawn(serve(listener, acceptor));
        Self { profile, directory, runtime: Some(runtime) }
    }

    /// Changes the settings, as far as they can be had.
    pub(super) fn change(&self, tls: &Tls) -> Result<(), ProfileError> {
        self.profile.store(Arc::new(Profile::new(tls)?));
        Ok(())
    }

    /// Writes a certificate and its key, and says where.
    fn put(&self, name: &str, issued: &Issued) -> (String, String) {
        let path = |end: &str| self.path(&format!("{name}.{end}"));
        fs::write(path("crt"), issued.pem()).unwrap();
        fs::write(path("key"), issued.key_pem()).unwrap();
        (path("crt").to_str().unwrap().into(), path("key").to_str().unwrap().into())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What curl prints of the answer, or its exit status.
    fn curl(&self, arguments: &[&str]) -> Result<String, i32> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--unix-socket"]).arg(self.path("socket"));
        let output = curl.args(arguments).output().unwrap();
        match output.status.code() {
            Some(0) => Ok(String::from_utf8(output.stdout).unwrap()),
            code => Err(code.unwrap()),
        }
    }

    /// An `openssl s_client` that may use anything old and weak.
    fn client(&self, arguments: &[&str]) -> Command {
        let mut client = Command::new("openssl");
        // Not the system's own ideas of what is good enough.
        client.env("OPENSSL_CONF", "/dev/null").args(["s_client", "-ign_eof", "-unix"]);
        client.arg(self.path("socket")).args(arguments);
        client
    }

    /// Makes one request, after which the server closes, and returns what the client says of the connection.
    pub(super) fn talk(&self, arguments: &[&str]) -> String {
        let mut child = piped(self.client(arguments));
        // A client that was refused may be gone already.
        let _ = child.stdin.take().unwrap().write_all(REQUEST_AND_CLOSE);
        text(&child.wait_with_output().unwrap())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: UnixListener, acceptor: Arc<Acceptor>) {
    let app = Arc::new(HttpServer::new_app(Echo));
    let (_going, going) = watch::channel(false);
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, app, going) = (acceptor.clone(), app.clone(), going.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(Stream::from(socket)).await {
                app.process_new(stream, &going).await;
            }
        });
    }
}

const REQUEST_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

fn piped(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

pub(super) fn settings(certificates: Vec<ServerCertificate>) -> Tls {
    let certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
    Tls {
        http2: true,
        default_certificate: Arc::clone(&certificates[0]),
        certificates,
        client_ca: None,
        policy: TlsPolicy::default(),
        ciphers: None,
    }
}

/// A connection on which one request after the other is made.
struct Connection {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Connection {
    fn open(site: &Site) -> Self {
        let mut child = piped(site.client(&["-quiet", "-servername", "shop.example"]));
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn request(&mut self) {
        self.input.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"asked for shop.example\n") {
            let mut byte = [0];
            self.output.read_exact(&mut byte).expect("the connection ended");
            answer.push(byte[0]);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_name_gets_its_certificate() {
    let ca = root("ca");
    let certificate = |name, domains: &[&str]| ca.issue(name, domains).server();
    let mut tls = settings(vec![
        certificate("wildcard", &["*.shop.example"]),
        certificate("shop", &["shop.example", "www.shop.example"]),
        certificate("later", &["shop.example"]),
        certificate("default", &["default.example"]),
    ]);
    tls.default_certificate = Arc::clone(&tls.certificates[3]);
    let site = Site::start(&tls);
    let (ca, _) = site.put("ca", &ca);

    // curl compares the name itself.
    for name in ["shop.example", "www.shop.example", "img.shop.example", "default.example"] {
        let answer = site.curl(&["--cacert", &ca, &format!("https://{name}/")]);
        assert_eq!(answer, Ok(format!("asked for {name}\n")));
    }
    for (asked, subject) in [
        (&["-servername", "img.shop.example"][..], "wildcard"),
        (&["-servername", "WWW.shop.example"], "shop"),
        (&["-servername", "shop.example"], "shop"),
        (&["-servername", "a.b.shop.example"], "default"),
        (&["-noservername"], "default"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = site.talk(&[asked, &[version]].concat());
            assert!(said.contains(&format!("subject=CN = {subject}\n")), "{asked:?} {version}: {said}");
        }
    }
}

#[test]
fn a_client_gets_the_kind_of_key_that_it_knows() {
    let ca = root("ca");
    let rsa = issue(
        &Order { name: "rsa", domains: &["shop.example"], key: rsa(2048), ..Order::default() },
        Some(&ca),
    );
    let ec = ca.issue("ec", &["shop.example"]);
    let other = ca.issue("other", &["other.example"]);
    let site = Site::start(&settings(vec![rsa.server(), ec.server(), other.server()]));
    for name in [&["-servername", "shop.example"][..], &["-noservername"]] {
        for (cipher, subject) in
            [("ECDHE-RSA-AES128-GCM-SHA256", "rsa"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ec")]
        {
            let said = site.talk(&[name, &["-tls1_2", "-cipher", cipher]].concat());
            assert!(said.contains(&format!("subject=CN = {subject}\n")), "{name:?} {cipher}: {said}");
        }
    }
    // There is none of the other kind for this name, and not the default's instead.
    let said =
        site.talk(&["-servername", "other.example", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]);
    assert!(said.contains("handshake failure"), "{said}");
}

#[test]
fn a_chain_is_sent_whole_and_nothing_is_added() {
    let root = root("root");
    let below = issue(&Order { name: "below", ca: true, ..Order::default() }, Some(&root));
    let leaf = below.issue("leaf", &["shop.example"]);
    let chain = [leaf.certificate.clone(), below.certificate.clone()];
    let chain = pki::server(&chain, &[leaf.key]).unwrap();
    // The CA for clients, which OpenSSL could take the missing part of a chain from.
    let mut tls = settings(vec![chain, root.issue("short", &["short.example"]).server()]);
    tls.client_ca = Some(Arc::new(root.authorities()));
    let site = Site::start(&tls);
    for (name, count) in [("shop.example", 2), ("short.example", 1)] {
        let said = site.talk(&["-showcerts", "-servername", name]);
        assert_eq!(said.matches("BEGIN CERTIFICATE").count(), count, "{name}: {said}");
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_ca() {
    let (ours, theirs, servers) = (root("ours"), root("theirs"), root("servers"));
    let below = issue(&Order { name: "below", ca: true, ..Order::default() }, Some(&theirs));
    let mut tls = settings(vec![servers.issue("shop", &["shop.example"]).server()]);
    tls.client_ca = Some(Arc::new(ours.authorities()));
    let site = Site::start(&tls);
    let (ca, _) = site.put("ca", &servers);
    let get = |version: &str, client: Option<&str>| {
        let mut arguments =
            vec!["--cacert", &*ca, version, "--tls-max", &version[6..], "https://shop.example/"];
        let (certificate, key);
        if let Some(client) = client {
            (certificate, key) = (site.path(&format!("{client}.crt")), site.path(&format!("{client}.key")));
            arguments.extend(["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        }
        site.curl(&arguments).is_ok()
    };
    site.put("good", &ours.issue("good", &[]));
    site.put("bad", &theirs.issue("bad", &[]));
    site.put("expired", &issue(&Order { days: (-9, -1), ..Order::default() }, Some(&ours)));
    site.put("below", &below.issue("client of below", &[]));
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let let_in =
            [None, Some("good"), Some("bad"), Some("expired"), Some("below")].map(|who| get(version, who));
        assert_eq!(let_in, [false, true, false, false, false], "{version}");
    }
    // An intermediate alone is an authority too.
    tls.client_ca = Some(Arc::new(below.authorities()));
    site.change(&tls).unwrap();
    let let_in = [None, Some("good"), Some("bad"), Some("below")].map(|who| get("--tlsv1.3", who));
    assert_eq!(let_in, [false, false, false, true]);
}

#[test]
fn sessions_are_resumed_where_the_same_authorities_are_asked_for() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let open = settings(vec![ours.issue("shop", &["shop.example"]).server()]);
    let renewed = settings(vec![ours.issue("renewed", &["shop.example"]).server()]);
    let asking = |tls: &Tls, ca: &Issued| Tls { client_ca: Some(Arc::new(ca.authorities())), ..tls.clone() };
    let site = Site::start(&open);
    let (certificate, key) = site.put("client", &ours.issue("client", &[]));
    let session = site.path("session");
    let session = session.to_str().unwrap();
    const ANSWER: &str = "asked for shop.example";
    for version in ["-tls1_2", "-tls1_3"] {
        let client = ["-servername", "shop.example", version, "-cert", &certificate, "-key", &key];
        let anonymous = &client[..3];
        let save = |client: &[&str]| {
            let said = site.talk(&[client, &["-sess_out", session]].concat());
            assert!(said.contains("\nNew, ") && said.contains(ANSWER), "{said}");
        };
        let resume = |client: &[&str]| {
            let said = site.talk(&[client, &["-sess_in", session]].concat());
            (said.contains("\nReused, "), said.contains(ANSWER))
        };
        let change = |tls: &Tls| site.change(tls).unwrap();

        change(&asking(&open, &ours));
        save(&client);
        assert_eq!(resume(&client), (true, true), "{version}");
        change(&asking(&renewed, &ours));
        assert_eq!(resume(&client), (true, true), "{version}, after the certificate was renewed");
        // Nobody gets past the new authorities with a session from before.
        change(&asking(&renewed, &theirs));
        assert!(!resume(&client).1, "{version}, of other authorities");

        change(&open);
        save(anonymous);
        assert_eq!(resume(anonymous), (true, true), "{version}, without authorities");
        change(&asking(&open, &ours));
        assert!(!resume(anonymous).1, "{version}, before a certificate was asked for");
        assert_eq!(resume(&client), (false, true), "{version}, before a certificate was asked for, with one");
    }
}

#[test]
fn policies_allow_what_they_say() {
    use TlsPolicy::*;
    let own = issue(&Order { name: "shop", key: rsa(2048), ..Order::default() }, None);
    let tls = settings(vec![own.server()]);
    let site = Site::start(&tls);
    const VERSIONS: [&str; 4] = ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"];
    // Forward secrecy and AEAD, then without AEAD, without forward secrecy, and with SHA-1.
    const CIPHERS: [&str; 4] = [
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA256",
        "AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA",
    ];
    for (policy, versions, ciphers) in [
        (Intermediate, "--23", "a---"),
        (Modern, "---3", "----"),
        (Tls10, "012-", "abcd"),
        (Tls11, "-12-", "abcd"),
        (Tls12, "--2-", "abcd"),
        (Tls12Strict, "--2-", "abc-"),
        (Tls12ForwardSecrecy, "--2-", "ab--"),
        (Tls12ForwardSecrecyWith13, "--23", "ab--"),
        (Tls10With13, "0123", "abcd"),
    ] {
        site.change(&Tls { policy, ..tls.clone() }).unwrap();
        let taken = |arguments: &[&str]| site.talk(arguments).contains("asked for");
        let mark = |taken: bool, mark: char| if taken { mark } else { '-' };
        let spoken = VERSIONS.iter().zip("0123".chars());
        let spoken =
            spoken.map(|(version, sign)| mark(taken(&[version, "-cipher", "ALL:@SECLEVEL=0"]), sign));
        assert_eq!(spoken.collect::<String>(), versions, "{policy:?}");
        let used = CIPHERS.iter().zip("abcd".chars());
        let used = used.map(|(cipher, sign)| mark(taken(&["-tls1_2", "-cipher", cipher]), sign));
        assert_eq!(used.collect::<String>(), ciphers, "{policy:?}");
    }
}

#[test]
fn http2_is_switched_while_it_runs() {
    let ca = root("ca");
    let tls = settings(vec![ca.issue("shop", &["shop.example"]).server()]);
    let site = Site::start(&tls);
    let (ca, _) = site.put("ca", &ca);
    let version = || {
        let print = ["--http2", "--output", "/dev/null", "--write-out", "%{http_version}"];
        site.curl(&[&print[..], &["--cacert", &ca, "https://shop.example/"]].concat())
    };
    assert_eq!(version().as_deref(), Ok("2"));
    site.change(&Tls { http2: false, ..tls.clone() }).unwrap();
    assert_eq!(version().as_deref(), Ok("1.1"));
    site.change(&tls).unwrap();
    assert_eq!(version().as_deref(), Ok("2"));
}

#[test]
fn a_new_certificate_is_used_by_the_next_handshake_and_open_connections_stay() {
    let ca = root("ca");
    let of = |name| settings(vec![ca.issue(name, &["shop.example"]).server()]);
    let site = Site::start(&of("old"));
    let subject = || {
        let said = site.talk(&["-servername", "shop.example"]);
        said.lines().find_map(|line| line.strip_prefix("subject=CN = ").map(str::to_owned)).unwrap_or(said)
    };
    let mut connection = Connection::open(&site);
    connection.request();
    assert_eq!(subject(), "old");

    site.change(&of("new")).unwrap();
    assert_eq!(subject(), "new");
    connection.request();

    let weak = issue(&Order { name: "weak", key: rsa(1024), ..Order::default() }, None);
    let refused = site.change(&settings(vec![weak.server()])).unwrap_err().to_string();
    assert!(
        refused.contains(r#"the certificate for {"weak"} does not go with policy "intermediate""#),
        "{refused}"
    );
    assert_eq!(subject(), "new", "the one before stays");
    connection.request();
}
