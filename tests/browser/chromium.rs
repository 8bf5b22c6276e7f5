//! Chromium without a screen, and what it noted of its page: requests and complaints.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What must be on the PATH for these tests.
const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];
/// Set to 1 where the tests must not be skipped.
const REQUIRED: &str = "KEYSTILE_TEST_REQUIRE_BROWSER";
/// Nothing that asks another host for anything by itself, or needs a graphics card or a sandbox.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1800",
];

/// A browser with one window; it ends when this is dropped.
pub struct Chromium {
    /// Drives the window.
    pub client: Client,
    driver: Driver,
}

/// What the page has asked for and complained of since the last time.
pub struct Noted {
    /// The URL of every request.
    pub requests: Vec<String>,
    /// Every message of the console of level SEVERE, violations of the page's policy among them.
    pub errors: Vec<String>,
}

impl Chromium {
    /// A browser with a fresh profile, or nothing where none is installed and none is required.
    pub async fn start() -> Option<Self> {
        if let Some(missing) = PROGRAMS.into_iter().find(|program| !is_installed(program)) {
            assert!(std::env::var_os(REQUIRED).is_none_or(|it| it != "1"), "there is no {missing}");
            println!(
                "SKIPPED: there is no {missing} here; on Debian, apt-get install chromium chromium-driver"
            );
            return None;
        }
        let driver = Driver::start();
        let profile = format!("--user-data-dir={}", driver.profile.path().display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(serde_json::from_value(capabilities).unwrap())
            .connect(&driver.url)
            .await
            .unwrap();
        Some(Self { client, driver })
    }

    /// What has been noted since the last call.
    pub async fn noted(&self) -> Noted {
        let session = self.client.session_id().await.unwrap().unwrap();
        let performance = self.driver.log(&session, "performance");
        let messages = performance.iter().map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()
        });
        let requests = messages
            .filter(|it| it["message"]["method"] == "Network.requestWillBeSent")
            .map(|it| it["message"]["params"].clone())
            // The browser opens a page of its own before it is told where to go.
            .filter(|it| !text(&it["documentURL"]).starts_with("chrome:"))
            .map(|it| text(&it["request"]["url"]));
        let console = self.driver.log(&session, "browser");
        let errors = console.iter().filter(|entry| entry["level"] == "SEVERE");
        Noted {
            requests: requests.collect(),
            errors: errors.map(|entry| text(&entry["message"])).collect(),
        }
    }
}

/// `chromedriver`, and with it every browser it has started.
struct Driver {
    child: Child,
    url: String,
    profile: TempDir,
}

impl Driver {
    fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let started = lines.find_map(|line| {
            let port = line.strip_suffix('.')?.rsplit_once("successfully on port ")?.1;
            Some(format!("http://127.0.0.1:{port}"))
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: started.unwrap(), profile: tempfile::tempdir().unwrap() }
    }

    /// The entries of one of the browser's logs, which fantoccini has no name for.
    fn log(&self, session: &str, kind: &str) -> Vec<Value> {
        let url = format!("{}/session/{session}/se/log", self.url);
        let mut answer = ureq::post(&url).send_json(json!({ "type": kind })).unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        answer["value"].as_array().unwrap().clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if ureq::get(format!("{}/shutdown", self.url)).call().is_err() {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
