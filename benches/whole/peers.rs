//! What other servers of the field cost, as it was once measured on the same kind of machine.

use super::common::record::{Table, figure};

const ABOUT: &str = "\
CPU time of one operation, idle memory and cold start. Keystile's row is this run's. The others were measured \
separately, on the same kind of machine (medians of three interleaved rounds): read the orders of magnitude. \
Only Keystile's refresh is on disk when it is answered; PocketBase's rotates nothing and writes nothing, and \
its login is bcrypt. The FastAPI stack is FastAPI, PostgreSQL and Redis, tuned, its login the same Argon2id.";

/// Operations in microseconds, a login in milliseconds, memory in MiB, the start in milliseconds.
const PEERS: [(&str, [f64; 5]); 3] = [
    ("Rauthy 0.36", [287.0, 2738.0, 35.0, 66.0, 362.0]),
    ("PocketBase 0.40", [281.0, 197.0, 60.0, 28.0, 111.0]),
    ("FastAPI stack", [626.0, 648.0, 26.0, 225.0, 789.0]),
];

/// The table, with Keystile's figures in the order of the others'.
pub fn table(keystile: [f64; 5]) -> Table {
    let columns = ["server", "bearer GET", "refresh", "login", "idle memory", "cold start"];
    let mut table = Table::new("Beside its peers", ABOUT, &columns);
    for (name, figures) in [("Keystile", keystile)].into_iter().chain(PEERS) {
        let units = ["us", "us", "ms", "MiB", "ms"];
        let cells = figures.iter().zip(units).map(|(value, unit)| figure(*value, unit));
        table.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    table
}
