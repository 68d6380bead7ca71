//! Visitors that take up connections and never come to a point, and the people whom they keep waiting (threat B05).
//!
//! [`attack`] belongs in a process of its own, since a process has so many files only. [`Regulars`] go on using their
//! sessions all the while and take the time.

mod attack;

pub use attack::{Attack, attack};

use crate::bosh::{Dial, Lab, Pinger, Stream};
use socket2::SockRef;
use std::{fs, io, net::Ipv4Addr, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// Between two pings of one person.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes to receive in for one that does not read.
const RECEIVE: u32 = 1_024;
/// Its largest segment, as on any network but this machine's: what the other side keeps grows with it.
const SEGMENT: u32 = 536;
/// A ping that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// People who use the manager as it is meant, each from an address of their own.
pub struct Regulars(Vec<Pinger>);

/// How long pings took.
#[derive(Debug, Default)]
pub struct Times {
    sorted: Vec<Duration>,
    /// Why pings failed.
    pub failures: Vec<String>,
}

/// What a process takes.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Bytes of memory.
    pub resident: u64,
    /// Open files, sockets among them.
    pub files: u64,
}

impl Regulars {
    /// So many, of the two accounts in turn.
    ///
    /// # Errors
    ///
    /// If one cannot log in.
    pub async fn enter(lab: &Lab, server: SocketAddr, count: u8) -> Result<Self, String> {
        let mut all = Vec::new();
        for number in 0..count {
            let dial = from(Ipv4Addr::new(127, 2, 0, number + 1), server);
            let lab = Arc::new(Lab { dial, ..lab.clone() });
            all.push(Pinger::enter(&lab, usize::from(number % 2)).await?);
        }
        Ok(Self(all))
    }

    /// Everybody pings for so long.
    pub async fn ping(&mut self, time: Duration) -> Times {
        let end = Instant::now() + time;
        let mut tasks = JoinSet::new();
        for mut pinger in self.0.drain(..) {
            tasks.spawn(async move {
                let mut times = Times::default();
                let mut turn = interval(PAUSE);
                turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while turn.tick().await < end {
                    let start = Instant::now();
                    match timeout(PATIENCE, pinger.ping()).await {
                        Ok(Ok(())) => times.sorted.push(start.elapsed()),
                        Ok(Err(why)) => times.failures.push(why),
                        Err(_) => times.failures.push(format!("none in {} s", PATIENCE.as_secs())),
                    }
                }
                (pinger, times)
            });
        }
        let mut all = Times::default();
        for (pinger, times) in tasks.join_all().await {
            self.0.push(pinger);
            all.sorted.extend(times.sorted);
            all.failures.extend(times.failures);
        }
        all.sorted.sort_unstable();
        all
    }
}

impl Times {
    /// How many pings there were.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// So many of a hundred took at most so long.
    pub fn percentile(&self, percent: usize) -> Duration {
        let place = (self.sorted.len() * percent).div_ceil(100);
        self.sorted.get(place.saturating_sub(1)).copied().unwrap_or(Duration::MAX)
    }
}

impl Taken {
    /// By this process now, as Linux tells it.
    ///
    /// # Errors
    ///
    /// If there is no such process.
    pub fn by(process: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        let kib = kib.ok_or_else(|| io::Error::other("no VmRSS"))?;
        let files = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Ok(Self { resident: kib * 1_024, files: files as u64 })
    }
}

/// Connections to this server from that address.
fn from(address: Ipv4Addr, server: SocketAddr) -> Dial {
    Arc::new(move || {
        Box::pin(
            async move { Ok(Box::new(connect(address, server, true).await?) as Box<dyn Stream>) },
        )
    })
}

/// A connection from this address. For one that does not read both systems keep as little as they let themselves be asked.
async fn connect(from: Ipv4Addr, server: SocketAddr, reads: bool) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if !reads {
        socket.set_recv_buffer_size(RECEIVE)?;
        SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
    }
    socket.bind((from, 0).into())?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let times = |count: u64| Times {
            sorted: (1..=count).map(Duration::from_millis).collect(),
            failures: Vec::new(),
        };
        assert_eq!(times(200).percentile(99), Duration::from_millis(198));
        assert_eq!(times(200).percentile(50), Duration::from_millis(100));
        assert_eq!(times(3).percentile(99), Duration::from_millis(3));
        assert_eq!(times(0).percentile(99), Duration::MAX, "no ping is no good ping");
    }

    #[test]
    fn a_process_has_memory_and_files() {
        let taken = Taken::by(std::process::id()).unwrap();
        assert!(taken.resident > 1 << 20 && taken.files >= 3, "{taken:?}");
    }
}
