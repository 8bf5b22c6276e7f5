//! The `.env` format, as python-dotenv and Docker Compose write it.
//!
//! Read by hand because the crate for it substitutes `$NAME` from the process environment, which
//! would quietly change a secret, and repeats the text of a bad line in its errors.

/// Each `NAME=value`, the value still quoted. Lines of any other form belong to somebody else.
pub(super) fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    lines(text).filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

/// The number of the first line that begins like a name with `prefix` and assigns nothing.
pub(super) fn without_value(text: &str, prefix: &str) -> Option<usize> {
    let index = lines(text).position(|line| line.starts_with(prefix) && !line.contains('='))?;
    Some(index + 1)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('\u{feff}').lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("export ").unwrap_or(line)
    })
}

/// Takes quotes and comment off: single quotes hold the text as it stands, double quotes know the
/// usual escapes, and without quotes a comment starts at ` #`.
pub(super) fn value(raw: &str) -> Result<String, &'static str> {
    if let Some(quoted) = raw.strip_prefix('\'') {
        let (text, rest) = quoted.split_once('\'').ok_or("the closing quote is missing")?;
        return only_comment(rest).map(|()| text.to_owned());
    }
    let text = match raw.strip_prefix('"') {
        Some(quoted) => unescape(quoted)?,
        None if raw.starts_with('#') => String::new(),
        None => raw.split_once(" #").map_or(raw, |(text, _)| text).trim_end().to_owned(),
    };
    if text.contains("${") {
        return Err("nothing is substituted here: write the value itself, in single quotes");
    }
    Ok(text)
}

fn unescape(quoted: &str) -> Result<String, &'static str> {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return only_comment(chars.as_str()).map(|()| text),
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some(escaped @ ('"' | '\\' | '\'' | '$')) => text.push(escaped),
                _ => return Err("holds an unknown escape"),
            },
            other => text.push(other),
        }
    }
    Err("the closing quote is missing")
}

fn only_comment(rest: &str) -> Result<(), &'static str> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(());
    }
    Err("goes on after the closing quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_found_among_foreign_lines() {
        let text = "\u{feff}# c\nA=1\r\n export B = two \nnonsense\n\nURL=a=b\n#C=3\n";
        let found: Vec<_> = assignments(text).collect();
        assert_eq!(found, [("A", "1"), ("B", "two"), ("URL", "a=b"), ("#C", "3")]);
    }

    #[test]
    fn quotes_and_comments_come_off_and_nothing_else() {
        for (raw, text) in [
            ("plain", "plain"),
            ("", ""),
            ("# only a comment", ""),
            ("a#b # comment", "a#b"),
            ("pa$$word", "pa$$word"),
            ("'a \" # ${b} \\n' # c", "a \" # ${b} \\n"),
            (r#""a \"b\" \\ \n #c" # d"#, "a \"b\" \\ \n #c"),
        ] {
            assert_eq!(value(raw).as_deref(), Ok(text), "{raw}");
        }
    }

    #[test]
    fn what_could_be_meant_otherwise_is_refused() {
        for raw in ["'open", "\"open", "'a' b", "\"a\"b", "\"\\x41\"", "${SECRET}", "\"a${B}\""] {
            assert!(value(raw).is_err(), "{raw}");
        }
    }
}
