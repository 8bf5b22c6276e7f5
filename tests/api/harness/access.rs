//! The operations of `SECURITY.md`: what each asks for, and who is let in.

use poem::http::Method;

use super::{Call, DOCUMENT, TestServer};

const SECURITY: &str = include_str!("../../../SECURITY.md");
const BEGIN: &str = "<!-- The operations. -->\n";
const END: &str = "<!-- The end of the operations. -->";

/// What an operation asks of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Nothing, but a bearer token in place of the body is taken.
    Offers,
    /// Any live access token.
    Token,
    /// A live access token with this scope.
    Scope(&'static str),
    /// A live access token of an administrator.
    Admin,
    /// A refresh token.
    Refresh,
}

/// A line of the table.
pub struct Operation {
    /// Its method.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What it asks for.
    pub needs: Needs,
    /// Whether it lets in nobody in particular, a `user` and an `admin`.
    pub lets_in: [bool; 3],
    /// Whose objects it is about.
    pub whose: &'static str,
}

impl Needs {
    fn read(text: &'static str) -> Self {
        match text {
            "nothing" => Self::Nothing,
            "nothing, or a token" => Self::Offers,
            "a token" => Self::Token,
            "a refresh token" => Self::Refresh,
            "role `admin`" => Self::Admin,
            scope => Self::Scope(scope.trim_matches('`')),
        }
    }

    /// Whether it is asked for by nothing that could be missing.
    pub fn is_public(self) -> bool {
        matches!(self, Self::Nothing | Self::Offers)
    }
}

/// The table.
pub fn operations() -> Vec<Operation> {
    let (_, rest) = SECURITY.split_once(BEGIN).unwrap();
    let (table, _) = rest.split_once(END).unwrap();
    let operations: Vec<_> = table.lines().skip(2).map(operation).collect();
    assert!(operations.len() > 30, "the table was not found");
    operations
}

fn operation(line: &'static str) -> Operation {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let [_, operation, needs, nobody, user, admin, whose, _] = cells[..] else {
        panic!("{line}");
    };
    let (method, path) = operation.trim_matches('`').split_once(' ').unwrap();
    let lets_in = [nobody, user, admin].map(|cell| match cell {
        "yes" => true,
        "no" => false,
        _ => panic!("{line}"),
    });
    Operation { method, path, needs: Needs::read(needs), lets_in, whose }
}

impl TestServer {
    /// Calls an operation of the table, its `{id}` filled in, without a body.
    #[track_caller]
    pub fn operation(&self, method: &str, path: &str, id: &str) -> Call<'_> {
        self.call(method.parse::<Method>().unwrap(), &path.replace("{id}", id))
    }
}

impl Call<'_> {
    /// With the body that the document shows for the operation, if it takes one: a body that cannot be read
    /// is refused before the right to send it is judged.
    pub fn with_example(self, method: &str, path: &str) -> Self {
        let content = &DOCUMENT["paths"][path][method.to_lowercase()]["requestBody"]["content"];
        if let Some(reference) = content["application/json"]["schema"]["$ref"].as_str() {
            return self.json(&DOCUMENT.pointer(&reference[1..]).unwrap()["example"]);
        }
        if content.is_object() { self.form(&[("token", "x")]) } else { self }
    }
}
