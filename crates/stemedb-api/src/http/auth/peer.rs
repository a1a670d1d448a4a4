//! Who is at the other end of the connection.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, Uri, header, request::Parts},
};
use ipnet::IpNet;

use crate::http::SocketPeer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Signs of a proxy: whoever sent the request is not who holds the connection.
const FORWARDED: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    X_FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Whose request it is: the connection's address, or what a trusted proxy says. `None` where the server does not know.
    pub address: Option<IpAddr>,
    /// A program on this machine, and nothing behind it.
    pub is_local: bool,
    /// Whose it is, where it came over a socket file: then who may connect was decided by the file's mode.
    pub socket: Option<SocketPeer>,
}

impl Peer {
    /// The peer of a request.
    pub fn of(head: &Parts, trusted: &[IpNet]) -> Peer {
        if let Some(socket) = head.extensions.get::<SocketPeer>() {
            // No browser opens a file. A proxy may, and says so.
            let is_local = !is_forwarded(&head.headers) && !head.headers.contains_key(header::ORIGIN);
            return Peer { address: None, is_local, socket: Some(*socket) };
        }
        let socket = head.extensions.get::<ConnectInfo<SocketAddr>>();
        let socket = socket.map(|ConnectInfo(address)| address.ip().to_canonical());
        let is_local = socket.is_some_and(|ip| ip.is_loopback()) && is_direct(&head.headers, &head.uri);
        let address = socket.map(|socket| client(socket, &head.headers, trusted));
        Peer { address, is_local, socket: None }
    }

    /// As the audit log has it.
    pub fn shown(&self) -> Option<String> {
        let address = || self.address.map(|address| address.to_string());
        self.socket.map(|socket| format!("unix {socket}")).or_else(address)
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(name))
}

/// No proxy, and no web page of another origin. A page can make its reader's browser connect to this machine, under any
/// name that it has chosen for it (DNS rebinding): it is told by the name in `Host`, or by `Origin`.
fn is_direct(headers: &HeaderMap, uri: &Uri) -> bool {
    if is_forwarded(headers) {
        return false;
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    // Without a Host it is a program of the old kind; browsers always send one.
    let host = match (host, second) {
        (None, _) => None,
        (Some(host), None) => match host.to_str() {
            Ok(host) => Some(host),
            Err(_) => return false,
        },
        (Some(_), Some(_)) => return false,
    };
    let origin_fits = match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => {
            let of_host = |origin: &str| {
                origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == host
            };
            origin.to_str().is_ok_and(of_host)
        }
    };
    origin_fits && host.is_none_or(names_this_machine) && uri.host().is_none_or(names_this_machine)
}

/// `localhost` or a loopback address, with or without a port.
fn names_this_machine(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The nearest address that is not one of a trusted proxy, read from the end: what stands before it, anybody may have
/// written.
fn client(socket: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut nearest = socket;
    for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
        for hop in value.to_str().unwrap_or_default().rsplit(',') {
            if !is_trusted(nearest) {
                return nearest;
            }
            match hop_address(hop.trim()) {
                Some(ip) => nearest = ip,
                None => return nearest,
            }
        }
    }
    nearest
}

/// An address as proxies write it: bare, or with a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let ip = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn peer(socket: &str, headers: &[(&str, &str)], trusted: &[&str]) -> Peer {
        let mut request = Request::builder().uri("/v1/admin/keys");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        if !socket.is_empty() {
            let address = SocketAddr::new(socket.parse().unwrap(), 5000);
            head.extensions.insert(ConnectInfo(address));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Peer::of(&head, &trusted)
    }

    #[test]
    fn only_a_direct_connection_of_this_machine_is_local() {
        let local = |socket, headers: &[(&str, &str)]| peer(socket, headers, &["127.0.0.0/8"]).is_local;
        let here = ("host", "localhost:18180");
        assert!(local("127.0.0.1", &[here]));
        assert!(local("::1", &[("host", "[::1]:18180")]));
        assert!(local("::ffff:127.0.0.1", &[("Host", "127.0.0.1")]));
        assert!(local("127.0.0.1", &[]), "HTTP/1.0");
        assert!(local("127.0.0.1", &[here, ("origin", "http://localhost:18180")]), "its own page");
        assert!(!local("10.0.0.1", &[here]));
        assert!(!local("", &[here]), "an unknown peer is not this machine");
        for name in
            ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"]
        {
            assert!(!local("127.0.0.1", &[here, (name, "127.0.0.1")]), "{name}");
            assert!(!local("10.0.0.1", &[here, (name, "127.0.0.1")]), "{name}");
        }
        assert!(!local("127.0.0.1", &[("host", "rebound.example")]));
        assert!(!local("127.0.0.1", &[("host", "127.0.0.1.example")]));
        assert!(!local("127.0.0.1", &[here, ("host", "evil.example")]), "two hosts");
        assert!(!local("127.0.0.1", &[here, ("origin", "http://evil.example")]));
        assert!(!local("127.0.0.1", &[here, ("origin", "null")]));
    }

    #[test]
    fn whoever_opened_the_socket_file_is_local_unless_it_speaks_for_another() {
        let of = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/v1/admin/keys");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut head = request.body(()).unwrap().into_parts().0;
            head.extensions.insert(SocketPeer { user: 7, group: 8, process: Some(9) });
            Peer::of(&head, &[])
        };
        assert!(of(&[]).is_local && of(&[("host", "any.example")]).is_local);
        assert_eq!(of(&[]).shown().unwrap(), "unix uid=7 gid=8 pid=9");
        for name in FORWARDED.iter().chain([&header::ORIGIN]) {
            assert!(!of(&[(name.as_str(), "127.0.0.1")]).is_local, "{name}");
        }
    }

    #[test]
    fn the_rightmost_address_that_is_not_a_trusted_proxys_is_the_client() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        let address = |socket, value: &str, trusted: &[&str]| {
            peer(socket, &[("x-forwarded-for", value)], trusted).address.unwrap().to_string()
        };
        assert_eq!(address("10.0.0.1", "1.2.3.4", &proxies), "1.2.3.4");
        assert_eq!(address("10.0.0.1", "9.9.9.9, 1.2.3.4, 10.0.0.7", &proxies), "1.2.3.4");
        assert_eq!(address("10.0.0.1", "1.2.3.4:77, fd00::1", &proxies), "1.2.3.4");
        assert_eq!(address("10.0.0.1", "[2001:db8::1]:77", &proxies), "2001:db8::1");
        assert_eq!(
            address("10.0.0.1", "1.2.3.4, junk", &proxies),
            "10.0.0.1",
            "what is not read is not believed"
        );
        assert_eq!(address("8.8.8.8", "1.2.3.4", &proxies), "8.8.8.8", "anybody can say so");
        assert_eq!(address("10.0.0.1", "1.2.3.4", &[]), "10.0.0.1");
        let two = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-for", "1.2.3.4")];
        assert_eq!(peer("10.0.0.1", &two, &proxies).address.unwrap().to_string(), "1.2.3.4");
    }
}
