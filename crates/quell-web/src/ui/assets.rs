//! Style sheet and scripts, compiled in.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::problem::Problem;
use crate::route::{Kind, Route, Verb};

pub(crate) const ROUTES: &[Route] =
    &[Route::open(Verb::Get, "/assets/{version}/{name}", Kind::Page, || get(show))];

/// Name, content type, content.
const ASSETS: [(&str, &str, &str); 3] = [
    ("quell.css", "text/css; charset=utf-8", include_str!("../../assets/quell.css")),
    ("quell.js", "text/javascript; charset=utf-8", include_str!("../../assets/quell.js")),
    ("verify.js", "text/javascript; charset=utf-8", include_str!("../../assets/verify.js")),
];

/// A name for exactly this content.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let all = ASSETS.iter().map(|(_, _, content)| *content).collect::<Vec<_>>().concat();
        quell_app::person::hash(all.as_bytes()).chars().take(12).collect()
    });
    &VERSION
}

async fn show(Path((_version, name)): Path<(String, String)>) -> Result<impl IntoResponse, Problem> {
    let found = ASSETS.iter().find(|(own, _, _)| *own == name);
    let (_, kind, content) = found.ok_or_else(|| Problem::not_found("there is no such asset"))?;
    // The version is in its name, so it never changes.
    let forever = "public, max-age=31536000, immutable";
    Ok(([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, forever)], *content))
}
