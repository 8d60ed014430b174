//! The loop. With one job all steps run in turn; with more, each thread takes a batch, reads and renders it, and only
//! the memory and the output are taken in the order of the input.

use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::lines::{MAX_LINE, lines};
use super::source::{Buffer, Source};
use super::{Enforcer, Settings, Summary};
use crate::engine::{Action, Arena, Failed, Profile, fail};

/// Takes the output.
pub trait Sink: Send {
    /// Rendered lines of a batch, and its error reports, one a line.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn write(&mut self, lines: &[u8], errors: &[u8]) -> io::Result<()>;
}

/// What the threads take in turn.
struct Ordered<T> {
    state: Mutex<(u64, T)>,
    turned: Condvar,
}

impl<T> Ordered<T> {
    fn new(value: T) -> Ordered<T> {
        Ordered { state: Mutex::new((0, value)), turned: Condvar::new() }
    }

    /// Waits for the turn of batch `number`.
    fn take(&self, number: u64) -> MutexGuard<'_, (u64, T)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.turned.wait_while(state, |(next, _)| *next != number).unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, mut guard: MutexGuard<'_, (u64, T)>) {
        guard.0 += 1;
        drop(guard);
        self.turned.notify_all();
    }
}

struct Settling<'a, M, E, C, V> {
    memory: &'a mut M,
    enforcer: Option<&'a mut E>,
    clock: C,
    save: V,
    saved: i64,
}

/// How often the memory is saved at most, in nanoseconds.
const SAVE_EVERY: i64 = 10_000_000_000;

struct Output<'a, S> {
    sink: &'a mut S,
    summary: Summary,
    failure: Option<io::Error>,
}

/// Runs `source` through `profile` into `sink`. `clock` gives the wall clock in nanoseconds since 1970, once a batch;
/// `save` keeps the memory, now and then and at the end.
///
/// # Errors
/// Those of reading and writing.
#[allow(clippy::too_many_arguments)]
pub fn run<P, R, E, S, C, V>(
    profile: &P,
    source: Source<R>,
    memory: &mut P::Memory,
    enforcer: Option<&mut E>,
    sink: &mut S,
    clock: C,
    save: V,
    settings: Settings,
) -> io::Result<Summary>
where
    P: Profile,
    R: Read + Send,
    E: Enforcer,
    S: Sink,
    C: FnMut() -> i64 + Send,
    V: FnMut(&P::Memory) -> io::Result<()> + Send,
{
    let input = Mutex::new((0u64, source));
    let settling = Ordered::new(Settling { memory, enforcer, clock, save, saved: 0 });
    let output = Ordered::new(Output { sink, summary: Summary::default(), failure: None });
    let work = || worker(profile, &input, &settling, &output, settings);
    std::thread::scope(|scope| {
        for _ in 1..settings.jobs {
            scope.spawn(work);
        }
        work();
    });
    let output = output.state.into_inner().unwrap_or_else(PoisonError::into_inner).1;
    let mut settled = settling.state.into_inner().unwrap_or_else(PoisonError::into_inner).1;
    let saved = (settled.save)(settled.memory);
    match output.failure.or(saved.err()) {
        Some(error) => Err(error),
        None => Ok(output.summary),
    }
}

fn worker<P, R, E, S, C, V>(
    profile: &P,
    input: &Mutex<(u64, Source<R>)>,
    settling: &Ordered<Settling<'_, P::Memory, E, C, V>>,
    output: &Ordered<Output<'_, S>>,
    settings: Settings,
) where
    P: Profile,
    R: Read,
    E: Enforcer,
    S: Sink,
    C: FnMut() -> i64,
    V: FnMut(&P::Memory) -> io::Result<()>,
{
    let mut reader = profile.reader();
    let (mut batch, mut arena, mut items) = (Buffer::default(), Arena::default(), Vec::new());
    let (mut text, mut errors) = (Vec::new(), Vec::new());
    loop {
        let (number, next) = {
            let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
            let next = input.1.next(&mut batch);
            input.0 += 1;
            (input.0 - 1, next)
        };
        let (more, failure) = match next {
            Ok(next) => (next.more, None),
            Err(error) => (false, Some(error)),
        };
        let mut counts = Summary::default();
        arena.bytes.clear();
        items.clear();
        text.clear();
        errors.clear();
        for line in lines(batch.bytes()) {
            counts.events_seen += 1;
            match read(profile, &mut reader, line, &mut arena) {
                Ok(item) => items.push(item),
                Err(failed) => {
                    counts.errors += u64::from(!failed.notice);
                    errors.extend_from_slice(arena.get(failed.report));
                    errors.push(b'\n');
                }
            }
        }

        let mut turn = settling.take(number);
        let stage = &mut turn.1;
        let now = if items.is_empty() { 0 } else { (stage.clock)() };
        for item in &mut items {
            profile.settle(item, &arena, stage.memory, now);
            if settings.plans && profile.acts(item) {
                counts.enforcement_emitted += 1;
                if let Some(enforcer) = &mut stage.enforcer {
                    let applied = enforcer.handle(&profile.request(item, &arena));
                    counts.enforcement_applied += u64::from(applied.applied);
                    counts.enforcement_failed += u64::from(!applied.failures.is_empty());
                    profile.applied(item, applied);
                }
            }
        }
        let mut failure = failure;
        if now.saturating_sub(stage.saved) > SAVE_EVERY {
            if stage.saved > 0 {
                failure = (stage.save)(stage.memory).err().or(failure);
            }
            stage.saved = now;
        }
        settling.done(turn);

        for item in &items {
            if settings.alerts_only && profile.action(item) == Action::Allow {
                continue;
            }
            counts.events_emitted += 1;
            profile.render(item, &arena, &mut text);
            text.push(b'\n');
        }

        let mut turn = output.take(number);
        let end = &mut turn.1;
        end.summary.add(&counts);
        if end.failure.is_none() && !(text.is_empty() && errors.is_empty()) {
            end.failure = end.sink.write(&text, &errors).err();
        }
        end.failure = end.failure.take().or(failure);
        let stop = end.failure.is_some();
        output.done(turn);
        if stop || !more {
            return;
        }
    }
}

fn read<P: Profile>(profile: &P, reader: &mut P::Reader, line: &[u8], arena: &mut Arena) -> Result<P::Item, Failed> {
    if line.len() > MAX_LINE {
        let start = String::from_utf8_lossy(&line[..8192]);
        return Err(fail(&format!("line is longer than {MAX_LINE} bytes"), &start, arena));
    }
    match std::str::from_utf8(line) {
        Ok(text) => profile.read(reader, text, arena),
        Err(error) => {
            let start = String::from_utf8_lossy(&line[..line.len().min(8192)]);
            Err(fail(&format!("line is not UTF-8: invalid byte at {}", error.valid_up_to()), &start, arena))
        }
    }
}

impl Summary {
    fn add(&mut self, other: &Summary) {
        self.events_seen += other.events_seen;
        self.events_emitted += other.events_emitted;
        self.errors += other.errors;
        self.enforcement_emitted += other.enforcement_emitted;
        self.enforcement_applied += other.enforcement_applied;
        self.enforcement_failed += other.enforcement_failed;
    }
}
