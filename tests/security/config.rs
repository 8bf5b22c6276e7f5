//! Contradictions in the configuration: refused with the name of the key, before anything listens.

use crate::support::Workplace;

#[test]
fn a145_what_contradicts_itself_stops_the_start_and_names_the_key() {
    for (config, key) in [
        ("[server]\nlisten_on = \"127.0.0.1:1\"", "server.listen_on"),
        ("[tokens]\naccess_ttl = \"-1s\"", "tokens.access_ttl"),
        ("[tokens]\naccess_ttl = -1", "tokens.access_ttl"),
        ("[tokens]\naccess_ttl = \"0s\"", "tokens.access_ttl"),
        ("[tokens]\nrefresh_grace = \"3600s\"", "tokens.refresh_grace"),
        ("[tokens]\naccess_ttl = \"60m\"\nrefresh_ttl = \"30m\"", "tokens.refresh_ttl"),
        ("[tokens]\nrefresh_ttl = \"40d\"\nsession_ttl = \"30d\"", "tokens.session_ttl"),
        ("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]", "server.trusted_proxies"),
        ("[server]\ntrusted_proxies = [\"::/0\"]", "server.trusted_proxies"),
        ("[server]\npublic_url = \"http://example.com\"", "server.public_url"),
        (
            "[server]\ninsecure_http = true\npublic_url = \"https://example.com\"",
            "server.insecure_http",
        ),
        ("[server]\ncors_origins = [\"*\"]", "server.cors_origins"),
        ("[passwords]\nmemory_kib = 1048576", "passwords.memory_kib"),
    ] {
        let workplace = Workplace::new();
        workplace.write("config.toml", config);
        for arguments in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let ended = workplace.run(arguments);
            let complaint = ended.complaint();
            assert!(complaint.contains(key), "{config}: {complaint}");
        }
    }
}

#[test]
fn a145_what_stands_just_within_the_bounds_is_accepted() {
    for config in [
        "[tokens]\naccess_ttl = \"30m\"\nrefresh_ttl = \"31m\"\nsession_ttl = \"31m\"\nrefresh_grace = \"60s\"",
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\npublic_url = \"https://example.com\"\nbehind_tls_proxy = true",
        "[server]\ncors_origins = [\"https://app.example.com\"]",
    ] {
        let workplace = Workplace::new();
        workplace.write("config.toml", config);
        let ended = workplace.run(&["config", "check"]);
        assert_eq!(ended.status, Some(0), "{config}: {ended:?}");
    }
}
