//! [`Listeners`]: sockets that are already bound, as `poem` accepts from them. Sets `TCP_NODELAY`, waits
//! when the system has no more sockets to give, hangs up on silent clients, and lets HTTP/2 in nowhere.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::idle::Idle;

/// How long a kept-alive connection may stay silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when accepting fails for want of resources: long enough not to spin on it.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How an HTTP/2 connection begins, and no HTTP/1 method does (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI ";

/// Several bound sockets that serve the same routes.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<(TcpListener, LocalAddr)>,
    next: usize,
}

impl Listeners {
    /// Takes over `listeners`. Must be called within a runtime.
    ///
    /// # Errors
    /// When a socket cannot be handed to the runtime.
    pub fn new(listeners: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let bound = listeners.into_iter().map(|listener| {
            listener.set_nonblocking(true)?;
            let local = LocalAddr(listener.local_addr()?.into());
            Ok((TcpListener::from_std(listener)?, local))
        });
        Ok(Self { bound: bound.collect::<io::Result<_>>()?, next: 0 })
    }

    /// The next connection of any socket; each gets its turn to be asked first.
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, LocalAddr, RemoteAddr)>> {
        self.next = self.next.wrapping_add(1);
        let start = self.next.checked_rem(self.bound.len()).unwrap_or_default();
        let (tail, head) = self.bound.split_at(start);
        for (listener, local) in head.iter().chain(tail) {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(
                    accepted.map(|(stream, peer)| (stream, local.clone(), RemoteAddr(peer.into()))),
                );
            }
        }
        Poll::Pending
    }
}

impl Acceptor for Listeners {
    type Io = Http1Only<Idle<TcpStream>>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.bound.iter().map(|(_, local)| local.clone()).collect()
    }

    /// Never fails: `poem` would only ask again at once.
    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match poll_fn(|context| self.poll_accept(context)).await {
                Ok((stream, local, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a new connection was gone already");
                        continue;
                    }
                    let stream = Http1Only::new(Idle::new(stream, IDLE_TIMEOUT));
                    return Ok((stream, local, peer, Scheme::HTTP));
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
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

/// A stream that ends when its first bytes ask for HTTP/2.
#[derive(Debug)]
pub struct Http1Only<S> {
    stream: S,
    /// Bytes of the preface seen so far, `None` once they were others.
    seen: Option<usize>,
}

impl<S> Http1Only<S> {
    const fn new(stream: S) -> Self {
        Self { stream, seen: Some(0) }
    }

    /// Looks at the next bytes; `false` once they are the whole preface.
    fn admits(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            let Some(seen) = self.seen else { return true };
            self.seen = (H2_PREFACE.get(seen) == Some(byte)).then_some(seen + 1);
            if self.seen == Some(H2_PREFACE.len()) {
                return false;
            }
        }
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1Only<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.seen.is_some() && matches!(read, Poll::Ready(Ok(()))) {
            let fresh = buffer.filled().get(before..).unwrap_or_default();
            if !self.admits(fresh) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http1Only<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use poem::endpoint::make_sync;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn bind() -> (Listeners, Vec<SocketAddr>) {
        let sockets: Vec<_> =
            (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        (Listeners::new(sockets).unwrap(), addresses)
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
        let running = tokio::spawn(server.run(make_sync(|_| "here")));
        let request: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        for address in addresses {
            let answer = exchange(address, &[request]).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
            let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            assert_eq!(exchange(address, &[preface]).await, "");
        }
        running.abort();
    }

    #[tokio::test]
    async fn small_answers_are_sent_at_once() {
        let (mut listeners, addresses) = bind();
        let connecting = TcpStream::connect(addresses[1]);
        let (accepted, connected) = tokio::join!(listeners.accept(), connecting);
        let (stream, local, remote, _) = accepted.unwrap();
        assert!(stream.stream.get_ref().nodelay().unwrap());
        assert_eq!(local.as_socket_addr(), Some(&addresses[1]));
        assert_eq!(remote.as_socket_addr(), Some(&connected.unwrap().local_addr().unwrap()));
    }

    #[test]
    fn the_preface_is_known_however_it_is_cut_and_methods_pass() {
        let mut cut = Http1Only::new(());
        assert!(cut.admits(b"P") && cut.admits(b"RI") && !cut.admits(b" * HTTP/2.0"));
        for method in ["POST /", "PUT /", "PATCH /", "GET /", "PRIX /"] {
            assert!(Http1Only::new(()).admits(method.as_bytes()), "{method}");
        }
        let mut later = Http1Only::new(());
        assert!(later.admits(b"GET ") && later.admits(b"PRI "));
    }
}
