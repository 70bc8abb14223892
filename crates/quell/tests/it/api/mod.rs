//! `/api/v1`, asked of a server that really runs.

mod hostile;
mod incident;
mod room;
