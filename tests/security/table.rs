//! The table that cannot lie: every number has what shows it, a reason, or a line on what is still open.
//!
//! Goal: no requirement and no attack is forgotten, and `SECURITY.md` claims nothing that no test shows.
//! Method: `numbers.txt` lists the numbers; a test shows one by its name or by a line of `shown.txt`; what no
//! test can show has a line in `reasons.txt` (`in part: ` where tests show the rest), and what nothing shows
//! yet a line in `open.txt`. The table in `SECURITY.md` is made of these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use crate::found;

/// Where the table stands.
const DOCUMENT: &str = "SECURITY.md";
const BEGIN: &str = "<!-- The requirements: tests/security/table.rs makes what follows. -->\n";
const END: &str = "<!-- The end of the requirements. -->\n";
/// Set, the test puts the table there.
const WRITE: &str = "KEYSTILE_TEST_WRITE";
/// How a reason begins that explains what the tests leave out.
const IN_PART: &str = "in part: ";

/// The committed lists, each of lines `number = text`.
struct Lists<'a> {
    numbers: &'a str,
    shown: &'a str,
    reasons: &'a str,
    open: &'a str,
}

const LISTS: Lists<'static> = Lists {
    numbers: include_str!("numbers.txt"),
    shown: include_str!("shown.txt"),
    reasons: include_str!("reasons.txt"),
    open: include_str!("open.txt"),
};

/// What is known of a number.
#[derive(Default)]
struct Row<'a> {
    title: &'a str,
    tests: BTreeSet<String>,
    reason: Option<&'a str>,
    open: Option<&'a str>,
}

/// The rows by number, and what is wrong with the lists.
struct Table<'a> {
    order: Vec<&'a str>,
    rows: BTreeMap<&'a str, Row<'a>>,
    faults: Vec<String>,
}

/// The lines of a list with their parts, empty lines and comments left out.
fn lines(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = list.lines().filter(|line| !(line.is_empty() || line.starts_with('#')));
    lines.map(|line| line.split_once(" = ").unwrap_or((line, "")))
}

impl<'a> Table<'a> {
    fn read(lists: &Lists<'a>, tests: &BTreeSet<String>) -> Self {
        let mut table = Self { order: vec![], rows: BTreeMap::new(), faults: vec![] };
        for (number, title) in lines(lists.numbers) {
            table.order.push(number);
            if table.rows.insert(number, Row { title, ..Row::default() }).is_some() {
                table.faults.push(format!("{number} is listed twice"));
            }
        }
        for test in tests {
            let number = test.rsplit("::").next().and_then(found::number);
            if let Some(number) = number.filter(|number| table.has_section(number)) {
                table.note(&number, &format!("{test} is named after"), |row| {
                    row.tests.insert(test.clone())
                });
            }
        }
        for (number, test) in lines(lists.shown) {
            if !tests.contains(test) {
                table
                    .faults
                    .push(format!("{number} is said to be shown by {test}, which is no test"));
            }
            let named = test.rsplit("::").next().and_then(found::number);
            table.note(number, &format!("{test} is said to show"), |row| {
                row.tests.insert(test.to_owned()) && named.as_deref() != Some(number)
            });
        }
        for (number, text) in lines(lists.reasons) {
            table.note(number, "a reason", |row| row.reason.replace(text).is_none());
        }
        for (number, text) in lines(lists.open) {
            table.note(number, "an open point", |row| row.open.replace(text).is_none());
        }
        table.judge();
        table
    }

    /// Whether numbers of this kind are listed; without, `of_64_tasks` would be one.
    fn has_section(&self, number: &str) -> bool {
        let section = |number: &str| number.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let end = section(number);
        self.order.iter().any(|known| section(known) == end && known[..end] == number[..end])
    }

