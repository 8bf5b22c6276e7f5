//! The URL coding of forms and queries, read strictly: what no encoder writes is refused, not guessed at.

/// A bare `%`, bytes that are not UTF-8, or NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL coding is malformed")]
pub struct Malformed;

/// The names and values of `coded`, in order, repeated ones included.
pub fn pairs(coded: &[u8]) -> impl Iterator<Item = Result<(String, String), Malformed>> {
    coded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let mut half = || decode(halves.next().unwrap_or_default());
        Ok((half()?, half()?))
    })
}

/// Whether a parameter of `coded` is called `name`, whatever else is malformed there.
#[must_use]
pub fn names(coded: &[u8], name: &str) -> bool {
    pairs(coded).flatten().any(|(known, _)| known == name)
}

/// Bytes as text.
///
/// # Errors
/// [`Malformed`] for bytes that are not UTF-8, and for NUL.
pub fn text(bytes: Vec<u8>) -> Result<String, Malformed> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(Malformed)
}

fn decode(coded: &[u8]) -> Result<String, Malformed> {
    let mut decoded = Vec::with_capacity(coded.len());
    let mut rest = coded.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next())? << 4 | hex(rest.next())?,
            byte => *byte,
        });
    }
    text(decoded)
}

fn hex(digit: Option<&u8>) -> Result<u8, Malformed> {
    let value = digit.and_then(|digit| char::from(*digit).to_digit(16));
    value.and_then(|value| u8::try_from(value).ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(coded: &str) -> Result<Vec<(String, String)>, Malformed> {
        pairs(coded.as_bytes()).collect()
    }

    #[test]
    fn pairs_come_decoded_and_in_order() {
        let expected = [("a", "1 é"), ("b", ""), ("a", "=2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read("a=1+%C3%A9&b&&%61==2"), Ok(expected.to_vec()));
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for coded in ["a=%", "a=%4", "%zz=1", "a=%ff", "a=%00", "a=1&b=%+1"] {
            assert_eq!(read(coded), Err(Malformed), "{coded}");
        }
    }
}
