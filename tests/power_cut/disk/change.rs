//! A change of a file's content, which is made or torn.

use crate::support::dice::Dice;

/// What is written at once or not at all.
pub(super) const SECTOR: usize = 512;

/// A change of a file's content.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes at an offset.
    Write(usize, Vec<u8>),
    /// A new length.
    Length(usize),
}

impl Change {
    /// Makes it.
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write(at, data) => put(content, *at, data),
        }
    }

    /// Makes some of its sectors only. The length may have come without the last of them.
    pub(super) fn tear(&self, content: &mut Vec<u8>, dice: &mut Dice) {
        let Self::Write(at, data) = self else {
            return if dice.percent(50) {
                self.apply(content);
            };
        };
        let (mut from, end) = (*at, at + data.len());
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if dice.percent(50) {
                put(content, from, &data[from - at..to - at]);
            }
            from = to;
        }
        if dice.percent(50) && content.len() < end {
            content.resize(end, 0);
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(data);
}
