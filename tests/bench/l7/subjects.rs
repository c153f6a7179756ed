//! The three balancers between one client and two backends, with equal settings: as many workers as processors,
//! connections to backends kept, one certificate, the client's address in X-Forwarded-For, no access log.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
};

use tempfile::TempDir;
use testbed::{Host, Process, wait_for};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Settings, VIP},
    certificates::Certificates,
    group::Group,
};

/// What backends answer `/` with.
pub const BODY: &str =
    "a short answer of a backend, about as long as one of an interface for programs may be";
/// A path with 64 KB behind it.
pub const LARGE: &str = "/large";
/// A path with 1 MB behind it.
pub const MEGABYTE: &str = "/megabyte";
/// How much is sent to `/upload` at once, in bytes.
pub const UPLOAD: usize = 8 << 20;
/// A path with 16 MB behind it.
pub const HUGE: &str = "/huge";
/// One client opens very many connections.
const CLIENT_SETTINGS: [&str; 2] = ["net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1"];

/// One balancer.
pub struct Subject {
    pub name: &'static str,
    pub http: SocketAddr,
    pub https: SocketAddr,
    /// Its processes.
    pub group: Group,
}

/// All of them in a network.
pub struct Setup {
    pub subjects: Vec<Subject>,
    pub balancer: Balancer,
    /// The file that is sent to `/upload`.
    pub upload: String,
    _others: Vec<Process>,
    _directory: TempDir,
    _certificates: Certificates,
}

