//! Which ranks of a run are this supervisor's, and where all ranks meet.
//!
//! One machine: all of them. Several machines: those of this one, by the settings. Under a launcher that starts a
//! process for each rank (torchrun, srun): one rank, as the launcher's environment says.

use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

use run::settings::Settings;
use serde::{Deserialize, Serialize};

/// The variable in which `cocaptain train` tells its supervisor of a launcher's seat, as JSON.
pub const GIVEN: &str = "COCAPTAIN_SEAT";
/// Where the ranks of one machine meet.
const LOOPBACK: &str = "127.0.0.1";
/// Where those of several do, unless they are told: torch's own default.
pub const PORT: u16 = 29500;

/// Which ranks are ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// This machine, from 0.
    pub node: u32,
    /// Our first rank.
    pub first: u32,
    /// How many are ours.
    pub ranks: u32,
    /// How many there are.
    pub world: u32,
    /// The number on this machine of our first rank.
    pub local_first: u32,
    /// A launcher serves the store itself; keys of ours begin with this.
    pub served: Option<String>,
}

/// Where ranks meet in an attempt.
#[derive(Debug)]
pub struct Meeting {
    /// Address of the store.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our own address, over which our ranks talk.
    pub interface: String,
    /// What rank 0 serves the store on.
    pub listener: Option<TcpListener>,
}

impl Seat {
    /// By the settings alone.
    pub fn of(settings: &Settings) -> Self {
        let n = |x: u64| u32::try_from(x).unwrap_or(u32::MAX);
        let (per_node, node) = (n(settings.nproc_per_node), n(settings.node_rank));
        Self {
            node,
            first: node.saturating_mul(per_node),
            ranks: per_node,
            world: per_node.saturating_mul(n(settings.nnodes)),
            local_first: 0,
            served: None,
        }
    }

    /// What `cocaptain train` found of a launcher.
    ///
    /// # Errors
    /// The variable makes no sense.
    pub fn given() -> Result<Option<Self>, String> {
        let Ok(text) = std::env::var(GIVEN) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|e| format!("{GIVEN}: {e}"))
    }

    /// Whether rank 0 is ours: this supervisor decides for all.
    pub fn is_first(&self) -> bool {
        self.first == 0
    }

    /// How our keys begin in a store that others use, too.
    pub fn prefix(&self) -> String {
        self.served.clone().unwrap_or_default()
    }

    /// Where our ranks meet the others. Listeners are bound here: libtorch's own would listen on every interface.
    ///
    /// # Errors
    /// In words: an address that is not ours or not known, a port that is taken.
    pub fn meeting(&self, settings: &Settings) -> Result<Meeting, String> {
        if self.ranks == self.world {
            let none = |e| format!("no port on {LOOPBACK} for the ranks to meet: {e}");
            let listener = TcpListener::bind((LOOPBACK, 0)).map_err(none)?;
            let port = listener.local_addr().map_err(none)?.port();
            let host = LOOPBACK.to_owned();
            return Ok(Meeting { interface: host.clone(), host, port, listener: Some(listener) });
        }
        let name = settings.master_addr.clone().unwrap_or_else(|| LOOPBACK.to_owned());
        let port = settings.master_port.and_then(|p| u16::try_from(p).ok()).unwrap_or(PORT);
        let address = resolve(&name, port)?;
        let (interface, listener) = match self.is_first() && self.served.is_none() {
            true => {
                let listener = TcpListener::bind(address).map_err(|e| {
                    format!(
                        "master_addr {name}, master_port {port}: cannot be listened at: {e}; master_addr is an address of the \
                         machine with node_rank 0, and nobody else may use the port"
                    )
                })?;
                (address.ip(), Some(listener))
            }
            false => (towards(address).map_err(|e| format!("master_addr {name}: no way there: {e}"))?, None),
        };
        Ok(Meeting { host: address.ip().to_string(), port, interface: interface.to_string(), listener })
    }
}

fn resolve(name: &str, port: u16) -> Result<SocketAddr, String> {
    let found = (name, port).to_socket_addrs().map_err(|e| format!("master_addr {name}: {e}"))?;
    let all: Vec<SocketAddr> = found.collect();
    // IPv4 first: that is what most launchers and Gloo agree on.
    let first = all.iter().find(|a| a.is_ipv4()).or_else(|| all.first()).copied();
    first.ok_or_else(|| format!("master_addr {name}: no such host"))
}

/// Our own address on the way to another; nothing is sent.
fn towards(address: SocketAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_follow_the_settings() {
        let alone = Seat::of(&Settings { nproc_per_node: 4, ..Settings::default() });
        assert!(alone.is_first() && (alone.ranks, alone.world) == (4, 4));
        let second =
            Seat::of(&Settings { nproc_per_node: 4, nnodes: 3, node_rank: 1, ..Settings::default() });
        assert!(!second.is_first() && (second.first, second.ranks, second.world) == (4, 4, 12));
    }

    #[test]
    fn only_the_named_address_listens() {
        let settings = Settings {
            nnodes: 2,
            master_addr: Some("127.0.0.1".to_owned()),
            master_port: Some(1),
            ..Settings::default()
        };
        let second = Seat::of(&Settings { node_rank: 1, ..settings.clone() }).meeting(&settings).unwrap();
        assert!(second.listener.is_none() && second.interface == "127.0.0.1", "{second:?}");
        let elsewhere = Settings { master_addr: Some("192.0.2.1".to_owned()), ..settings.clone() };
        let refused = Seat::of(&elsewhere).meeting(&elsewhere).unwrap_err();
        assert!(refused.contains("192.0.2.1") && refused.contains("cannot be listened at"), "{refused}");
        let nobody = Settings { master_addr: Some("no.such.host.invalid".to_owned()), ..settings };
        assert!(Seat::of(&nobody).meeting(&nobody).unwrap_err().contains("no.such.host.invalid"));
    }
}
