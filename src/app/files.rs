//! How many files this process may have open, and what that leaves for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections: the store, the listeners, the admin socket with whoever uses it, a dump. The
/// store must always get one: it does not outlive a failure to open a file.
const OTHER_FILES: u64 = 40;

/// Raises the limit as far as the system lets this process, and says how many of the `wanted` connections fit.
pub(super) fn connections(wanted: u32) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let fitting = fitting(wanted, files);
    if fitting < u64::from(wanted) {
        tracing::warn!(
            wanted,
            fitting,
            "server.max_connections is more than this process may have open; raise its limit of open files"
        );
    }
    usize::try_from(fitting).unwrap_or(usize::MAX)
}

/// How many of the `wanted` connections fit into so many files; none is no limit.
fn fitting(wanted: u32, files: Option<u64>) -> u64 {
    let room = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(1));
    room.min(wanted.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_store() {
        assert_eq!(fitting(1024, None), 1024);
        assert_eq!(fitting(1024, Some(1_048_576)), 1024);
        assert_eq!(fitting(1024, Some(1024)), 984);
        assert_eq!(fitting(1024, Some(64)), 24);
        assert_eq!(fitting(1024, Some(8)), 1);
    }
}
