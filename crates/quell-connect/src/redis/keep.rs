//! Where a server keeps its users over a restart.

use redis::cmd;
use serde::Deserialize;

use super::node::Node;
use super::reply;
use crate::error::ConnectError;

/// What the inventory says about a server without an ACL file.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Persist {
    /// It must have one.
    #[default]
    Aclfile,
    /// `CONFIG REWRITE` is safe there: all users stand in the configuration file itself.
    Config,
    /// Whoever starts it again makes its users anew.
    Memory,
}

/// Where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    File,
    Configuration,
    Memory,
    /// It must not be changed so, and what to do.
    Nowhere(&'static str),
}

/// Finds out, and changes nothing.
pub(super) async fn keeping(
    node: &mut Node,
    persist: Persist,
    what: &'static str,
) -> Result<Keeping, ConnectError> {
    let file = node.ask(what, cmd("CONFIG").arg("GET").arg("aclfile")).await?;
    let file: Vec<String> = redis::from_redis_value(file).unwrap_or_default();
    if file.get(1).is_some_and(|path| !path.is_empty()) {
        return Ok(Keeping::File);
    }
    match persist {
        Persist::Aclfile => Ok(Keeping::Nowhere(
            "the server has no `aclfile`, so a restart brings the old password back: start it with one, or see `persist` on the \
             operator's page",
        )),
        Persist::Memory => Ok(Keeping::Memory),
        Persist::Config => {
            let info = node.ask_text(what, cmd("INFO").arg("server")).await?;
            Ok(match reply::info(&info, "config_file") {
                Some(path) if !path.is_empty() => Keeping::Configuration,
                _ => Keeping::Nowhere(
                    "`persist` is `config`, but the server was started without a configuration file: start it with `aclfile`",
                ),
            })
        }
    }
}

/// Keeps what is in memory.
pub(super) async fn keep(node: &mut Node, place: Keeping, what: &'static str) -> Result<(), ConnectError> {
    match place {
        Keeping::File => node.ask(what, cmd("ACL").arg("SAVE")).await.map(drop),
        Keeping::Configuration => node.ask(what, cmd("CONFIG").arg("REWRITE")).await.map(drop),
        Keeping::Memory | Keeping::Nowhere(_) => Ok(()),
    }
}

impl Keeping {
    /// For facts and checks.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::File => "aclfile",
            Self::Configuration => "configuration file",
            Self::Memory => "memory only: a restart undoes it",
            Self::Nowhere(why) => why,
        }
    }
}
