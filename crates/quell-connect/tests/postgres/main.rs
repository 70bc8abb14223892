//! The postgres connector against a real server and against its own sandbox.
#![cfg(test)]

mod failures;
mod rights;
mod scenario;
mod world;

use world::World;

#[tokio::test]
async fn two_roles_alternate_on_a_real_server() {
    scenario::two_roles(World::real(true)).await;
}

#[tokio::test]
async fn two_roles_alternate_in_the_sandbox() {
    scenario::two_roles(World::sandbox().await).await;
}

#[tokio::test]
async fn one_role_is_replaced_on_a_real_server() {
    scenario::one_role(World::real(true)).await;
}

#[tokio::test]
async fn one_role_is_replaced_in_the_sandbox() {
    scenario::one_role(World::sandbox().await).await;
}
