//! The image without an engine: what the Dockerfile's last stage holds, run by `chroot` as its user.
//!
//! Needs root, and in `KEYSTILE_TEST_IMAGE` the directory that `docker/stage.sh` laid out; without them
//! it says so and passes, unless `KEYSTILE_TEST_REQUIRE_CONTAINER=1`.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod image;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::image::Image;
use crate::support::{Server, run};

const PASSWORD: &str = "correct horse battery";
const LISTEN: &str = "KEYSTILE_SERVER__LISTEN";

/// The image and where it was staged.
fn image() -> Option<(Image, PathBuf)> {
    let staged = std::env::var_os("KEYSTILE_TEST_IMAGE").map(PathBuf::from);
    let missing = match &staged {
        None => Some("KEYSTILE_TEST_IMAGE does not name a staged image"),
        Some(_) if !rustix::process::geteuid().is_root() => Some("only root can change its root"),
        Some(_) => None,
    };
    if let Some(missing) = missing {
        let is_required = std::env::var_os("KEYSTILE_TEST_REQUIRE_CONTAINER").is_some();
        assert!(!is_required, "{missing}");
        println!("skipped: {missing}");
        return None;
    }
    let staged = staged?;
    Some((Image::build(include_str!("../../Dockerfile"), &staged), staged))
}

#[test]
fn it_holds_one_static_binary_and_an_empty_volume_of_its_user() {
    let Some((image, staged)) = image() else { return };
    let mut names: Vec<_> =
        fs::read_dir(staged).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data", "keystile"]);
    assert_eq!(image.content(), ["bin", "bin/keystile", "data"]);
    assert_eq!(fs::metadata(image.volume()).unwrap().uid(), 65532);
    assert!(!needs_an_interpreter(&fs::read(image.path("/bin/keystile")).unwrap()));
    let ours = fs::read(env!("CARGO_BIN_EXE_keystile")).unwrap();
    assert!(needs_an_interpreter(&ours), "a dynamic binary would not have been noticed");
}

/// Whether an ELF file of 64 bits has a program header of type `PT_INTERP`.
fn needs_an_interpreter(elf: &[u8]) -> bool {
    const PT_INTERP: usize = 3;
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0, |high, low| high << 8 | usize::from(*low))
    };
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "not an ELF file of 64 bits, little-endian");
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|index| number(headers + index * size, 4) == PT_INTERP)
}

#[test]
fn it_serves_is_well_and_is_administered_from_inside() {
    let Some((image, _)) = image() else { return };
    // The image's own port may be taken on this machine.
    let mut command = image.start();
    command.env(LISTEN, "0.0.0.0:0");
    let server = Server::start(command);
    let address = server.address().to_string();
    let client = server.client();
    client.register("alice", PASSWORD);
    let pair = client.login("alice", PASSWORD);
    assert_eq!(client.status_with(&pair.access), 200);

    let mut healthcheck = image.healthcheck();
    healthcheck.env(LISTEN, &address);
    assert_eq!(run(healthcheck, "").output(), "healthy\n");
    let add = ["/bin/keystile", "users", "add", "bob", "--role", "admin", "--password-stdin"];
    let added = run(image.inside(&add), PASSWORD);
    assert!(added.output().starts_with("added bob (admin)"), "{added:?}");
    let access = client.login("bob", PASSWORD).access;
    client.get("/admin").bearer(&access).send().expect(200);

    let ended = server.stop();
    assert!(ended.stderr.contains("behind_tls_proxy"), "{}", ended.stderr);
    let mut healthcheck = image.healthcheck();
    healthcheck.env(LISTEN, &address);
    assert!(run(healthcheck, "").complaint().contains("no answer"));
}

#[test]
fn a_container_that_replaces_it_finds_its_users() {
    let Some((image, _)) = image() else { return };
    let start = || {
        let mut command = image.start();
        command.env(LISTEN, "0.0.0.0:0");
        Server::start(command)
    };
    let server = start();
    server.client().register("alice", PASSWORD);
    let pair = server.client().login("alice", PASSWORD);
    server.stop();
    assert_eq!(fs::metadata(image.volume()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(start().client().status_with(&pair.access), 200);
}
