//! Data directories that cannot be written, or are not what they seem (A130).

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use crate::PASSWORD;
use crate::support::Workplace;
use crate::support::disk::Disk;
use crate::support::tools::require;

/// The one line of a start that is refused.
fn refusal(workplace: &Workplace) -> String {
    workplace.run(&["serve", "--listen", "127.0.0.1:0"]).complaint().to_owned()
}

fn store_in(workplace: &Workplace, path: &Path) {
    let path = path.display();
    workplace.write("config.toml", &format!("[storage]\npath = '{path}'\nmin_free_mib = 0\n"));
}

#[test]
fn a_read_only_file_system_is_refused_and_serves_again_once_it_is_writable() {
    let workplace = Workplace::new();
    let Some(disk) = Disk::new(workplace.path("disk"), 16) else { return };
    store_in(&workplace, &disk.path("data"));
    workplace.add_user("alice", PASSWORD, "user");
    disk.remount("ro");
    let line = refusal(&workplace);
    assert!(line.to_lowercase().contains("read-only file system"), "{line}");
    disk.remount("rw");
    let server = workplace.serve();
    server.client().login("alice", PASSWORD);
    server.stop();
}

#[test]
fn a_first_start_on_a_read_only_file_system_is_refused() {
    let workplace = Workplace::new();
    let Some(disk) = Disk::new(workplace.path("disk"), 16) else { return };
    store_in(&workplace, &disk.path("data"));
    disk.remount("ro");
    let line = refusal(&workplace);
    assert!(line.to_lowercase().contains("read-only file system"), "{line}");
    disk.remount("rw");
    workplace.serve().stop();
}

#[test]
fn the_directory_of_another_owner_is_refused_with_the_command_to_type() {
    let is_root = rustix::process::geteuid().is_root();
    if !require("giving files away, as root may", is_root) {
        return;
    }
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    chown(workplace.data(), Some(65534), None).unwrap();
    let line = refusal(&workplace);
    assert!(line.contains("sudo -u '#65534'"), "{line}");
    chown(workplace.data(), Some(0), None).unwrap();
    workplace.serve().stop();
}

#[test]
fn a_link_to_our_data_is_judged_by_what_it_opens() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    fs::rename(workplace.data(), workplace.path("moved")).unwrap();
    symlink(workplace.path("moved"), workplace.data()).unwrap();
    let server = workplace.serve();
    server.client().login("alice", PASSWORD);
    server.stop();

    fs::remove_file(workplace.data()).unwrap();
    let strangers = workplace.path("strangers");
    fs::create_dir(&strangers).unwrap();
    fs::write(strangers.join("thesis"), "all of it").unwrap();
    symlink(&strangers, workplace.data()).unwrap();
    let line = refusal(&workplace);
    assert!(line.contains("holds no keystile database"), "{line}");
    assert_eq!(fs::read_dir(&strangers).unwrap().count(), 1);

    fs::remove_dir_all(&strangers).unwrap();
    refusal(&workplace);
}

#[test]
fn what_is_written_is_not_written_through_a_link() {
    for name in ["keystile.lock", "manifest.json.new", "db/commits"] {
        let workplace = Workplace::new();
        workplace.add_user("alice", PASSWORD, "user");
        let (file, target) = (workplace.data().join(name), workplace.path("target"));
        fs::write(&target, "somebody else's").unwrap();
        // There need not be such a file.
        drop(fs::remove_file(&file));
        symlink(&target, &file).unwrap();
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ended.status, Some(1), "{name}: {ended:?}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "somebody else's", "{name}");
        fs::remove_file(&file).unwrap();
        let server = workplace.serve();
        server.client().login("alice", PASSWORD);
        server.stop();
    }
}
