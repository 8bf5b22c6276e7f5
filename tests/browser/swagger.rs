//! Swagger UI as a person uses it. Every step waits for what it needs, and fails when that does not come.

use std::time::Duration;

use fantoccini::Locator;
use fantoccini::elements::Element;

use crate::chromium::{Chromium, Noted};
use crate::keystile::Keystile;

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The page at `/docs` of one server.
pub struct Swagger {
    browser: Chromium,
    origin: String,
}

impl Swagger {
    /// Opens the page, unless there is no browser.
    pub async fn open(server: &Keystile) -> Option<Self> {
        let browser = Chromium::start().await?;
        let origin = format!("http://{}", server.address);
        browser.client.goto(&format!("{origin}/docs")).await.unwrap();
        Some(Self { browser, origin })
    }

    /// The title of the page.
    pub async fn title(&self) -> String {
        self.browser.client.title().await.unwrap()
    }

    /// Opens the dialog behind Authorize.
    pub async fn press_authorize(&self) {
        self.click(".auth-wrapper .btn.authorize").await;
        self.find(".modal-ux").await;
    }

    /// Signs in with the password form of the open dialog.
    pub async fn sign_in(&self, username: &str, password: &str) {
        self.fill("#oauth_username", username).await;
        self.fill("#oauth_password", password).await;
        self.click(".auth-container:has(#oauth_username) .auth-btn-wrapper .authorize").await;
    }

    /// Waits until the dialog says that the password form has succeeded.
    pub async fn see_signed_in(&self) {
        self.find_by_path("//div[contains(@class,'modal-ux')]//button[text()='Logout']").await;
    }

    /// What the dialog says when it has failed.
    pub async fn refusal(&self) -> String {
        self.find(".auth-container .errors").await.text().await.unwrap()
    }

    /// Pastes `value` into the field of the scheme `name`.
    pub async fn paste_bearer(&self, name: &str, value: &str) {
        let form = format!("//form[.//h4/code[text()='{name}']]");
        self.find_by_path(&format!("{form}//input")).await.send_keys(value).await.unwrap();
        let button = format!("{form}//button[contains(@class,'authorize')]");
        self.find_by_path(&button).await.click().await.unwrap();
        self.find_by_path(&format!("{form}//button[text()='Logout']")).await;
    }

    /// Closes the dialog.
    pub async fn close_dialog(&self) {
        self.click(".modal-ux .btn-done").await;
    }

    /// Executes an operation with what is filled in already: its status and the answer's text.
    pub async fn execute(&self, tag: &str, operation: &str) -> (String, String) {
        let block = format!("#operations-{tag}-{operation}");
        self.click(&format!("{block} .opblock-summary-control")).await;
        self.click(&format!("{block} .try-out__btn")).await;
        self.click(&format!("{block} .btn.execute")).await;
        let live = format!("{block} .live-responses-table .response");
        let status = self.find(&format!("{live} .response-col_status")).await.text().await.unwrap();
        let body = self.find(&format!("{live} .response-col_description")).await;
        (status.trim().to_owned(), body.text().await.unwrap())
    }

    /// A picture of the page from its top, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.browser.client.execute("window.scrollTo(0, 0);", vec![]).await.unwrap();
        self.browser.client.screenshot().await.unwrap()
    }

    /// Checks that all requests went to this server, and gives the errors that the console shows.
    pub async fn console_errors(&self) -> Vec<String> {
        let Noted { requests, errors } = self.browser.noted().await;
        let own = format!("{}/", self.origin);
        assert!(requests.iter().any(|url| url.ends_with("/openapi.json")), "{requests:?}");
        for url in requests {
            assert!(url.starts_with(&own) || url.starts_with("data:"), "it asked for {url}");
        }
        errors
    }

    async fn find(&self, css: &str) -> Element {
        self.wait_for(Locator::Css(css)).await
    }

    async fn find_by_path(&self, path: &str) -> Element {
        self.wait_for(Locator::XPath(path)).await
    }

    async fn wait_for(&self, what: Locator<'_>) -> Element {
        let found = self.browser.client.wait().at_most(PATIENCE).for_element(what).await;
        found.unwrap_or_else(|error| panic!("{what:?} did not come: {error}"))
    }

    async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }
}
