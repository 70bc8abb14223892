//! The inventory: of this machine, which needs no installation, or of a server.

use quell_app::reach::{self, Reach};
use quell_app::{AppError, inventory};
use quell_core::SecretId;
use quell_core::inventory::{Graph, Inventory};
use quell_hunt::report::clean;
use quell_web::view;
use url::form_urlencoded::Serializer;

use super::{Remote, Seat, missing};
use crate::cmd::app;

/// Secrets on a page of a server.
const PAGE: &str = "200";

impl Seat {
    /// Parses the inventory, and reaches nothing. A server parses its own as it lies there now, which may not be the one that it uses.
    pub(crate) async fn parse_inventory(&self) -> Result<view::Parsed, AppError> {
        let Some(remote) = self.server() else {
            let secrets = inventory::check_offline(&self.options)?.secrets.into_keys().collect();
            return Ok(view::Parsed { ok: true, secrets, refused: None });
        };
        let told: view::Parsed = remote.get("/inventory/parse").await?.json()?;
        if told.ok {
            return Ok(told);
        }
        let why = clean(told.refused.as_deref().unwrap_or("it does not say why"));
        let said =
            format!("the newest inventory of the server is refused, and it uses the one before: {why}");
        let hints = vec!["mend it there; the server takes it up by itself".to_owned()];
        Err(AppError::Server { status: 422, said, hints })
    }

    /// Every secret in it, by id.
    pub(crate) async fn secrets(&self) -> Result<view::Inventory, AppError> {
        let secrets = if let Some(remote) = self.server() {
            secrets(remote).await?
        } else {
            let known = inventory::load(&self.options.inventory)?;
            known.secrets.values().map(view::Known::of).collect()
        };
        Ok(view::Inventory { secrets, next: None })
    }

    /// One secret.
    pub(crate) async fn secret(&self, id: &SecretId) -> Result<view::Known, AppError> {
        if let Some(remote) = self.server() {
            let told = remote.get(&format!("/inventory/secrets/{id}")).await;
            return told.map_err(|error| missing(error, "secret", id.as_str()))?.json();
        }
        let known = inventory::load(&self.options.inventory)?;
        let found = known.secrets.get(id).map(view::Known::of);
        found.ok_or_else(|| AppError::NotFound { what: "secret", id: id.to_string() })
    }

    /// Reaches every system in it.
    pub(crate) async fn check_inventory(&self) -> Result<view::Checked, AppError> {
        match self.server() {
            Some(remote) => remote.get("/inventory/check").await?.json(),
            None => Ok(view::Checked::of(inventory::check(&*app(&self.options).await?).await?)),
        }
    }

    /// What a secret opens, or what every secret opens. With `ask`, issuers are asked, too.
    pub(crate) async fn reach(&self, secret: Option<&SecretId>, ask: bool) -> Result<Reach, AppError> {
        if let Some(remote) = self.server() {
            let query = Serializer::new(String::new())
                .append_pair("ask", if ask { "true" } else { "false" })
                .extend_pairs(secret.iter().map(|id| ("secret", id.as_str())))
                .finish();
            let told = remote.get(&format!("/inventory/graph?{query}")).await;
            let id = secret.map_or("", SecretId::as_str);
            let told: view::Edges = told.map_err(|error| missing(error, "secret", id))?.json()?;
            return Ok(told.reach());
        }
        if let (true, Some(id)) = (ask, secret) {
            let app = app(&self.options).await?;
            known(&app.inventory, id)?;
            return Ok(reach::ask(&app, std::slice::from_ref(id), None).await);
        }
        let inventory = inventory::load(&self.options.inventory)?;
        if let Some(id) = secret {
            known(&inventory, id)?;
        }
        Ok(Reach { graph: Graph::of(&inventory), ..Reach::default() })
    }
}

/// It is in the inventory.
pub(crate) fn known(inventory: &Inventory, id: &SecretId) -> Result<(), AppError> {
    if inventory.secrets.contains_key(id) {
        return Ok(());
    }
    Err(AppError::NotFound { what: "secret", id: id.to_string() })
}

/// Page after page.
async fn secrets(remote: &Remote) -> Result<Vec<view::Known>, AppError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let query = Serializer::new(String::new())
            .append_pair("limit", PAGE)
            .extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)))
            .finish();
        let page: view::Inventory = remote.get(&format!("/inventory?{query}")).await?.json()?;
        all.extend(page.secrets);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}