impl Setup {
    /// Starts backends and balancers, none of which has served a request yet.
    pub fn start() -> Self {
        let certificates = Certificates::new();
        certificates.authority("ca").issue("ca", "bench", "bench.example");
        let secure = "[[load_balancer.listener]]\nname = \"secure\"\nprotocol = \"https\"\nport = 443\npool = \"web\"\n\
                      certificates = \"bench\"\n";
        let balancer = Balancer::start(Settings {
            weights: vec![1, 1],
            protocol: "http",
            idle_timeout: "60s",
            listener: secure.to_owned() + &certificates.server("bench"),
            pool: "protocol = \"http\"",
            ..Settings::default()
        });
        for setting in CLIENT_SETTINGS {
            balancer.client(&["sysctl", "-q", "-w", setting]);
        }
        let directory = tempfile::tempdir().unwrap();
        let mut others: Vec<_> =
            balancer.network.backends.iter().map(|host| backend(host, directory.path())).collect();
        let mut subjects = Vec::new();
        for (start, name, port) in [(nginx as fn(&Place<'_>) -> Process, "nginx", 1), (haproxy, "HAProxy", 2)]
        {
            let host = &balancer.network.balancer;
            let [http, https] = [8080, 8440].map(|base| SocketAddr::new(host.address().into(), base + port));
            let process = start(&Place {
                balancer: &balancer,
                directory: directory.path(),
                certificates: &certificates,
                http,
                https,
            });
            subjects.push(Subject { name, http, https, group: Group(process.id()) });
            others.push(process);
        }
        let group = Group(balancer.id());
        subjects.push(Subject { name: "Evenkeel", http: VIP, https: SocketAddr::new(VIP.ip(), 443), group });
        for subject in &subjects {
            for address in [subject.http, subject.https] {
                wait_until_listening(balancer.network.client(), address);
            }
        }
        let upload = directory.path().join("upload");
        fs::write(&upload, vec![b'x'; UPLOAD]).unwrap();
        let upload = upload.to_str().unwrap().to_owned();
        Self {
            subjects,
            balancer,
            upload,
            _others: others,
            _directory: directory,
            _certificates: certificates,
        }
    }

    /// Runs a command on the client.
    pub fn client(&self, words: &[&str]) -> String {
        self.balancer.client(words)
    }
}

/// Where a balancer is to be, and what it needs.
struct Place<'a> {
    balancer: &'a Balancer,
    directory: &'a Path,
    certificates: &'a Certificates,
    http: SocketAddr,
    https: SocketAddr,
}

impl Place<'_> {
    /// The backends, one line each.
    fn backends(&self, line: impl Fn(usize, SocketAddr) -> String) -> String {
        let hosts = self.balancer.network.backends.iter().enumerate();
        hosts
            .map(|(number, host)| line(number, SocketAddr::new(host.address().into(), BACKEND_PORT)))
            .collect()
    }

    fn spawn(&self, words: &[&str]) -> Process {
        self.balancer.network.balancer.spawn(words).unwrap()
    }
}

fn nginx(place: &Place<'_>) -> Process {
    let (http, https) = (place.http, place.https);
    let [certificate, key] = ["bench.crt", "bench.key"].map(|file| place.certificates.path(file));
    let servers = place.backends(|_, address| format!("server {address};\n"));
    let content = format!(
        "upstream web {{ {servers} keepalive 256; keepalive_requests 1000000; }}\n\
         keepalive_requests 1000000; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         ssl_session_cache shared:ssl:10m; client_max_body_size 0;\n\
         server {{ listen {http} backlog=4096; listen {https} ssl http2 backlog=4096;\n\
         location / {{ proxy_pass http://web; }} }}",
    );
    let file = nginx_file(&place.directory.join("nginx"), workers(), &content);
    place.spawn(&["nginx", "-c", &file])
}

fn haproxy(place: &Place<'_>) -> Process {
    let (http, https) = (place.http, place.https);
    let directory = place.directory.join("haproxy");
    fs::create_dir_all(&directory).unwrap();
    let both = ["crt", "key"]
        .map(|end| fs::read_to_string(place.certificates.path(&format!("bench.{end}"))).unwrap());
    let (certificate, file) = (directory.join("bench.pem"), directory.join("haproxy.cfg"));
    fs::write(&certificate, both.concat()).unwrap();
    let servers = place.backends(|number, address| format!("  server s{number} {address}\n"));
    let content = format!(
        "global\n  nbthread {}\n  maxconn 8000\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 option forwardfor\n  http-reuse always\n\
         frontend web\n  bind {http} backlog 4096\n\
         \x20 bind {https} ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.2 backlog 4096\n  default_backend web\n\
         backend web\n{servers}",
        workers(),
        certificate.display(),
    );
    fs::write(&file, content).unwrap();
    place.spawn(&["haproxy", "-db", "-f", file.to_str().unwrap()])
}

/// nginx on a backend, with one worker.
fn backend(host: &Host, directory: &Path) -> Process {
    let directory = directory.join(host.name());
    let address = SocketAddr::new(host.address().into(), BACKEND_PORT);
    let content = format!(
        "keepalive_requests 1000000; sendfile on; client_max_body_size 0; root {};\n\
         server {{ listen {address} backlog=4096; location = / {{ return 200 '{BODY}'; }}\n\
         location = /upload {{ dav_methods PUT; }} }}",
        directory.display(),
    );
    let file = nginx_file(&directory, 1, &content);
    fs::write(directory.join(&LARGE[1..]), vec![b'x'; 64 << 10]).unwrap();
    fs::write(directory.join(&MEGABYTE[1..]), vec![b'x'; 1 << 20]).unwrap();
    fs::write(directory.join(&HUGE[1..]), vec![b'x'; 16 << 20]).unwrap();
    let process = host.spawn(&["nginx", "-c", &file]).unwrap();
    wait_until_listening(host, address);
    process
}

/// Its configuration around this content; where that is.
fn nginx_file(directory: &Path, workers: usize, content: &str) -> String {
    fs::create_dir_all(directory).unwrap();
    let (home, file) = (directory.display(), directory.join("nginx.conf"));
    let text = format!(
        "user root; daemon off; worker_processes {workers}; error_log stderr; pid {home}/pid;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;\n\
         fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;\n\
         {content} }}\n",
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn workers() -> usize {
    thread::available_parallelism().unwrap().get()
}

fn wait_until_listening(host: &Host, address: SocketAddr) {
    let reached = || host.enter(|| TcpStream::connect(address)).unwrap().is_ok();
    wait_for(&format!("{address}"), DEADLINE, reached).unwrap();
}
