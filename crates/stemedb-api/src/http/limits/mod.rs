//! How much one caller may ask for: rate limits by group of routes.
//!
//! A caller is a key, else an address (of IPv6 the network of 64 bits, which is what one customer gets). Programs on this
//! machine that come without a key are not limited unless [`LimitOptions::limit_local`] says so; health and metrics never
//! are. What is remembered lies in a table of a fixed size ([`table`]), however many callers there are.

mod headers;
mod table;

use std::{net::IpAddr, time::Duration};

pub(super) use headers::describe;
use stemedb_env::Env;
use table::RateTable;

use super::auth::{Peer, Principal};

/// Routes that are limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Questions, listings, single claims.
    Reads,
    /// Single records and watches.
    Writes,
    /// Imports, exports, feeds.
    Bulk,
    /// The admin plane.
    Admin,
}

impl Group {
    /// Every group.
    pub const ALL: [Group; 4] = [Group::Reads, Group::Writes, Group::Bulk, Group::Admin];

    /// Its name, in headers and problems.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Reads => "reads",
            Group::Writes => "writes",
            Group::Bulk => "bulk",
            Group::Admin => "admin",
        }
    }
}

/// So much per window, all of it at once if nothing was asked for during a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units, at least one. A plain request is one unit.
    pub quota: u32,
    /// The window, in seconds, at least one.
    pub window_seconds: u32,
}

impl Rate {
    const fn new(quota: u32, window_seconds: u32) -> Rate {
        Rate { quota, window_seconds }
    }

    fn window(self) -> Duration {
        Duration::from_secs(u64::from(self.window_seconds.max(1)))
    }

    /// The time in which one unit comes back, in nanoseconds.
    fn interval_ns(self) -> u64 {
        let window = u64::try_from(self.window().as_nanos()).unwrap_or(u64::MAX);
        (window / u64::from(self.quota.max(1))).max(1)
    }
}

/// Limits of every group; `None` = not limited.
#[derive(Clone, Copy, Debug)]
pub struct LimitOptions {
    /// Of [`Group::Reads`].
    pub reads: Option<Rate>,
    /// Of [`Group::Writes`].
    pub writes: Option<Rate>,
    /// Of [`Group::Bulk`].
    pub bulk: Option<Rate>,
    /// Of [`Group::Admin`].
    pub admin: Option<Rate>,
    /// Whether programs on this machine that come without a key are limited, too.
    pub limit_local: bool,
    /// What may be remembered of callers, in bytes.
    pub memory_bytes: usize,
}

impl Default for LimitOptions {
    fn default() -> LimitOptions {
        LimitOptions {
            reads: Some(Rate::new(5000, 1)),
            writes: Some(Rate::new(5000, 1)),
            bulk: Some(Rate::new(6000, 60)),
            admin: Some(Rate::new(600, 60)),
            limit_local: false,
            memory_bytes: 4 << 20,
        }
    }
}

