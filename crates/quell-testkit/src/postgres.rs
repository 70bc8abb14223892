//! PostgreSQL on loopback.
