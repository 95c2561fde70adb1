//! An interface of this machine, by name or by one of its addresses, as the system's multicast calls want it.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
};

/// IPv4 knows an interface by either, IPv6 by its index only. All zero: the system chooses by its routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) address: Ipv4Addr,
}

impl Interface {
    pub(super) const ANY: Self = Self { index: 0, address: Ipv4Addr::UNSPECIFIED };

    /// `socket`: any.
    pub(super) fn find(named: &str, socket: impl AsFd) -> io::Result<Self> {
        match named.parse() {
            Ok(IpAddr::V4(address)) => Ok(Self { address, ..Self::ANY }),
            Ok(IpAddr::V6(address)) => {
                let index = of_address(address, &fs::read_to_string("/proc/thread-self/net/if_inet6")?);
                let unknown = || io::Error::new(io::ErrorKind::NotFound, "no interface has that address");
                Ok(Self { index: index.ok_or_else(unknown)?, ..Self::ANY })
            }
            Err(_) => Ok(Self { index: rustix::net::netdevice::name_to_index(socket, named)?, ..Self::ANY }),
        }
    }
}

/// `table`: proc(5), /proc/net/if_inet6 (of this thread's network). Lines of address, index, prefix length, …, all hexadecimal, and the name.
fn of_address(address: Ipv6Addr, table: &str) -> Option<u32> {
    let wanted: String = address.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    let mut lines = table.lines().map(str::split_whitespace);
    let mut line = lines.find_map(|mut line| (line.next() == Some(&wanted)).then_some(line))?;
    u32::from_str_radix(line.next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_name_and_by_address() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let lo = Interface::find("lo", &socket).unwrap();
        assert!(lo.index > 0);
        assert_eq!(Interface::find("10.0.0.7", &socket).unwrap().address, Ipv4Addr::new(10, 0, 0, 7));
        let error = Interface::find("no-such-one", &socket).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        Interface::find("2001:db8::dead:beef", &socket).unwrap_err();
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe80000000000000a8bbccfffeddeeff 1f 40 20 80     eth0\n";
        assert_eq!(of_address("fe80::a8bb:ccff:fedd:eeff".parse().unwrap(), table), Some(31));
        assert_eq!(of_address("::2".parse().unwrap(), table), None);
    }
}
