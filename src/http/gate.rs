//! [`Gate`]: what stands between a socket and hyper. No head gets past it that hyper would refuse in its own
//! words or that others could understand differently, and no peer can take as long as it likes.
//!
//! A whole head is judged in the reader's own buffer; only one that comes in pieces is kept back until it is
//! whole, and one that comes early until the request before it is answered. In the place of a refused one the
//! router gets a request that says so, see [`Refusal::stand_in`]. One timer per connection is moved only when it
//! goes off, so that a request costs two looks at the clock.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::{Admitted, Framing, Refusal};
use super::seats::Seat;
use super::shape::Shape;

/// How long a connection may be without any progress, be it that its client asks for nothing or that it does
/// not take its answer.
const IDLE_DEADLINE: Duration = Duration::from_secs(30);

/// How long a head may take from its first byte to its last.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may go on sending what nobody reads. Hanging up on it at once would take from it the
/// answer that says why (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are taken in while a request is in flight; beyond them its client's leaving goes unnoticed.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes read at a time when they cannot go straight to the reader.
const PIECE_BYTES: usize = 4096;

/// How many pieces of what nobody reads are taken at a time: a peer that never rests must not hold up its own end.
const LINGER_PIECES: usize = 16;

/// Room that the reader must have for bytes to go straight to it: enough to be worth it, and no more than may
/// have to be kept back when a request ends among them.
const STRAIGHT_BYTES: RangeInclusive<usize> = PIECE_BYTES..=AHEAD_BYTES_MAX;

/// What hyper writes when a body is asked for; the answer is still to come (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A stream of requests and their answers.
#[derive(Debug)]
pub struct Gate<S> {
    stream: S,
    framing: Framing,
    /// Bytes kept back, of which the first `judged` may go on.
    held: Vec<u8>,
    judged: usize,
    /// When the unfinished head in them was first seen; none while they are not looked at.
    head_at: Option<Instant>,
    /// Whether nothing that follows is read.
    is_refused: bool,
    /// What has become of the answer to the last request; before the first it is as if it were given.
    answer: Answer,
    /// When something last went in or out.
    moved_at: Instant,
    /// Since when the peer takes nothing more.
    stalled_at: Option<Instant>,
    /// When the last patience with a peer ends that still sends.
    linger_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer wakes the task when it goes off.
    is_armed: bool,
    seat: Seat,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing of it is written.
    Owed,
    /// Something of it is.
    Begun,
    /// It was flushed, which hyper does once all of it is written.
    Given,
}

impl<S> Gate<S> {
    /// Guards `stream`, which has `seat`. Must be called within a runtime.
    pub fn new(stream: S, seat: Seat) -> Self {
        let now = Instant::now();
        Self {
            stream,
            framing: Framing::default(),
            held: Vec::new(),
            judged: 0,
            head_at: None,
            is_refused: false,
            answer: Answer::Given,
            moved_at: now,
            stalled_at: None,
            linger_until: None,
            timer: Box::pin(sleep_until(now + IDLE_DEADLINE)),
            is_armed: false,
            seat,
        }
    }

    /// What is guarded.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether a request is in flight: it is here as a whole, and not answered.
    fn is_busy(&self) -> bool {
        self.framing.is_between() && self.answer != Answer::Given
    }

