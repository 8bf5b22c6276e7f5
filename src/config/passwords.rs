//! `[passwords]`: the cost of a hash, the hashers, and what a new password must be like.

use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::key::{Key, Kind};
use super::storage::path;
use super::values::Values;

pub(super) const KEYS: &[Key] = &[
    Key::new("passwords.memory_kib", Kind::Number, "19456"),
    Key::new("passwords.iterations", Kind::Number, "2"),
    Key::new("passwords.parallelism", Kind::Number, "1"),
    Key::new("passwords.min_length", Kind::Number, "8"),
    Key::unset("passwords.breached_file", Kind::Text),
    Key::unset("passwords.workers", Kind::Number),
    Key::unset("passwords.queue", Kind::Number),
    Key::new("passwords.queue_timeout", Kind::Text, "2s"),
];

/// The least memory for one, two, and three or more iterations: OWASP's equivalent choices.
const MEMORY_KIB_MIN: [(u32, u32); 3] = [(1, 47_104), (2, 19_456), (3, 12_288)];
/// A hash that costs more could not be imported again, nor be verified by this server.
const MEMORY_KIB_MAX: u32 = 64 * 1024;
const ITERATIONS_MAX: u32 = 10;
const PARALLELISM_MAX: u32 = 4;

/// The section.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// The memory of one Argon2id hash.
    pub memory_kib: u32,
    /// Its passes over that memory.
    pub iterations: u32,
    /// Its lanes.
    pub parallelism: u32,
    /// The fewest characters of a new password.
    pub min_length: u32,
    /// A list of passwords that are refused besides the bundled one, one a line.
    pub breached_file: Option<PathBuf>,
    /// How many hash at once; none means that cores and memory decide.
    pub workers: Option<u32>,
    /// How many may wait; none means 8 per worker.
    pub queue: Option<u32>,
    /// How long one may wait.
    pub queue_timeout: Duration,
}

impl Passwords {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let passwords = Self {
            memory_kib: values.number("passwords.memory_kib", 1..=MEMORY_KIB_MAX)?,
            iterations: values.number("passwords.iterations", 1..=ITERATIONS_MAX)?,
            parallelism: values.number("passwords.parallelism", 1..=PARALLELISM_MAX)?,
            min_length: values.number("passwords.min_length", 8..=64)?,
            breached_file: values.optional("passwords.breached_file", path)?,
            workers: values.optional_number("passwords.workers", 1..=256)?,
            queue: values.optional_number("passwords.queue", 1..=10_000)?,
            queue_timeout: values.duration(
                "passwords.queue_timeout",
                Duration::from_millis(100)..=Duration::from_secs(10),
            )?,
        };
        let affordable = MEMORY_KIB_MIN.iter().any(|(iterations, memory_kib)| {
            passwords.iterations >= *iterations && passwords.memory_kib >= *memory_kib
        });
        if !affordable {
            let floor = "is too little: 19456 KiB go with 2 iterations, 47104 with 1, 12288 with 3";
            return Err(values.refuse_either([
                ("passwords.memory_kib", floor),
                ("passwords.iterations", floor),
            ]));
        }
        Ok(passwords)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};

    #[test]
    fn the_cost_of_a_hash_has_a_floor() {
        for (memory, iterations, good) in [
            (19_456, 2, true),
            (19_455, 2, false),
            (47_104, 1, true),
            (47_103, 1, false),
            (12_288, 3, true),
            (12_287, 3, false),
            (12_288, 10, true),
        ] {
            let lines = format!("[passwords]\nmemory_kib = {memory}\niterations = {iterations}");
            assert_eq!(load(&lines).is_ok(), good, "{lines}");
        }
        assert!(refusal("[passwords]\niterations = 1").starts_with("passwords.iterations"));
    }

    #[test]
    fn everything_has_bounds() {
        load("[passwords]\nparallelism = 4\nmin_length = 64\nworkers = 1\nqueue = 1").unwrap();
        for bad in [
            "memory_kib = 65537",
            "iterations = 11",
            "iterations = 0",
            "parallelism = 5",
            "min_length = 7",
            "min_length = 65",
            "workers = 0",
            "queue = 0",
            "queue_timeout = '0s'",
            "queue_timeout = '1m'",
            "breached_file = ''",
        ] {
            assert!(refusal(&format!("[passwords]\n{bad}")).starts_with("passwords."), "{bad}");
        }
    }
}
