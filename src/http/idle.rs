//! [`Idle`]: a connection that ends by itself when nothing has come from its client for too long.
//!
//! `poem` offers the same as a task beside each connection, which every read and every write wakes; here
//! a request costs a look at the clock, and the timer is moved only when it goes off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that reads as ended once its peer has been silent for the timeout.
#[derive(Debug)]
pub struct Idle<S> {
    stream: S,
    timeout: Duration,
    heard_at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> Idle<S> {
    /// Watches over `stream`. Must be called within a runtime.
    pub fn new(stream: S, timeout: Duration) -> Self {
        let heard_at = Instant::now();
        let timer = Box::pin(sleep_until(heard_at + timeout));
        Self { stream, timeout, heard_at, timer }
    }

    /// The stream.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Idle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.heard_at = Instant::now();
            return read;
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let end = self.heard_at + self.timeout;
            if end <= Instant::now() {
                return Poll::Ready(Ok(()));
            }
            self.timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<S> {
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{advance, timeout};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const ALMOST: Duration = Duration::from_secs(29);

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_hung_up_on_after_the_timeout_and_not_before() {
        let (_peer, ours) = duplex(64);
        let mut idle = Idle::new(ours, TIMEOUT);
        assert!(timeout(ALMOST, idle.read_u8()).await.is_err());
        let began = Instant::now();
        let ended = idle.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(began.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_speaks_now_and_then_is_heard() {
        let (mut peer, ours) = duplex(64);
        let mut idle = Idle::new(ours, TIMEOUT);
        for byte in 0..3 {
            assert!(timeout(ALMOST, idle.read_u8()).await.is_err());
            peer.write_u8(byte).await.unwrap();
            assert_eq!(idle.read_u8().await.unwrap(), byte);
        }
        advance(TIMEOUT * 2).await;
        assert!(idle.read_u8().await.is_err());
    }
}
