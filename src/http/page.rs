//! Pages of lists.

use super::problem::{Code, Problem};

/// How many rows a page has when nobody says.
const DEFAULT: u32 = 20;
/// How many rows a page has at most.
pub const MAX: u32 = 100;

/// The number of rows asked for.
///
/// # Errors
/// 422 outside 1 to 100.
pub fn page_limit(limit: Option<u32>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(DEFAULT);
    if !(1..=MAX).contains(&limit) {
        return Err(Problem::new(Code::InvalidParameter, "The parameter `limit` is 1 to 100."));
    }
    usize::try_from(limit).map_err(Problem::internal)
}