    /// Adds to the row of `number`; `add` says whether that was new.
    fn note(&mut self, number: &str, what: &str, add: impl FnOnce(&mut Row<'a>) -> bool) {
        let fault = match self.rows.get_mut(number).map(add) {
            None => "there is no such number",
            Some(false) => "twice",
            Some(true) => return,
        };
        self.faults.push(format!("{what} {number}: {fault}"));
    }

    fn judge(&mut self) {
        for (number, row) in &self.rows {
            let fault = match (row.tests.is_empty(), row.reason, row.open) {
                (true, None, None) => "has no test, no reason and no open point",
                (false, Some(reason), _) if !reason.starts_with(IN_PART) => {
                    "has a reason though tests show it; is it so `in part: `?"
                }
                (true, Some(reason), None) if reason.starts_with(IN_PART) => {
                    "is explained in part, and no test shows the rest"
                }
                (_, Some(reason), Some(_)) if !reason.starts_with(IN_PART) => {
                    "is explained and open"
                }
                _ if [Some(row.title), row.reason, row.open].contains(&Some("")) => {
                    "has a line without a text"
                }
                _ => continue,
            };
            self.faults.push(format!("{number} {fault}"));
        }
    }

    /// The table as `SECURITY.md` has it; what is open is not said to be shown.
    fn text(&self) -> String {
        let mut text = "\n| number | what | shown by |\n|---|---|---|\n".to_owned();
        for number in &self.order {
            let row = &self.rows[number];
            let mut cells: Vec<_> = row.tests.iter().map(|test| format!("`{test}`")).collect();
            if let Some(open) = row.open {
                cells = vec![format!("**open**: {open}")];
            }
            cells.extend(row.reason.map(str::to_owned));
            writeln!(text, "| {number} | {} | {} |", row.title, cells.join("<br>")).unwrap();
        }
        text + "\n"
    }
}

#[test]
fn every_number_is_shown_explained_or_open_and_the_document_says_which() {
    let table = Table::read(&LISTS, &found::tests());
    assert!(table.faults.is_empty(), "{:#?}", table.faults);
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    let text = table.text();
    if std::env::var_os(WRITE).is_some() {
        fs::write(DOCUMENT, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
        return;
    }
    let is_new = |line: &&str| !committed.lines().any(|other| other == *line);
    let new: Vec<_> = text.lines().filter(is_new).collect();
    assert!(
        committed == text,
        "the table has changed; `{WRITE}=1 cargo test --test security` writes it. New in it:\n{}",
        new.join("\n")
    );
}

/// What is wrong with lists, of which each test below gives some.
fn faults(shown: &str, reasons: &str, open: &str, tests: &[&str]) -> Vec<String> {
    let lists = Lists { numbers: "RT-04 = reuse\nA79 = replay\n", shown, reasons, open };
    let tests = tests.iter().map(|test| (*test).to_owned()).collect();
    Table::read(&lists, &tests).faults
}

#[test]
fn the_table_takes_names_lines_reasons_and_open_points() {
    let (named, other) = ("tests/x.rs::rt_04_x", "src/y.rs::y");
    for (shown, reasons, open, tests) in [
        ("A79 = src/y.rs::y", "", "", [named, other]),
        ("A79 = src/y.rs::y\nRT-04 = src/y.rs::y", "# a comment\n", "", [named, other]),
        ("", "A79 = not offered", "", [named, "src/y.rs::of_64_tasks"]),
        ("", "A79 = not offered\nRT-04 = in part: nobody asks", "", [named, other]),
        ("", "", "A79 = no test", [named, other]),
        ("A79 = src/y.rs::y", "A79 = in part: no", "A79 = no test for the rest", [named, other]),
    ] {
        assert_eq!(faults(shown, reasons, open, &tests), [""; 0], "{shown} {reasons} {open}");
    }
}

#[test]
fn the_table_sees_what_is_forgotten_and_what_is_made_up() {
    let named = "tests/x.rs::rt_04_x";
    for (shown, reasons, open, test) in [
        ("", "", "", named),
        ("A79 = src/y.rs::y", "", "", named),
        ("A79 = tests/x.rs::rt_04_x\nA80 = tests/x.rs::rt_04_x", "", "", named),
        ("A79 = tests/x.rs::rt_04_x\nRT-04 = tests/x.rs::rt_04_x", "", "", named),
        ("", "A79 = not offered\nRT-04 = not offered", "", named),
        ("", "A79 = in part: not offered", "", named),
        ("", "A79 = not offered\nA80 = not offered", "", named),
        ("", "A79 = not offered\nA79 = not offered", "", named),
        ("", "A79 = not offered", "A79 = no test", named),
        ("", "", "A79 = \n", named),
        ("", "", "A79 = no test\nRT-05 = no test", named),
        ("", "A79 = not offered\nRT-04 = not offered", "", "tests/x.rs::a080_x"),
    ] {
        assert_eq!(faults(shown, reasons, open, &[test]).len(), 1, "{shown} {reasons} {open}");
    }
}

#[test]
fn what_is_open_is_not_said_to_be_shown() {
    let lists = Lists {
        numbers: "RT-04 = reuse\nA79 = replay",
        shown: "A79 = tests/x.rs::rt_04_x",
        reasons: "A79 = in part: nobody asks",
        open: "RT-04 = the event",
    };
    let tests = BTreeSet::from(["tests/x.rs::rt_04_x".to_owned()]);
    let text = Table::read(&lists, &tests).text();
    assert!(text.contains("| RT-04 | reuse | **open**: the event |\n"), "{text}");
    let row = "| A79 | replay | `tests/x.rs::rt_04_x`<br>in part: nobody asks |\n";
    assert!(text.contains(row), "{text}");
}