impl LimitOptions {
    /// The limit of a group.
    pub fn of(&self, group: Group) -> Option<Rate> {
        match group {
            Group::Reads => self.reads,
            Group::Writes => self.writes,
            Group::Bulk => self.bulk,
            Group::Admin => self.admin,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub group: Group,
    pub rate: Rate,
    /// Units that are left now.
    pub remaining: u32,
    /// How long until the request would pass; `None` if it does.
    pub wait: Option<Duration>,
}

/// The limits of one router, and what is remembered of its callers.
#[derive(Debug)]
pub(super) struct Limits {
    options: LimitOptions,
    table: RateTable,
    env: Env,
}

impl Limits {
    pub fn new(options: LimitOptions, env: &Env) -> Limits {
        let mut secret = [0; 32];
        // It only keeps callers from choosing which places of the table they meet in.
        env.random.fill(&mut secret);
        Limits { options, table: RateTable::new(options.memory_bytes, secret), env: env.clone() }
    }

    /// Charges a request of so many units; `None` where it is not limited.
    pub fn charge(&self, group: Group, units: u32, principal: &Principal, peer: &Peer) -> Option<Verdict> {
        let rate = self.options.of(group)?;
        let caller = match principal {
            Principal::Local if !self.options.limit_local => return None,
            Principal::Key(key) => Caller::Key(key.record.id.0),
            Principal::Local | Principal::Anonymous => Caller::of_address(peer.address),
        };
        let now = u64::try_from(self.env.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        let taken = self.table.take(&caller.bytes(group), rate, units, now);
        let (remaining, wait) = match taken {
            Ok(remaining) => (remaining, None),
            Err(wait) => (0, Some(wait)),
        };
        Some(Verdict { group, rate, remaining, wait })
    }
}

/// Who is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Key([u8; 6]),
    V4([u8; 4]),
    /// The network part.
    V6([u8; 8]),
    /// Whoever comes where the server does not see addresses: all of them together.
    Unknown,
}

impl Caller {
    fn of_address(address: Option<IpAddr>) -> Caller {
        match address {
            None => Caller::Unknown,
            Some(IpAddr::V4(ip)) => Caller::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Caller::V6([a, b, c, d, e, f, g, h])
            }
        }
    }

    fn bytes(self, group: Group) -> [u8; 10] {
        let mut bytes = [0; 10];
        let (kind, id): (u8, &[u8]) = match &self {
            Caller::Key(id) => (1, id),
            Caller::V4(ip) => (2, ip),
            Caller::V6(net) => (3, net),
            Caller::Unknown => (4, &[]),
        };
        bytes[0] = kind;
        bytes[1] = group as u8;
        for (to, from) in bytes.iter_mut().skip(2).zip(id) {
            *to = *from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer { address: Some(address.parse().unwrap()), is_local: false, socket: None }
    }

    #[test]
    fn a_caller_gets_its_quota_at_once_and_then_one_unit_an_interval() {
        let (env, handles) = Env::sim(1);
        let options = LimitOptions { reads: Some(Rate::new(10, 1)), ..LimitOptions::default() };
        let limits = Limits::new(options, &env);
        let ask = |address| limits.charge(Group::Reads, 1, &Principal::Anonymous, &peer(address)).unwrap();
        for left in (0..10).rev() {
            let verdict = ask("192.0.2.1");
            assert_eq!((verdict.remaining, verdict.wait), (left, None));
        }
        assert_eq!(ask("192.0.2.1").wait, Some(Duration::from_millis(100)));
        assert_eq!(ask("192.0.2.2").wait, None, "another caller");
        handles.clock.advance(Duration::from_millis(100));
        assert_eq!(ask("192.0.2.1").wait, None);
        assert!(ask("192.0.2.1").wait.is_some(), "a refusal costs nothing, and gives nothing");
        handles.clock.advance(Duration::from_secs(5));
        assert_eq!(ask("192.0.2.1").remaining, 9, "never more than the quota");
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller_groups_are_apart_and_costs_weigh() {
        let (env, _) = Env::sim(1);
        let options = LimitOptions {
            bulk: Some(Rate::new(20, 60)),
            reads: Some(Rate::new(1, 1)),
            ..LimitOptions::default()
        };
        let limits = Limits::new(options, &env);
        let ask = |group, units, address| limits.charge(group, units, &Principal::Anonymous, &peer(address));
        assert!(ask(Group::Reads, 1, "2001:db8::1").unwrap().wait.is_none());
        assert!(ask(Group::Reads, 1, "2001:db8::ffff:1").unwrap().wait.is_some());
        assert!(ask(Group::Reads, 1, "2001:db8:0:1::1").unwrap().wait.is_none());
        assert_eq!(ask(Group::Bulk, 10, "2001:db8::1").unwrap().remaining, 10);
        assert_eq!(ask(Group::Bulk, 1, "2001:db8::1").unwrap().remaining, 9);
        assert_eq!(ask(Group::Bulk, 10, "2001:db8::1").unwrap().wait, Some(Duration::from_secs(3)));
        let local = Peer { is_local: true, ..peer("127.0.0.1") };
        assert_eq!(limits.charge(Group::Reads, 1, &Principal::Local, &local), None);
    }
}
