//! What hashing may cost: the parameters, their floor, and how many workers the machine can feed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use argon2::Params;

/// The least memory for each number of passes that still counts as strong (OWASP Password Storage): with
/// one pass, with two, and with three or more.
const MEMORY_KIB_MIN: [u32; 3] = [47_104, 19_456, 12_288];
/// Above these a login costs more than an attacker should be able to ask for.
const MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;
const ITERATIONS_MAX: u32 = 1000;

/// How Argon2id hashes, and how much of it at once.
#[derive(Clone, Debug)]
pub struct HashSettings {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes; they are computed one after another, since the pool is what uses the cores.
    pub parallelism: u32,
    /// Threads that hash, each with memory of its own.
    pub workers: usize,
    /// How many may wait for a worker.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// The memory that this process may use in KiB; none if that is not known.
    pub memory_limit_kib: Option<u64>,
    /// Accepts any parameters. For tests, where a strong hash of every user costs minutes.
    pub insecure_any_strength: bool,
}

/// Why settings are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Weaker than the floor.
    #[error(
        "the password hash is too weak: at least 47104 KiB with 1 iteration, 19456 KiB with 2, or \
         12288 KiB with 3"
    )]
    Weak,
    /// Argon2 cannot work with them, or no login would ever end.
    #[error("the parameters of the password hash are out of range")]
    OutOfRange,
    /// No worker or no place to wait.
    #[error("the password pool needs at least one worker and one waiting place")]
    NoPlace,
    /// All workers together would need more memory than there is.
    #[error("{workers} password workers need more memory than the {limit_kib} KiB there are")]
    Memory {
        /// How many were asked for.
        workers: usize,
        /// What the machine or its cgroup allows, in KiB.
        limit_kib: u64,
    },
}

impl HashSettings {
    /// Settings whose hashes cost next to nothing. For tests.
    #[must_use]
    pub const fn insecure_fast() -> Self {
        Self {
            memory_kib: 8,
            iterations: 1,
            parallelism: 1,
            workers: 1,
            queue: 64,
            queue_timeout: Duration::from_secs(60),
            memory_limit_kib: None,
            insecure_any_strength: true,
        }
    }

