//! What runs on the backends.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
};

use testbed::{Host, Process, wait_for};

use crate::balancer::{BACKEND_PORT, DEADLINE, Family};

/// [`nginx`] on each of these.
pub fn nginx_on_each(hosts: &[Host], directory: &Path) -> Vec<Process> {
    hosts.iter().map(|host| nginx(host, directory, "")).collect()
}

/// nginx, answering `/` with the backend's name and everything else from `root`, on the backend's addresses of both
/// families. `listen` is appended to its listen directives.
pub fn nginx(host: &Host, directory: &Path, listen: &str) -> Process {
    let home = directory.join(host.name());
    fs::create_dir_all(&home).unwrap();
    let (name, address, address6, home_text) = (host.name(), host.address(), host.address6(), home.display());
    let config = format!(
        "daemon off; master_process off; error_log stderr; pid {home_text}/pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log {home_text}/access.log; client_body_temp_path {home_text}/body;\n\
         proxy_temp_path {home_text}/proxy; fastcgi_temp_path {home_text}/fastcgi;\n\
         uwsgi_temp_path {home_text}/uwsgi; scgi_temp_path {home_text}/scgi;\n\
         server {{ listen {address}:{BACKEND_PORT} backlog=4096 {listen};\n\
         listen [{address6}]:{BACKEND_PORT} backlog=4096 {listen}; root {};\n\
         location = / {{ return 200 '{name}\\n'; }} }} }}\n",
        directory.display(),
    );
    let file = home.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let process = host.spawn(&["nginx", "-p", home.to_str().unwrap(), "-c", file.to_str().unwrap()]).unwrap();
    wait_until_listening(host);
    process
}

/// Waits until the backend's port takes connections.
pub fn wait_until_listening(host: &Host) {
    wait_until_listening_on(host, Family::V4);
}

/// The same of its address of this family.
pub fn wait_until_listening_on(host: &Host, family: Family) {
    let address = (family.address_of(host), BACKEND_PORT);
    wait_for("the server", DEADLINE, || host.enter(|| TcpStream::connect(address)).unwrap().is_ok()).unwrap();
}

/// A socket on the backend's port, for a test to accept from.
pub fn listen(host: &Host) -> TcpListener {
    listen_on(host, Family::V4)
}

/// The same on the backend's address of this family.
pub fn listen_on(host: &Host, family: Family) -> TcpListener {
    host.enter(|| TcpListener::bind((family.address_of(host), BACKEND_PORT))).unwrap().unwrap()
}
