//! Azure: Key Vault as a store, client secrets of applications, on a model of both.

mod password;
mod vault;
