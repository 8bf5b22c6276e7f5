//! A server's life on record: what its clients did, and all that it asked of the file system meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::disk::change::Change;
use crate::disk::failure::Image;
use crate::ledger::deed::KEY;
use crate::ledger::{Ledger, strace};
use crate::support::dice::Dice;
use crate::support::{Server, Workplace};
use crate::trace::{CALLS, Call};

/// How many clients there are.
const CLIENTS: u64 = 4;
/// How many things they do while a server lives.
const DEEDS: usize = 70;
/// How many posts each of them writes and deletes at most to age a database, so that its log is one of many
/// segments.
const POSTS_MAX: usize = 60;
/// And twice in each life on record, so that segments are written, freed and written again in it.
const POSTS_PER_AGE: usize = 20;
/// How many lines of a record are about what happens at one time.
const AT_ONCE: usize = 8;
/// How long a segment of the log is.
const SEGMENT_BYTES: usize = 512 * 1024;

/// Two lives of a server on the same directory, and a compaction between them or none.
pub struct Record {
    /// What its clients did.
    pub ledger: Ledger,
    /// What they had done before the record.
    before: Ledger,
    /// The directory before the record.
    disk: Disk,
    calls: Vec<Call>,
    /// Beginnings and ends of calls in their order: the line, the call, and whether it is its end.
    marks: Vec<(usize, usize, bool)>,
    /// When a request was read, by its key.
    asked: BTreeMap<u64, usize>,
    /// When its answer was about to leave, by its `x-request-id`.
    answered: BTreeMap<String, usize>,
    /// When each process began.
    starts: Vec<usize>,
    /// When a segment of the log was begun.
    segments: Vec<usize>,
    root: PathBuf,
}

impl Record {
    /// Of a server from its first start on, that is configured with `extra` besides.
    pub fn of_a_first_start(extra: &[(&str, &str)], dice: &mut Dice) -> Self {
        let workplace = Ledger::workplace();
        Self::make(&workplace, Ledger::new(CLIENTS), extra, dice)
    }

    /// Of a server on a database whose log has many segments, most of which are free.
    pub fn of_an_old_database(dice: &mut Dice) -> Self {
        let workplace = Ledger::workplace();
        let mut ledger = Ledger::new(CLIENTS);
        let server = workplace.serve();
        ledger.found(&workplace);
        let posts = 20 + dice.below(POSTS_MAX - 20);
        ledger.age(server.client(), posts, dice);
        server.stop();
        Self::make(&workplace, ledger, &[], dice)
    }

    /// Of a server that comes back to what a power cut left, and is killed once it has recovered.
    pub fn of_a_recovery(image: &Image, ledger: Ledger) -> Self {
        let workplace = Ledger::workplace();
        image.write(&workplace.path(""));
        let mut record = Self::blank(&workplace, ledger);
        record.run(&workplace, strace::SERVE, |command| Server::start(command).kill());
        record.index();
        record
    }

    fn blank(workplace: &Workplace, ledger: Ledger) -> Self {
        let root = workplace.path("").canonicalize().unwrap();
        Self {
            before: ledger.clone(),
            ledger,
            disk: Disk::holding(&root),
            calls: Vec::new(),
            marks: Vec::new(),
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            starts: Vec::new(),
            segments: Vec::new(),
            root,
        }
    }

    fn make(
        workplace: &Workplace,
        ledger: Ledger,
        extra: &[(&str, &str)],
        dice: &mut Dice,
    ) -> Self {
        let mut record = Self::blank(workplace, ledger);
        record.serve(workplace, extra, dice);
        if dice.percent(50) {
            record.run(workplace, &["compact"], |command| {
                let ended = crate::support::run(command, "");
                assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            });
        }
        record.serve(workplace, extra, dice);
        record.index();
        record
    }

    /// Has the clients at work until the server ends, in good order or by a kill.
    fn serve(&mut self, workplace: &Workplace, extra: &[(&str, &str)], dice: &mut Dice) {
        let mut ledger = std::mem::replace(&mut self.ledger, Ledger::new(0));
        self.run(workplace, strace::SERVE, |mut command| {
            command.envs(extra.iter().copied());
            let server = Server::start(command);
            if ledger.is_blank() {
                ledger.found(workplace);
            }
            for _ in 0..2 {
                ledger.age(server.client(), POSTS_PER_AGE, dice);
                ledger.work(server.client(), dice, DEEDS / 2, || {});
            }
            if dice.percent(50) {
                server.stop();
            } else {
                server.kill();
            }
        });
        self.ledger = ledger;
    }

    /// Runs the binary with `arguments` and adds what it asked for.
    fn run(
        &mut self,
        workplace: &Workplace,
        arguments: &[&str],
        drive: impl FnOnce(std::process::Command),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("trace");
        drive(strace::recorded(workplace, arguments, CALLS, &file));
        let text = std::fs::read_to_string(&file).unwrap();
        let line = self.calls.iter().map(|call| call.ended.unwrap_or(call.begun)).max();
        let line = line.unwrap_or_default();
        self.starts.push(line);
        self.calls.extend(Call::all_of(&text, line));
    }

