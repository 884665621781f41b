//! Who listens on a port, as far as this user may see.

use procfs::net::{TcpState, tcp, tcp6};
use procfs::process::{FDTarget, all_processes};

/// A process with a listening socket.
pub(super) struct Holder {
    pub(super) pid: i32,
    /// Without arguments, which may hold anything.
    name: String,
}

impl Holder {
    pub(super) fn told(&self) -> String {
        format!("process {} ({}) listens there", self.pid, self.name)
    }
}

pub(super) fn on(port: u16) -> Vec<Holder> {
    let sockets = tcp().unwrap_or_default().into_iter().chain(tcp6().unwrap_or_default());
    let listening = sockets.filter(|socket| socket.state == TcpState::Listen && socket.local_address.port() == port);
    let inodes: Vec<_> = listening.map(|socket| socket.inode).collect();
    let mut holders = Vec::new();
    // Processes end while they are looked at, and others' files may not be seen.
    for process in all_processes().into_iter().flatten().flatten() {
        let holds = |target: &FDTarget| matches!(target, FDTarget::Socket(inode) if inodes.contains(inode));
        if process.fd().into_iter().flatten().flatten().any(|file| holds(&file.target)) {
            let name = process.stat().map_or_else(|_| "unknown".to_owned(), |stat| stat.comm);
            holders.push(Holder { pid: process.pid, name });
        }
    }
    holders
}
