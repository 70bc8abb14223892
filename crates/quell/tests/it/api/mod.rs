//! `/api/v1`, asked of a server that really runs.

mod alarm;
mod both;
mod door;
mod everywhere;
mod hostile;
mod incident;
mod outside;
mod people;
mod ready;
mod remote;
mod rights;
mod room;
mod schema;