    fn index(&mut self) {
        for (index, call) in self.calls.iter().enumerate() {
            self.marks.push((call.begun, index, false));
            self.marks.extend(call.ended.map(|line| (line, index, true)));
            match call.name.as_str() {
                "recvfrom" | "read" | "readv" | "recvmsg" if is_socket(call) => {
                    let key = header(&call.data(), KEY).map(|key| key.parse().unwrap());
                    self.asked.extend(key.map(|key| (key, call.begun)));
                }
                "sendto" | "write" | "writev" | "sendmsg" if is_socket(call) => {
                    self.answered
                        .extend(header(&call.data(), "x-request-id").map(|id| (id, call.begun)));
                }
                "pwrite64" if is_of_log(call) && call.number(3).is_multiple_of(SEGMENT_BYTES) => {
                    self.segments.push(call.begun);
                }
                _ => {}
            }
        }
        self.marks.sort_unstable_by_key(|&(line, _, is_end)| (line, is_end));
        for (chapter, before) in self.ledger.chapters.iter().zip(&self.before.chapters) {
            let answers = chapter.history[before.history.len()..].iter().flat_map(|it| &it.answer);
            for (id, _) in answers {
                assert!(self.answered.contains_key(id), "the answer {id} is not on record");
            }
        }
    }

    /// Moments at which the power may fail, as numbers of steps; those of starts and compactions, those right
    /// after an answer, and those at which a segment is begun, are drawn more often than others.
    pub fn moment(&self, dice: &mut Dice) -> usize {
        let answers: Vec<_> = self.answered.values().copied().collect();
        let next = |line| answers.iter().copied().filter(|it| *it > line).min().unwrap_or(line);
        let line = match dice.below(100) {
            _ if answers.is_empty() => dice.below(self.marks.last().unwrap().0),
            0..=34 => {
                let start = *dice.pick(&self.starts).unwrap();
                start + dice.below(next(start) - start + 1)
            }
            35..=64 => *dice.pick(&answers).unwrap(),
            65..=79 => {
                let segment = dice.pick(&self.segments).copied().unwrap_or_default();
                segment + dice.below(AT_ONCE)
            }
            _ => dice.below(self.marks.last().unwrap().0),
        };
        self.marks.partition_point(|(at, _, _)| *at <= line)
    }

    /// A moment right after an answer.
    pub fn answer(&self, dice: &mut Dice) -> usize {
        let answers: Vec<_> = self.answered.values().copied().collect();
        let line = *dice.pick(&answers).unwrap();
        self.marks.partition_point(|(at, _, _)| *at <= line)
    }

    /// What the clients did before the moment, and knew of it.
    pub fn ledger_at(&self, moment: usize) -> Ledger {
        let line = moment.checked_sub(1).map_or(0, |last| self.marks[last].0);
        let read_at = |key: &u64| self.asked.get(key).copied();
        let left_at = |id: &String| self.answered.get(id).copied();
        let chapters = self.ledger.chapters.iter().zip(&self.before.chapters);
        let chapters = chapters.map(|(chapter, before)| {
            let mut past = before.clone();
            let mut entries = chapter.history[before.history.len()..].iter().peekable();
            while let Some(entry) = entries.next() {
                let answered_at = match &entry.answer {
                    Some((id, _)) => left_at(id),
                    // The operator's answer is not on record, but was there before the next request.
                    None => entries.peek().and_then(|next| read_at(&next.key)),
                };
                if answered_at.is_some_and(|at| at <= line) {
                    let body = entry.answer.as_ref().map(|(_, body)| body);
                    past.state.apply(&entry.deed, entry.at, body);
                    continue;
                }
                if read_at(&entry.key).is_none_or(|at| at <= line) {
                    past.pending = Some((entry.deed.clone(), entry.at));
                }
                break;
            }
            past
        });
        Ledger { chapters: chapters.collect() }
    }

    /// What the moment was like, in a few words.
    pub fn describe(&self, moment: usize) -> String {
        let Some((line, call, _)) = moment.checked_sub(1).map(|last| self.marks[last]) else {
            return "before anything".to_owned();
        };
        let (lines, name) = (self.marks.last().unwrap().0, &self.calls[call].name);
        format!("line {line} of {lines}, processes from {:?}, after {name}", self.starts)
    }
}

/// The record, played again up to a moment on a disk that may fail.
pub struct Replay<'a> {
    record: &'a Record,
    /// As it is by now.
    pub disk: Disk,
    /// How many steps were played.
    steps: usize,
    /// How far each open file has been read or written.
    positions: BTreeMap<i64, usize>,
    /// A system call that does nothing here, to show that it is missed.
    without: Option<&'static str>,
}