    /// Checks strength, range and memory.
    ///
    /// # Errors
    /// The first rule they break.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.params()?;
        if self.memory_kib > MEMORY_KIB_MAX || self.iterations > ITERATIONS_MAX {
            return Err(SettingsError::OutOfRange);
        }
        if self.queue == 0 || self.workers == 0 {
            return Err(SettingsError::NoPlace);
        }
        let floor = match self.iterations {
            1 => MEMORY_KIB_MIN[0],
            2 => MEMORY_KIB_MIN[1],
            _ => MEMORY_KIB_MIN[2],
        };
        if self.memory_kib < floor && !self.insecure_any_strength {
            return Err(SettingsError::Weak);
        }
        let needed_kib = (self.workers as u64).saturating_mul(u64::from(self.memory_kib));
        match self.memory_limit_kib {
            Some(limit_kib) if needed_kib > limit_kib => {
                Err(SettingsError::Memory { workers: self.workers, limit_kib })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn params(&self) -> Result<Params, SettingsError> {
        Params::new(
            self.memory_kib,
            self.iterations,
            self.parallelism,
            Some(super::argon::TAG_BYTES),
        )
        .map_err(|_| SettingsError::OutOfRange)
    }
}

/// How many workers suit this machine: one per core, while all of them together fill at most half the
/// memory; at least one.
///
/// No core is left free: on two cores that would halve the logins, and the threads that answer requests sleep
/// so much that the scheduler lets them in before a thread that hashes.
#[must_use]
pub fn default_workers(memory_kib: u32, limit_kib: Option<u64>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    workers_within(cores, limit_kib, memory_kib)
}

fn workers_within(cores: usize, limit_kib: Option<u64>, memory_kib: u32) -> usize {
    let fitting = limit_kib.map_or(u64::MAX, |limit| limit / 2 / u64::from(memory_kib.max(1)));
    cores.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// The memory this process may use in KiB: the machine's, or less where a cgroup says so.
#[must_use]
pub fn memory_limit_kib() -> Option<u64> {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_kib(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|text| cgroup_limit_kib(Path::new("/sys/fs/cgroup"), &text));
    total.into_iter().chain(group).min()
}

fn total_kib(meminfo: &str) -> Option<u64> {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The tightest limit from the process's group up to the root: of cgroup v2, and of the memory controller of v1.
/// Inside a container the group's own path may not be there, and the root is the container's.
fn cgroup_limit_kib(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(":/")?;
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            "memory" => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let limit = |directory: &Path| {
            let text = fs::read_to_string(root.join(directory).join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        Path::new(group).ancestors().filter_map(limit).min()
    });
    limits.min().map(|bytes| bytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(memory_kib: u32, iterations: u32) -> HashSettings {
        let fast = HashSettings::insecure_fast();
        HashSettings { memory_kib, iterations, insecure_any_strength: false, ..fast }
    }

    #[test]
    fn each_number_of_passes_has_its_least_memory() {
        for (memory_kib, iterations) in [(19_456, 2), (47_104, 1), (12_288, 3), (12_288, 9)] {
            let strong = with(memory_kib, iterations);
            assert_eq!(strong.check(), Ok(()));
            let weak = with(memory_kib - 1, iterations);
            assert_eq!(weak.check(), Err(SettingsError::Weak));
        }
        assert_eq!(HashSettings::insecure_fast().check(), Ok(()));
    }

    #[test]
    fn nonsense_is_refused_even_where_weakness_is_allowed() {
        let fast = HashSettings::insecure_fast;
        for bad in [
            HashSettings { memory_kib: 7, ..fast() },
            HashSettings { memory_kib: u32::MAX, ..fast() },
            HashSettings { iterations: 0, ..fast() },
            HashSettings { iterations: u32::MAX, ..fast() },
            HashSettings { parallelism: 0, ..fast() },
        ] {
            assert_eq!(bad.check(), Err(SettingsError::OutOfRange));
        }
        for bad in [HashSettings { workers: 0, ..fast() }, HashSettings { queue: 0, ..fast() }] {
            assert_eq!(bad.check(), Err(SettingsError::NoPlace));
        }
    }

    #[test]
    fn workers_that_need_more_memory_than_there_is_are_refused() {
        let settings = HashSettings { workers: 4, ..with(19_456, 2) };
        let within =
            |limit_kib| HashSettings { memory_limit_kib: Some(limit_kib), ..settings.clone() };
        assert_eq!(within(4 * 19_456).check(), Ok(()));
        let refused = within(4 * 19_456 - 1).check();
        assert_eq!(refused, Err(SettingsError::Memory { workers: 4, limit_kib: 77_823 }));
    }

    #[test]
    fn workers_fill_at_most_half_the_memory_and_are_at_least_one() {
        assert_eq!(workers_within(8, None, 19_456), 8);
        assert_eq!(workers_within(8, Some(131_072), 19_456), 3);
        assert_eq!(workers_within(2, Some(131_072), 19_456), 2);
        assert_eq!(workers_within(8, Some(1024), 19_456), 1);
        assert!(default_workers(19_456, memory_limit_kib()) >= 1);
    }

    #[test]
    fn the_tightest_group_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        let limit = || cgroup_limit_kib(root.path(), "0::/a/b\n");
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(), None);
        fs::write(root.path().join("a/memory.max"), "134217728\n").unwrap();
        assert_eq!(limit(), Some(131_072));
        fs::write(group.join("memory.max"), "1048576\n").unwrap();
        assert_eq!(limit(), Some(1024));
        let first = root.path().join("memory/c");
        fs::create_dir_all(&first).unwrap();
        let groups = "9:cpu,cpuacct:/a\n4:memory:/c/d\n1:name=systemd:/\n0::/\n";
        let limit = || cgroup_limit_kib(root.path(), groups);
        assert_eq!(limit(), None);
        fs::write(root.path().join("memory/memory.limit_in_bytes"), "9223372036854771712\n")
            .unwrap();
        assert_eq!(limit(), Some(9_007_199_254_740_988));
        fs::write(first.join("memory.limit_in_bytes"), "134217728\n").unwrap();
        assert_eq!(limit(), Some(131_072));
        assert_eq!(total_kib("MemTotal:       16318528 kB\nMemFree: 1 kB\n"), Some(16_318_528));
    }
}
