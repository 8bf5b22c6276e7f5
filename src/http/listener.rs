//! [`Listeners`]: TCP and Unix sockets that are already bound, as `poem` accepts from them. Sets `TCP_NODELAY`,
//! has a [`Gate`] before each connection, lets no more of them in than there are seats, and waits when the
//! system has no more sockets to give.

use std::future::poll_fn;
use std::io;
use std::os::unix::net as unix;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_util::either::Either;

use super::gate::Gate;
use super::seats::{Seat, Seats};
use crate::socket::LocalSocket;

/// How long to wait when accepting fails for want of resources: long enough not to spin on it.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often at most the log is told of the same trouble.
const REPEAT: Duration = Duration::from_secs(10);

/// Several bound sockets that serve the same routes.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<(Either<TcpListener, LocalSocket>, LocalAddr)>,
    next: usize,
    seats: Arc<Seats>,
    failed: Seldom,
    turned_away: Seldom,
}

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// Of a network.
    Tcp(std::net::TcpListener),
    /// Of this machine.
    Unix(LocalSocket),
}

/// A connection of either.
type Stream = Either<TcpStream, UnixStream>;

/// Trouble that may come thousands of times a second and is told of now and then.
#[derive(Debug, Default)]
struct Seldom {
    told_at: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// Counts the trouble, and says how often it came since it was last told of, if it is time to.
    fn tell(&mut self) -> Option<u64> {
        self.times += 1;
        if self.told_at.is_some_and(|told_at| told_at.elapsed() < REPEAT) {
            return None;
        }
        self.told_at = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}

impl Listeners {
    /// Takes over `sockets`, for so many connections at once. Must be called within a runtime.
    ///
    /// # Errors
    /// When a socket cannot be handed to the runtime.
    pub fn new(sockets: Vec<Socket>, connections_max: usize) -> io::Result<Self> {
        let bound = sockets.into_iter().map(|socket| match socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let local = LocalAddr(listener.local_addr()?.into());
                Ok((Either::Left(TcpListener::from_std(listener)?), local))
            }
            Socket::Unix(socket) => {
                let local = unix::SocketAddr::from_pathname(socket.file.path())?;
                Ok((
                    Either::Right(socket),
                    LocalAddr(tokio::net::unix::SocketAddr::from(local).into()),
                ))
            }
        });
        Ok(Self {
            bound: bound.collect::<io::Result<_>>()?,
            next: 0,
            seats: Seats::new(connections_max),
            failed: Seldom::default(),
            turned_away: Seldom::default(),
        })
    }

    /// The next connection of any socket; each gets its turn to be asked first.
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, LocalAddr, RemoteAddr)>> {
        self.next = self.next.wrapping_add(1);
        let start = self.next.checked_rem(self.bound.len()).unwrap_or_default();
        let (tail, head) = self.bound.split_at(start);
        for (listener, local) in head.iter().chain(tail) {
            let accepted = match listener {
                Either::Left(tcp) => tcp
                    .poll_accept(context)
                    .map_ok(|(stream, peer)| (Either::Left(stream), peer.into())),
                Either::Right(local) => local
                    .listener
                    .poll_accept(context)
                    .map_ok(|(stream, peer)| (Either::Right(stream), peer.into())),
            };
            if let Poll::Ready(accepted) = accepted {
                return Poll::Ready(
                    accepted.map(|(stream, peer)| (stream, local.clone(), RemoteAddr(peer))),
                );
            }
        }
        Poll::Pending
    }

    /// A place for a new connection; another may have to go for it.
    async fn seat(&mut self) -> Option<Seat> {
        let seat = self.seats.take().await;
        if seat.is_none()
            && let Some(times) = self.turned_away.tell()
        {
            tracing::warn!(
                times,
                "a request is in flight on every connection, new ones are closed"
            );
        }
        seat
    }
}

impl Acceptor for Listeners {
    type Io = Gate<Stream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.bound.iter().map(|(_, local)| local.clone()).collect()
    }

    /// Never fails: `poem` would only ask again at once.
    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match poll_fn(|context| self.poll_accept(context)).await {
                Ok((stream, local, peer)) => {
                    if let Either::Left(tcp) = &stream
                        && let Err(error) = tcp.set_nodelay(true)
                    {
                        tracing::debug!(%error, "a new connection was gone already");
                        continue;
                    }
                    if let Some(seat) = self.seat().await {
                        return Ok((Gate::new(stream, seat), local, peer, Scheme::HTTP));
                    }
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if let Some(times) = self.failed.tell() {
                        tracing::warn!(%error, times, "accepting a connection failed");
                    }
                    // What there is too little of, another connection may have to spare.
                    self.seats.free_one();
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Whether a failed accept says something about one connection only.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use poem::Request;
    use poem::endpoint::make_sync;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn bind() -> (Listeners, Vec<SocketAddr>) {
        let sockets: Vec<_> =
            (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let sockets = sockets.into_iter().map(Socket::Tcp).collect();
        (Listeners::new(sockets, 8).unwrap(), addresses)
    }

    async fn exchange(address: SocketAddr, parts: &[&[u8]]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for part in parts {
            stream.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        // A connection that is cut may be reset instead of ended.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn every_socket_serves_http_1_and_none_http_2() {
        let (listeners, addresses) = bind();
        let server = poem::Server::new_with_acceptor(listeners);
        let running =
            tokio::spawn(server.run(make_sync(|request: Request| request.method().to_string())));
        let request: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        for address in addresses {
            let answer = exchange(address, &[request]).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("GET"), "{answer}");
            let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            let answer = exchange(address, &[preface]).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("REFUSED"), "{answer}");
        }
        running.abort();
    }

    #[tokio::test]
    async fn small_answers_are_sent_at_once() {
        let (mut listeners, addresses) = bind();
        let connecting = TcpStream::connect(addresses[1]);
        let (accepted, connected) = tokio::join!(listeners.accept(), connecting);
        let (stream, local, remote, _) = accepted.unwrap();
        let Either::Left(tcp) = stream.get_ref() else { panic!("of a network") };
        assert!(tcp.nodelay().unwrap());
        assert_eq!(local.as_socket_addr(), Some(&addresses[1]));
        assert_eq!(remote.as_socket_addr(), Some(&connected.unwrap().local_addr().unwrap()));
    }
}
