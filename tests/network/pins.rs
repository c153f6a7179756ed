//! Does everything go on, and come back, when the pins are lost under a running daemon, or a program is taken off?

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use testbed::{Network, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

/// A connection that goes on.
struct Conversation(TcpStream, TcpStream);

impl Conversation {
    fn new(balancer: &Balancer, listener: &TcpListener) -> Self {
        let connect = || TcpStream::connect_timeout(&VIP, DEADLINE);
        let client = balancer.network.client().enter(connect).unwrap().unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(client, listener.accept().unwrap().0)
    }

    fn goes_on(&mut self) {
        self.0.write_all(b"?").unwrap();
        self.1.read_exact(&mut [0]).unwrap();
        self.1.write_all(b"!").unwrap();
        self.0.read_exact(&mut [0]).unwrap();
    }
}

fn wait_for_log(balancer: &Balancer, text: &str, times: usize) {
    wait_for(text, DEADLINE, || balancer.log().matches(text).count() >= times)
        .unwrap_or_else(|error| panic!("{error}:\n{}", balancer.log()));
}

/// The names of all pins, sorted.
fn pinned(pins: &Path) -> Vec<String> {
    let Ok(versions) = fs::read_dir(pins) else { return Vec::new() };
    let pins = versions.flat_map(|version| fs::read_dir(version.unwrap().path()).unwrap());
    let mut names: Vec<_> = pins.map(|pin| pin.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_directory_that_somebody_removes_is_there_again() {
    let mut balancer = Balancer::start(Settings::default());
    let listener = servers::listen(&balancer.network.backends[0]);
    let mut conversation = Conversation::new(&balancer, &listener);
    let before = pinned(balancer.pins());
    fs::remove_dir_all(balancer.pins()).unwrap();
    conversation.goes_on();
    wait_for_log(&balancer, "had lost pins of the data path", 1);
    assert_eq!(pinned(balancer.pins()), before);
    conversation.goes_on();
    assert_eq!(balancer.open_sessions(), 1);

    // Again, and the next daemon finds everything, too.
    fs::remove_dir_all(balancer.pins()).unwrap();
    wait_for_log(&balancer, "had lost pins of the data path", 2);
    balancer.kill();
    conversation.goes_on();
    balancer.run();
    conversation.goes_on();
    Conversation::new(&balancer, &listener).goes_on();
    assert_eq!(balancer.open_sessions(), 2);
}

#[test]
fn a_program_that_somebody_detaches_is_attached_again() {
    let balancer = Balancer::start(Settings::default());
    let listener = servers::listen(&balancer.network.backends[0]);
    let version = fs::read_dir(balancer.pins()).unwrap().next().unwrap().unwrap().path();
    let link = version.join("link_front");
    let detach = Command::new("bpftool").args(["link", "detach", "pinned"]).arg(link).status().unwrap();
    assert!(detach.success());
    wait_for_log(&balancer, "front has lost the XDP program, and gets it again", 1);
    Conversation::new(&balancer, &listener).goes_on();
}

/// A BPF file system of the test's own.
struct Mount(PathBuf);

impl Mount {
    fn put(&self) {
        let mount = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&self.0).status().unwrap();
        assert!(mount.success());
    }

    fn remove(&self) -> bool {
        Command::new("umount").arg(&self.0).status().unwrap().success()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.remove();
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_unmounted_file_system_takes_nothing_along() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let mount = Mount(PathBuf::from(format!("/run/{}-bpf", network.balancer.name())));
    fs::create_dir_all(&mount.0).unwrap();
    mount.put();
    {
        let pins = mount.0.join("evenkeel");
        let balancer = Balancer::start_at(pins, network, Settings::default());
        let listener = servers::listen(&balancer.network.backends[0]);
        let mut conversation = Conversation::new(&balancer, &listener);
        let before = pinned(balancer.pins());
        assert!(mount.remove());
        wait_for_log(&balancer, "is not on a BPF file system: mount one with", 1);
        conversation.goes_on();
        Conversation::new(&balancer, &listener).goes_on();

        mount.put();
        wait_for_log(&balancer, "the data path is as it has to be again", 1);
        assert_eq!(pinned(balancer.pins()), before);
        conversation.goes_on();
        assert!(balancer.ask("status")["problem"].is_null());
    }
}
