//! A person at the patient's pages: does by mouse and keyboard what the scenario asks for.

use crate::Result;
use crate::browser::Browser;

/// A person with the patient's pages open.
pub struct Patient<'a> {
    browser: &'a Browser,
    url: String,
}

impl<'a> Patient<'a> {
    /// Opens the pages that lie under `url`.
    pub async fn arrive(browser: &'a Browser, url: &str) -> Result<Self> {
        browser.go(&format!("{url}/")).await?;
        Ok(Self { browser, url: url.to_owned() })
    }

    /// First run: makes the node.
    pub async fn make_node(&self) -> Result<()> {
        self.browser.fill("input[autocomplete=name]", "Kim Minji").await?;
        self.press("Make my node").await?;
        self.sees("Your node is ready").await?;
        self.press("Go on").await?;
        self.sees("Ready").await
    }

    /// Adds a record of one's own.
    pub async fn add_record(&self, fhir: &str) -> Result<()> {
        self.open("records/new").await?;
        self.browser.paste("textarea", fhir).await?;
        self.press("Add to my records").await?;
        self.sees("Checked by your node").await
    }

    /// Steps 1-3: asks the first hospital for treatment.
    pub async fn ask(&self, reason: &str, may_read: &[&str]) -> Result<()> {
        self.open("new").await?;
        self.browser.click("input[name=hospital]").await?;
        self.browser.paste("textarea", reason).await?;
        for kind in may_read {
            self.browser.click(&format!("input[type=checkbox][value={kind}]")).await?;
        }
        self.press("Send the request").await?;
        self.sees("The path of the ledger").await
    }

    /// Step 10: sees what became of the request.
    pub async fn sees_phase(&self, case: &str, word: &str) -> Result<()> {
        self.open(&format!("cases/{case}")).await?;
        self.sees(word).await
    }

    /// Step 12: shares every record that matches, once the path of the ledger was seen.
    pub async fn share(&self, case: &str, request: &str) -> Result<()> {
        self.open(&format!("cases/{case}")).await?;
        self.browser.click(&format!("a[href$='{request}']")).await?;
        self.sees("The path of the ledger").await?;
        self.browser.click("fieldset input[type=checkbox]").await?;
        self.browser.click("//button[starts-with(normalize-space(), 'Share ')]").await?;
        self.sees("Shared").await
    }

    /// Step 19: looks at a result's content and confirms it; sees it final.
    pub async fn confirm(&self, case: &str, entry: &str) -> Result<()> {
        self.open(&format!("cases/{case}")).await?;
        self.browser.click(&format!("a[href$='{entry}']")).await?;
        self.browser.find("[data-testid=fhir]").await?;
        self.press("Confirm").await?;
        self.sees("Final").await
    }

    /// The text of a record, as its author wrote it.
    pub async fn text_of(&self, case: &str, entry: &str) -> Result<String> {
        self.open(&format!("cases/{case}/results/{entry}")).await?;
        self.press("Show the original text (FHIR JSON)").await?;
        Ok(self.browser.find("[data-testid=raw]").await?.text().await?)
    }

    /// Opens a route of the pages, without a reload.
    pub async fn open(&self, route: &str) -> Result<()> {
        self.browser.go(&format!("{}/#/{route}", self.url)).await
    }

    /// Presses the button with this name.
    pub async fn press(&self, name: &str) -> Result<()> {
        self.browser.click(&format!("//button[normalize-space()='{name}']")).await
    }

    /// Waits for a heading, a badge or a link with this text.
    pub async fn sees(&self, text: &str) -> Result<()> {
        let shown = format!("//*[not(*) and normalize-space()='{text}']");
        self.browser.find(&shown).await.map(drop)
    }
}
