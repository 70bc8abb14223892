//! People who use pages and the API with a session of their own.

use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::world::{Form as _, World, read};

/// A person with their own cookie.
pub(crate) struct Person<'a> {
    pub(crate) world: &'a World,
    pub(crate) cookie: String,
    csrf: String,
}

impl<'a> Person<'a> {
    pub(crate) async fn of(world: &'a World, name: &str, role: Role) -> Self {
        let (cookie, csrf) = world.session(name, role).await;
        Self { world, cookie, csrf }
    }

    pub(crate) async fn page(&self, place: &str) -> String {
        let response =
            self.world.ask(Method::GET, place).header("cookie", &self.cookie).send().await.unwrap();
        let (status, text) = read(response).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }

    pub(crate) async fn form(
        &self,
        place: &str,
        seen: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, String) {
        let mut all = vec![("csrf", self.csrf.as_str()), ("seen", seen)];
        all.extend(fields);
        let request = self.world.ask(Method::POST, place).header("cookie", &self.cookie);
        read(request.header("accept", "text/html").form(&all).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, place: &str, body: &Value) -> (StatusCode, Value) {
        self.post_on(place, "*", body).await
    }

    /// On what was read: its tag.
    pub(crate) async fn post_on(&self, place: &str, tag: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.world.ask(Method::POST, &format!("/api/v1{place}")).header("cookie", &self.cookie);
        let request = request.header("if-match", tag);
        let response = request.header("x-quell-csrf", &self.csrf).json(body).send().await.unwrap();
        let (status, text) = read(response).await;
        (status, serde_json::from_str(&text).unwrap())
    }
}

/// The position that a page's forms carry.
pub(crate) fn seen(page: &str) -> String {
    page.split("name=\"seen\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}