    /// Whether `deadline` has passed; if not, the task is woken when it has.
    fn is_past(&mut self, deadline: Instant, context: &mut Context<'_>) -> bool {
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        self.is_armed = true;
        while self.timer.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return true;
            }
            self.timer.as_mut().reset(deadline);
        }
        false
    }

    /// Hands over what was judged.
    fn release(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.judged.min(buffer.remaining());
        buffer.put_slice(self.held.get(..length).unwrap_or_default());
        self.judged -= length;
        if length == self.held.len() {
            // Most connections hold nothing most of the time.
            self.held = Vec::new();
        } else {
            self.held.drain(..length);
        }
    }

    /// Notes how what came in was judged, and whether it began with a head.
    fn note(&mut self, is_head: bool, admitted: &Admitted) {
        self.head_at = (admitted.bytes == 0).then(|| self.head_at.unwrap_or(self.moved_at));
        if admitted.bytes > 0 {
            if is_head {
                self.answer = Answer::Owed;
            }
            if self.is_busy() {
                self.seat.occupy();
            }
        }
        if let Some(refusal) = admitted.refusal {
            self.refuse(refusal);
        }
    }

    /// Judges what is held.
    fn judge(&mut self) {
        let is_head = self.framing.is_between();
        let admitted = self.framing.admit(&self.held);
        self.judged = admitted.bytes;
        self.note(is_head, &admitted);
    }

    /// Puts the refusal in the place of the head that is held, and reads no more.
    fn refuse(&mut self, refusal: Refusal) {
        let head = self.held.split_off(self.judged);
        self.held.extend(refusal.stand_in(oauth_path(&head)));
        self.judged = self.held.len();
        self.is_refused = true;
    }

    /// What there is to do while nothing comes in and nothing is in flight: `true` once the connection is to
    /// end.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> bool {
        if self.seat.must_go(context) {
            return true;
        }
        let Some(head_at) = self.head_at else {
            return self.is_past(self.moved_at + IDLE_DEADLINE, context);
        };
        if self.is_past(head_at + HEAD_DEADLINE, context) {
            self.refuse(Refusal::Late);
        }
        false
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads into the reader's buffer, where the bytes stay if they may; `false` if nothing is to be read
    /// there yet.
    fn poll_straight(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let is_head = self.framing.is_between();
        let admitted = self.framing.admit(fresh);
        self.held.extend_from_slice(fresh.get(admitted.bytes..).unwrap_or_default());
        buffer.set_filled(before + admitted.bytes);
        self.moved_at = Instant::now();
        self.note(is_head, &admitted);
        Poll::Ready(Ok(admitted.bytes > 0))
    }

    /// Reads to what is held; `true` at the end of the stream.
    fn poll_aside(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.is_busy() && self.held.len() >= AHEAD_BYTES_MAX {
            return Poll::Pending;
        }
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece))?;
        if piece.filled().is_empty() {
            // What came before the end is answered.
            return if self.is_busy() && !self.held.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(true))
            };
        }
        self.moved_at = Instant::now();
        self.held.extend_from_slice(piece.filled());
        if !self.is_busy() {
            self.judge();
        }
        Poll::Ready(Ok(false))
    }

    /// Reads and forgets what still comes, so that the peer gets to read what was answered.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = *self.linger_until.get_or_insert_with(|| Instant::now() + LINGER);
        if self.seat.must_go(context) || self.is_past(until, context) {
            return Poll::Ready(());
        }
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        for _ in 0..LINGER_PIECES {
            let mut piece = ReadBuf::uninit(&mut piece);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece)).ok();
            if piece.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.judged > 0 {
                this.release(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.is_refused {
                return Poll::Pending;
            }
            if this.framing.is_lost() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if !(this.is_busy() || this.held.is_empty() || this.head_at.is_some()) {
                this.judge();
                continue;
            }
            let is_straight = !this.is_busy() && this.held.is_empty();
            let read = if is_straight && STRAIGHT_BYTES.contains(&buffer.remaining()) {
                this.poll_straight(context, buffer)
            } else {
                this.poll_aside(context)
            };
            match read {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.is_busy() => return Poll::Pending,
                Poll::Pending if this.poll_silence(context) => return Poll::Ready(Ok(())),
                Poll::Pending if this.judged > 0 => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S> Gate<S> {
    /// Notes how writing went, of an answer or not yet, and ends a connection whose peer takes nothing.
    fn written(
        &mut self,
        is_answer: bool,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled_at = None;
            self.moved_at = Instant::now();
            if is_answer && self.answer == Answer::Owed {
                self.answer = Answer::Begun;
            }
            return written;
        }
        let stalled_at = *self.stalled_at.get_or_insert_with(Instant::now);
        // Whatever else it has asked for: who takes nothing may go for a new one.
        self.seat.release(stalled_at);
        if self.seat.must_go(context) || self.is_past(stalled_at + IDLE_DEADLINE, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Notes that the last request is answered.
    fn answered(&mut self, context: &mut Context<'_>) {
        let was_busy = self.is_busy();
        self.answer = Answer::Given;
        if !was_busy {
            return;
        }
        self.seat.release(self.moved_at);
        // Who read while the request was in flight may not read again unasked.
        let is_asleep = !self.is_armed || self.timer.is_elapsed();
        if !self.held.is_empty()
            || self.seat.must_go(context)
            || is_asleep && self.poll_silence(context)
        {
            context.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(bytes != CONTINUE, written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        let is_answer = !slices.iter().flat_map(|slice| slice.iter()).eq(CONTINUE);
        self.written(is_answer, written, context)
    }

    /// Keeps hyper from copying a body that many connections share.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.answer == Answer::Begun {
            self.answered(context);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if self.is_refused || !self.held.is_empty() || !self.framing.is_between() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

/// The path that a refused head asks for, if its refusals have a shape of their own.
fn oauth_path(head: &[u8]) -> &str {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = std::str::from_utf8(path).unwrap_or_default();
    if Shape::of(path) == Shape::OAuth { path } else { "/" }
}

#[cfg(test)]
mod tests;
