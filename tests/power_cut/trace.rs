//! What `strace` wrote down, as system calls that begin and end; knows its format, and nothing of files.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is to be traced: whatever changes a directory, or tells how far a file has been read or written,
/// and what comes in and goes out on sockets. A call that changes files and is not known to the model
/// stands here too, so that it is noticed.
pub const CALLS: &str = "open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,\
                         fallocate,copy_file_range,sendfile,splice,rename,renameat,renameat2,link,linkat,symlink,\
                         symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,syncfs,sync,\
                         lseek,read,readv,sendto,sendmsg,recvfrom,recvmsg";

/// A system call. With `-xx` no text contains a comma or a bracket, so its arguments can be split.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    arguments: String,
    /// What it returned; nothing if the process was killed before.
    pub result: Option<i64>,
    /// The line where it began.
    pub begun: usize,
    /// The line where it ended.
    pub ended: Option<usize>,
}

impl Call {
    /// The calls of a trace, whose lines are numbered from after `last`, in the order in which they began.
    pub fn all_of(text: &str, last: usize) -> Vec<Self> {
        let mut calls: Vec<Self> = Vec::new();
        let mut open = BTreeMap::new();
        let mut number = last;
        for line in text.lines() {
            number += 1;
            let (thread, event) = line.split_once(' ').unwrap();
            let event = event.trim_start();
            if let Some(rest) = event.strip_prefix("<... ") {
                let (_, rest) = rest.split_once(" resumed>").unwrap();
                let index: usize = open.remove(thread).unwrap();
                calls[index].end(rest, number);
            } else if let Some((name, rest)) = event.split_once('(')
                && !event.starts_with(['-', '+'])
            {
                let mut call = Self::begin(name, number);
                if let Some(arguments) = rest.strip_suffix("<unfinished ...>") {
                    call.arguments.push_str(arguments);
                    open.insert(thread, calls.len());
                } else {
                    call.end(rest, number);
                }
                calls.push(call);
            }
        }
        // A kill was faster than `strace`: nobody knows which call it would have been, for it never began.
        calls.retain(|call| call.result.is_some() || !call.name.starts_with('?'));
        calls
    }

    fn begin(name: &str, begun: usize) -> Self {
        let arguments = String::new();
        Self { name: name.to_owned(), arguments, result: None, begun, ended: None }
    }

    fn end(&mut self, rest: &str, number: usize) {
        let (arguments, returned) = rest.rsplit_once(" = ").unwrap();
        self.arguments.push_str(arguments.trim_end().trim_end_matches(')'));
        let digits = returned.split([' ', '<']).next().unwrap();
        self.result = digits.parse().ok();
        self.ended = Some(number);
    }

    /// The argument at `index`, as it stands there.
    pub fn argument(&self, index: usize) -> &str {
        self.arguments.split(", ").nth(index).unwrap_or_default().trim()
    }

    /// The text at `index`.
    pub fn text(&self, index: usize) -> Vec<u8> {
        unescape(self.argument(index))
    }

    /// The path at `index`, as the program gave it.
    pub fn path(&self, index: usize) -> PathBuf {
        PathBuf::from(String::from_utf8(self.text(index)).unwrap())
    }

    /// All texts there are in the arguments, one after the other, as far as the call got.
    pub fn data(&self) -> Vec<u8> {
        let quoted = self.arguments.split('"').skip(1).step_by(2);
        let mut data: Vec<u8> = quoted.flat_map(unescape).collect();
        if let Some(result) = self.result {
            data.truncate(usize::try_from(result).unwrap_or_default());
        }
        data
    }

    /// What the descriptor at `index` stands for.
    pub fn file(&self, index: usize) -> PathBuf {
        annotation(self.argument(index))
    }

    /// The number of the descriptor at `index`.
    pub fn descriptor(&self, index: usize) -> i64 {
        let argument = self.argument(index);
        argument.split('<').next().unwrap().parse().unwrap()
    }

    /// A number at `index`.
    pub fn number(&self, index: usize) -> usize {
        self.argument(index).parse().unwrap()
    }
}

fn annotation(argument: &str) -> PathBuf {
    let inner = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let bytes = inner.map_or_else(Vec::new, |(inner, _)| unescape(inner));
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

fn unescape(text: &str) -> Vec<u8> {
    let byte = |hex: &str| u8::from_str_radix(hex.get(..2)?, 16).ok();
    text.split("\\x").skip(1).filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `strace -f -y -xx` writes it: one thread's call is cut in two by another's, one is never ended, of one
    /// nothing could be read any more.
    const TRACE: &str = r#"7 pwrite64(11<\x64\x62>, "\x61\x62\x63", 3, 1443 <unfinished ...>
8  openat(AT_FDCWD<\x2f\x74>, "\x64\x62", O_RDWR|O_CREAT, 0600) = 12<\x2f\x74\x2f\x64\x62>
7 <... pwrite64 resumed>)           = 2
8  fsync(12<\x2f\x74\x2f\x64\x62>) = -1 EIO (Input/output error)
8  fdatasync(12<\x2f\x74\x2f\x64\x62> <unfinished ...>
9 ???( <unfinished ...>
8 +++ killed by SIGKILL +++
9 <... ??? resumed>) = ?
9 +++ killed by SIGKILL +++
"#;

    #[test]
    fn calls_are_put_together_from_their_halves() {
        let calls = Call::all_of(TRACE, 100);
        let [write, open, failed, cut] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!((write.name.as_str(), write.begun, write.ended), ("pwrite64", 101, Some(103)));
        assert_eq!((write.file(0).to_str(), write.number(3)), (Some("db"), 1443));
        assert_eq!(write.data(), b"ab", "as far as it got");
        assert_eq!((open.result, open.file(0).join(open.path(1))), (Some(12), "/t/db".into()));
        assert_eq!((open.argument(2), failed.result), ("O_RDWR|O_CREAT", Some(-1)));
        assert_eq!((failed.descriptor(0), cut.result, cut.ended), (12, None, None));
    }
}