impl<'a> Replay<'a> {
    /// From the start; the system call `without` is taken to do nothing.
    pub fn new(record: &'a Record, without: Option<&'static str>) -> Self {
        Self { record, disk: record.disk.clone(), steps: 0, positions: BTreeMap::new(), without }
    }

    /// Up to this moment.
    pub fn until(record: &'a Record, moment: usize) -> Self {
        let mut replay = Self::new(record, None);
        replay.play(moment);
        replay
    }

    /// Goes on to a later moment.
    pub fn play(&mut self, moment: usize) {
        let record = self.record;
        for &(_, index, is_end) in &record.marks[self.steps..moment] {
            let call = &record.calls[index];
            if call.result.is_some_and(|result| result < 0) || self.without == Some(&call.name) {
                continue;
            }
            if is_end {
                self.disk.end(index);
            } else {
                self.begin(index, call);
            }
        }
        self.steps = moment;
    }

    /// Files change from the moment that a call begins; how they change is known from its end.
    fn begin(&mut self, index: usize, call: &Call) {
        match call.name.as_str() {
            "open" => {
                self.open(index, call, self.inside(&call.path(0)).as_deref(), call.argument(1));
            }
            "openat" => {
                let path = self.inside(&call.file(0).join(call.path(1)));
                self.open(index, call, path.as_deref(), call.argument(2));
            }
            "read" | "readv" => self.advance(call),
            "lseek" => {
                let position = call.result.and_then(|it| usize::try_from(it).ok());
                self.positions.insert(call.descriptor(0), position.unwrap_or_default());
            }
            "write" => {
                if let Some(file) = self.inside(&call.file(0)).and_then(|it| self.disk.find(&it)) {
                    let at = self.positions.get(&call.descriptor(0)).copied();
                    let at = at.expect("a file is written that was not seen to be opened");
                    self.disk.change(index, file, Change::Write(at, call.data()));
                    self.advance(call);
                }
            }
            "pwrite64" => {
                let at = call.number(3);
                self.change(index, call, |call| Change::Write(at, call.data()));
            }
            "ftruncate" => self.change(index, call, |call| Change::Length(call.number(1))),
            "fsync" | "fdatasync" => {
                if let Some(node) = self.inside(&call.file(0)).and_then(|it| self.disk.find(&it)) {
                    self.disk.sync(index, node);
                }
            }
            "mkdir" => self.with(&call.path(0), |disk, path| disk.create(index, path, true)),
            "unlink" | "rmdir" => self.with(&call.path(0), |disk, path| disk.remove(index, path)),
            "unlinkat" => {
                let path = call.file(0).join(call.path(1));
                self.with(&path, |disk, path| disk.remove(index, path));
            }
            "rename" => {
                let (from, to) = (self.inside(&call.path(0)), self.inside(&call.path(1)));
                if let (Some(from), Some(to)) = (from, to) {
                    self.disk.rename(index, &from, &to);
                }
            }
            "sendto" | "sendmsg" | "recvfrom" | "recvmsg" => {}
            "writev" if self.inside(&call.file(0)).is_none() => {}
            unknown => panic!("the model does not know the system call {unknown}"),
        }
    }

    /// The path as it is called here; nothing for one that is elsewhere.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let path = self.record.root.join(path);
        path.strip_prefix(&self.record.root).ok().map(Path::to_owned)
    }

    fn with(&mut self, path: &Path, done: impl FnOnce(&mut Disk, &Path)) {
        if let Some(path) = self.inside(path) {
            done(&mut self.disk, &path);
        }
    }

    fn open(&mut self, index: usize, call: &Call, path: Option<&Path>, flags: &str) {
        if let Some(descriptor) = call.result {
            self.positions.insert(descriptor, 0);
        }
        let Some(path) = path else { return };
        match self.disk.find(path) {
            Some(file) if flags.contains("O_TRUNC") => {
                self.disk.change(index, file, Change::Length(0));
            }
            None if flags.contains("O_CREAT") => self.disk.create(index, path, false),
            _ => {}
        }
    }

    fn change(&mut self, index: usize, call: &Call, change: impl FnOnce(&Call) -> Change) {
        if let Some(file) = self.inside(&call.file(0)).and_then(|path| self.disk.find(&path)) {
            self.disk.change(index, file, change(call));
        }
    }

    fn advance(&mut self, call: &Call) {
        let done = call.result.and_then(|it| usize::try_from(it).ok()).unwrap_or_default();
        if let Some(position) = self.positions.get_mut(&call.descriptor(0)) {
            *position += done;
        }
    }
}

fn is_of_log(call: &Call) -> bool {
    call.file(0).ends_with("db")
}

fn is_socket(call: &Call) -> bool {
    call.file(0).to_string_lossy().starts_with("socket:")
}

/// The value of the header `name` in what passed over a connection.
fn header(data: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(data);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.map(str::to_owned)
}
